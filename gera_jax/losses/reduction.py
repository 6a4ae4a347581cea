"""The global weighted mean that every loss ends with: sum(w * l) / sum(w) over all devices."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jax import Array

from gera_jax.losses.inputs import not_negative, row_count
from gera_jax.ops.collectives import global_sum

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")


def row_weights(valid: Array | None, weights: Array | None, n: int, dtype: jnp.dtype) -> Array | None:
    """Weight [n] of each row, 0 where a row does not count; None stands for all ones.

    A known weight below 0 or NaN raises, a traced one becomes NaN, and the loss with it.
    """
    if weights is not None:
        weights = not_negative(weights, "weights", valid).astype(dtype)
    if valid is None:
        return weights
    # `where`, not a product: the weight of a masked row may be NaN.
    return jnp.where(valid, jnp.ones(n, dtype) if weights is None else weights, jnp.zeros((), dtype))


def reduce_rows(losses: Array, weights: Array | None, reduction: Reduction, axis_name: str | None) -> Array:
    """Reduce row losses [n] (finite also where the weight is 0): "none" is w * l, "sum" and "mean" are over all devices.

    A batch without any weight has the mean 0 and a zero gradient.

    >>> reduce_rows(jnp.array([1.0, 2.0, 9.0]), jnp.array([1.0, 3.0, 0.0]), "mean", None)
    Array(1.75, dtype=float32)
    """
    weighted = losses if weights is None else losses * weights
    if reduction == "none":
        return weighted
    total = global_sum(weighted.sum(), axis_name)
    if reduction == "sum":
        return total
    count = row_count(len(losses), None, losses.dtype, axis_name) if weights is None else global_sum(weights.sum(), axis_name)
    none = count == 0  # "== 0" and not "> 0": a count of NaN stays NaN
    return jnp.where(none, jnp.zeros_like(total), total) / jnp.where(none, jnp.ones_like(count), count)
