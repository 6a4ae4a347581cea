"""Ridge CCA on a view's features in float32, with soft partners for rows that have none."""

from __future__ import annotations

import functools
from collections.abc import Iterable
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

    def apply(self, features: Array, side: int) -> Array:
        """[n, r] of features [n, f]: unit rows times `scale`."""
        return np.float32(self.scale) * unit_rows(features @ self.weights[side])


def fit_heads(
    x: Any, y: Any, p: int, ridge: float | tuple[float, float], soft: tuple[Any, Any] | None = None, weight: float = 0.0
) -> Heads:
    """Ridge CCA weighted by its correlations on the first p rows, with soft partners of the others at `weight`.

    Args:
      x: features [n, fx] of mean about 0: an array, or what gives rows by `x[...]`, which are then worked on in blocks.
      y: [m, fy].
      p: known pairs: row i of x belongs to row i of y.
      ridge: one number, or one for each side.
      soft: sparse weights [n - p, m] and [m - p, n]: the soft partner of each unpaired row is that mean of the other's rows.
      weight: of the soft pairs against the known ones.
    """
    from scipy.linalg import solve_triangular

    ridges = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    x_mean, y_mean = (sum(rows[block].sum(axis=0) for block in blocks(p)) / np.float32(p) for rows in (x, y))
    sxx, syy, sxy = (s / p for s in _moments((x[block] - x_mean, y[block] - y_mean) for block in blocks(p)))
    if soft is not None:
        pseudo = _soft_cross(x, y, p, soft[0]) + _soft_cross(y, x, p, soft[1]).T
        length = np.linalg.norm(pseudo)
        pseudo *= np.linalg.norm(sxy) / (length if length > 0 else 1)
        sxx, syy = ((1 - weight) * s + weight * _second_moment(rows) for s, rows in ((sxx, x), (syy, y)))
        sxy = (1 - weight) * sxy + weight * pseudo
    x_factor, y_factor = _factor(sxx, ridges[0]), _factor(syy, ridges[1])
    agreement = solve_triangular(y_factor, solve_triangular(x_factor, sxy, lower=True).T, lower=True).T
    u, rho, v = _singular(agreement.astype(np.float32))
    weights = tuple(
        solve_triangular(f, side * rho, lower=True, trans=1).astype(np.float32) for f, side in ((x_factor, u), (y_factor, v))
    )
    return scaled_heads(x, y, weights)


def scaled_heads(x: Any, y: Any, weights: tuple[Array, Array]) -> Heads:
    """Heads of weights [fx, r], [fy, r] with the scale that the pools' features x [n, fx], y [m, fy] give."""
    outputs = [unit_rows(rows[even(len(rows), SAMPLE)] @ own) for rows, own in zip((x, y), weights, strict=True)]
    return Heads(weights, 1 / np.sqrt(max(deviation(*outputs), 1e-6)))


def deviation(x: Array, y: Array) -> float:
    """Standard deviation of the entries of x y', by Gram matrices or by blocks of it, whichever is less work."""
    (n, width), m = x.shape, len(y)
    mean = float(x.mean(axis=0) @ y.mean(axis=0))
    if width * (n + m) < n * m:
        square = float(np.sum((x.T @ x) * (y.T @ y)))
    else:
        square = sum(float(np.vdot(scores, scores)) for scores in (x[i : i + BLOCK] @ y.T for i in range(0, n, BLOCK)))
    return float(np.sqrt(max(square / (n * m) - mean**2, 1e-12)))


def _moments(parts: Iterable[tuple[Array, Array]]) -> tuple[Array, Array, Array]:
    """Sums of x'x, y'y and x'y over the parts."""
    return functools.reduce(lambda s, t: (s[0] + t[0], s[1] + t[1], s[2] + t[2]), ((a.T @ a, b.T @ b, a.T @ b) for a, b in parts))


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
    """Lower L in float64 with L L' = S + ridge trace(S) / d: whitens as the inverse root, up to a rotation, but is cheaper."""
    wide = covariance.astype(np.float64)
    d = len(wide)
    wide[np.arange(d), np.arange(d)] += max(ridge, 1e-6) * np.trace(wide) / d
    return np.linalg.cholesky(wide)


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
