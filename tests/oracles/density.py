"""Semantic density divergence and MMD as loops over pairs of points (gentle_clip.md B.2, parts 3 and 4)."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import kept, logsumexp, mean, median, squared_distance

RELEASED_VARIANCES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 100.0, 1e3, 1e4, 1e5, 1e6)


def _points(rows, mask) -> np.ndarray:
    return np.array([rows[i] for i in kept(mask, len(rows))], np.float64).reshape(-1, np.shape(rows)[1])


def total_variance(points) -> float:
    """Sum over columns of the variance with n - 1."""
    n = len(points)
    total = 0.0
    for column in np.asarray(points, np.float64).T:
        centre = sum(column) / n
        total += sum((v - centre) ** 2 for v in column) / (n - 1)
    return total


def spread(points) -> float:
    """Squared diagonal of the bounding box."""
    return sum((max(column) - min(column)) ** 2 for column in np.asarray(points, np.float64).T)


def log_density(at, points, *, bandwidth: float, variance: float, left_out: int | None = None, released: bool = True) -> float:
    """log of c_h times the sum over points (released), or of the plain mean without the point left out."""
    exponents = [-squared_distance(at, p) / (4 * bandwidth**2 * variance) for j, p in enumerate(points) if j != left_out]
    if released:
        return math.log(3 / (16 * 2 * math.pi * bandwidth**2)) + logsumexp(exponents)
    return logsumexp(exponents) - math.log(len(exponents))


def divergence(a, b, *, form: str, bandwidth: float) -> float:
    """J(A, B) at the points of A: the sum (released) or mean of (p - q)(log p - log q)."""
    released = form == "released"
    shared = dict(bandwidth=bandwidth, released=released)
    terms = []
    for i, point in enumerate(a):
        p = log_density(point, a, variance=total_variance(a), left_out=None if released else i, **shared)
        q = log_density(point, b, variance=total_variance(b), **shared)
        terms.append((math.exp(p) - math.exp(q)) * (p - q))
    return sum(terms) if released else mean(terms)


def semantic_density(x, y, *, form="leave_one_out", bandwidth=0.5, x_mask=None, y_mask=None):
    """(J(A, B) + J(B, A)) (1 / R_A + 1 / R_B). Undefined, here 0, for a set of fewer than two points or of equal points."""
    a, b = _points(x, x_mask), _points(y, y_mask)
    if min(len(a), len(b)) < 2 or min(spread(a), spread(b)) == 0:
        return 0.0
    both = divergence(a, b, form=form, bandwidth=bandwidth) + divergence(b, a, form=form, bandwidth=bandwidth)
    return both * (1 / spread(a) + 1 / spread(b))


def _discrepancy(a, b, kernel, estimator: str) -> float:
    """mean K(A, A) + mean K(B, B) - 2 mean K(A, B); "unbiased" leaves the diagonals out."""
    skip = estimator == "unbiased"

    def within(points):
        return mean(kernel(u, v) for i, u in enumerate(points) for j, v in enumerate(points) if not (skip and i == j))

    return within(a) + within(b) - 2 * mean(kernel(u, v) for u in a for v in b)


def mmd(x, y, *, bandwidth=0.5**0.5, estimator="biased", x_mask=None, y_mask=None):
    """Kernel exp(-d^2 / (2 bandwidth^2)). 0 where a set has nothing in it."""
    a, b = _points(x, x_mask), _points(y, y_mask)
    if not len(a) or not len(b):
        return 0.0
    return _discrepancy(a, b, lambda u, v: math.exp(-squared_distance(u, v) / (2 * bandwidth**2)), estimator)


def pooled_scale(x, y, *, bandwidths="mean", x_mask=None, y_mask=None) -> float:
    """Mean or median of the squared distances over pairs of different rows of both sets together."""
    pool = [*_points(x, x_mask), *_points(y, y_mask)]
    values = [squared_distance(pool[i], pool[j]) for i in range(len(pool)) for j in range(i)]
    return (mean if bandwidths == "mean" else median)(values) if values else 0.0


def mk_mmd(
    x,
    y,
    *,
    bandwidths="mean",
    multipliers=(0.25, 0.5, 1.0, 2.0, 4.0),
    estimator="biased",
    x_mask=None,
    y_mask=None,
    scale=None,
):
    """The mean over kernels exp(-d^2 / (2 v)), v = multiplier * scale or length^2; "released": the sum over the 19 variances.

    `scale` holds the pooled scale still: it is a constant in the gradient.
    """
    a, b = _points(x, x_mask), _points(y, y_mask)
    if not len(a) or not len(b):
        return 0.0
    released = bandwidths == "released"
    if released:
        variances = RELEASED_VARIANCES
    elif isinstance(bandwidths, str):
        if scale is None:
            scale = pooled_scale(x, y, bandwidths=bandwidths, x_mask=x_mask, y_mask=y_mask)
        if scale == 0:
            return 0.0  # all rows are equal
        variances = tuple(m * scale for m in multipliers)
    else:
        variances = tuple(length**2 for length in bandwidths)
    values = [_discrepancy(a, b, lambda u, v, s=s: math.exp(-squared_distance(u, v) / (2 * s)), estimator) for s in variances]
    return sum(values) if released else mean(values)
