"""Random walks over the rows of a batch, compared before and after the projection."""

from __future__ import annotations

import math
import numbers
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import (
    check_mask,
    check_rank,
    check_same_rows,
    compute_dtype,
    keep_logits,
    keep_rows,
    row_count,
)
from gera_jax.ops.collectives import gather_rows, global_sum, meets_itself
from gera_jax.ops.geometry import squared_distances
from gera_jax.ops.numerics import safe_normalize, sanitize, scalar
from gera_jax.ops.symmetric import gram, self_squared_distances, symmetric_powers

DIVERGENCES = ("js", "mixture_first")
LEVEL_WEIGHTS = ("inverse", "uniform")
CENTERS = ("after", "before", "none")
SIMILARITIES = ("cosine", "rbf")
MAX_LEVELS = 64  # each level is a product of matrices in the compiled step; walks this long have long forgotten where they began
FLOOR = 1e-12  # of a probability under the logarithm of "mixture_first", as released
# P = D^-1 K and the symmetric D^-1/2 K D^-1/2 are each other's factors e^(+-s/2) away, s the spread of the rows' log masses: half
# of it must fit into float32 beside the digits of P.
MAX_SPREAD = 110.0


def structure_divergence(
    x: Array,
    z: Array,
    *,
    divergence: Literal["js", "mixture_first"] = "js",
    levels: int = 1,
    level_weights: Literal["inverse", "uniform"] = "inverse",
    temperature: ArrayLike = 0.05,
    center: Literal["after", "before", "none"] = "after",
    similarity: Literal["cosine", "rbf"] = "cosine",
    gamma: float = 1.0,
    diagonal: bool = True,
    margin: float = 0.0,
    mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """(1 / L) sum_l w_l max(D(P_x^l, P_z^l) - margin, 0): how far the l-step walks over the rows differ before and after.

    >>> import jax.numpy as jnp
    >>> x, z = jnp.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]]), jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    >>> print(f"{structure_divergence(x, z, temperature=0.5):.6f}")
    0.047732
    >>> print(f"{structure_divergence(x, z, temperature=0.5, levels=3, divergence='mixture_first'):.6f}")
    0.031934
    >>> print(f"{structure_divergence(x, 7 * x, levels=3):.6f}")  # scaled: nothing is lost
    0.000000

    P = softmax over each row of S / temperature, S the similarities of the unit rows less their mean; P^l is the l-th power of
    the matrix; D is the mean over rows i of the divergence of P_x^l[i] and P_z^l[i]. Gradients reach z only.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, d] rows in the original space; a constant.
      z: [n, k] the same rows after projection.
      divergence: "js" is (KL(P_x||M) + KL(P_z||M)) / 2, M = (P_x + P_z) / 2; "mixture_first" is (KL(M||P_x) + KL(M||P_z)) / 2,
        with probabilities of at least 1e-12 under the logarithm.
      levels: L from 1 to 64, the longest walk.
      level_weights: w_l = 1 / l ("inverse") or 1 ("uniform"); the sum is divided by L in both.
      temperature: a positive scalar.
      center: "after" subtracts the mean from unit rows, so lengths of rows do not matter; "before" makes unit rows of what is
        left after the mean, so a common shift does not matter; "none" leaves unit rows.
      similarity: "cosine" is the product of the rows so prepared, "rbf" is exp(-gamma |difference|^2).
      gamma: of "rbf".
      diagonal: whether a walk may stay where it is. With a low temperature it mostly does.
      margin: >= 0, divergence of a level that costs nothing.

    Returns:
      >= 0; 0 for equal geometries, one row; at most mean(w) log 2 for "js", about mean(w) 13.1 for "mixture_first". Walks of an
      isotropic batch at a low temperature stay put, so the value at chance is small. O(n^2 (d + k) + L n^3) time, O(L n^2)
      memory.

    Source: Gröger et al. 2025 (STRUCTURE), arXiv 2506.16895. Differs from the authors' code: their divergence is "mixture_first"
    (the arguments of a KL divergence the other way round); they take the mean of the two modalities' losses.
    """
    _check(x, z, divergence, levels, level_weights, center, similarity, gamma, margin, mask)
    x, z = jnp.asarray(x), jnp.asarray(z)
    dtype = compute_dtype(x, z)
    tau = scalar(temperature, dtype, "temperature", positive=True)
    x, z = lax.stop_gradient(x).astype(dtype), z.astype(dtype)
    exists = None if mask is None else gather_rows(mask, axis_name)
    # |S| <= reach: how far the log masses of two rows can lie apart, in units of 1 / temperature.
    reach = 1.0 if similarity == "rbf" else 2.0 if center != "after" else 4.0 if diagonal else 8.0
    fits = isinstance(temperature, numbers.Real) and reach / float(temperature) <= MAX_SPREAD
    walk = _symmetric_walks if axis_name is None and levels > 1 and fits else _row_walks
    before, after = (
        walk(_similarities(rows, center, similarity, gamma, mask, axis_name) / tau, levels, diagonal, exists, axis_name)
        for rows in (x, z)
    )
    terms = _js if divergence == "js" else _mixture_first
    count = row_count(len(z), mask, dtype, axis_name)
    total = jnp.zeros((), dtype)
    for level, (p, q) in enumerate(zip(before, after, strict=True), 1):
        rows = keep_rows(_row_sums(terms(lax.stop_gradient(p), q)), mask)
        value = global_sum(rows.sum(), axis_name) / jnp.maximum(count, 1)
        value = jax.nn.relu(value - margin) if margin else value
        total = total + value / (level if level_weights == "inverse" else 1)
    return total / levels


def _similarities(rows, center, similarity, gamma, mask, axis_name) -> Array:
    """[n, N] of this device's rows with the rows of all devices."""
    rows = sanitize(rows, mask)
    if center == "before":
        rows = _centred(rows, mask, axis_name)
    rows = safe_normalize(rows)
    if center == "after":
        rows = _centred(rows, mask, axis_name)
    if axis_name is None:
        return gram(rows) if similarity == "cosine" else jnp.exp(-gamma * self_squared_distances(rows, mask))
    others = gather_rows(rows, axis_name)
    if similarity == "cosine":
        return jnp.matmul(rows, others.T, precision=lax.Precision.HIGHEST)
    squared = squared_distances(rows, others)
    return jnp.exp(-gamma * jnp.where(meets_itself(squared.shape, axis_name), jnp.zeros((), rows.dtype), squared))


def _centred(rows: Array, mask: Array | None, axis_name: str | None) -> Array:
    count = row_count(len(rows), mask, rows.dtype, axis_name)
    return sanitize(rows - global_sum(rows.sum(0), axis_name) / jnp.maximum(count, 1), mask)


def _open(logits: Array, diagonal: bool, exists: Array | None, axis_name: str | None) -> Array | None:
    """[n, N] or [1, N]: where a walk may go; None for everywhere."""
    keep = None if exists is None else exists[None, :]
    if not diagonal:
        away = ~meets_itself(logits.shape, axis_name)
        keep = away if keep is None else keep & away
    return keep


def _shares(logits: Array, keep: Array | None) -> tuple[Array, Array, Array]:
    """Logits with a finite floor where a walk may not go, their softmax over each row, and their log-sum-exp [n, 1]."""
    logits = keep_logits(logits, keep)
    top = lax.stop_gradient(logits.max(1, keepdims=True))
    powers = lax.optimization_barrier(jnp.exp(logits - top))
    mass = _row_sums(powers)[:, None]
    return logits, powers / mass, top + jnp.log(mass)


def _row_sums(values: Array) -> Array:
    # As a product with ones: a sum that is fused with logarithms would take them one at a time.
    return lax.optimization_barrier(values) @ jnp.ones(values.shape[1], values.dtype)


def _zeros_outside(p: Array, keep: Array | None) -> Array:
    """A row that may go nowhere is a row of zeros, not a uniform one."""
    return p if keep is None else jnp.where(keep, p, jnp.zeros((), p.dtype))


def _row_walks(logits, levels, diagonal, exists, axis_name) -> list[Array]:
    """This device's rows [n, N] of P, P^2, ..., P^L."""
    keep = _open(logits, diagonal, exists, axis_name)
    walks = [_zeros_outside(_shares(logits, keep)[1], keep)]
    if levels > 1:
        step = gather_rows(walks[0], axis_name)
    for _ in range(levels - 1):
        walks.append(jnp.matmul(walks[-1], step, precision=lax.Precision.HIGHEST))
    return walks


def _symmetric_walks(logits, levels, diagonal, exists, axis_name) -> list[Array]:
    """The same through A = D^-1/2 K D^-1/2, K = exp(logits) and D its row sums: P^l = D^-1/2 A^l D^1/2, and A^l is symmetric."""
    keep = _open(logits, diagonal, exists, axis_name)
    logits, _, mass = _shares(logits, keep)
    if exists is not None:
        mass = jnp.where(exists[:, None], mass, jnp.zeros_like(mass))  # of a row that is not there
        keep = keep & exists[:, None]
    half = mass / 2
    powers = symmetric_powers(_zeros_outside(jnp.exp(logits - half - half.T), keep), levels)
    half = half - lax.stop_gradient(half.max() + half.min()) / 2
    forth, back = jnp.exp(half), jnp.exp(-half)
    return [power * back * forth.T for power in powers]


@jax.custom_vjp
def _js(p: Array, q: Array) -> Array:
    """(p log(p / m) + q log(q / m)) / 2 with m = (p + q) / 2, and 0 where both are 0; differentiable in q."""
    return _js_forward(p, q)[0]


def _js_forward(p: Array, q: Array) -> tuple[Array, Array]:
    tiny = jnp.finfo(q.dtype).tiny
    p, q = jnp.maximum(p, tiny), jnp.maximum(q, tiny)
    log_q = lax.optimization_barrier(jnp.log(2 * q / (p + q)))
    return (p * jnp.log(2 * p / (p + q)) + q * log_q) / 2, log_q


def _js_backward(log_q: Array, g: Array) -> tuple[None, Array]:
    # The derivative is log(q / m) / 2: written out, for automatic differentiation adds and subtracts 1.
    return None, g * log_q / 2


_js.defvjp(_js_forward, _js_backward)


def _mixture_first(p: Array, q: Array) -> Array:
    """m log(m^2 / (p q)) / 2 with m = (p + q) / 2."""
    m, floor = (p + q) / 2, jnp.asarray(FLOOR, q.dtype)
    p, q = jnp.maximum(p, floor), jnp.maximum(q, floor)
    filled = jnp.maximum(m, floor)
    return m * (jnp.log(filled / p) + jnp.log(filled / q)) / 2


def _check(x, z, divergence, levels, level_weights, center, similarity, gamma, margin, mask) -> None:
    checks.require_known(divergence, DIVERGENCES, "divergence")
    checks.require_known(level_weights, LEVEL_WEIGHTS, "level_weights")
    checks.require_known(center, CENTERS, "center")
    checks.require_known(similarity, SIMILARITIES, "similarity")
    check_rank(x, 2, "x")
    check_rank(z, 2, "z")
    check_same_rows(x, z, "z", "Pass the same rows after projection.")
    checks.whole(levels, "levels", least=1, most=MAX_LEVELS)
    checks.require(isinstance(gamma, numbers.Real), "gamma", got=gamma, wanted="a positive finite number")
    checks.require_positive(gamma=gamma)
    fine = isinstance(margin, numbers.Real) and margin >= 0 and math.isfinite(margin)
    checks.require(fine, "margin", got=margin, wanted="a finite number of at least 0")
    check_mask(mask, (jnp.shape(x)[0],), "mask")
