"""Maximum mean discrepancy: are two sets of rows draws of one distribution?"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import check_sets, clean_rows, on_every_device
from gera_jax.losses.kernel_sums import Mixture, kernel_sum, kernel_sum_within
from gera_jax.ops.collectives import gather_rows, global_sum, row_offset
from gera_jax.ops.numerics import median_of_nonnegative, sanitize, scalar
from gera_jax.ops.symmetric import self_squared_distances

ESTIMATORS = ("biased", "unbiased")
BANDWIDTHS = ("mean", "median", "released")
RELEASED_VARIANCES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6)


def mmd(
    x: Array,
    y: Array,
    *,
    bandwidth: ArrayLike = 0.5**0.5,
    estimator: Literal["biased", "unbiased"] = "biased",
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k = exp(-d^2 / (2 bandwidth^2)): the squared distance of two kernel means.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> print(f"{mmd(a, b):.6f}, {mmd(a, a[::-1]):.6f}")
    0.164840, 0.000000

    The order of the rows means nothing and row i is no partner of row i. Gradients reach x and y.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, k] rows of one set.
      y: [m, k] rows of the other.
      bandwidth: a length, a positive scalar; it gets no gradient. The default is that of unit rows, k = exp(-d^2).
      estimator: "biased" takes the means over all pairs, "unbiased" leaves each row's pair with itself out of the first two.

    Returns:
      A scalar: in [0, 2] for "biased", about 1/n + 1/m for two draws of one distribution; 0 on average there for "unbiased",
      which can be below 0. 0 if a set is empty. O((n + m)^2 k) time, O((n + m) k) memory.

    Source: Gretton et al. 2012, JMLR 13; with this kernel in Gentle-CLIP, arXiv 2406.05766.
    """
    x, y = _prepare(x, y, estimator, x_mask, y_mask)
    width = lax.stop_gradient(scalar(bandwidth, x.dtype, "bandwidth", positive=True))
    sets = _Sets(x, y, x_mask, y_mask, axis_name)
    return sets.discrepancy(Mixture((1.0,), 1.0), sets.variance(width), estimator)


def mk_mmd(
    x: Array,
    y: Array,
    *,
    bandwidths: Literal["mean", "median", "released"] | Sequence[float] = "mean",
    multipliers: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    estimator: Literal["biased", "unbiased"] = "biased",
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """`mmd` with the mean of several Gaussian kernels, k = mean_u exp(-d^2 / (2 v_u)), so that no one scale must be right.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> print(f"{mk_mmd(a, b, bandwidths='released'):.5f}")
    3.07534
    >>> print(f"{mk_mmd(a, b, bandwidths=(0.5**0.5,)) - mmd(a, b):.6f}")
    0.000000

    Gradients reach x and y; variances are constants.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, k] rows of one set.
      y: [m, k] rows of the other.
      bandwidths: "mean": variances v_u = multiplier_u * mean of d^2 over all pairs of different rows, both sets together;
        "median": the median in its place; a sequence of lengths: v_u = length^2; "released": 19 variances from 1e-6 to 1e6 and
        the sum of the kernels, not their mean; its narrowest kernels are beyond float32 for rows nearer than about 1e-3 of
        their length, which count as equal.
      multipliers: of "mean" and "median". Powers of two cost one exponential for all.
      estimator: "biased" or "unbiased", as in `mmd`.

    Returns:
      A scalar, in [0, 2] for "biased" ([0, 38] for "released"); 0 if a set is empty or all rows are equal. O((n + m)^2 k) time,
      O((n + m) k) memory; O((n + m)^2) for "median".

    Source: Gretton et al. 2012, NeurIPS 25; Long et al. 2015, arXiv 1502.02791. Gentle-CLIP's paper names it; its released run
    uses the one kernel of `mmd`.
    """
    lengths = not isinstance(bandwidths, str)
    if not lengths:
        checks.require_known(bandwidths, BANDWIDTHS, "bandwidths")
    released = not lengths and bandwidths == "released"
    factors = RELEASED_VARIANCES if released else _positive(multipliers, "multipliers")
    if lengths:
        factors = tuple(length**2 for length in _positive(bandwidths, "bandwidths"))
    x, y = _prepare(x, y, estimator, x_mask, y_mask)
    sets = _Sets(x, y, x_mask, y_mask, axis_name)
    # Lengths are told apart by their ratio to the longest: their squares need not fit.
    longest = max(factors) ** 0.5 if lengths else 1.0
    scale = sets.scale(bandwidths) if bandwidths in ("mean", "median") else sets.variance(jnp.asarray(longest, x.dtype))
    equal = scale == 0  # all rows equal: every kernel is 1, whatever its width
    share = 1.0 if released else 1.0 / len(factors)
    mixture = Mixture(tuple(factor / longest**2 for factor in factors), share, drop_rounding=released)
    value = sets.discrepancy(mixture, jnp.where(equal, jnp.ones_like(scale), scale), estimator)
    value = jnp.where(equal, jnp.zeros_like(value), value)
    return on_every_device(value, axis_name)


class _Sets:
    """Two sets of rows; under `axis_name` this device's, to be met with those of all devices."""

    def __init__(self, x: Array, y: Array, x_mask: Array | None, y_mask: Array | None, axis_name: str | None):
        self.axis_name, masks = axis_name, (x_mask, y_mask)
        self.here = [jnp.ones(len(v), v.dtype) if m is None else m.astype(v.dtype) for v, m in zip((x, y), masks, strict=True)]
        self.counts = [global_sum(m.sum(), axis_name) for m in self.here]
        # In units of the largest entry squares neither overflow nor vanish, whatever the rows' unit was.
        largest = jnp.maximum(*(jnp.max(jnp.abs(lax.stop_gradient(v)), initial=0.0) for v in (x, y)))
        largest = largest if axis_name is None else lax.pmax(largest, axis_name)
        self.unit = jnp.where(largest == 0, jnp.ones_like(largest), largest)
        x, y = x / self.unit, y / self.unit
        # Both sets are moved alike, to the middle of all rows: the products below then lose the fewest digits.
        middle = global_sum(x.sum(0) + y.sum(0), axis_name) / jnp.maximum(self.counts[0] + self.counts[1], 1)
        self.rows = [sanitize(v - lax.stop_gradient(middle), m) for v, m in zip((x, y), masks, strict=True)]
        self.all_rows, self.everywhere = ([gather_rows(v, axis_name) for v in values] for values in (self.rows, self.here))

    def variance(self, length: Array) -> Array:
        """The square of a length in these units; one so short that only equal rows are near is as short as squares can be."""
        return jnp.maximum((length / self.unit) ** 2, jnp.asarray(float(jnp.finfo(length.dtype).tiny) ** 0.5, length.dtype))

    def discrepancy(self, mixture: Mixture, scale: Array, estimator: str) -> Array:
        """mean k(x, x') + mean k(y, y') - 2 mean k(x, y)."""
        n, m = self.counts
        value = jnp.zeros((), self.rows[0].dtype)
        for rows, all_rows, here, everywhere, count in zip(
            self.rows, self.all_rows, self.here, self.everywhere, self.counts, strict=True
        ):
            if self.axis_name is None:
                total = kernel_sum_within(mixture, rows, here, scale)
            else:
                first = row_offset(len(rows), self.axis_name)
                total = kernel_sum(mixture, True, rows, all_rows, here, everywhere, scale, first)
            total, couples = global_sum(total, self.axis_name), count * count
            if estimator == "unbiased":  # a row's pair with itself is k(0)
                total, couples = total - mixture.at_zero * count, count * (count - 1)
            value = value + jnp.where(couples > 0, total, jnp.zeros_like(total)) / jnp.maximum(couples, 1)
        (x, _), (_, y), (here, _), (_, everywhere) = self.rows, self.all_rows, self.here, self.everywhere
        total = kernel_sum(mixture, False, x, y, here, everywhere, scale, jnp.zeros((), jnp.int32))
        value = value - 2 * global_sum(total, self.axis_name) / jnp.maximum(n * m, 1)
        return jnp.where(n * m > 0, value, jnp.zeros_like(value))

    def scale(self, kind: str) -> Array:
        """Mean or median of d^2 over the pairs of different rows of both sets together, a constant; in units of `unit`."""
        if kind == "mean":
            # sum_ij |u_i - u_j|^2 = 2 N sum |u|^2 - 2 |sum u|^2 over all N rows: no matrix is needed.
            count = self.counts[0] + self.counts[1]
            squares = global_sum(sum((rows * rows).sum() for rows in self.rows), self.axis_name)
            total = global_sum(sum(rows.sum(0) for rows in self.rows), self.axis_name)
            mean = 2 * (count * squares - (total * total).sum()) / jnp.maximum(count * (count - 1), 1)
            return lax.stop_gradient(jnp.maximum(mean, 0))
        pool, exists = (lax.stop_gradient(jnp.concatenate(v)) for v in (self.all_rows, self.everywhere))
        keep = (exists[:, None] > 0) & (exists[None, :] > 0) & ~jnp.eye(len(pool), dtype=bool)
        return median_of_nonnegative(self_squared_distances(pool).ravel(), keep.ravel())


def _prepare(x, y, estimator, x_mask, y_mask) -> list[Array]:
    checks.require_known(estimator, ESTIMATORS, "estimator")
    check_sets(x, y, x_mask, y_mask)
    return clean_rows((x, y), (x_mask, y_mask))


def _positive(values: Sequence[float], name: str) -> tuple[float, ...]:
    fine = isinstance(values, list | tuple | np.ndarray) and len(values) > 0
    numbers_ = tuple(values) if fine else ()
    fine = fine and all(isinstance(v, numbers.Real) and math.isfinite(v) and v > 0 for v in numbers_)
    checks.require(fine, name, got=values, wanted="a sequence of positive finite numbers", remedy="Such as (0.5, 1.0, 2.0).")
    return tuple(float(v) for v in numbers_)
