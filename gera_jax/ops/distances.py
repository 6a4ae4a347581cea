"""Squared distances of all pairs of rows, without the cancellation of |x|^2 + |y|^2 - 2 x . y."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gera_jax.checks import require
from gera_jax.ops.numerics import at_least_float32, unit_factor

Array = jax.Array
NEAR = 2.0**-9  # of |x|^2 + |y|^2: below it a product's rounding shows in a distance, in its fourth digit at worst
NARROW = 8  # columns up to which differences cost no more than products
_REPAIR_ROWS = 64


def squared_distances(x: Any, y: Any = None) -> Array:
    """d2_ij = |x_i - y_j|^2, never below 0; without `y` the diagonal is exactly 0.

    >>> import jax.numpy as jnp
    >>> squared_distances(jnp.array([[0.0], [1.0], [3.0]])).round(4).tolist()
    [[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]]

    Products of rows that were shifted by a common centre give the distances, but for rows that have a neighbour nearer than
    NEAR^(1/2) = 1 / 23 of their lengths from the centre: theirs are sums of squared differences, computed in blocks under
    `lax.while_loop`, so that clusters, outliers and duplicates cost time (n m d for such rows) and no digits. Up to 8 columns all
    are sums of squared differences. Equal rows give 0, and NumPy rows in float64 are shifted before they become float32, which
    must hold them then.

    Args:
      x: [..., n, d].
      y: [..., m, d], or None for `x` itself.

    Returns:
      [..., n, m], float32 or better, with a relative error of about 1e-4 at worst and 1e-6 as a rule; infinity where float32 ends
      (rows more than 1.8e19 apart) and 0 below 1e-19. The gradient is that of the products, finite where rows coincide, and loses
      2^-24 of the diameter of the set. Memory n*m, never n*m*d.
    """
    x, other = _floats(x, y)
    for name, rows in (("x", x), ("y", other)):
        require(rows.ndim >= 2, name, got=f"shape {rows.shape}", wanted="[..., rows, features]")
    wanted = f"rows of width {x.shape[-1]}, as in x"
    require(x.shape[-1] == other.shape[-1], "y", got=f"rows of width {other.shape[-1]}", wanted=wanted)
    factor = jnp.minimum(*(unit_factor(rows, axis=(-2, -1)) for rows in (x, other)))
    scaled = x * factor, other * factor
    # Distances do not change under a shift, so the centre needs no gradient.
    centre = lax.stop_gradient(jnp.mean(scaled[1], axis=-2, keepdims=True))
    shifted = scaled[0] - centre, scaled[1] - centre
    squares = [jnp.sum(rows * rows, axis=-1) for rows in shifted]
    lengths = squares[0][..., :, None] + squares[1][..., None, :]
    product = jnp.matmul(shifted[0], jnp.swapaxes(shifted[1], -1, -2), precision=lax.Precision.HIGHEST)
    same = jnp.eye(x.shape[-2], dtype=bool) if y is None else None
    return without_cancellation(lengths - 2.0 * product, lengths, factor, x, other, same)


def without_cancellation(squared: Array, lengths: Array, factor: Array, x: Array, y: Array, same: Array | None = None) -> Array:
    """Squared distances [..., n, m] with the gradient of `squared`, and the values of sums of differences where that cancels.

    Args:
      squared: |x_i|^2 + |y_j|^2 - 2 x_i . y_j of rows that were multiplied by `factor` and shifted.
      lengths: |x_i|^2 + |y_j|^2 of them.
      factor: [..., 1, 1] from `unit_factor`.
      x: [..., n, d] the rows as they are, whose differences lose nothing.
      y: [..., m, d].
      same: [n, m] bool, entries that are 0 with a zero gradient, or do not matter: they call for no repair.

    Returns:
      [..., n, m], at least 0.
    """
    near = lax.stop_gradient(squared <= NEAR * lengths)  # 0 for lengths that fell below float32 as well
    squared = squared / factor / factor
    x, y, value = lax.stop_gradient((x, y, squared))
    if x.shape[-1] <= NARROW:
        value = sum(jnp.square(x[..., :, None, column] - y[..., None, :, column]) for column in range(x.shape[-1]))
    else:
        wrong = jnp.any(near if same is None else near & ~same, axis=-1)
        lead = value.shape[:-2]
        operands = [
            jnp.broadcast_to(rows, (*lead, *rows.shape[len(rows.shape) - kept :])).reshape(-1, *rows.shape[-kept:])
            for rows, kept in ((value, 2), (x, 2), (y, 2), (wrong, 1))
        ]
        value = jax.vmap(_repaired)(*operands).reshape(value.shape) if lead else _repaired(value, x, y, wrong)
    # A difference of infinities is no number; beyond float32 there is no gradient.
    value = jnp.maximum(value, 0.0) + jnp.where(jnp.isfinite(squared), squared - lax.stop_gradient(squared), 0.0)
    return value if same is None else jnp.where(same, 0.0, value)


def _repaired(squared: Array, x: Array, y: Array, wrong: Array) -> Array:
    """`squared` [n, m] with the rows that are `wrong` [n] computed from differences."""
    size = min(len(x), _REPAIR_ROWS)
    columns = y.T

    def add(total, pair):
        return total + jnp.square(pair[0][:, None] - pair[1][None, :]), None

    def repair(state):
        squared, wrong = state
        rows = lax.top_k(wrong.astype(jnp.float32), size)[1]  # the wrong ones first
        exact, _ = lax.scan(add, jnp.zeros_like(squared[:size]), (x[rows].T, columns))
        return squared.at[rows].set(exact), wrong.at[rows].set(False)

    return lax.while_loop(lambda state: jnp.any(state[1]), repair, (squared, wrong))[0]


def _floats(x: Any, y: Any) -> tuple[Array, Array]:
    """Both sets in float32 or better; NumPy rows that float32 cannot hold are shifted first, by a row that both share."""
    given = [x] if y is None else [x, y]
    if all(
        isinstance(rows, np.ndarray) and rows.dtype.kind in "iuf" and rows.dtype.itemsize >= 4 and rows.ndim >= 2
        for rows in given
    ) and any(rows.dtype != np.float32 for rows in given):
        wide = [rows.astype(np.longdouble if rows.dtype.kind in "iu" else np.float64) for rows in given]
        with np.errstate(over="ignore"):
            given = [(rows - wide[-1][..., :1, :]).astype(jax.dtypes.canonicalize_dtype(np.float64)) for rows in wide]
    floats = [at_least_float32(rows) for rows in given]
    return floats[0], floats[-1]
