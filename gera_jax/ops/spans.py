"""Intervals of time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.checks import require
from gera_jax.ops.numerics import at_least_float32


def temporal_iou(a: Any, b: Any) -> Any:
    """Length of what two spans share over the length of what they cover together.

    >>> import numpy as np
    >>> temporal_iou(np.array([[0.0, 4.0], [5.0, 5.0]]), np.array([2.0, 6.0])).round(4).tolist()
    [0.3333, 0.0]
    >>> temporal_iou(np.array([0, 4], np.uint8), np.array([200, 250], np.uint8)).item()
    0.0

    Args:
      a: [..., 2] starts and ends, in any unit: integers of any kind (frames, nanoseconds) or floats.
      b: [..., 2], in the same unit; leading axes broadcast against those of a.

    Returns:
      [...] in [0, 1], float64, or a JAX array in float32 or better where one of the two is a JAX array (traced ones too). 0 where
      they do not meet or cover nothing, as a span that ends before it starts; NaN where an end is NaN or infinite. Integers may
      lie up to half of their type's range apart (32 bits in JAX).
    """
    xp = jnp if isinstance(a, jax.Array) or isinstance(b, jax.Array) else np
    a, b = (_spans(spans, name, xp) for name, spans in (("a", a), ("b", b)))
    if a.dtype.kind != b.dtype.kind:
        a, b = (a.astype(b.dtype), b) if a.dtype.kind == "i" else (a, b.astype(a.dtype))
    dtype = xp.promote_types(a.dtype, b.dtype)
    whole = xp.isfinite(a).all(-1) & xp.isfinite(b).all(-1)
    a, b = (xp.where(xp.isfinite(spans), spans, 0).astype(dtype) for spans in (a, b))
    # Only differences count, and they are taken before anything is rounded: those of near floats are exact, and those of integers
    # wrap to the right number even where the integers did.
    origin = a[..., :1]
    (_, a_end), (b_start, b_end) = (_floats(spans - origin, xp) for spans in (a, b))
    a_length, b_length = (xp.maximum(_floats(spans[..., 1:] - spans[..., :1], xp)[0], 0) for spans in (a, b))
    shared = xp.minimum(xp.maximum(xp.minimum(a_end, b_end) - xp.maximum(b_start, 0), 0), xp.minimum(a_length, b_length))
    covered = a_length + b_length - shared
    some = covered > 0
    overlap = xp.where(some, shared, 0) / xp.where(some, covered, 1)
    return xp.where(whole, overlap, xp.asarray(xp.nan, overlap.dtype))


def _spans(spans: Any, name: str, xp: Any) -> Any:
    """Floats of at least 32 bits, or signed integers."""
    spans = xp.asarray(spans)
    require(spans.ndim >= 1 and spans.shape[-1] == 2, name, got=f"shape {spans.shape}", wanted="[..., 2] starts and ends")
    kinds = (jnp.bool_, jnp.integer, jnp.floating)
    require(any(jnp.issubdtype(spans.dtype, kind) for kind in kinds), name, got=f"dtype {spans.dtype}", wanted="real numbers")
    if jnp.issubdtype(spans.dtype, jnp.floating):
        return spans if spans.dtype.itemsize > 4 else spans.astype(np.float32 if xp is jnp else np.float64)
    return spans.astype(np.int64 if xp is np or spans.dtype.itemsize == 8 else np.int32)


def _floats(pairs: Any, xp: Any) -> tuple[Any, ...]:
    """The columns of [..., k], in float64 or longdouble, in JAX float32 or better."""
    if pairs.dtype.kind == "i":
        pairs = pairs.astype(np.float64) if xp is np else at_least_float32(pairs)
    return tuple(pairs[..., i] for i in range(pairs.shape[-1]))
