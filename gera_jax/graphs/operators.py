"""Affinities of rows, and diffusion operators and Laplacians on them."""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gera_jax.checks import require, require_known
from gera_jax.ops.numerics import at_least_float32, median_of_nonnegative

Array = jax.Array


def affinity(
    sq_distances: Array,
    *,
    kernel: Literal["gaussian", "alpha_decay"] = "gaussian",
    bandwidth: Literal["median", "self_tuning"] | float = "median",
    scale: float = 2.0,
    k: int = 7,
    decay: float = 40.0,
    floor: float = 1e-5,
    median_diagonal: bool = False,
    mask: Array | None = None,
) -> Array:
    """Affinity of all pairs of points: exp(-d_ij^2 / (scale * median(d^2))) with the defaults.

    >>> import jax.numpy as jnp
    >>> d2 = jnp.array([[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]])
    >>> affinity(d2, median_diagonal=True)
    Array([[1.        , 0.60653067, 0.011109  ],
           [0.60653067, 1.        , 0.13533528],
           [0.011109  , 0.13533528, 1.        ]], dtype=float32)

    Args:
      sq_distances: [..., m, m] symmetric, >= 0, as from `ops.squared_distances`; bfloat16 is computed in float32.
      kernel: "gaussian" exp(-d_ij^2 / (scale b^2)), or exp(-d_ij^2 / (b_i b_j)) when self-tuned (`scale` does not enter);
        "alpha_decay" (exp(-(d_ij / b_i)^decay) + exp(-(d_ij / b_j)^decay)) / 2.
      bandwidth: "median" b^2 = median of the squared distances of distinct points; "self_tuning" b_i = distance from i to
        its k-th neighbour (the last one, if there are fewer); a number is b itself, a length.
      scale: factor on b^2 in the Gaussian kernel.
      k: which neighbour sets a self-tuned bandwidth.
      decay: exponent of "alpha_decay".
      floor: b^2 is at least this fraction of the largest squared distance, so that a neighbourhood of (nearly) equal rows
        has a finite kernel; where every distance is 0 every affinity is 1. It does not apply to a number.
      median_diagonal: include the zeros of the diagonal in the median, as the released code of the source below does.
      mask: [..., m] bool, True = a real point.

    Returns:
      [..., m, m], float32 or better, symmetric, in [0, 1], 1 on the diagonal; masked rows and columns are 0. Gradient goes
      to the distances, not through the bandwidth. Invariant to the scale of the points unless `bandwidth` is a number.

    Source: Shnitzer et al. 2022 (median), Zelnik-Manor & Perona 2004 (self-tuning, k = 7), Moon et al. 2019 (alpha decay).
    """
    _check(sq_distances, kernel, bandwidth, mask, scale=scale, k=k, decay=decay)
    squared = at_least_float32(sq_distances)
    m = squared.shape[-1]
    valid = jnp.ones((m, m), bool) if mask is None else mask[..., :, None] & mask[..., None, :]
    valid = jnp.broadcast_to(valid, squared.shape)
    squared = jnp.where(valid, squared, 0.0)
    frozen = lax.stop_gradient(squared)
    if isinstance(bandwidth, str):
        counted = valid if median_diagonal else valid & ~jnp.eye(m, dtype=bool)
        sq_bandwidth = _SQUARED_BANDWIDTHS[bandwidth](frozen, counted, k)  # [..., m] or [..., 1]
        sq_bandwidth = jnp.maximum(sq_bandwidth, floor * jnp.max(frozen, axis=(-2, -1))[..., None])
        sq_bandwidth = jnp.where(sq_bandwidth > 0, sq_bandwidth, 1.0)
    else:
        sq_bandwidth = jnp.full((*squared.shape[:-2], 1), float(bandwidth) ** 2, squared.dtype)
    # A self-tuned bandwidth is a scale of its own.
    factor = 1.0 if bandwidth == "self_tuning" else scale
    return jnp.where(valid, _KERNELS[kernel](squared, sq_bandwidth, factor, decay), 0.0)


def _median(squared: Array, counted: Array, k: int) -> Array:
    del k
    flat = (*squared.shape[:-2], squared.shape[-1] ** 2)
    return median_of_nonnegative(squared.reshape(flat), counted.reshape(flat))[..., None]


def _kth_neighbour(squared: Array, counted: Array, k: int) -> Array:
    """Squared distance from each point to its k-th neighbour, or to the last one if there are fewer; [..., m]."""
    m = squared.shape[-1]
    others = counted & ~jnp.eye(m, dtype=bool)
    nearest, _ = lax.top_k(-jnp.where(others, squared, jnp.inf), min(k, m))
    last = jnp.clip(jnp.sum(others, axis=-1, dtype=jnp.int32), 1, nearest.shape[-1]) - 1
    found = -jnp.take_along_axis(nearest, last[..., None], axis=-1)[..., 0]
    return jnp.where(jnp.isinf(found), 0.0, found)  # a point without neighbours has no bandwidth of its own


def _gaussian(squared: Array, sq_bandwidth: Array, factor: float, decay: float) -> Array:
    del decay
    # sqrt(a) sqrt(b), not sqrt(a b): the product of two small squares leaves float32's range.
    length = jnp.sqrt(sq_bandwidth)
    return jnp.exp(-squared / (factor * length[..., :, None] * length[..., None, :]))


def _alpha_decay(squared: Array, sq_bandwidth: Array, factor: float, decay: float) -> Array:
    del factor
    power = 0.5 * decay
    ratio = squared / sq_bandwidth[..., :, None]
    # Beyond exp(-120) the kernel is 0 in float32; without the cap the power overflows and its gradient is 0 * inf.
    # At ratio 0 a decay under 2 has an infinite slope: that point takes the constant branch.
    ratio = jnp.minimum(ratio, 120.0 ** (1.0 / power))
    apart = ratio > 0
    half = jnp.where(apart, jnp.exp(-(jnp.where(apart, ratio, 1.0) ** power)), 1.0)
    return 0.5 * (half + jnp.swapaxes(half, -1, -2))


_SQUARED_BANDWIDTHS = {"median": _median, "self_tuning": _kth_neighbour}
_KERNELS = {"gaussian": _gaussian, "alpha_decay": _alpha_decay}


def _check(sq_distances: Array, kernel: str, bandwidth: str | float, mask: Array | None, **positive: float) -> None:
    shape = jnp.shape(sq_distances)
    remedy = "Give ops.squared_distances(x)."
    require(len(shape) >= 2 and shape[-1] == shape[-2], "sq_distances", got=f"shape {shape}", wanted="[..., m, m]", remedy=remedy)
    if mask is not None:
        require(mask.shape[-1] == shape[-1], "mask", got=f"shape {mask.shape}", wanted=f"[..., {shape[-1]}], one entry per point")
    require_known(kernel, _KERNELS, "kernel")
    if isinstance(bandwidth, str):
        require_known(bandwidth, _SQUARED_BANDWIDTHS, "bandwidth")
    else:
        positive["bandwidth"] = bandwidth
    for name, value in positive.items():
        require(math.isfinite(value) and value > 0, name, got=value, wanted="a finite number above 0")


def laplacian(
    w: Array, *, normalization: Literal["symmetric", "random_walk", "none"] = "symmetric", mask: Array | None = None
) -> Array:
    """Graph Laplacian: I - D^-1/2 W D^-1/2 (symmetric), I - D^-1 W (random walk) or D - W (none), with d_i = sum_j w_ij.

    >>> import jax.numpy as jnp
    >>> path = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # node 2 is isolated
    >>> laplacian(path).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    Args:
      w: [..., m, m] symmetric, >= 0; self-loops count in the degree.
      normalization: which of the three.
      mask: [..., m] bool, True = a real node.

    Returns:
      [..., m, m], float32 or better. Normalised eigenvalues lie in [0, 2]. An isolated or masked node has a zero row and
      column, 0 on the diagonal included. Gradient goes to `w`. Memory m^2.
    """
    require_known(normalization, _LAPLACIANS, "normalization")
    w, degree = _graph(w, mask)
    return _LAPLACIANS[normalization](w, degree)


def diffusion_operator(
    w: Array, *, alpha: float = 1.0, t: int = 1, form: Literal["symmetric", "markov"] = "symmetric", mask: Array | None = None
) -> Array:
    """Diffusion operator: k_ij = w_ij / (q_i q_j)^alpha with q = W 1, then (D^-1/2 K D^-1/2)^t or (D^-1 K)^t with D = diag(K 1).

    >>> import jax.numpy as jnp
    >>> diffusion_operator(jnp.array([[1.0, 0.5], [0.5, 1.0]]), form="markov").sum(-1).round(5).tolist()
    [1.0, 1.0]

    Args:
      w: [..., m, m] symmetric affinities >= 0, as from `affinity`.
      alpha: 0 keeps the density of the points, 1/2 is Fokker-Planck, 1 removes the density (Laplace-Beltrami).
      t: number of steps, an int >= 0; 0 is the identity.
      form: "symmetric", or "markov" whose rows sum to 1. Both have the same eigenvalues.
      mask: [..., m] bool, True = a real node.

    Returns:
      [..., m, m], float32 or better. For a positive definite `w` the eigenvalues lie in (0, 1], the largest is 1.
      Isolated and masked nodes have zero rows and columns for every `t`. Gradient goes to `w`. Memory m^2, log2(t) products.

    Source: Coifman & Lafon 2006; Shnitzer et al. 2022 for the symmetric form.
    """
    require_known(form, _NORMALIZED, "form")
    remedy = "For a real-valued time use a heat kernel."
    require(isinstance(t, int) and not isinstance(t, bool) and t >= 0, "t", got=repr(t), wanted="an int >= 0", remedy=remedy)
    w, density = _graph(w, mask)
    density = _power(density, -alpha)
    w = w * density[..., :, None] * density[..., None, :]
    degree = jnp.sum(w, axis=-1)
    return _matrix_power(_NORMALIZED[form](w, degree), t, _alive(degree))


def _graph(w: Array, mask: Array | None) -> tuple[Array, Array]:
    """`w` in float32 or better with masked rows and columns 0, and its row sums."""
    w = at_least_float32(w)
    require(w.ndim >= 2 and w.shape[-1] == w.shape[-2], "w", got=f"shape {w.shape}", wanted="[..., m, m]")
    if mask is not None:
        require(
            mask.shape[-1] == w.shape[-1], "mask", got=f"shape {mask.shape}", wanted=f"[..., {w.shape[-1]}], one entry per node"
        )
        w = jnp.where(mask[..., :, None] & mask[..., None, :], w, 0.0)
    return w, jnp.sum(w, axis=-1)


def _power(degree: Array, exponent: float) -> Array:
    """degree^exponent, and 0 for an isolated node (finite gradient as well)."""
    some = degree > 0
    return jnp.where(some, jnp.where(some, degree, 1.0) ** exponent, 0.0)


def _symmetric(w: Array, degree: Array) -> Array:
    root = _power(degree, -0.5)
    return w * root[..., :, None] * root[..., None, :]


def _markov(w: Array, degree: Array) -> Array:
    return w * _power(degree, -1.0)[..., :, None]


def _alive(degree: Array) -> Array:
    """Identity without the isolated nodes."""
    return jnp.where(degree > 0, 1.0, 0.0).astype(degree.dtype)[..., None] * jnp.eye(degree.shape[-1], dtype=degree.dtype)


def _matrix_power(step: Array, t: int, identity: Array) -> Array:
    """step^t by repeated squaring."""
    result = None
    while t:
        if t % 2:
            result = step if result is None else _product(result, step)
        t //= 2
        if t:
            step = _product(step, step)
    return identity if result is None else result


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


_NORMALIZED = {"symmetric": _symmetric, "markov": _markov}
_LAPLACIANS = {
    "symmetric": lambda w, degree: _alive(degree) - _symmetric(w, degree),
    "random_walk": lambda w, degree: _alive(degree) - _markov(w, degree),
    "none": lambda w, degree: degree[..., None] * jnp.eye(w.shape[-1], dtype=w.dtype) - w,
}
