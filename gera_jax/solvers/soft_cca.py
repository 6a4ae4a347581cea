"""Ridge CCA on a view's features in float32, with soft partners for rows that have none."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.solvers.auto.search import BLOCK
from gera_jax.solvers.auto.views import blocks
from gera_jax.solvers.linear import even, unit_rows

Array = np.ndarray
SAMPLE = 4096  # rows from which the deviation of a score is estimated


class Heads(NamedTuple):
    """Linear heads of a view: `apply(rows, side)` gives rows whose pool x pool scores have deviation 1."""

    weights: tuple[Array, Array]  # [fx, r], [fy, r]
    scale: float  # 1 / sqrt(deviation of pool x pool cosines)

    @property
    def width(self) -> int:
        """r."""
        return self.weights[0].shape[1]

    def apply(self, features: Array, side: int) -> Array:
        """[n, r] of features [n, f]: unit rows times `scale`."""
        return np.float32(self.scale) * unit_rows(features @ self.weights[side])


class Moments(NamedTuple):
    """Sums over pairs of rows: their count, the rows, and their products. Sums of parts add up to those of the whole."""

    count: int
    x: Array  # [fx]
    y: Array
    xx: Array  # [fx, fx]
    yy: Array
    xy: Array  # [fx, fy]

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        return Moments(*(a + b for a, b in zip(self, other, strict=True)))

    def __sub__(self, other: Moments) -> Moments:
        """Those of the rows that `other` leaves."""
        return Moments(*(a - b for a, b in zip(self, other, strict=True)))

    def covariances(self) -> tuple[Array, Array, Array]:
        """Sxx, Syy and Sxy about the means."""
        x, y, n = self.x / np.float32(self.count), self.y / np.float32(self.count), np.float32(self.count)
        return self.xx / n - np.outer(x, x), self.yy / n - np.outer(y, y), self.xy / n - np.outer(x, y)


def moments(x: Any, y: Any, rows: Array) -> Moments:
    """Moments of the features x [n, fx] and y [m, fy] at the numbers `rows`, in blocks.

    The features are float32 of a mean that is small beside their deviation, so sums about zero lose no digits.

    >>> rows = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    >>> whole, first = moments(rows, rows, np.arange(9)), moments(rows, rows, np.arange(3))
    >>> bool(np.allclose((whole - first).covariances()[2], np.cov(rows[3:].T, bias=True), atol=1e-5))
    True
    """
    parts = ((x[rows[block]], y[rows[block]]) for block in blocks(len(rows)))
    return functools.reduce(
        Moments.__add__, (Moments(len(a), a.sum(axis=0), b.sum(axis=0), a.T @ a, b.T @ b, a.T @ b) for a, b in parts)
    )


class Ridge:
    """Learns the heads of one view: ridge CCA weighted by its correlations.

    Args:
      x: features [n, fx] of mean about 0, known pairs first: an array, or what gives rows by `x[...]` and is worked on in blocks.
      y: [m, fy].
      p: known pairs.
      ridge: one number, or one for each side.
    """

    def __init__(self, x: Any, y: Any, p: int, ridge: float | tuple[float, float]):
        self._x, self._y, self._p, self._ridge = x, y, p, ridge
        self._known: Moments | None = None

    def without(self, held: Sequence[Array]) -> list[Heads]:
        """Heads of scale 1 that have not seen the pairs of each part.

        The moments of a fit are those of all pairs less those of the part, so the features are read once for all parts.
        """
        own = [moments(self._x, self._y, part) for part in held]
        left = np.setdiff1d(np.arange(self._p), np.concatenate(held))
        self._known = functools.reduce(Moments.__add__, own + ([moments(self._x, self._y, left)] if len(left) else []))
        return [Heads(head_weights(*(self._known - part).covariances(), self._ridge), 1.0) for part in own]

    def fit(self, soft: tuple[Any, Any] | None = None, weight: float = 0.0) -> Heads:
        """Heads of all pairs, with soft partners of the other rows at `weight`.

        Args:
          soft: sparse weights [n - p, m] and [m - p, n]: the soft partner of each unpaired row is that mean of the other's rows.
          weight: of the soft pairs against the known ones.
        """
        x, y, p = self._x, self._y, self._p
        if self._known is None:
            self._known = moments(x, y, np.arange(p))
        sxx, syy, sxy = self._known.covariances()
        if soft is not None:
            pseudo = _soft_cross(x, y, p, soft[0]) + _soft_cross(y, x, p, soft[1]).T
            length = np.linalg.norm(pseudo)
            pseudo *= np.linalg.norm(sxy) / (length if length > 0 else 1)
            sxx, syy = ((1 - weight) * s + weight * _second_moment(rows) for s, rows in ((sxx, x), (syy, y)))
            sxy = (1 - weight) * sxy + weight * pseudo
        return scaled(Heads(head_weights(sxx, syy, sxy, self._ridge), 1.0), x, y)


def head_weights(sxx: Array, syy: Array, sxy: Array, ridge: float | tuple[float, float]) -> tuple[Array, Array]:
    """[fx, r], [fy, r] of ridge CCA, from covariances; directions are weighted by their correlations."""
    ridges = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    x_factor, y_factor = _factor(sxx, ridges[0]), _factor(syy, ridges[1])
    u, rho, v = _singular(_solved(y_factor, _solved(x_factor, sxy).T).T)
    return _solved(x_factor, u * rho, trans=1), _solved(y_factor, v * rho, trans=1)


def scaled(heads: Any, x: Any, y: Any) -> Any:
    """Heads of scale 1 with the scale that the pools' features x [n, fx], y [m, fy] give."""
    outputs = [heads.apply(rows[even(len(rows), SAMPLE)], side) for side, rows in enumerate((x, y))]
    return heads._replace(scale=unit_scale(*outputs))


def unit_scale(x: Array, y: Array) -> float:
    """Factor of both x and y that gives the entries of x y' a deviation of 1."""
    return 1 / np.sqrt(max(deviation(x, y), 1e-6))


def deviation(x: Array, y: Array) -> float:
    """Standard deviation of the entries of x y', by Gram matrices or by blocks of it, whichever is less work."""
    (n, width), m = x.shape, len(y)
    mean = float(x.mean(axis=0) @ y.mean(axis=0))
    if width * (n + m) < n * m:
        square = float(np.sum((x.T @ x) * (y.T @ y)))
    else:
        square = sum(float(np.vdot(scores, scores)) for scores in (x[i : i + BLOCK] @ y.T for i in range(0, n, BLOCK)))
    return float(np.sqrt(max(square / (n * m) - mean**2, 1e-12)))


def _second_moment(rows: Any) -> Array:
    """rows' rows / n."""
    parts = (rows[block] for block in blocks(len(rows)))
    return sum(part.T @ part for part in parts) / np.float32(len(rows))


def _soft_cross(x: Any, y: Any, p: int, weights: Any) -> Array:
    """x' (weights y) over the unpaired rows of x."""
    partners = y[:]  # all of them, because any may be a partner
    found = np.zeros((x.shape[1], y.shape[1]), np.float32)
    for block in blocks(len(x) - p):
        found += x[block.start + p : block.stop + p].T @ (weights[block] @ partners)
    return found


def _factor(covariance: Array, ridge: float) -> Array:
    """Lower L, factored in float64, with L L' = S + ridge trace(S) / d: whitens as the inverse root, up to a rotation."""
    wide = covariance.astype(np.float64)
    d = len(wide)
    wide[np.arange(d), np.arange(d)] += max(ridge, 1e-6) * np.trace(wide) / d
    return np.linalg.cholesky(wide).astype(np.float32)


def _solved(factor: Array, rows: Array, trans: int = 0) -> Array:
    """L^-1 rows or L'^-1 rows. Its error is that of float32 times the condition of L, the root of that of the covariance."""
    from scipy.linalg import solve_triangular

    return solve_triangular(factor, rows, lower=True, trans=trans, check_finite=False)


def _singular(matrix: Array) -> tuple[Array, Array, Array]:
    """u, s, v of all directions above 1 % of the first, by the smaller Gram matrix.

    Several times as fast as an SVD. Squaring loses the directions below sqrt(float32 epsilon): those weigh rho^2 < 1e-4 in
    a score.
    """
    from scipy.linalg import eigh

    wide = matrix.shape[0] <= matrix.shape[1]
    matrix = matrix if wide else matrix.T
    values, u = eigh(matrix @ matrix.T, driver="evd", check_finite=False)
    keep = values > 1e-4 * max(float(values[-1]), 1e-30)
    u, s = u[:, keep], np.sqrt(values[keep])
    v = matrix.T @ (u / s)
    return (u, s, v) if wide else (v, s, u)
