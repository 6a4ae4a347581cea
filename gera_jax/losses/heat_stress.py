"""Do the shared space's distances keep the heat-geodesic distances of the space that the frozen encoder gave?"""

from __future__ import annotations

import numbers
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.graphs import affinity, heat_geodesic_distance, laplacian
from gera_jax.losses.inputs import REDUCTIONS, Reduction
from gera_jax.losses.neighbourhoods import as_neighbourhoods, centred, check_neighbourhoods, reduce_neighbourhoods
from gera_jax.ops.geometry import squared_distances
from gera_jax.ops.numerics import sanitize

FORMS = ("neighbourhood", "batch")
SQUARINGS, TERMS = 6, 20  # a squaring doubles rounding; exact in float64 up to t times the largest degree of 200
NORMALIZATIONS = ("relative", "none")


def heat_geodesic_stress(
    x: Array,
    z: Array,
    *,
    form: Literal["neighbourhood", "batch"] = "neighbourhood",
    t: float = 1.0,
    sigma: float = 1.0,
    bandwidth: str | float = "median",
    normalization: Literal["relative", "none"] = "relative",
    mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | None = None,
) -> Array:
    """Mean over pairs i < j of (s |z_i - z_j| - d_ij)^2, d the heat-geodesic distance of the points x, over the mean of d^2.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[[0.0], [1.0]]])
    >>> print(f"{heat_geodesic_stress(x, 3 * x, normalization='none'):.3f}")  # d_12 = 1.043727 for two nodes
    3.827
    >>> print(f"{heat_geodesic_stress(x, 3 * x):.3f} {heat_geodesic_stress(x, 0 * x):.3f}")
    0.000 1.000

    d_ij^2 = 4 t (-log H_ij + sigma log((H_ii + H_jj) / 2)) with H = exp(-t L / mean degree), L = D - W and W the Gaussian
    `affinity` of x without its diagonal. s is the best scale, sum d |z| / sum |z|^2, so that moving, turning or scaling all of z
    changes nothing. Gradients reach z only.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [a, m, d] neighbourhoods in the original space; for form "batch" [n, d], one set.
      z: [a, m, k] the same points after projection; for form "batch" [n, k]. Rows are not normalised here.
      form: "neighbourhood" has one set a neighbourhood; "batch" one set, of all rows of all devices.
      t: diffusion time, > 0, in steps of the average point: 1 is one step to a neighbour. Where all heat has spread (t of 20 and
        more in a neighbourhood) differences are lost in float32: use float64 there.
      sigma: weight of the volume term, in [0, 1]. With 1 equal points are at distance 0.
      bandwidth: of the affinity: "median", "self_tuning", or a length.
      normalization: "relative" as above; "none" takes s = 1 and does not divide.
      mask: [a, m] bool ([n] for "batch"), True = a real point. A set with fewer than two points has the loss 0; one without any
        point is masked.
      weights: [a] >= 0, one per neighbourhood; not for "batch".

    Returns:
      >= 0. "relative" is in [0, 1]: 0 when all distances are kept up to one scale, 1 when z has collapsed to a point; equidistant
      points lose 1 - (mean d)^2 / mean d^2. O(a m^3) time for the heat kernel, O(a m^2) memory.

    Source: Huguet et al. 2023, arXiv 2305.19043, whose embedding minimises this stress over free points z.
    """
    _check(x, z, form, t, sigma, bandwidth, normalization, mask, weights, reduction)
    x, z, mask = as_neighbourhoods(x, z, mask, form, axis_name)
    wanted = lax.stop_gradient(_distances(x, mask, jnp.asarray(t, x.dtype), jnp.asarray(sigma, x.dtype), bandwidth))
    losses = _stress(_lengths(z, mask), wanted, _pairs(x, mask), normalization)
    losses = losses + (0 * sanitize(x, mask)).sum((1, 2))  # NaN where x is broken: an isolated node would hide it
    return reduce_neighbourhoods(losses, None if mask is None else mask.any(1), weights, form, reduction, axis_name)


def _distances(x: Array, mask: Array | None, t: Array, sigma: Array, bandwidth: str | float) -> Array:
    """[a, m, m] heat-geodesic distances; a masked point is an isolated node."""
    m = x.shape[1]
    w = affinity(squared_distances(centred(x, mask)), bandwidth=bandwidth, mask=mask)
    w = jnp.where(jnp.eye(m, dtype=bool), jnp.zeros((), w.dtype), w)
    count = jnp.full(x.shape[:1], m, w.dtype) if mask is None else jnp.maximum(mask.sum(1), 1).astype(w.dtype)
    degree = w.sum((1, 2)) / count
    matrix = laplacian(w, normalization="none") / jnp.where(degree == 0, jnp.ones_like(degree), degree)[:, None, None]
    heat = _heat(matrix, t)
    distance = jax.vmap(lambda h: heat_geodesic_distance(h, t=t, sigma=sigma))(heat)
    return 0.5 * (distance + jnp.swapaxes(distance, 1, 2))


def _heat(matrix: Array, t: Array) -> Array:
    """exp(-t L) [a, m, m] by uniformisation, e^(-t q) exp(t (q I - L)) with q the largest degree, scaled and squared.

    Every summand and product is non-negative, so that the smallest entries, whose logarithm is the distance, keep their digits;
    an eigendecomposition leaves rounding of the size of the largest entry in them.
    """
    rate = jnp.max(jnp.diagonal(matrix, axis1=1, axis2=2), axis=1)[:, None, None] * (t / 2**SQUARINGS)
    eye = jnp.eye(matrix.shape[1], dtype=matrix.dtype)
    walk = jnp.maximum(rate * eye - (t / 2**SQUARINGS) * matrix, jnp.zeros((), matrix.dtype))
    multiply = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    heat = jnp.broadcast_to(eye, matrix.shape)
    for order in range(TERMS, 0, -1):  # Horner
        heat = eye + multiply(walk, heat) / order
    heat = heat * jnp.exp(-rate)
    return lax.fori_loop(0, SQUARINGS, lambda _, h: multiply(h, h), heat)


def _lengths(z: Array, mask: Array | None) -> Array:
    squared = squared_distances(centred(z, mask))
    same = squared == 0  # and not "> 0" for the others: a length of NaN stays NaN
    return jnp.where(same, jnp.zeros_like(squared), jnp.sqrt(jnp.where(same, jnp.ones_like(squared), squared)))


def _pairs(x: Array, mask: Array | None) -> Array:
    """[a, m, m] 1 where i < j are both real."""
    pairs = jnp.triu(jnp.ones((x.shape[1],) * 2, bool), 1)[None]
    if mask is not None:
        pairs = pairs & mask[:, :, None] & mask[:, None, :]
    return jnp.broadcast_to(pairs, (x.shape[0], *pairs.shape[1:])).astype(x.dtype)


def _stress(length: Array, wanted: Array, pairs: Array, normalization: str) -> Array:
    """[a] from distances [a, m, m]."""

    def mean(values):
        return (pairs * values).sum((1, 2)) / jnp.maximum(pairs.sum((1, 2)), 1)

    if normalization == "none":
        return mean((length - wanted) ** 2)
    # Lengths in units of the largest one: their squares then stay in range.
    unit = lax.stop_gradient(jnp.max(pairs * length, axis=(1, 2), keepdims=True))
    length = length / jnp.where(unit == 0, jnp.ones_like(unit), unit)
    own, target = mean(length**2), mean(wanted**2)
    scale = jnp.where(own == 0, jnp.zeros_like(own), mean(length * wanted) / jnp.where(own == 0, jnp.ones_like(own), own))
    residual = mean((scale[:, None, None] * length - wanted) ** 2)
    return residual / jnp.where(target == 0, jnp.ones_like(target), target)


def _check(x, z, form, t, sigma, bandwidth, normalization, mask, weights, reduction) -> None:
    checks.require_known(form, FORMS, "form")
    checks.require_known(normalization, NORMALIZATIONS, "normalization")
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_neighbourhoods(x, z, form, mask, weights)
    checks.require_positive(t=t, bandwidth=bandwidth)
    if isinstance(sigma, numbers.Real):
        checks.require(0 <= sigma <= 1, "sigma", got=f"{sigma:g}", wanted="a number from 0 to 1")
