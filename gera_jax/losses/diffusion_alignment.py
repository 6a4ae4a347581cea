"""Does the shared space keep the geometry that the frozen encoder gave each neighbourhood?"""

from __future__ import annotations

import math
import numbers
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.graphs import affinity, diffusion_operator
from gera_jax.losses.inputs import REDUCTIONS, Reduction
from gera_jax.losses.neighbourhoods import as_neighbourhoods, centred, check_neighbourhoods, reduce_neighbourhoods
from gera_jax.ops import squared_distances

FORMS = ("neighbourhood", "batch", "row", "log_euclidean")
OPERATORS = ("symmetric", "markov")
NORMALIZATIONS = ("relative", "none")
# Points that are all equally far apart have no geometry to keep, and must not own the batch: variation below this share of
# ||offdiag||_F^2 counts as this share.
GEOMETRY_FLOOR = 1e-2


def diffusion_alignment(
    x: Array,
    z: Array,
    *,
    form: Literal["neighbourhood", "batch", "row", "log_euclidean"] = "neighbourhood",
    operator: Literal["symmetric", "markov"] = "symmetric",
    alpha: float = 1.0,
    t: int = 1,
    bandwidth: str | float = "median",
    scale: float = 2.0,
    median_diagonal: bool = False,
    normalization: Literal["relative", "none"] = "relative",
    gamma: float = 1e-6,
    mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | None = None,
) -> Array:
    """Share of each neighbourhood's diffusion geometry that the projection loses.

    >>> import jax.numpy as jnp
    >>> x, z = jnp.array([[[0.0], [1.0], [3.0]]]), jnp.array([[[0.0], [2.0], [3.0]]])
    >>> released = dict(normalization="none", median_diagonal=True)
    >>> print(f"{diffusion_alignment(x, z, **released):.6f}")  # 0.42376859 / 9
    0.047085
    >>> print(f"{9 * diffusion_alignment(x, z, form='row', **released):.5f}")
    0.15337
    >>> print(f"{diffusion_alignment(x, 7 * x + 2):.6f}")  # scaled and moved: nothing is lost
    0.000000

    ||W(x_a) - W(z_a)||_F^2 / ||offdiag(W(x_a)) - its mean||_F^2: the squared difference of the operators before and after, over
    what one would lose by putting all points equally far apart. A weight of 1 then means as much as for a contrastive term.

    W is the `diffusion_operator` of the Gaussian `affinity` of a neighbourhood, so the loss does not change when z is moved,
    turned or uniformly scaled (bandwidth "median" or "self_tuning"). Gradients reach z only; x and both bandwidths are
    constants.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [a, m, d] neighbourhoods in the original space, the anchor at index 0; for form "batch" [n, d], one set.
      z: [a, m, k] the same points after projection; for form "batch" [n, k]. Rows are not normalised here.
      form: "neighbourhood" compares W of each neighbourhood; "batch" one W of all rows of all devices; "row" the anchor's row
        of the Markov operator; "log_euclidean" compares log(W + gamma I).
      operator: "symmetric" D^-1/2 K D^-1/2 or "markov" D^-1 K ("row" always uses the latter, "log_euclidean" the former).
      alpha: power of the density that is divided out; 0 keeps it, 1 removes it.
      t: diffusion time, an integer number of steps >= 0.
      bandwidth: "median", "self_tuning", or a length.
      scale: K = exp(-d^2 / (scale * bandwidth^2)).
      median_diagonal: count the zeros of the diagonal into the median.
      normalization: "relative" divides by the sum of squares of the reference's off-diagonal entries about their mean (its row
        0 for "row"), at least 1 % of their sum of squares and 1e-3; "none" by m^2, m the number of
        unmasked points, in every form.
      gamma: ridge of the logarithm, > 0 ("log_euclidean" only).
      mask: [a, m] bool ([n] for "batch"), True = a real point. An anchor with no point ("row": with index 0 masked) is masked.
      weights: [a] >= 0, one per anchor; not for "batch".

    Returns:
      >= 0. 0 when the geometry is kept; "relative" is about 1 when the points end equally far apart, and more when the projection
      makes up a geometry of its own. O(a m^2 (d + k)) time, O(a m^2) memory.

    Source: GeRA, arXiv 2310.00672 (reconstructed: no authors' code); normalisation of W from shnitzer/les-distance, which
    includes the diagonal in the median; log-Euclidean distance: Shnitzer et al. 2022, arXiv 2202.01671.
    """
    _check(x, z, form, operator, alpha, scale, bandwidth, gamma, normalization, mask, weights, reduction)
    x, z, mask = as_neighbourhoods(x, z, mask, form, axis_name)
    kernel = dict(bandwidth=bandwidth, scale=scale, median_diagonal=median_diagonal, mask=mask)
    affinities = (affinity(squared_distances(centred(points, mask)), **kernel) for points in (x, z))
    walk = dict(alpha=alpha, t=t, form="markov" if form == "row" else operator, mask=mask)
    before, after = (diffusion_operator(w, **walk) for w in affinities)
    if form == "log_euclidean":
        before, after = _log(before, gamma, mask), _log(after, gamma, mask)
    if form == "row":
        before, after = before[:, :1], after[:, :1]
    losses = _discrepancy(lax.stop_gradient(before), after, mask, normalization)
    valid = None if mask is None else mask[:, 0] if form == "row" else mask.any(1)
    return reduce_neighbourhoods(losses, valid, weights, form, reduction, axis_name)


def _log(w: Array, gamma: float, mask: Array | None) -> Array:
    if mask is not None:
        # A masked point is a block of its own with the eigenvalue 1: the same in both spaces, so it cancels.
        own = jnp.eye(w.shape[-1], dtype=bool) & ~mask[:, :, None]
        w = jnp.where(own, jnp.ones_like(w), w)
    return symmetric_log(w, jnp.asarray(gamma, w.dtype))


def _discrepancy(before: Array, after: Array, mask: Array | None, normalization: str) -> Array:
    """[a] from matrices or rows [a, m or 1, m]."""
    squared = ((before - after) ** 2).sum((1, 2))
    if normalization == "none":
        count = before.shape[2] if mask is None else jnp.maximum(mask.sum(1), 1)
        return squared / jnp.asarray(count).astype(squared.dtype) ** 2
    off = ~jnp.eye(before.shape[1], before.shape[2], dtype=bool)[None]
    if mask is not None:
        off = off & mask[:, None, :] & mask[:, : before.shape[1], None]
    off = off.astype(before.dtype)
    mean = (off * before).sum((1, 2), keepdims=True) / jnp.maximum(off.sum((1, 2), keepdims=True), 1)
    geometry = (off * (before - mean) ** 2).sum((1, 2))
    size = (off * before**2).sum((1, 2))
    floor = jnp.maximum(jnp.asarray(GEOMETRY_FLOOR, size.dtype) * size, jnp.asarray(1e-3, size.dtype))
    return squared / jnp.maximum(geometry, floor)


def _check(x, z, form, operator, alpha, scale, bandwidth, gamma, normalization, mask, weights, reduction) -> None:
    checks.require_known(form, FORMS, "form")
    checks.require_known(operator, OPERATORS, "operator")
    checks.require_known(normalization, NORMALIZATIONS, "normalization")
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_neighbourhoods(x, z, form, mask, weights)
    symmetric, got = form != "log_euclidean" or operator == "symmetric", '"markov" with form="log_euclidean"'
    remedy = "The logarithm needs a symmetric matrix; both operators have the same eigenvalues."
    checks.require(symmetric, "operator", got=got, wanted='"symmetric"', remedy=remedy)
    checks.require_positive(scale=scale, gamma=gamma, bandwidth=bandwidth)
    if isinstance(alpha, numbers.Real):
        checks.require(math.isfinite(alpha), "alpha", got=alpha, wanted="a finite number", remedy="0, 0.5 and 1 are usual.")


@jax.custom_jvp
def symmetric_log(matrix: Array, gamma: Array) -> Array:
    """log(A + gamma I) of symmetric positive semi-definite A, V diag(log(max(lambda, 0) + gamma)) V^T.

    >>> import jax
    >>> value, tangent = jax.jvp(lambda a: symmetric_log(a, jnp.float32(0.5)), (1.5 * jnp.eye(2),), (jnp.eye(2),))
    >>> print(value.round(4).tolist(), tangent.round(4).tolist())
    [[0.6930999755859375, 0.0], [0.0, 0.6930999755859375]] [[0.5, 0.0], [0.0, 0.5]]

    The derivative is the Daleckii-Krein formula V (F * (V^T dA V)) V^T with the divided differences F_ij of the logarithm.
    It never divides by a difference of eigenvalues, as the derivative of `eigh` does.

    Args:
      matrix: [..., m, m], symmetric; its symmetric part is used. Gets the gradient.
      gamma: scalar > 0, no gradient.

    Returns:
      [..., m, m] symmetric.

    Source: Daleckii and Krein 1965; Higham 2008, Functions of Matrices, theorem 3.11.
    """
    return _spectral_log(matrix, gamma)[0]


@symmetric_log.defjvp
def _symmetric_log_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    value, vectors, shifted = _spectral_log(*primals)
    tangent = tangents[0]
    tangent = (tangent + jnp.swapaxes(tangent, -1, -2)) / 2
    back = jnp.swapaxes(vectors, -1, -2)
    inner = _divided_differences(shifted) * _matmul(_matmul(back, tangent), vectors)
    return value, _matmul(_matmul(vectors, inner), back)


def _spectral_log(matrix: Array, gamma: Array) -> tuple[Array, Array, Array]:
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    shifted = jnp.maximum(eigenvalues, jnp.zeros((), matrix.dtype)) + gamma
    value = _matmul(vectors * jnp.log(shifted)[..., None, :], jnp.swapaxes(vectors, -1, -2))
    return value, vectors, shifted


def _divided_differences(values: Array) -> Array:
    """(log a - log b) / (a - b) for all pairs, 1 / a on equal ones, to full precision at every distance."""
    a, b = values[..., :, None], values[..., None, :]
    mean, ratio = (a + b) / 2, (a - b) / (a + b)
    far = jnp.abs(ratio) > 0.5
    # Near: log(a / b) = 2 atanh(ratio), and atanh(r) / r is a power series with no difference in it.
    square = jnp.where(far, jnp.zeros_like(ratio), ratio * ratio)
    series = jnp.ones_like(square)
    for k in range(21, 0, -1):  # r^2 <= 1/4: the first term left out is below 1e-14
        series = series * square + 1 / (2 * k - 1) if k < 21 else jnp.full_like(square, 1 / (2 * k - 1))
    difference = jnp.where(far, a - b, jnp.ones_like(ratio))
    return jnp.where(far, (jnp.log(a) - jnp.log(b)) / difference, series / mean)


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
