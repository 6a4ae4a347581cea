"""Two or more towers into one joint space: heads that may start at a closed form, and the temperature of their cosines."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import checks
from gera_jax.checks import require
from gera_jax.ops import safe_normalize

Array = jax.Array


def affine(dim: int, identity: bool) -> nn.Dense:
    """The part `base` of a head: random, or z = x at the start (the features are then `dim` wide)."""
    kernel = nn.initializers.lecun_normal() if not identity else lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)
    return nn.Dense(dim, kernel_init=kernel, name="base")


def affine_start(weights: np.ndarray, offset: np.ndarray, dim: int) -> dict[str, Array]:
    """The parameters of an affine map z = c (x weights + offset), cut or filled with zeros to `dim` columns.

    Rows of z are normalised, so c > 0 changes no result; it gives the weights a root mean square of 1 / sqrt(d), that of a random
    start, so that one learning rate means the same for both, whatever the unit of the features was.

    >>> affine_start(1e-30 * np.eye(2), np.zeros(2), 3)["kernel"].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    weights, offset = np.asarray(weights, np.float64)[:, :dim], np.asarray(offset, np.float64)[:dim]
    finite = bool(np.isfinite(weights).all() and np.isfinite(offset).all())
    remedy = 'Raise its regularization, or use init="random".'
    require(finite, "model.init", got="a closed form with NaN or infinity", wanted="finite weights", remedy=remedy)
    # Scaled before they are cut to float32: small or large units leave its range.
    largest = np.abs(weights).max(initial=0.0) or 1.0
    size = largest * np.sqrt(np.mean((weights / largest) ** 2) * len(weights)) or 1.0
    kernel, bias = np.zeros((len(weights), dim), np.float32), np.zeros(dim, np.float32)
    kernel[:, : weights.shape[1]], bias[: weights.shape[1]] = weights / size, offset / size
    return {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}


class Linear(nn.Module):
    """z = x W + b.

    Every head has this affine part under the name `base`, so that each of them can start at a closed-form solution.

    Args of the call: x [..., d]; returns [..., dim], not normalised. `identity` starts it at z = x.
    """

    dim: int
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return affine(self.dim, self.identity)(x)


class Identity(nn.Module):
    """z = x: for features that share a space already; it has no parameters."""

    dim: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return x


class ResidualMLP(nn.Module):
    """z = x W + b + W2 gelu(W1 LayerNorm(x)), W2 = 0 at the start.

    Args of the call: x [..., d]; returns [..., dim], not normalised. Dropout acts on the hidden layer while training. `identity`
    starts at W = I, so that features which share a space already begin in it.
    """

    dim: int
    hidden: int = 512
    dropout: float = 0.0
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.hidden, name="expand")(nn.LayerNorm(name="norm")(x)))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="project")(hidden)
        return affine(self.dim, self.identity)(x) + correction


class LowRankResidual(nn.Module):
    """z = x W + b + W2 gelu(W1 x), with W1 [d, rank], W2 [rank, dim] = 0 at the start and no further biases.

    The narrow waist bounds what the correction can change: with few pairs that is the regulariser. `identity` as in
    `ResidualMLP`.
    """

    dim: int
    rank: int = 64
    dropout: float = 0.0
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.rank, use_bias=False, kernel_init=nn.initializers.orthogonal(), name="down")(x))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, use_bias=False, kernel_init=nn.initializers.zeros, name="up")(hidden)
        return affine(self.dim, self.identity)(x) + correction


class ProjectionMLP(nn.Module):
    """z = LayerNorm(p + W2 gelu(p) + b2), p = x W + b, W2 = 0 at the start: the correction sees the projected row alone.

    Args of the call: x [..., d]; returns [..., dim], not normalised. Dropout acts on the correction while training. The
    LayerNorm takes the mean over the `dim` coordinates out of each row, so that a closed-form start is that solution only with
    `layer_norm=False`.

    Source: the projection head of Gentle-CLIP's released code, which starts W2 at random.
    """

    dim: int
    dropout: float = 0.0
    layer_norm: bool = True
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        projected = affine(self.dim, self.identity)(x)
        correction = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="project")(nn.gelu(projected))
        z = projected + nn.Dropout(self.dropout, deterministic=not train)(correction)
        return nn.LayerNorm(name="norm")(z) if self.layer_norm else z


HEADS = {
    "linear": Linear,
    "residual_mlp": ResidualMLP,
    "low_rank_residual": LowRankResidual,
    "projection_mlp": ProjectionMLP,
    "identity": Identity,
}
ANCHOR_STREAM = 1000  # so that anchors leave the heads' start as it is
RESERVED = ("log_logit_scale", "anchors", "teacher")
MAX_LOGIT_SCALE = 100.0  # the bound that CLIP uses: a colder softmax has no gradient left


@dataclasses.dataclass(frozen=True)
class TwoTower:
    """Projects each modality with a head of its own onto the unit sphere of one space: z = head(x) / |head(x)|.

    Parameters are a plain dict `{name: head's parameters, ..., "log_logit_scale": scalar, "anchors": {"features": {name:
    [K, width]}, "z": {name: [K, dim]}}}`; the last two where they are learned.

    Args:
      widths: modality name -> width of its features.
      head: one of `HEADS`.
      dim: width of the joint space.
      temperature: start value (learned) or value (fixed) of tau; the logit scale is 1 / tau, at most 100.
      learn_temperature: whether tau is a parameter.
      head_options: further fields of the head (`hidden`, `rank`, `dropout`, `identity`: z = x at the start).
      anchors: K learned points of each modality in its features' space and in the joint space, N(0, 1) at the start and not
        normalised; 0 = none.
      teacher: keep the affine map that `start_at` gives each head beside the head; see `teach`. Weight decay only scales it,
        and its rows are normalised, so it stays as it is under every optimiser that does not move what has no gradient.

    >>> model = TwoTower({"image": 4, "text": 3}, head="linear", dim=2)
    >>> params = model.init(jax.random.key(0))
    >>> model.project(params, "text", jnp.ones((5, 3))).shape
    (5, 2)
    """

    widths: Mapping[str, int]
    head: str = "linear"
    dim: int = 256
    temperature: float = 0.07
    learn_temperature: bool = True
    head_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    anchors: int = 0
    teacher: bool = False

    def __post_init__(self) -> None:
        checks.require_known(self.head, HEADS, "model.head")
        checks.require(self.dim >= 1, "model.dim", got=self.dim, wanted="at least 1")
        checks.require(
            self.temperature > 0, "model.temperature", got=self.temperature, wanted="above 0", remedy="0.07 is the usual start."
        )
        known = set(inspect.signature(HEADS[self.head]).parameters) - {"parent", "name", "dim"}
        for option in self.head_options:
            checks.require_known(option, known, f"model option of the {self.head} head")
        for name in self.widths:
            wanted, remedy = "a name that parameters do not use", f"Names {', '.join(RESERVED)} are taken: call it otherwise."
            checks.require(name not in RESERVED, "modality", got=f'"{name}"', wanted=wanted, remedy=remedy)
        checks.require(self.anchors >= 0, "model.anchors.count", got=self.anchors, wanted="0 (off) or more")
        if self.head == "identity" or self.head_options.get("identity"):
            wrong = {name: width for name, width in self.widths.items() if width != self.dim}
            checks.require(
                not wrong,
                "model.dim",
                got=f"{self.dim} beside features of width {wrong}",
                wanted="the width of all modalities, as the identity head changes nothing at the start",
                remedy='Set model.dim, or use head="linear" without the option identity.',
            )

    @property
    def _head(self) -> Any:
        return HEADS[self.head](dim=self.dim, **self.head_options)

    def init(self, key: Array) -> dict[str, Any]:
        """Random parameters; a function of `key` alone."""
        params: dict[str, Any] = {}
        for number, (name, width) in enumerate(self.widths.items()):
            variables = self._head.init(jax.random.fold_in(key, number), jnp.zeros((1, width)))
            params[name] = dict(variables.get("params", {}))
        if self.learn_temperature:
            params["log_logit_scale"] = jnp.asarray(-math.log(self.temperature), jnp.float32)
        if self.anchors:
            params["anchors"] = {space: {} for space in ("features", "z")}
            for number, (name, width) in enumerate(self.widths.items()):
                keys = jax.random.split(jax.random.fold_in(key, ANCHOR_STREAM + number))
                params["anchors"]["features"][name] = jax.random.normal(keys[0], (self.anchors, width))
                params["anchors"]["z"][name] = jax.random.normal(keys[1], (self.anchors, self.dim))
        if self.teacher:
            params["teacher"] = {
                name: {"kernel": jnp.zeros((width, self.dim)), "bias": jnp.zeros(self.dim)} for name, width in self.widths.items()
            }
        return params

    def teach(self, params: Any, name: str, x: Array) -> Array:
        """Unit rows [..., dim] of the teacher, the affine map that the head started from; no gradient reaches it."""
        fixed = jax.lax.stop_gradient(params["teacher"][name])
        return safe_normalize(x @ fixed["kernel"] + fixed["bias"])

    def project(self, params: Any, name: str, x: Array, *, train: bool = False, key: Array | None = None) -> Array:
        """Unit rows z [..., dim] of the features x [..., d] of modality `name`."""
        rngs = {"dropout": key} if train and key is not None else {}
        return safe_normalize(self._head.apply({"params": params[name]}, x, train=train, rngs=rngs))

    def logit_scale(self, params: Any) -> Array:
        """1 / tau, a float32 scalar in (0, 100]."""
        if not self.learn_temperature:
            return jnp.asarray(min(1 / self.temperature, MAX_LOGIT_SCALE), jnp.float32)
        return jnp.minimum(jnp.exp(params["log_logit_scale"]), MAX_LOGIT_SCALE)

    def start_at(self, params: dict[str, Any], name: str, weights: np.ndarray, offset: np.ndarray) -> dict[str, Any]:
        """Parameters whose affine part is z = c (x weights + offset), see `affine_start`.

        Args:
          weights: [d, r], columns in falling order of importance.
          offset: [r].
        """
        got, wanted = f'a closed-form start for head "{self.head}"', "a head with an affine part"
        checks.require("base" in params[name], "model.init", got=got, wanted=wanted, remedy='Use init="random".')
        base = affine_start(weights, offset, self.dim)
        made = {**params, name: {**params[name], "base": base}}
        # A copy: a step donates its buffers, and the same buffer must not be donated twice.
        return {**made, "teacher": {**made["teacher"], name: jax.tree.map(jnp.copy, base)}} if self.teacher else made
