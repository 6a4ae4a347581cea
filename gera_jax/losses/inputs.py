"""Checks, casts and sums that the losses share, and the weighted mean over all devices that every loss ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from gera_jax import checks
from gera_jax.ops.collectives import global_sum
from gera_jax.ops.numerics import check_real, known, sanitize


def compute_dtype(*arrays: Array) -> jnp.dtype:
    """float64 if any array is float64, else float32: half precision and integers are widened.

    >>> compute_dtype(jnp.zeros(2, jnp.bfloat16)) == jnp.float32
    True
    """
    wide = any(jnp.asarray(array).dtype == np.dtype("float64") for array in arrays)
    return np.dtype("float64") if wide else np.dtype("float32")


def clean_rows(rows: Sequence[Array], masks: Sequence[Array | None]) -> list[Array]:
    """The arrays in one `compute_dtype`, with zeros in the masked rows."""
    dtype = compute_dtype(*rows)
    return [sanitize(jnp.asarray(values).astype(dtype), mask) for values, mask in zip(rows, masks, strict=True)]


def row_count(n: int, mask: Array | None, dtype: jnp.dtype, axis_name: str | None) -> Array:
    """Number of real rows on all devices, as a float."""
    return global_sum(jnp.full((), n, dtype) if mask is None else mask.sum().astype(dtype), axis_name)


def lowest(dtype: jnp.dtype) -> Array:
    """A logit that weighs nothing; finite, so that a sum over nothing has a finite value and a zero gradient."""
    return jnp.asarray(jnp.finfo(dtype).min / 2, dtype)


def keep_logits(logits: Array, keep: Array | None) -> Array:
    """`logits`, with `lowest` where `keep` is False; None keeps all."""
    return logits if keep is None else jnp.where(keep, logits, lowest(logits.dtype))


def keep_rows(losses: Array, valid: Array | None) -> Array:
    """Row losses, 0 with a zero gradient where the row does not count; None counts all."""
    return losses if valid is None else jnp.where(valid, losses, jnp.zeros_like(losses))


def on_every_device(loss: Array, axis_name: str | None) -> Array:
    """A loss that each device holds whole: the mean leaves the value and makes `pmean` of the gradients right."""
    return loss if axis_name is None else lax.pmean(loss, axis_name)


def check_rank(value: Array, rank: int, name: str) -> None:
    """Raise unless `value` has `rank` axes and holds real numbers."""
    check_real(value, name)
    words = {1: "one axis [n]", 2: "two axes [rows, width]", 3: "three axes [anchors, points, width]"}
    if jnp.ndim(value) != rank:
        remedy = f"Reshape {name}, or wrap the loss in jax.vmap." if jnp.ndim(value) > rank else f"Give {name} its row axis."
        checks.fail(name, got=f"shape {jnp.shape(value)}", wanted=words[rank], remedy=remedy)


def check_mask(mask: Array | None, shape: tuple[int, ...], name: str) -> None:
    """Raise unless an optional mask is boolean and of `shape`."""
    checks.require_shape(mask, shape, name, remedy="One boolean per row, True = a real row.")
    if mask is not None and jnp.asarray(mask).dtype != jnp.bool_:
        checks.fail(name, got=f"dtype {jnp.asarray(mask).dtype}", wanted="bool (True = a real row)", remedy=f"Pass {name} > 0.")


def check_same_rows(x: Array, y: Array, name: str, remedy: str = "", of: str = "x") -> None:
    """Raise unless y has as many rows as x."""
    (n, m) = (jnp.shape(v)[0] for v in (x, y))
    checks.require(n == m, name, got=f"{m} rows", wanted=f"the {n} rows of {of} (row i matches row i)", remedy=remedy)


def check_pair(x: Array, y: Array) -> None:
    """Raise unless x [n, d] and y [m, d] share their width."""
    check_rank(x, 2, "x")
    check_rank(y, 2, "y")
    checks.require_width(jnp.shape(y)[1], jnp.shape(x)[1], "y", "x")


def check_sets(x: Array, y: Array, x_mask: Array | None, y_mask: Array | None) -> None:
    """Raise unless x [n, d] and y [m, d] share their width and the masks fit; row i is no partner of row i."""
    check_pair(x, y)
    check_mask(x_mask, (len(x),), "x_mask")
    check_mask(y_mask, (len(y),), "y_mask")


def not_negative(value: Array, name: str, counts: Array | None = None) -> Array:
    """`value`, with NaN for what is below 0 where it is traced; known numbers below 0 or NaN raise, except where nothing counts.

    >>> not_negative(jnp.array([1.0, -1.0]), "weights")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: weights: got -1.0 at 1; wanted numbers of at least 0. An entry of 0 leaves a row out.
    """
    check_real(value, name)
    given, seen = known(value), True if counts is None else known(counts)
    if given is not None and seen is not None:
        wrong = np.argwhere(~((given >= 0) & np.isfinite(given)) & seen).tolist()
        got = f"{given[tuple(wrong[0])]} at {', '.join(map(str, wrong[0]))}" if wrong else ""
        checks.require(not wrong, name, got=got, wanted="numbers of at least 0", remedy="An entry of 0 leaves a row out.")
    value = jnp.asarray(value)
    return jnp.where(value >= 0, value, jnp.asarray(jnp.nan, value.dtype)) if jnp.issubdtype(value.dtype, jnp.floating) else value


def spoiled(total: Array, *inputs: Array) -> Array:
    """`total`, or NaN where an input holds NaN or infinity that a comparison may have passed over in silence."""
    for values in inputs:
        total = total + (0 * lax.stop_gradient(values)).sum().astype(total.dtype)
    return total


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
