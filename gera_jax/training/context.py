"""The arrays that terms of an alignment run may ask for, from one shard of a batch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gera_jax.models import TwoTower
from gera_jax.ops.collectives import gather_rows, row_offset
from gera_jax.ops.numerics import at_least_float32
from gera_jax.training.terms import Rows


def disturb(x: jax.Array, key: jax.Array, *, first: Any = 0, noise: float = 0.0, feature_dropout: float = 0.0) -> jax.Array:
    """Rows with Gaussian noise and some features left out: (x + noise rms(x_i) e_i) keep_i / (1 - feature_dropout).

    Args:
      x: [n, d] rows; those of this device under a mapped axis.
      key: the draw of a row is a function of this key and of the row's position in the whole batch alone.
      first: position of the first row in the whole batch (`ops.row_offset(n, axis_name)`).
      noise: length of the noise relative to the length of the row, about: each entry is N(0, (noise rms)^2), where
        rms^2 = |x_i|^2 / d.
      feature_dropout: share of the entries set to 0, each by itself; the rest is scaled so that the mean stays.

    Returns:
      [n, d] in the dtype of `x`.

    >>> x = jnp.ones((2, 3))
    >>> bool((disturb(x, jax.random.key(0)) == x).all()), bool((disturb(x, jax.random.key(0), noise=0.1) == x).any())
    (True, False)
    """
    if not noise and not feature_dropout:
        return x
    positions = jnp.asarray(first, jnp.uint32) + jnp.arange(len(x), dtype=jnp.uint32)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i)))(positions)
    if noise:
        wide = at_least_float32(x)  # the square of a float16 above 255 is inf, below 2e-4 it is 0
        square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        rms = jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))  # sqrt at 0 has no finite gradient
        x = (wide + noise * rms * jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], wide.dtype))(keys[:, 0])).astype(x.dtype)
    if feature_dropout:
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - feature_dropout, x.shape[1:]))(keys[:, 1])
        x = jnp.where(keep, x / (1 - feature_dropout), jnp.zeros((), x.dtype))
    return x


Array = jax.Array
# A stream of random numbers for each use; within each, one for each modality.
PLAIN, VIEW_NOISE, VIEW_UNPAIRED_NOISE, VIEW_DROPOUT, MIXED_DROPOUT = 0, 1000, 2000, 3000, 4000


def alignment_inputs(config: Any, names: tuple[str, ...], *, masked: Collection[str]) -> dict[str, Rows]:
    """Every key of `alignment_context` under a config, and what is known of its rows; see `Task.inputs`."""
    groups = "groups" if config["data"]["captions"] else ""
    known = {"logit_scale": Rows(), "mask": Rows(), **({"groups": Rows()} if groups else {})}
    known |= {f"draws.{name}": Rows() for name in config["draws"]}

    def offer(keys: str, rows: Rows) -> None:
        known.update({f"{key}.{name}": rows for key in keys.split()})

    for name in names:
        own, every, mixed = (f"mask.{kind}{name}" if name in masked else "" for kind in ("", "all.", "mixed."))
        offer("mask", Rows())
        offer("features z", Rows(own, groups, queue=True))
        offer("z.view", Rows(own, groups))
        if name in config["graphs"] and config["batch"]["anchors"]:
            offer("neighbours z.neighbours", Rows())
        if config["batch"]["unpaired"]:
            offer("unpaired z.unpaired mask.all mask.known", Rows())
            offer("all z.all z.view.all", Rows(every))
        if config["model"]["teacher"]:
            offer("teacher", Rows(own, groups))
            if config["batch"]["unpaired"]:
                offer("teacher.unpaired", Rows())
                offer("teacher.all", Rows(every))
        if config["mixed"]["on"]:
            offer("z.mixed", Rows(mixed))
            offer("mask.mixed", Rows())
        if config["model"]["anchors"]["count"]:
            offer("anchors.features anchors.z", Rows())
    return known


def alignment_context(
    model: TwoTower,
    params: Any,
    batch: Mapping[str, Array],
    *,
    wanted: Collection[str],
    views: Mapping[str, float],
    key: Array | None = None,
    axis_name: str | None = None,
) -> dict[str, Array]:
    """See `Task.context`; the keys are those of `alignment_inputs`.

    Each row of the batch is projected once, however many pairs and neighbourhoods it is part of: on small pools that is
    most of the work. Second views and mixed rows are other rows, and are projected for themselves.

    Args:
      batch: a shard of `gera_jax.data.Sampler`'s batch.
      views: `noise` and `feature_dropout` of second views; see `noise.disturb`.
    """
    context: dict[str, Array] = {"logit_scale": model.logit_scale(params)}
    context.update({name: batch[name] for name in batch if name in ("groups", "mask") or name.startswith("draws.")})
    for number, name in enumerate(model.widths):
        found = _Modality(model, params, batch, name, number, views, key, axis_name)
        context[f"mask.{name}"] = found.mask
        for wish, make in found.blocks().items():
            if wish in wanted:
                context[wish] = make()
        if "anchors" in params:
            context.update({f"anchors.{space}.{name}": params["anchors"][space][name] for space in ("features", "z")})
    return context


@dataclasses.dataclass(eq=False)
class _Modality:
    """The blocks of one modality, each made when it is asked for."""

    model: TwoTower
    params: Any
    batch: Mapping[str, Array]
    name: str
    number: int
    views: Mapping[str, float]
    key: Array | None
    axis_name: str | None

    @property
    def mask(self) -> Array:
        return self.batch.get(f"mask.{self.name}", self.batch["mask"])

    def blocks(self) -> dict[str, Any]:
        """Context key -> function that makes its array."""
        name, made = self.name, {}
        sources = {"features": self.features, "z": lambda: self.z, "teacher": self.teacher}
        for source, rows in sources.items():
            prefix = "" if source == "features" else f"{source}."
            made[f"{source}.{name}"] = lambda rows=rows: self.take(rows(), "pairs")
            for block in ("neighbours", "unpaired"):
                made[f"{prefix}{block}.{name}"] = lambda rows=rows, block=block: self.take(rows(), block)
            made[f"{prefix}all.{name}"] = lambda rows=rows: jnp.concatenate(
                [self.take(rows(), "pairs"), self.take(rows(), "unpaired")]
            )
        alone = self.batch.get(f"unpaired.{name}", ())
        made[f"mask.all.{name}"] = lambda: jnp.concatenate([self.mask, jnp.ones(len(alone), bool)])
        made[f"mask.known.{name}"] = lambda: jnp.concatenate([self.mask, jnp.zeros(len(alone), bool)])  # rows of known pairs
        made[f"z.view.{name}"] = lambda: self.view(("pairs",))
        made[f"z.view.all.{name}"] = lambda: self.view(("pairs", "unpaired"))
        made[f"z.mixed.{name}"] = self.mixed
        made[f"mask.mixed.{name}"] = lambda: self.mask & gather_rows(self.mask, self.axis_name)[self.batch["partner"]]
        return made

    def features(self) -> Array:
        return self.batch[f"rows.{self.name}"]

    @functools.cached_property
    def z(self) -> Array:
        return self.project(self.features(), PLAIN)

    def teacher(self) -> Array:
        return self.model.teach(self.params, self.name, self.features())

    def take(self, rows: Array, block: str) -> Array:
        """The block's rows; zeros where an item has no row of this modality."""
        found = rows[self.batch[f"{block}.{self.name}"]]
        if block != "pairs" or f"mask.{self.name}" not in self.batch:
            return found
        return jnp.where(self.mask[:, None], found, jnp.zeros((), found.dtype))

    def view(self, blocks: tuple[str, ...]) -> Array:
        """Another look at the same rows: other noise, other features left out, another dropout mask of the head."""
        streams = {"pairs": VIEW_NOISE, "unpaired": VIEW_UNPAIRED_NOISE}
        parts = []
        for block in blocks:
            rows = self.take(self.features(), block)
            if self.key is not None:
                first = row_offset(len(rows), self.axis_name)
                rows = disturb(rows, self.stream(self.key, streams[block]), first=first, **self.views)
            parts.append(rows)
        return self.project(jnp.concatenate(parts), VIEW_DROPOUT)

    def mixed(self) -> Array:
        """Rows mixed with their partner's before the head: lam x_i + (1 - lam) x_partner(i)."""
        rows, lam = self.take(self.features(), "pairs"), self.batch["mixed.lam"]
        other = gather_rows(rows, self.axis_name)[self.batch["partner"]]
        return self.project(lam * rows + (1 - lam) * other, MIXED_DROPOUT)

    def project(self, rows: Array, stream: int) -> Array:
        """The head with the dropout of one use; its mask is another on every device."""
        key = None
        if self.key is not None:
            own = self.key if self.axis_name is None else jax.random.fold_in(self.key, jax.lax.axis_index(self.axis_name))
            key = jax.random.fold_in(own, stream + self.number)
        return self.model.project(self.params, self.name, rows, train=key is not None, key=key)

    def stream(self, key: Array, stream: int) -> Array:
        """The key of one use; it is the same on every device."""
        return jax.random.fold_in(key, stream + self.number)
