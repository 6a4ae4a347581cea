"""Maximum mean discrepancy: are two sets of rows draws of one distribution?"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import check_pair, compute_dtype, scalar
from gera_jax.losses.positives import check_mask
from gera_jax.ops import (
    gather_rows,
    global_sum,
    median_of_nonnegative,
    meets_itself,
    sanitize,
    self_squared_distances,
    squared_distances,
)

ESTIMATORS = ("biased", "unbiased")
BANDWIDTHS = ("mean", "median", "released")
RELEASED_VARIANCES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6)
MAX_SQUARINGS = 3  # of one kernel to the next: each doubles its relative rounding


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

    The order of the rows means nothing and row i is no partner of row i. Gradients reach x and y.

    Args:
      x: [n, k] rows of one set.
      y: [m, k] rows of the other.
      bandwidth: a length, a positive scalar; it gets no gradient. The default is that of unit rows, k = exp(-d^2).
      estimator: "biased" takes the means over all pairs, "unbiased" leaves each row's pair with itself out of the first two.
      x_mask: [n] bool, True = a real row.
      y_mask: [m] bool.
      axis_name: mapped axis over which the rows of both sets are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar, float32 (float64 for float64 inputs): in [0, 2] for "biased", about 1/n + 1/m for two draws of one
      distribution; 0 on average there for "unbiased", which can be below 0. 0 if a set is empty.
      O((n + m)^2 k) time, O((n + m)^2) memory.

    Raises:
      ValueError: for wrong ranks or widths, a bandwidth <= 0, an unknown estimator.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> print(f"{mmd(a, b):.6f}, {mmd(a, a[::-1]):.6f}")
    0.164840, 0.000000

    Source: Gretton et al. 2012, JMLR 13; with this kernel in Gentle-CLIP, arXiv 2406.05766.
    """
    x, y = _prepare(x, y, estimator, x_mask, y_mask)
    width = lax.stop_gradient(scalar(bandwidth, x.dtype, "bandwidth", positive=True))
    blocks = _Blocks(x, y, x_mask, y_mask, axis_name)
    return blocks.discrepancy(lambda squared: jnp.exp(squared * (-0.5 / width**2)), 1.0, estimator)


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

    Gradients reach x and y; variances are constants.

    Args:
      x: [n, k] rows of one set.
      y: [m, k] rows of the other.
      bandwidths: "mean": variances v_u = multiplier_u * mean of d^2 over all pairs of different rows, both sets together;
        "median": the median in its place; a sequence of lengths: v_u = length^2; "released": 19 variances from 1e-6 to 1e6 and
        the sum of the kernels, not their mean; its narrowest kernels are beyond float32 for rows nearer than about 1e-3 of the
        longest row's length, which count as equal.
      multipliers: of "mean" and "median". Powers of two cost one exponential for all.
      estimator: "biased" or "unbiased", as in `mmd`.
      x_mask: [n] bool, True = a real row.
      y_mask: [m] bool.
      axis_name: mapped axis over which the rows of both sets are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar, float32 (float64 for float64 inputs), in [0, 2] for "biased" ([0, 38] for "released"); 0 if a set is empty or all
      rows are equal. O((n + m)^2 k) time, O((n + m)^2) memory.

    Raises:
      ValueError: for wrong ranks or widths, an unknown word, no or non-positive lengths or multipliers.

    >>> import jax.numpy as jnp
    >>> a, b = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> print(f"{mk_mmd(a, b, bandwidths='released'):.5f}")
    3.07534
    >>> print(f"{mk_mmd(a, b, bandwidths=(0.5**0.5,)) - mmd(a, b):.6f}")
    0.000000

    Source: Gretton et al. 2012, NeurIPS 25; Long et al. 2015, arXiv 1502.02791. Gentle-CLIP's paper names it; its released run
    uses the one kernel of `mmd`.
    """
    released = bandwidths == "released" if isinstance(bandwidths, str) else False
    if isinstance(bandwidths, str):
        checks.require_known(bandwidths, BANDWIDTHS, "bandwidths")
    factors = RELEASED_VARIANCES if released else _positive(multipliers, "multipliers")
    if not isinstance(bandwidths, str):
        factors = tuple(length**2 for length in _positive(bandwidths, "bandwidths"))
    x, y = _prepare(x, y, estimator, x_mask, y_mask)
    blocks = _Blocks(x, y, x_mask, y_mask, axis_name)
    if released:
        blocks.drop_rounding()
    scale = blocks.scale(bandwidths) if bandwidths in ("mean", "median") else jnp.ones((), x.dtype)
    some = scale > 0  # all rows equal: every kernel is 1, whatever its width
    share = 1.0 if released else 1.0 / len(factors)
    kernel = gaussian_mixture(factors, jnp.where(some, scale, jnp.ones_like(scale)), share)
    value = blocks.discrepancy(kernel, share * len(factors), estimator)
    value = jnp.where(some, value, jnp.zeros_like(value))
    # Every device holds the whole loss. The mean leaves the value and makes `pmean` of the gradients right.
    return value if axis_name is None else lax.pmean(value, axis_name)


def gaussian_mixture(factors: Sequence[float], scale: Array, share: float) -> Callable[[Array], Array]:
    """d^2 -> share * sum_u exp(-d^2 / (2 factor_u scale)), with squarings in place of exponentials where factors allow it.

    The kernel of half the variance is the square of the kernel.
    """
    ordered = sorted(factors, reverse=True)

    def kernel(squared: Array) -> Array:
        total, last, current = None, 0.0, None
        for factor in ordered:
            steps = math.log2(last / factor) if last else -1.0
            if steps in range(MAX_SQUARINGS + 1):
                for _ in range(int(steps)):
                    current = current * current
            else:
                current = jnp.exp(squared * (-0.5 / (factor * scale)))
            last, total = factor, current if total is None else total + current
        return share * total

    return kernel


class _Blocks:
    """Squared distances within and between two sets; under `axis_name` of this device's rows with those of all devices."""

    def __init__(self, x: Array, y: Array, x_mask: Array | None, y_mask: Array | None, axis_name: str | None):
        self.axis_name, self.dtype = axis_name, x.dtype
        self.here = [None if m is None else m.astype(x.dtype) for m in (x_mask, y_mask)]  # weights 0 and 1 of the rows
        self.everywhere = [None if m is None else gather_rows(m, axis_name) for m in self.here]
        self.counts = [global_sum(jnp.full((), len(rows), x.dtype) if m is None else m.sum(), axis_name)
                       for rows, m in zip((x, y), self.here, strict=True)]  # fmt: skip
        # Both sets are moved alike, to the middle of all rows: the products below then lose the fewest digits.
        middle = global_sum(x.sum(0) + y.sum(0), axis_name) / jnp.maximum(self.counts[0] + self.counts[1], 1)
        x, y = (sanitize(v - lax.stop_gradient(middle), m) for v, m in ((x, x_mask), (y, y_mask)))
        self.rows = x, y
        if axis_name is None:
            within = [self_squared_distances(x), self_squared_distances(y)]
            between = squared_distances(x, y)
        else:
            within = [_without_own(squared_distances(v, gather_rows(v, axis_name)), axis_name) for v in (x, y)]
            between = squared_distances(x, gather_rows(y, axis_name))
        self.within, self.between = within, between

    def drop_rounding(self) -> None:
        """Squared distances that products in this precision cannot tell from 0 are 0; the narrowest kernels would see them."""
        longest = lax.stop_gradient(jnp.maximum(*(jnp.max((v * v).sum(1), initial=0.0) for v in self.rows)))
        if self.axis_name is not None:
            longest = lax.pmax(longest, self.axis_name)
        least = 8 * jnp.finfo(self.dtype).eps * longest
        self.within = [jnp.where(d > least, d, jnp.zeros_like(d)) for d in self.within]
        self.between = jnp.where(self.between > least, self.between, jnp.zeros_like(self.between))

    def _sum(self, values: Array, row: int, column: int) -> Array:
        """Sum over the pairs of real rows, of all devices."""
        total = values.sum(1) if self.everywhere[column] is None else values @ self.everywhere[column]
        total = total.sum() if self.here[row] is None else (total * self.here[row]).sum()
        return global_sum(total, self.axis_name)

    def discrepancy(self, kernel: Callable[[Array], Array], at_zero: float, estimator: str) -> Array:
        """mean k(x, x') + mean k(y, y') - 2 mean k(x, y); `at_zero` is k(0), what a row has with itself."""
        n, m = self.counts
        value = jnp.zeros((), self.dtype)
        for side, count in enumerate((n, m)):
            total, pairs = self._sum(kernel(self.within[side]), side, side), count * count
            if estimator == "unbiased":
                total, pairs = total - at_zero * count, count * (count - 1)
            value = value + jnp.where(pairs > 0, total, jnp.zeros_like(total)) / jnp.maximum(pairs, 1)
        pairs = n * m
        value = value - 2 * self._sum(kernel(self.between), 0, 1) / jnp.maximum(pairs, 1)
        return jnp.where(pairs > 0, value, jnp.zeros_like(value))

    def scale(self, kind: str) -> Array:
        """Mean or median of d^2 over the pairs of different rows of both sets together, a constant."""
        n, m = self.counts
        if kind == "mean":
            # sum_ij |u_i - u_j|^2 = 2 N sum |u|^2 - 2 |sum u|^2 over all N rows: no matrix is needed.
            squares = global_sum(sum((rows * rows).sum() for rows in self.rows), self.axis_name)
            total = global_sum(sum(rows.sum(0) for rows in self.rows), self.axis_name)
            mean = 2 * ((n + m) * squares - (total * total).sum()) / jnp.maximum((n + m) * (n + m - 1), 1)
            return lax.stop_gradient(jnp.maximum(mean, 0))
        values, keep = [], []
        for squared, row, column in ((self.within[0], 0, 0), (self.within[1], 1, 1), (self.between, 0, 1)):
            inside = jnp.ones(squared.shape, bool) if row != column else ~meets_itself(squared.shape, self.axis_name)
            for mask, axis in ((self.here[row], 1), (self.everywhere[column], 0)):
                inside = inside if mask is None else inside & jnp.expand_dims(mask > 0, axis)
            # A pair within a set is met from both of its sides, so a pair of two sets has to count twice.
            for _ in range(1 if row == column else 2):
                values.append(squared.ravel())
                keep.append(inside.ravel())
        gathered = [gather_rows(jnp.concatenate(v), self.axis_name) for v in (values, keep)]
        return lax.stop_gradient(median_of_nonnegative(*gathered))


def _without_own(squared: Array, axis_name: str | None) -> Array:
    """0 where a row meets itself: rounding there would be a distance to the narrowest kernels."""
    return jnp.where(meets_itself(squared.shape, axis_name), jnp.zeros((), squared.dtype), squared)


def _prepare(x, y, estimator, x_mask, y_mask) -> tuple[Array, Array]:
    checks.require_known(estimator, ESTIMATORS, "estimator")
    check_pair(x, y, paired=False)
    check_mask(x_mask, (len(x),), "x_mask")
    check_mask(y_mask, (len(y),), "y_mask")
    x, y = jnp.asarray(x), jnp.asarray(y)
    dtype = compute_dtype(x, y)
    return sanitize(x.astype(dtype), x_mask), sanitize(y.astype(dtype), y_mask)


def _positive(values: Sequence[float], name: str) -> tuple[float, ...]:
    fine = isinstance(values, list | tuple | np.ndarray) and len(values) > 0
    numbers_ = tuple(values) if fine else ()
    fine = fine and all(isinstance(v, numbers.Real) and math.isfinite(v) and v > 0 for v in numbers_)
    checks.require(fine, name, got=values, wanted="a sequence of positive finite numbers", remedy="Such as (0.5, 1.0, 2.0).")
    return tuple(float(v) for v in numbers_)
