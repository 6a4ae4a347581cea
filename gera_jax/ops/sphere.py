"""Arcs between unit rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gera_jax.checks import require
from gera_jax.ops.numerics import at_least_float32, safe_normalize

Array = jax.Array


def slerp(x: Array, y: Array, lam: ArrayLike) -> Array:
    """(sin((1 - lam) a) x + sin(lam a) y) / sin(a) with a the angle between x and y: the point at `lam` on the arc x -> y.

    >>> import jax.numpy as jnp
    >>> slerp(jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0]), 0.0).tolist()
    [1.0, 0.0]

    Args:
      x: [..., d]; normalised here.
      y: [..., d]; normalised here.
      lam: scalar or [...], in [0, 1]; 0 gives x, 1 gives y.

    Returns:
      [..., d] unit rows. Value and gradient are finite for equal rows (the row itself) and for opposite rows, which have
      no unique arc: those turn at lam = 1/2, where the result is a zero row.

    Source: Shoemake 1985, Animating rotation with quaternion curves.
    """
    x, y = safe_normalize(x), safe_normalize(y)
    require(x.shape == y.shape, "y", got=f"shape {y.shape}", wanted=f"the shape of x, {x.shape}")
    lam = at_least_float32(lam).astype(x.dtype)[..., None]
    # The clip keeps arccos and 1/sin away from their poles; the weights there are those of the straight line.
    margin = 8.0 * float(jnp.finfo(x.dtype).eps)
    angle = jnp.arccos(jnp.clip(jnp.sum(x * y, axis=-1, keepdims=True), -1.0 + margin, 1.0 - margin))
    mixed = (jnp.sin((1.0 - lam) * angle) * x + jnp.sin(lam * angle) * y) / jnp.sin(angle)
    return safe_normalize(mixed, eps=float(jnp.finfo(x.dtype).eps))
