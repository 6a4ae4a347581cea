"""The kernel density estimates of two sets of rows, compared at the rows of both. No pairs are needed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import check_sets, clean_rows, keep_logits, on_every_device, row_count
from gera_jax.losses.positives import row_numbers
from gera_jax.losses.tiles import Folds, Side, check_block_size, fold
from gera_jax.ops.collectives import gather_rows, global_sum
from gera_jax.ops.geometry import without_cancellation
from gera_jax.ops.numerics import sanitize, scalar

FORMS = ("leave_one_out", "released")
# A set that is this much tighter than both sets together counts as this wide: its densities elsewhere would leave float32.
TIGHTEST = 1e-6


def semantic_density(
    x: Array,
    y: Array,
    *,
    form: Literal["leave_one_out", "released"] = "leave_one_out",
    bandwidth: ArrayLike = 0.5,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    block_size: int | None = None,
    axis_name: str | None = None,
) -> Array:
    """(J(X, Y) + J(Y, X)) (1 / R_X + 1 / R_Y), J(X, Y) = mean_i (p_i - q_i)(log p_i - log q_i): two densities at X's points.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> print(f"{semantic_density(a, b, form='released'):.6f}")
    0.176238
    >>> print(f"{semantic_density(a, a[::-1], form='released'):.6f}")
    0.000000

    p_i is the density of X at x_i, q_i that of Y. The density of a set Y at a point is the mean over its rows of
    exp(-d^2 / (4 bandwidth^2 s_Y)), s_Y its total variance (n - 1), and R_Y the squared diagonal of its bounding box. The order
    of the rows means nothing and row i is no partner of row i. Gradients reach x and y, also through s and R: 1 / R rewards
    wide sets and so counters collapse.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, k] rows of one set.
      y: [m, k] rows of the other.
      form: "leave_one_out" leaves x_i itself out of p_i; "released" keeps it, sums over rows in place of both means and scales
        densities by 3 / (32 pi bandwidth^2), so that it grows like n^2.
      bandwidth: a positive scalar, in units of the set's own spread; it gets no gradient.

    Returns:
      >= 0; it scales like 1 / length^2. 0 for equal sets in "released" (in "leave_one_out" those differ by the row that is left
      out), and where a set has fewer than two rows or no extent. Two draws of one distribution give nearly 0 in "leave_one_out",
      a floor from p_i's own row in "released". O((n + m)^2 k) time, O((n + m)^2) memory, in tiles
      O((n + m) k).

    Source: Gentle-CLIP / Set-CLIP, arXiv 2406.05766 ("semantic density distribution"), from the authors' code: "released" is its
    formula for sets of any two sizes; "leave_one_out" is ours. Sets more than a million times tighter than both together are
    taken to be that wide.
    """
    checks.require_known(form, FORMS, "form")
    check_block_size(block_size)
    check_sets(x, y, x_mask, y_mask)
    x, y = clean_rows((x, y), (x_mask, y_mask))
    dtype = x.dtype
    h = lax.stop_gradient(scalar(bandwidth, dtype, "bandwidth", positive=True))
    if not len(x) or not len(y):  # no rows on any device, where no extreme can be taken
        return on_every_device(0 * (x.sum() + y.sum()), axis_name)
    n, m = (row_count(len(v), mask, dtype, axis_name) for v, mask in ((x, x_mask), (y, y_mask)))
    # In units of the largest entry squares neither overflow nor vanish; the value has the unit 1 / length^2.
    largest = jnp.maximum(*(jnp.max(jnp.abs(lax.stop_gradient(v)), initial=0.0) for v in (x, y)))
    largest = largest if axis_name is None else lax.pmax(largest, axis_name)
    unit = jnp.where(largest == 0, jnp.ones_like(largest), largest)
    x, y = x / unit, y / unit
    # Everything below depends on differences of rows alone; about the middle of all rows they lose the fewest digits.
    middle = lax.stop_gradient(global_sum(x.sum(0) + y.sum(0), axis_name) / jnp.maximum(n + m, 1))
    x, y = sanitize(x - middle, x_mask), sanitize(y - middle, y_mask)
    whole = lax.stop_gradient(global_sum((x * x).sum() + (y * y).sum(), axis_name) / jnp.maximum(n + m, 1))

    # The rows of all devices; each device evaluates the densities at its own.
    all_x, all_y = gather_rows(x, axis_name), gather_rows(y, axis_name)
    x_exists, y_exists = (None if v is None else gather_rows(v, axis_name) for v in (x_mask, y_mask))
    x_rate, y_rate = (_rate(v, e, count, whole, h) for v, e, count in ((all_x, x_exists, n), (all_y, y_exists, m)))
    x_spread, y_spread = _spread(all_x, x_exists), _spread(all_y, y_exists)
    alone = form == "leave_one_out"
    rates = [jnp.broadcast_to(rate, len(x)) for rate in (x_rate, y_rate)]
    options = dict(block_size=block_size, axis_name=axis_name)
    own_x = fold(_Within(alone), *_one_set(x, rates[0], x_mask, axis_name), **options).row_lse
    own_y = fold(_Within(alone), *_one_set(y, jnp.broadcast_to(y_rate, len(y)), y_mask, axis_name), **options).row_lse
    other = fold(_between, Side((x, *rates), mask=x_mask), Side(y, mask=y_mask), **options)
    # A point without any other is far from all, but so that products with it stay finite.
    least = jnp.asarray(jnp.finfo(dtype).min / 4, dtype)
    at_x, at_y = ([jnp.maximum(v, least) for v in pair] for pair in ((*own_x, *other.row_lse), (*own_y, *other.column_lse)))
    counts = [jnp.log(jnp.maximum(v, 1)) for v in (n - 1, m, m - 1, n)]
    shift = counts if alone else [jnp.log(32 * math.pi * h**2 / 3)] * 4  # the released factor is 3 / (16 * 2 pi h^2)
    there = _divergence(at_x[0] - shift[0], at_x[1] - shift[1], x_mask, n, alone, axis_name)
    back = _divergence(at_y[0] - shift[2], at_y[1] - shift[3], y_mask, m, alone, axis_name)

    some = (jnp.minimum(n, m) > 1) & (jnp.minimum(x_spread, y_spread) != 0)  # a spread of NaN spoils the loss
    floor = jnp.maximum(TIGHTEST * whole, jnp.finfo(dtype).tiny ** 0.5)
    value = (there + back) * (1 / jnp.maximum(x_spread, floor) + 1 / jnp.maximum(y_spread, floor))
    value = jnp.where(some, value, jnp.zeros_like(value)) / unit / unit
    return on_every_device(value, axis_name)


def _rate(rows: Array, exists: Array | None, count: Array, whole: Array, h: Array) -> Array:
    """1 / (4 h^2 s): by how much the log of a kernel falls with the squared distance."""
    centred = sanitize(rows - rows.sum(0) / jnp.maximum(count, 1), exists)
    variance = (centred * centred).sum() / jnp.maximum(count - 1, 1)
    floor = jnp.maximum(TIGHTEST * whole, jnp.finfo(rows.dtype).tiny ** 0.5)
    return 1 / (4 * h**2 * jnp.maximum(variance, floor))


def _spread(rows: Array, exists: Array | None) -> Array:
    """Squared diagonal of the bounding box, 0 without rows."""
    keep = jnp.ones((len(rows), 1), bool) if exists is None else exists[:, None]
    far, still = jnp.asarray(jnp.finfo(rows.dtype).max, rows.dtype), lax.stop_gradient(rows)
    # The positions of the edges first: a maximum finds its own gradient by comparing floats, and a compiler that fuses may
    # round the two sides of that comparison differently.
    high = jnp.argmax(jnp.where(keep, still, -far), axis=0, keepdims=True)
    low = jnp.argmin(jnp.where(keep, still, far), axis=0, keepdims=True)
    side = jnp.take_along_axis(rows, high, axis=0) - jnp.take_along_axis(rows, low, axis=0)
    return (side * side).sum()


def _one_set(rows: Array, rate: Array, mask: Array | None, axis_name: str | None) -> tuple[Side, Side]:
    """Both sides of a set that meets itself."""
    numbers = row_numbers(len(rows), axis_name)
    return Side((rows, rate), numbers, mask), Side(rows, numbers, mask)


@dataclass(frozen=True)
class _Within:
    """Logs of a set's kernels at its own points, without the point itself if `alone`."""

    alone: bool

    def __call__(self, row: Side, column: Side, _: None) -> Folds:
        rows, rate = row.values
        same = row.marks[:, None] == column.marks[None, :]
        exponents = -rate[:, None] * _squared(rows, column.values, same)
        return Folds(row_lse=(keep_logits(exponents, ~same) if self.alone else exponents,))


def _between(row: Side, column: Side, _: None) -> Folds:
    """Logs of the columns' kernels at the rows, and of the rows' at the columns."""
    rows, x_rate, y_rate = row.values
    squared = _squared(rows, column.values, None)
    return Folds(row_lse=(-y_rate[:, None] * squared,), column_lse=(-x_rate[:, None] * squared,))


def _squared(x: Array, y: Array, same: Array | None) -> Array:
    """Squared distances; 0, without a gradient, where a row meets itself."""
    middle = lax.stop_gradient(y.mean(0))
    a, b = x - middle, y - middle
    lengths = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :]
    products = jnp.matmul(a, b.T, precision=lax.Precision.HIGHEST)
    return without_cancellation(lengths - 2.0 * products, lengths, jnp.ones((1, 1), x.dtype), x, y, same)


def _divergence(p: Array, q: Array, mask: Array | None, count: Array, alone: bool, axis_name: str | None) -> Array:
    """Mean ("alone") or sum over the rows of (e^p - e^q)(p - q)."""
    terms = (jnp.exp(p) - jnp.exp(q)) * (p - q)
    if mask is not None:
        terms = jnp.where(mask, terms, jnp.zeros((), terms.dtype))
    total = global_sum(terms.sum(), axis_name)
    return total / jnp.maximum(count, 1) if alone else total
