"""Moments of a recording: the sparse pattern of start and length, and a map over them; and sentences, each in two spaces."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import checks
from gera_jax.models.two_tower import affine_start
from gera_jax.ops.numerics import sanitize


@dataclasses.dataclass(frozen=True)
class Proposals:
    """Moments (start, length) of a recording of `clips` clips, dense where they are short and sparser where they are long.

    The first count gives lengths 2, 3, ... at every start; each further count doubles the step, of lengths and of starts.
    Single clips are always there. The map has a row for each start and a column for each length that occurs.

    Args:
      clips: T, clips of the longest recording.
      counts: pooling steps at stride 1, 2, 4, ...

    >>> len(Proposals(64, (15, 8, 8))), len(Proposals(16, (15,))), len(Proposals(128, (15, 8, 8, 8)))
    (1104, 136, 2548)

    Source: the sparse proposals of 2D-TAN, arXiv 1912.03590.
    """

    clips: int
    counts: tuple[int, ...] = (15, 8, 8)

    def __post_init__(self) -> None:
        checks.require(self.clips >= 1, "clips", got=self.clips, wanted="at least 1")
        checks.require(all(count >= 0 for count in self.counts), "model.pooling", got=list(self.counts), wanted="counts >= 0")
        longest = 1 + sum(count * 2**power for power, count in enumerate(self.counts))
        got, wanted = f"{list(self.counts)}, moments of up to {longest} clips", f"at most the {self.clips} clips of a recording"
        checks.require(longest <= self.clips, "model.pooling", got=got, wanted=wanted, remedy="Lower the counts.")

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """[L] clips of a moment in each column of the map, rising."""
        found, length = [1], 1
        for power, count in enumerate(self.counts):
            for _ in range(count):
                length += 2**power
                found.append(length)
        return np.array(found)

    @functools.cached_property
    def strides(self) -> np.ndarray:
        """[L] distance of the starts in each column."""
        return np.array([1] + [2**power for power, count in enumerate(self.counts) for _ in range(count)])

    @functools.cached_property
    def grid(self) -> np.ndarray:
        """[T, L] bool, the cells of the map that are moments."""
        start = np.arange(self.clips)[:, None]
        return (start % self.strides == 0) & (start + self.lengths <= self.clips)

    @functools.cached_property
    def spans(self) -> np.ndarray:
        """[N, 2] first clip of each moment and the one behind its last, in the order of the map's cells."""
        start, column = np.nonzero(self.grid)
        return np.stack([start, start + self.lengths[column]], axis=1)

    def __len__(self) -> int:
        return int(self.grid.sum())


Array = jax.Array
HEADS = ("iou", "contrast")


class MomentNet(nn.Module):
    """Each moment's rows in both spaces: v = mean of its clips A + B conv(max of its clips), with B = 0 at the start.

    The max-pooled map [start, length] is made by stacked max-pooling of projected clips, and passes through residual
    convolutions in which moments that do not exist are 0. A is one matrix for both spaces' start, a column block for each.

    Args of the call: clips [B, T, d], exists [B, T] bool; returns {head: [B, N, dim]}, not normalised, and with `prior`
    {"prior": [B, N]}, the log odds of a moment whatever the sentence, from its length and its cell of the map; 0 at the start.
    """

    proposals: Proposals
    dim: int
    channels: int
    layers: int
    kernel: int
    dropout: float = 0.0
    prior: bool = False

    @nn.compact
    def __call__(self, clips: Array, exists: Array, *, train: bool = False) -> dict[str, Array]:
        plan = self.proposals
        start, column = np.nonzero(plan.grid)
        there = moment_mask(plan, exists)
        cells = jnp.zeros((len(clips), *plan.grid.shape), bool).at[:, start, column].set(there)
        hidden = nn.relu(nn.Dense(self.channels, name="clips")(clips))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        h = sanitize(max_map(hidden, plan.lengths), cells)
        for layer in range(self.layers):
            window = (self.kernel, self.kernel)
            change = nn.Conv(self.channels, window, name=f"conv_{layer}")(sanitize(nn.LayerNorm(name=f"norm_{layer}")(h), cells))
            h = sanitize(h + nn.Dropout(self.dropout, deterministic=not train)(nn.relu(change)), cells)
        h = nn.LayerNorm(name="norm")(h[:, start, column])
        out = {}
        for head in HEADS:
            base = mean_moments(nn.Dense(self.dim, name=f"base_{head}")(clips), plan.spans)
            out[head] = base + nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name=f"map_{head}")(h)
        if self.prior:
            of_length = self.param("prior_length", nn.initializers.zeros, (len(plan.lengths),))
            of_cell = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros, name="prior_map")(h)[..., 0]
            out["prior"] = of_length[column] + of_cell
        return out


class SentenceNet(nn.Module):
    """s = x A + b in both spaces. Args of the call: x [..., k]; returns {head: [..., dim]}, not normalised."""

    dim: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> dict[str, Array]:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return {head: nn.Dense(self.dim, name=f"base_{head}")(x) for head in HEADS}


def max_map(x: Array, lengths: np.ndarray) -> Array:
    """Maximum over x[start : start + length] for every start and each length: [B, T, L, c].

    One maximum of two shifted columns for each length: a window of length m is two overlapping ones of a shorter length.

    Args:
      x: [B, T, c].
      lengths: rising, the first 1, each at most double the one before.

    >>> max_map(jnp.array([[[3.0], [1.0], [2.0]]]), np.array([1, 2]))[0, :, :, 0].tolist()
    [[3.0, 3.0], [1.0, 2.0], [2.0, 2.0]]
    """
    columns = [x]
    for before, length in itertools.pairwise(lengths):
        shift = int(length - before)
        # Starts whose window leaves the recording see its last clips again; they are no moments.
        shifted = jnp.concatenate([columns[-1][:, shift:], jnp.repeat(columns[-1][:, -1:], shift, axis=1)], axis=1)
        columns.append(jnp.maximum(columns[-1], shifted))
    return jnp.stack(columns, axis=2)


def mean_moments(x: Array, spans: np.ndarray) -> Array:
    """Mean of x [B, T, c] over each span of clips: [B, N, c], by differences of running sums."""
    total = jnp.pad(jnp.cumsum(x, axis=1), ((0, 0), (1, 0), (0, 0)))
    length = jnp.asarray(spans[:, 1] - spans[:, 0], x.dtype)[:, None]
    return (total[:, spans[:, 1]] - total[:, spans[:, 0]]) / length


def moment_mask(proposals: Proposals, exists: Array) -> Array:
    """[B, N] bool: moments that lie within the clips [B, T] that exist (the first of each recording)."""
    return jnp.asarray(proposals.spans[:, 1]) <= exists.sum(1, dtype=jnp.int32)[:, None]


@dataclasses.dataclass(frozen=True)
class ProposalMap:
    """Both nets; parameters are a plain dict `{"clips": ..., "sentences": ...}`.

    Args:
      proposals: moments of a recording.
      widths: "clips" and "sentences" -> width of their features.
      dim: width of both joint spaces.
      channels, layers, kernel: of the convolutions over the map; 0 layers leave the pooled map as it is.
      dropout: of projected clips, convolutions and sentences while training.
      power: of the contrastive score in the fused one; see `evaluation.fuse_scores`.
      logit_scale, logit_bias: probability of a large overlap = sigmoid(logit_scale cosine + logit_bias).
      prior: whether logit_bias also has a part that depends on the moment, learned, 0 at the start.

    >>> model = ProposalMap(Proposals(4, (2,)), {"clips": 3, "sentences": 5}, dim=2, channels=4)
    >>> params = model.init(jax.random.key(0))
    >>> model.moments(params, jnp.ones((2, 4, 3)), jnp.ones((2, 4), bool))["iou"].shape
    (2, 9, 2)
    """

    proposals: Proposals
    widths: Mapping[str, int]
    dim: int = 128
    channels: int = 64
    layers: int = 2
    kernel: int = 3
    dropout: float = 0.0
    power: float = 0.5
    logit_scale: float = 10.0
    logit_bias: float = 0.0
    prior: bool = False

    def __post_init__(self) -> None:
        for name, least in (("dim", 1), ("channels", 1), ("layers", 0), ("kernel", 1), ("dropout", 0), ("power", 0)):
            checks.require(getattr(self, name) >= least, f"model.{name}", got=getattr(self, name), wanted=f"at least {least}")
        checks.require(self.dropout < 1, "model.dropout", got=self.dropout, wanted="below 1")

    @property
    def _moments(self) -> MomentNet:
        return MomentNet(self.proposals, self.dim, self.channels, self.layers, self.kernel, self.dropout, self.prior)

    @property
    def _sentences(self) -> SentenceNet:
        return SentenceNet(self.dim, self.dropout)

    def init(self, key: Array) -> dict[str, Any]:
        """Random parameters; a function of `key` alone."""

        @jax.jit  # one program for all layers, without the forward pass that would be one for each of its operations
        def made(key: Array) -> dict[str, Any]:
            first, second = jax.random.split(key)
            clips = jnp.zeros((1, self.proposals.clips, self.widths["clips"]))
            moments = self._moments.init(first, clips, jnp.ones(clips.shape[:2], bool))
            sentences = self._sentences.init(second, jnp.zeros((1, self.widths["sentences"])))
            return {"clips": moments["params"], "sentences": sentences["params"]}

        return made(key)

    def moments(
        self, params: Any, clips: Array, exists: Array, *, train: bool = False, key: Array | None = None
    ) -> dict[str, Array]:
        """{"iou", "contrast"} -> rows [B, N, dim] of the moments of clips [B, T, d], of which `exists` [B, T] are real."""
        clips = sanitize(clips, exists)
        return self._moments.apply({"params": params["clips"]}, clips, exists, train=train, rngs=_rngs(train, key))

    def bias(self, moments: Mapping[str, Array]) -> Array:
        """[B, 1, N], or a scalar without `prior`: what the logit of a large overlap has beside the cosine."""
        return self.logit_bias + moments["prior"][:, None, :] if self.prior else jnp.asarray(self.logit_bias)

    def sentences(self, params: Any, x: Array, *, train: bool = False, key: Array | None = None) -> dict[str, Array]:
        """{"iou", "contrast"} -> rows [..., dim] of the sentences x [..., k]."""
        return self._sentences.apply({"params": params["sentences"]}, x, train=train, rngs=_rngs(train, key))

    def start_at(self, params: dict[str, Any], name: str, weights: np.ndarray, offset: np.ndarray) -> dict[str, Any]:
        """Parameters whose affine part of "clips" or "sentences" is z = c (x weights + offset): `affine_start`."""
        base = affine_start(weights, offset, self.dim)
        return {**params, name: {**params[name], **{f"base_{head}": base for head in HEADS}}}


def _rngs(train: bool, key: Array | None) -> dict[str, Array]:
    return {"dropout": key} if train and key is not None else {}
