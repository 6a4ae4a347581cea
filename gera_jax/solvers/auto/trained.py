"""Trained heads as a view of the recipe: residual MLPs that learn the pairs by contrast. Only their training needs JAX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.solvers.linear import unit_rows
from gera_jax.solvers.soft_cca import scaled

Array = np.ndarray
DIM, HIDDEN = 128, 512
BATCH = 512  # pairs of a step at most
STEPS, EPOCHS = (240, 480), 16  # least and most steps; between them so many epochs
RATE, DECAY, WARMUP = 3e-3, 1.0, 20
TEMPERATURE = 0.1  # at the start; it is learned


class TrainedHeads(NamedTuple):
    """Residual MLP heads of `models.two_tower.ResidualMLP`, applied in NumPy: `apply(rows, side)` as that of `Heads`."""

    params: tuple[Mapping[str, Any], Mapping[str, Any]]  # of x and of y, in flax's names
    scale: float

    @property
    def width(self) -> int:
        return len(self.params[0]["base"]["bias"])

    def apply(self, features: Array, side: int) -> Array:
        """[n, r] of features [n, f]: unit rows times `scale`."""
        base, norm, expand, project = (self.params[side][name] for name in ("base", "norm", "expand", "project"))
        rows = features - features.mean(axis=1, keepdims=True)
        rows = rows / np.sqrt(np.mean(rows * rows, axis=1, keepdims=True) + np.float32(1e-6))
        hidden = (rows * norm["scale"] + norm["bias"]) @ expand["kernel"] + expand["bias"]
        hidden *= np.float32(0.5) * (1 + np.tanh(np.float32((2 / np.pi) ** 0.5) * (hidden + np.float32(0.044715) * hidden**3)))
        found = features @ base["kernel"] + base["bias"] + hidden @ project["kernel"] + project["bias"]
        return np.float32(self.scale) * unit_rows(found)


class Trained:
    """Learns the heads of one view by the symmetric contrast of pairs that are mixed with other pairs.

    A batch of pairs (a, b) becomes (u a + (1 - u) a', u b + (1 - u) b'), with a', b' another pair of the batch and u uniform in
    [0, 1] for each pair; without mixing the heads learn the pairs by heart. The heads start at random: started at the closed form
    they know the pairs already and learn nothing that holds elsewhere.

    The arguments are those of `soft_cca.Ridge`. Soft partners are not used: where trained heads pay, pairs are so many that soft
    ones have next to no weight.

    Source: mixing, FuseMix (Vouitsis et al., CVPR 2024); figures in docs/results/trained_heads.md.
    """

    def __init__(self, x: Any, y: Any, p: int, ridge: Any):
        del ridge
        self._pools, self._p = (x, y), p
        self._heads: TrainedHeads | None = None

    def without(self, held: Sequence[Array]) -> list[TrainedHeads]:
        """Heads of scale 1 that have not seen the pairs of each part."""
        return [self._train(np.setdiff1d(np.arange(self._p), part)) for part in held]

    def fit(self, soft: Any = None, weight: float = 0.0) -> TrainedHeads:
        """Heads of all pairs."""
        del soft, weight
        if self._heads is None:
            self._heads = scaled(self._train(np.arange(self._p)), *self._pools)
        return self._heads

    def _train(self, rows: Array) -> TrainedHeads:
        """Heads of the pairs at the numbers `rows`. A training that leaves the numbers gives heads that say nothing."""
        import jax

        steps = int(np.clip(EPOCHS * self._p // BATCH, *STEPS))
        x, y = (np.asarray(pool[: self._p], np.float32) for pool in self._pools)
        with jax.numpy_dtype_promotion("standard"):  # optax raises float32 decay rates to int32 counts
            params = jax.device_get(_training()(x, y, _batches(rows, min(BATCH, len(rows)), steps)))
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
        x_params, y_params = (
            jax.tree.map(lambda leaf: np.array(leaf if finite else 0 * np.ones_like(leaf)), params[side]) for side in "xy"
        )
        return TrainedHeads((x_params, y_params), 1.0)


def _batches(rows: Array, size: int, steps: int) -> Array:
    """[steps, size] numbers of pairs, epoch by epoch in a new order."""
    rng, drawn = np.random.default_rng(0), []
    while sum(map(len, drawn)) < steps:
        drawn.append(rng.permutation(rows)[: len(rows) // size * size].reshape(-1, size))
    return np.concatenate(drawn)[:steps].astype(np.int32)


@functools.cache
def _training() -> Callable:
    """The whole training as one compiled function of the rows and of the batches' numbers."""
    import jax
    import jax.numpy as jnp
    import optax

    from gera_jax.losses import symmetric_info_nce
    from gera_jax.models.two_tower import ResidualMLP
    from gera_jax.ops import safe_normalize

    head = ResidualMLP(dim=DIM, hidden=HIDDEN)

    def loss(params: Any, x: Any, y: Any, key: Any) -> Any:
        keys = jax.random.split(key)
        share, other = jax.random.uniform(keys[0], (len(x), 1)), jax.random.permutation(keys[1], len(x))
        z_x, z_y = (
            safe_normalize(head.apply({"params": params[side]}, share * rows + (1 - share) * rows[other]))
            for side, rows in (("x", x), ("y", y))
        )
        return symmetric_info_nce(z_x, z_y, logit_scale=jnp.minimum(jnp.exp(params["log_scale"]), 100.0))

    @jax.jit
    def run(x: Any, y: Any, batches: Any) -> Any:
        steps, key = len(batches), jax.random.key(0)
        params = {
            side: head.init(jax.random.fold_in(key, number), rows[:1])["params"]
            for number, (side, rows) in enumerate((("x", x), ("y", y)))
        }
        params["log_scale"] = jnp.float32(-np.log(TEMPERATURE))
        rate = optax.warmup_cosine_decay_schedule(0.0, RATE, min(WARMUP, steps // 2), steps)
        optimizer = optax.adamw(rate, weight_decay=DECAY)

        def step(state: Any, batch: Any) -> Any:
            params, memory = state
            number, chosen = batch
            slope = jax.grad(loss)(params, x[chosen], y[chosen], jax.random.fold_in(key, 2 + number))
            change, memory = optimizer.update(slope, memory, params)
            return (optax.apply_updates(params, change), memory), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), (jnp.arange(steps), batches))
        return params

    return run
