"""Intervals of time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.checks import require


def temporal_iou(a: Any, b: Any) -> Any:
    """Length of what two spans share over the length of what they cover together.

    Args:
      a: [..., 2] starts and ends, in any unit.
      b: [..., 2], in the same unit; leading axes broadcast against those of a.

    Returns:
      [...] in [0, 1]; 0 where they do not meet or cover nothing. NumPy gives NumPy, and JAX arrays (traced ones too) JAX.

    Raises:
      ValueError: a last axis that is not 2.

    >>> import numpy as np
    >>> temporal_iou(np.array([[0.0, 4.0], [5.0, 5.0]]), np.array([2.0, 6.0])).round(4).tolist()
    [0.3333, 0.0]
    """
    xp = jnp if isinstance(a, jax.Array) or isinstance(b, jax.Array) else np
    a, b = xp.asarray(a), xp.asarray(b)
    for name, spans in (("a", a), ("b", b)):
        require(spans.ndim >= 1 and spans.shape[-1] == 2, name, got=f"shape {spans.shape}", wanted="[..., 2] starts and ends")
    shared = xp.maximum(xp.minimum(a[..., 1], b[..., 1]) - xp.maximum(a[..., 0], b[..., 0]), 0)
    covered = xp.maximum(a[..., 1] - a[..., 0], 0) + xp.maximum(b[..., 1] - b[..., 0], 0) - shared
    some = covered > 0
    return xp.where(some, shared, 0) / xp.where(some, covered, 1)
