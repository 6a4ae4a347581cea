"""What is known of a value at trace time; normalisation, masked means and medians with finite values and gradients."""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.typing import ArrayLike

from gera_jax.checks import require
from gera_jax.ops.collectives import global_sum

Array = jax.Array


def known(value: Any) -> np.ndarray | None:
    """The numbers of `value`, or None where they are traced or lie on other hosts.

    >>> known([1, 2]).tolist(), jax.jit(lambda v: v + int(known(v) is None))(1).item()
    ([1, 2], 2)
    """
    if isinstance(value, Tracer) or (isinstance(value, jax.Array) and not value.is_fully_addressable):
        return None
    return np.asarray(value)


def at_least_float32(x: Array) -> Array:
    """`x` as float32, or as float64 if it is that already.

    >>> import jax.numpy as jnp
    >>> at_least_float32(jnp.ones(2, jnp.bfloat16)).dtype.name
    'float32'
    """
    x = jnp.asarray(x)
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def safe_normalize(x: Array, *, axis: int = -1, eps: float = 0.0) -> Array:
    """x / |x|; a row that is no longer than `eps` becomes a zero row with a zero gradient.

    >>> import jax.numpy as jnp
    >>> safe_normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    Array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)

    Args:
      x: [..., d] of any magnitude; bfloat16 is computed in float32.
      axis: axis of the norm.
      eps: length up to which a row counts as zero.

    Returns:
      Same shape, float32 or better; lengths are 1 or 0.
    """
    x = at_least_float32(x)
    # The length does not change the direction, so neither value nor gradient needs the factor's own gradient.
    factor = unit_factor(x, axis=axis)
    x = x * factor
    squared = jnp.sum(x * x, axis=axis, keepdims=True)
    # "not long enough" is written as `squared <= eps^2` so that a NaN stays a NaN instead of becoming a zero row.
    short = squared <= jnp.square(jnp.minimum(eps * factor, 1e18))
    return x * jnp.where(short, 0.0, lax.rsqrt(jnp.where(short, 1.0, squared)))


def unit_factor(x: Array, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """The power of two, without gradient, that brings the largest magnitude of `x` along `axis` into [1/2, 1); 1 for zeros.

    >>> import jax.numpy as jnp
    >>> unit_factor(jnp.array([3.0, 1e-9])).tolist()
    [0.25]

    Axes that are reduced stay, with length 1.

    Multiplying by it is exact, and squares and products of the result stay within float32.
    """
    largest = jnp.max(jnp.abs(lax.stop_gradient(x)), axis=axis, keepdims=True, initial=0.0)
    usable = (largest > 0) & jnp.isfinite(largest)
    exponent = jnp.clip(-jnp.frexp(jnp.where(usable, largest, 1.0))[1], jnp.finfo(x.dtype).minexp, jnp.finfo(x.dtype).maxexp - 1)
    return jnp.where(usable, jnp.ldexp(jnp.ones((), x.dtype), exponent), 1.0)


def sanitize(x: Array, mask: Array | None) -> Array:
    """`x` with zeros in the masked rows; used before any arithmetic, so that a NaN there reaches neither value nor gradient.

    >>> import jax.numpy as jnp
    >>> sanitize(jnp.array([[1.0], [jnp.nan]]), jnp.array([True, False])).tolist()
    [[1.0], [0.0]]

    Args:
      x: [*mask.shape, ...].
      mask: bool, True = a real row; None returns `x`.
    """
    if mask is None:
        return x
    got, wanted = f"shape {mask.shape} for rows of shape {x.shape}", "one entry per row"
    remedy = "Give a bool array with the leading shape of the rows."
    require(x.shape[: mask.ndim] == mask.shape, "mask", got=got, wanted=wanted, remedy=remedy)
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, jnp.zeros((), x.dtype))


def masked_mean(values: Array, mask: Array | None = None, weights: Array | None = None, axis_name: str | None = None) -> Array:
    """sum_i w_i v_i / sum_i w_i over the unmasked entries of all devices.

    >>> import jax.numpy as jnp
    >>> float(masked_mean(jnp.array([1.0, 2.0, jnp.nan]), jnp.array([True, True, False]), jnp.array([1.0, 3.0, 1.0])))
    1.75

    Args:
      values: [n].
      mask: [n] bool, True = counts.
      weights: [n] >= 0.
      axis_name: mapped axis over which both sums run; the mean is that of the concatenated rows.

    Returns:
      Scalar, float32 or better; 0 with a zero gradient if nothing counts. Masked entries may hold NaN.
    """
    values = at_least_float32(values)
    weights = jnp.ones_like(values) if weights is None else jnp.asarray(weights).astype(values.dtype)
    values, weights = sanitize(values, mask), sanitize(weights, mask)
    total = global_sum(jnp.sum(weights), axis_name)
    weighted = global_sum(jnp.sum(weights * values), axis_name)
    none = total == 0  # NaN or negative weights are no "nothing": they must show
    return jnp.where(none, 0.0, weighted / jnp.where(none, 1.0, total))


def median_of_nonnegative(values: Array, mask: Array | None = None) -> Array:
    """Exact median over the last axis, the mean of the two middle entries if their number is even; without a sort.

    >>> import jax.numpy as jnp
    >>> median_of_nonnegative(jnp.array([[4.0, 1.0, 9.0, 2.0], [4.0, 1.0, 9.0, 2.0]]),
    ...                       jnp.array([[True, True, True, True], [True, True, True, False]])).tolist()
    [3.0, 4.0]

    For floats >= 0 the order of the numbers is the order of their bit patterns, so bisection over the patterns with one
    count per step finds the middle entry exactly: 32 cheap passes (64 in float64), where XLA's sort on a CPU takes
    about thirty times as long.

    Args:
      values: [..., q] >= 0.
      mask: [..., q] bool, True = counts; broadcast against `values`.

    Returns:
      [...], float32 or better, without gradient; 0 where nothing counts. Memory O(q).
    """
    # abs: -0.0 has the sign bit set and would come out of order.
    values = jnp.abs(lax.stop_gradient(at_least_float32(values)))
    if math.prod(values.shape) == 0:
        return jnp.zeros(values.shape[:-1], values.dtype)
    mask = jnp.ones(values.shape, bool) if mask is None else jnp.broadcast_to(mask, values.shape)
    integer = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    # A masked entry sorts behind everything, infinity and NaN included.
    bits = jnp.where(mask, lax.bitcast_convert_type(values, integer), jnp.iinfo(integer).max)
    count = jnp.sum(mask, axis=-1, dtype=jnp.int32)
    # 1-based ranks of the two middle entries. Both are counted inside the loop, which reads one stored copy of the entries: what
    # stands outside may be computed again, rounded otherwise, and must not be compared with it.
    ranks = jnp.stack([(count + 1) // 2, count // 2 + 1])

    def halve(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        enough = jnp.sum(bits <= middle[..., None], axis=-1, dtype=jnp.int32) >= ranks
        return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

    # The bounds come from the data, not from constants: under shard_map they then carry the data's mapped axes.
    bounds = (jnp.broadcast_to(edge(bits, axis=-1), ranks.shape) for edge in (jnp.min, jnp.max))
    _, middle = lax.fori_loop(0, jnp.iinfo(integer).bits, halve, tuple(bounds))
    lower, upper = lax.bitcast_convert_type(middle, values.dtype)
    return jnp.where(count > 0, 0.5 * lower + 0.5 * upper, 0.0)


def check_real(value: Array, name: str) -> None:
    """Raise for text, objects and complex numbers (a cast would drop their imaginary part), and what JAX has no type for."""
    dtype = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    fine = any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)) and dtype != np.longdouble
    remedy = f"Convert {name} with .astype(np.float32) if that is what it holds."
    require(fine, name, got=f"dtype {dtype}", wanted="real numbers of at most 64 bits", remedy=remedy)


def scalar(value: ArrayLike, dtype: jnp.dtype, name: str, *, positive: bool) -> Array:
    """A scalar of `dtype`; a number known at trace time is checked, a traced one cannot be."""
    wanted = "a positive finite number" if positive else "a finite number"
    array = isinstance(value, jax.Array | np.ndarray | np.generic)
    require(array or isinstance(value, numbers.Real), name, got=value, wanted=wanted)
    huge = isinstance(value, int) and abs(value) > sys.float_info.max
    value = value if array else np.float64(math.inf if huge else value)  # a whole number may be beyond every type of an array
    require(jnp.ndim(value) == 0, name, got=f"shape {jnp.shape(value)}", wanted="a scalar")
    check_real(value, name)
    given = known(value)
    if given is not None:
        with np.errstate(over="ignore", under="ignore"):
            numbers_ = float(given), float(given.astype(dtype))  # 1e300 and 1e-300 are infinity and 0 in float32
        fine, held = (math.isfinite(number) and not (positive and number <= 0) for number in numbers_)
        remedy = "logit_scale is 1 / temperature." if name == "logit_scale" else ""
        wanted += f" in {np.dtype(dtype)}" if fine else ""
        require(held, name, got=f"{numbers_[0]:g}", wanted=wanted, remedy=remedy)
    return jnp.asarray(value, dtype)
