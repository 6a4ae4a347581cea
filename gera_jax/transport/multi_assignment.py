"""Balanced assignment of each row to several anchors at once."""

from __future__ import annotations

import math
import numbers
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from gera_jax import checks
from gera_jax.ops.collectives import global_sum
from gera_jax.ops.numerics import at_least_float32


class MultiAssignment(NamedTuple):
    """What `multi_assignment` returns; the errors are those of the codes before rescaling."""

    codes: Array  # [b, K]
    row_error: Array  # scalar, the largest |use of a (row, anchor) cell over all slices - 1|
    column_error: Array  # scalar, the largest |share of the rows that an anchor takes / its due share - 1|


def multi_assignment(
    scores: Array,
    *,
    assignments: int,
    epsilon: float = 0.07,
    iterations: int = 20,
    low: float = 0.25,
    high: float = 1.0,
    delta: float = 1e-5,
    rescale: bool = False,
    mask: Array | None = None,
    axis_name: str | None = None,
) -> MultiAssignment:
    """Soft codes that mark R = assignments of K anchors for each row, and every anchor for as many rows as any other.

    >>> import jax.numpy as jnp
    >>> scores = jnp.array([[0.9, 0.1, 0.2, 0.0], [0.8, 0.7, 0.1, 0.0], [0.1, 0.2, 0.9, 0.3], [0.0, 0.6, 0.2, 0.5]])
    >>> codes = multi_assignment(scores, assignments=2, epsilon=0.5).codes
    >>> print([f"{q:.4f}" for q in codes[0]], f"{codes[:, 0].sum():.4f}")
    ['0.6805', '0.4084', '0.4657', '0.4454'] 2.0000

    K slices A_k = exp(c_k scores / epsilon) with c_k = low for the first K - R and high for the last R are scaled in turn so that
    each anchor has b / K rows in each slice, each (row, anchor) cell is used once over the slices, and each row is a distribution
    over anchors in each slice; the code is the sum of the last R. Slices of one scale stay equal, so two are kept, with
    multiplicities: memory and time are those of 2 b K numbers, not of b K^2.

    The limit is Q = sigmoid((high - low) scores / epsilon + alpha_b + beta_j) with row sums R and column sums R b / K: only
    epsilon / (high - low) counts. Codes are constants: no gradient reaches the scores.

    Args:
      scores: [b, K] similarities of rows and anchors.
      assignments: R, with 1 <= R < K.
      epsilon: > 0, softness of the codes in units of the scores.
      iterations: rounds of the three scalings.
      low: factor of the slices that are thrown away.
      high: factor of the slices that are kept, > low.
      delta: >= 0, added to each sum that is divided by.
      rescale: each row of the codes to [0, 1] by its minimum and maximum; rows whose codes are equal become 0.
      mask: [b] bool, True = a real row. Masked rows take no part, and their codes are 0.
      axis_name: mapped axis over which the rows are spread; all devices share one balance.

    Returns:
      `MultiAssignment(codes [b, K] in [0, 1] (before rescaling up to about 1.01, row sums R), row_error, column_error)`, float32
      (float64 for float64 scores); NaN if an unmasked score is. The errors are relative and over all devices; with
      delta = 0 they go to 0 as the iterations go on. 0 without rows.

    Source: Swetha et al. 2023 (Multi-SK), arXiv 2308.13077; same iteration as the authors' code, which keeps all K slices.
    """
    _check(scores, assignments, epsilon, iterations, low, high, delta, mask)
    scores = lax.stop_gradient(at_least_float32(scores))
    dtype, (rows, anchors) = scores.dtype, scores.shape
    mask = jnp.ones(rows, bool) if mask is None else jnp.asarray(mask)
    every_row, every_anchor = mask.astype(dtype), jnp.ones(anchors, dtype)
    count = global_sum(every_row.sum(), axis_name)
    due = jnp.maximum(count, jnp.ones_like(count)) / anchors
    times = np.array([anchors - assignments, assignments], dtype)  # how many slices each of the two stands for
    # With no delta at all, a cell whose two weights both underflow would be 0 / 0.
    extra = np.asarray(max(delta, 1e-30), dtype)

    # Sums are products with ones, over which XLA vectorises; over axes fused with exp it does not (14 times slower on a CPU).
    def loads(a):
        return global_sum(jnp.matmul(every_row, a, precision=lax.Precision.HIGHEST), axis_name)

    def totals(a):
        return jnp.matmul(a, every_anchor, precision=lax.Precision.HIGHEST)[:, None]

    # A masked row may hold NaN; it is carried along as an even row, which weighs nothing.
    scores = jnp.where(mask[:, None], scores, jnp.zeros((), dtype))
    slices = [scores * np.asarray(c / epsilon, dtype) for c in (low, high)]
    top = jnp.where(mask[:, None], jnp.maximum(*slices), jnp.minimum(*slices).min()).max()
    top = top if axis_name is None else lax.pmax(top, axis_name)
    slices = [jnp.where(mask[:, None], log_a - top, jnp.zeros((), dtype)) for log_a in slices]
    total = sum(n * loads(jnp.exp(log_a)).sum() for n, log_a in zip(times, slices, strict=True))
    start = tuple(log_a - jnp.log(jnp.maximum(total, np.asarray(1e-30, dtype))) for log_a in slices)

    def sweep(_, slices):
        # Logarithms are kept, so that no weight is lost; in sums of weights what underflows would not count beside `extra`.
        weights = [jnp.exp(log_a) for log_a in slices]
        factors = [due / (loads(a) + extra) for a in weights]
        weights = [a * factor for a, factor in zip(weights, factors, strict=True)]
        cells = times[0] * weights[0] + times[1] * weights[1] + extra
        log_cells = jnp.log(cells)
        return tuple(
            log_a + jnp.log(factor) - log_cells - jnp.log(totals(a / cells) + extra)
            for log_a, factor, a in zip(slices, factors, weights, strict=True)
        )

    weights = [jax.nn.softmax(log_a, axis=1) for log_a in lax.fori_loop(0, iterations, sweep, start)]
    zero = jnp.zeros((), dtype)
    cells = jnp.where(mask[:, None], jnp.abs(times[0] * weights[0] + times[1] * weights[1] - 1), zero).max()
    row_error = cells if axis_name is None else lax.pmax(cells, axis_name)
    column_error = jnp.where(count > 0, jnp.abs(loads(weights[1]) / due - 1).max(), zero)
    codes = jnp.where(mask[:, None], times[1] * weights[1], zero)
    return MultiAssignment(_min_max(codes) if rescale else codes, row_error, column_error)


def _min_max(codes: Array) -> Array:
    least = codes.min(1, keepdims=True)
    span = codes.max(1, keepdims=True) - least
    # Codes that differ by rounding alone say nothing: scaled up, they would be noise in [0, 1].
    flat = span <= 64 * float(jnp.finfo(codes.dtype).eps)
    return jnp.where(flat, jnp.zeros_like(codes), (codes - least) / jnp.where(flat, jnp.ones_like(span), span))


def _check(scores, assignments, epsilon, iterations, low, high, delta, mask) -> None:
    checks.require(jnp.ndim(scores) == 2, "scores", got=f"shape {jnp.shape(scores)}", wanted="[rows, anchors]")
    anchors = jnp.shape(scores)[1]
    for name, value in (("assignments", assignments), ("iterations", iterations)):
        checks.require(isinstance(value, int | np.integer), name, got=value, wanted="a whole number")
    got, wanted = f"{assignments} of {anchors} anchors", f"1 to {anchors - 1}"
    remedy = "Half of the anchors is usual; with all of them every row is alike."
    checks.require(1 <= assignments < anchors, "assignments", got=got, wanted=wanted, remedy=remedy)
    for name, value in (("epsilon", epsilon), ("low", low), ("high", high), ("delta", delta)):
        checks.require(isinstance(value, numbers.Real) and math.isfinite(value), name, got=value, wanted="a finite number")
    checks.require(epsilon > 0, "epsilon", got=f"{epsilon:g}", wanted="above 0")
    remedy = "With equal factors every anchor is alike."
    checks.require(high > low, "high", got=f"{high:g} beside low {low:g}", wanted="high above low", remedy=remedy)
    checks.require(delta >= 0, "delta", got=f"{delta:g}", wanted="at least 0")
    checks.require(iterations >= 1, "iterations", got=iterations, wanted="at least 1")
    if mask is not None:
        fine = jnp.shape(mask) == jnp.shape(scores)[:1] and jnp.asarray(mask).dtype == jnp.bool_
        got = f"shape {jnp.shape(mask)} of {jnp.asarray(mask).dtype}"
        wanted = f"bool of shape {jnp.shape(scores)[:1]}, True = a real row"
        checks.require(fine, "mask", got=got, wanted=wanted)
