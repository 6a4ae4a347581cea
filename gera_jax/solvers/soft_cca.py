"""Ridge CCA on a view's features in float32, with soft partners for rows that have none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gera_jax.solvers.auto.views import BLOCK
from gera_jax.solvers.linear import unit_rows

Array = np.ndarray


class Heads(NamedTuple):
    """Linear heads of a view: `apply(rows, side)` gives rows whose pool x pool scores have deviation 1."""

    weights: tuple[Array, Array]  # [fx, r], [fy, r]
    scale: float  # 1 / sqrt(deviation of pool x pool cosines)

    def apply(self, features: Array, side: int) -> Array:
        """[n, r] of features [n, f]: unit rows times `scale`."""
        return np.float32(self.scale) * unit_rows(features @ self.weights[side])


def fit_heads(
    x: Array, y: Array, p: int, ridge: float | tuple[float, float], soft: list[Array] | None = None, weight: float = 0.0
) -> Heads:
    """Ridge CCA weighted by its correlations on the first p rows, with soft partners of the others at `weight`.

    `ridge` is one number, or one for each side.
    """
    from scipy.linalg import solve_triangular

    ridges = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    xp, yp = x[:p] - x[:p].mean(axis=0), y[:p] - y[:p].mean(axis=0)
    sxx, syy, sxy = xp.T @ xp / p, yp.T @ yp / p, xp.T @ yp / p
    if soft is not None:
        pseudo = x[p:].T @ soft[0] + soft[1].T @ y[p:]
        length = np.linalg.norm(pseudo)
        pseudo *= np.linalg.norm(sxy) / (length if length > 0 else 1)
        sxx, syy = ((1 - weight) * s + weight * rows.T @ rows / len(rows) for s, rows in ((sxx, x), (syy, y)))
        sxy = (1 - weight) * sxy + weight * pseudo
    x_factor, y_factor = _factor(sxx, ridges[0]), _factor(syy, ridges[1])
    agreement = solve_triangular(y_factor, solve_triangular(x_factor, sxy, lower=True).T, lower=True).T
    u, rho, v = _singular(agreement.astype(np.float32))
    weights = tuple(
        solve_triangular(f, side * rho, lower=True, trans=1).astype(np.float32) for f, side in ((x_factor, u), (y_factor, v))
    )
    return scaled_heads(x, y, weights)


def scaled_heads(x: Array, y: Array, weights: tuple[Array, Array]) -> Heads:
    """Heads of weights [fx, r], [fy, r] with the scale that the pools' features x [n, fx], y [m, fy] give."""
    spread = deviation(unit_rows(x @ weights[0]), unit_rows(y @ weights[1]))
    return Heads(weights, 1 / np.sqrt(max(spread, 1e-6)))


def deviation(x: Array, y: Array) -> float:
    """Standard deviation of the entries of x y', by Gram matrices or by blocks of it, whichever is less work."""
    (n, width), m = x.shape, len(y)
    mean = float(x.mean(axis=0) @ y.mean(axis=0))
    if width * (n + m) < n * m:
        square = float(np.sum((x.T @ x) * (y.T @ y)))
    else:
        square = sum(float(np.vdot(scores, scores)) for scores in (x[i : i + BLOCK] @ y.T for i in range(0, n, BLOCK)))
    return float(np.sqrt(max(square / (n * m) - mean**2, 1e-12)))


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
