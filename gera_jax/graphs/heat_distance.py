"""From heat to distances: Varadhan's formula with the volume term, the triplet form, and the choice of the time."""

from __future__ import annotations

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gera_jax.checks import require

Array = jax.Array
# A pair that no heat joins counts as joined by this much: the distance is then at most sqrt(4 t 36.84).
FLOOR = 1e-16


def heat_geodesic_distance(
    heat: Any, *, t: Any, sigma: Any = 1.0, rho: Any = 0.0, diagonal: Any = None, columns: Any = None, floor: float = FLOOR
) -> Any:
    """d_ij^2 = 4 t (-log H_ij + sigma log((H_ii + H_jj) / 2)), then (1 - rho) d_ij + rho |d_i. - d_j.|.

    >>> import jax.numpy as jnp
    >>> heat = jnp.array([[0.567668, 0.432332], [0.432332, 0.567668]])
    >>> print(heat_geodesic_distance(heat, t=1.0).round(5), heat_geodesic_distance(heat, t=1.0, sigma=0.0)[0, 1].round(5))
    [[0.      1.04373]
     [1.04373 0.     ]] 1.83146

    Varadhan's formula d^2 = lim -4 t log h_t for t -> 0; the term with sigma divides the volume that the heat fills out of it, so
    that sigma = 1 gives d_ii = 0 and d >= 0 always. rho = 1 compares whole rows, as diffusion maps and PHATE do.

    Args:
      heat: [n, n] from `heat_kernel`, or [n, m] with the columns of m nodes only; then `diagonal` and `columns` as well.
      t: the time of the kernel, > 0, a number or an array that broadcasts against `heat`.
      sigma: in [0, 1]; 0 is Varadhan's formula alone, whose diagonal is not 0.
      rho: in [0, 1]; the triplet form's scale grows with sqrt(n), so 0.5 is no even blend.
      diagonal: [n] H_ii of every row, needed for [n, m].
      columns: [m] node of each column, needed for [n, m].
      floor: entries at or below it count as `floor`: a distance is at most sqrt(4 t log(1 / floor)) for sigma = 0. Entries that
        rounding made negative come here too.

    Returns:
      Distances of the shape of `heat`, >= 0, in units of 1 / sqrt(L); symmetric for a symmetric `heat`. NumPy for NumPy, else a
      JAX array in float32 or better with a finite gradient to `heat`. No metric in general: the triangle inequality can fail.

    Source: Huguet et al. 2023, definition 4.1. Differs from the authors' code: logs of max(H, floor), not of H + 1e-16.
    """
    xp: Any = np if isinstance(heat, np.ndarray) else jnp
    heat = heat if xp is np else jnp.asarray(heat)
    shape = heat.shape
    require(len(shape) >= 2, "heat", got=f"shape {shape}", wanted="[..., n, n] or [n, m]")
    if columns is None:
        remedy = "For some columns only give diagonal [n] and columns [m] as well."
        require(shape[-1] == shape[-2], "heat", got=f"shape {shape}", wanted="[..., n, n]", remedy=remedy)
    check_parameters(t=t, sigma=sigma, rho=rho)
    own = xp.diagonal(heat, axis1=-2, axis2=-1) if diagonal is None else diagonal
    other = own if columns is None else own[columns]
    dtype = heat.dtype
    volume = xp.log(xp.maximum(0.5 * (own[..., :, None] + other[..., None, :]), floor))
    squared = 4.0 * t * (sigma * volume - xp.log(xp.maximum(heat, floor)))
    squared = xp.maximum(squared, 0.0)
    if xp is np:
        distance = np.sqrt(squared).astype(dtype)
        if columns is None and sigma == 1:
            np.einsum("...ii->...i", distance)[...] = 0.0
    else:
        apart = squared > 0
        distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared, 1.0)), 0.0)
    return distance if _is_zero(rho) else _triplets(distance, rho, columns, xp)


def _triplets(distance: Any, rho: Any, columns: Any, xp: Any) -> Any:
    """(1 - rho) d + rho |rows' difference|; with columns, rows are compared over those columns."""
    other = distance if columns is None else distance[columns]
    if xp is np:
        a, b = distance.astype(np.float64), other.astype(np.float64)
        product = a @ np.swapaxes(b, -1, -2)
    else:
        a, b = distance, other
        product = jnp.matmul(a, jnp.swapaxes(b, -1, -2), precision=lax.Precision.HIGHEST)
    squared = xp.sum(a * a, axis=-1)[..., :, None] + xp.sum(b * b, axis=-1)[..., None, :] - 2.0 * product
    if columns is None:
        squared = xp.where(xp.eye(squared.shape[-1], dtype=bool), 0.0, squared)
    apart = squared > 0
    rows = xp.where(apart, xp.sqrt(xp.where(apart, squared, 1.0)), 0.0)
    return ((1.0 - rho) * distance + rho * rows).astype(distance.dtype)


def heat_entropy(heat: Any, *, floor: float = 1e-30) -> Any:
    """-sum_ij H_ij log H_ij / (number of columns): the mean entropy of the columns, [..., n, q] -> [...].

    >>> import numpy as np
    >>> float(2 * heat_entropy(np.array([[0.567668, 0.432332], [0.432332, 0.567668]])).round(6))
    1.367922

    From 0 (all heat where it started) to log n (spread over everything) for a combinatorial Laplacian.
    """
    fine = isinstance(floor, numbers.Real) and 0 <= floor < np.inf
    require(fine, "floor", got=floor, wanted="a finite number of at least 0; less heat counts as none")
    xp: Any = np if isinstance(heat, np.ndarray) else jnp
    kept = xp.maximum(heat, floor)
    return xp.sum(xp.where(heat > floor, -kept * xp.log(kept), 0.0), axis=(-2, -1)) / heat.shape[-1]


def von_neumann_entropy(eigenvalues: Any, times: Any) -> np.ndarray:
    """-sum_k p_k log p_k with p = exp(-t lambda) / its sum, for each t: log n at t = 0, log of the components in the end.

    >>> von_neumann_entropy([0.0, 2.0], [0.0, 50.0]).round(6).tolist()
    [0.693147, 0.0]
    """
    scaled = -np.outer(np.asarray(times, np.float64), np.asarray(eigenvalues, np.float64))
    scaled -= scaled.max(axis=1, keepdims=True)
    p = np.exp(scaled)
    p /= p.sum(axis=1, keepdims=True)
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0), axis=1)


def knee(x: Any, y: Any) -> int:
    """Index of the knee of an increasing, saturating curve: the largest height above the chord from its first to its last point.

    >>> knee([0, 1, 2, 3, 4], [0.0, 0.7, 0.9, 0.97, 1.0])
    1
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    wanted = "two equal sequences of at least 3 points"
    require(x.shape == y.shape and x.ndim == 1 and len(x) >= 3, "y", got=f"shapes {x.shape} and {y.shape}", wanted=wanted)
    span = (x[-1] - x[0], y[-1] - y[0])
    if not (span[0] > 0 and abs(span[1]) > 0):
        return len(x) // 2  # a flat curve has no knee
    return int(np.argmax((y - y[0]) / span[1] - (x - x[0]) / span[0]))


def check_parameters(*, t: Any, sigma: Any, rho: Any) -> None:
    """Raise for a time, sigma or rho out of range; traced values cannot be seen."""
    known = np.ravel(t).tolist() if not isinstance(t, jax.Array) else []
    require(all(math.isfinite(v) and v > 0 for v in known), "t", got=t, wanted="a finite time above 0")
    for name, value in (("sigma", sigma), ("rho", rho)):
        if not isinstance(value, jax.Array):
            require(0 <= float(value) <= 1, name, got=value, wanted="a number from 0 to 1")


def _is_zero(rho: Any) -> bool:
    return not isinstance(rho, jax.Array) and float(rho) == 0.0
