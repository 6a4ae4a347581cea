"""Squared distances of all pairs of rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gera_jax.checks import require
from gera_jax.ops.numerics import at_least_float32

Array = jax.Array


def squared_distances(x: Array, y: Array | None = None) -> Array:
    """d2_ij = |x_i|^2 + |y_j|^2 - 2 x_i . y_j, never below 0.

    Rows are first shifted by a common centre, which limits the cancellation of this form. Without `y` the diagonal is
    exactly 0, and so is a distance that float arithmetic cannot tell from 0 (equal rows give 0, not noise).

    Args:
      x: [..., n, d].
      y: [..., m, d], or None for `x` itself.

    Returns:
      [..., n, m], float32 or better; the gradient is finite where rows coincide. Memory n*m, never n*m*d.

    Raises:
      ValueError: fewer than two axes or unequal widths.

    >>> import jax.numpy as jnp
    >>> squared_distances(jnp.array([[0.0], [1.0], [3.0]])).round(4).tolist()
    [[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]]
    """
    x = at_least_float32(x)
    other = x if y is None else at_least_float32(y)
    for name, rows in (("x", x), ("y", other)):
        require(rows.ndim >= 2, name, got=f"shape {rows.shape}", wanted="[..., rows, features]")
    require(x.shape[-1] == other.shape[-1], "y", got=f"rows of width {other.shape[-1]}",
            wanted=f"rows of width {x.shape[-1]}, as in x")
    # Distances do not change under a shift, so the centre needs no gradient.
    centre = lax.stop_gradient(jnp.mean(other, axis=-2, keepdims=True))
    longest = lax.stop_gradient(jnp.max(jnp.sum(x * x, axis=-1), axis=-1, initial=0.0)[..., None, None])
    x, other = x - centre, other - centre
    product = jnp.matmul(x, jnp.swapaxes(other, -1, -2), precision=lax.Precision.HIGHEST)
    squared = jnp.sum(x * x, axis=-1)[..., :, None] + jnp.sum(other * other, axis=-1)[..., None, :] - 2.0 * product
    if y is not None:
        return jnp.maximum(squared, 0.0)
    # Rows that agree to the last bits differ, after the shift, by rounding alone; a median of such noise is no bandwidth.
    resolution = (4.0 * float(jnp.finfo(x.dtype).eps)) ** 2 * longest
    zero = jnp.eye(x.shape[-2], dtype=bool) | (squared <= resolution)
    return jnp.where(zero, 0.0, squared)
