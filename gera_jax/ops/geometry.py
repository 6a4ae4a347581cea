"""Squared distances of all pairs of rows without cancellation, arcs between unit rows, and what two spans of time share."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from gera_jax.checks import require
from gera_jax.ops.numerics import at_least_float32, safe_normalize, unit_factor

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
    (_, a_end), (b_start, b_end) = (_columns(spans - origin, xp) for spans in (a, b))
    a_length, b_length = (xp.maximum(_columns(spans[..., 1:] - spans[..., :1], xp)[0], 0) for spans in (a, b))
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


def _columns(pairs: Any, xp: Any) -> tuple[Any, ...]:
    """The columns of [..., k], in float64 or longdouble, in JAX float32 or better."""
    if pairs.dtype.kind == "i":
        pairs = pairs.astype(np.float64) if xp is np else at_least_float32(pairs)
    return tuple(pairs[..., i] for i in range(pairs.shape[-1]))
