"""From squared distances to affinities in [0, 1]."""

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
