"""Ridge CCA on a view's features in float32, with soft partners for rows that have none."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gera_jax.baselines.linear import unit_rows

Array = np.ndarray


class Heads(NamedTuple):
    """Linear heads of a view: `apply(rows, side)` gives rows whose pool x pool scores have deviation 1."""

    weights: tuple[Array, Array]  # [fx, r], [fy, r]
    scale: float  # 1 / sqrt(deviation of pool x pool cosines)

    def apply(self, features: Array, side: int) -> Array:
        """[n, r] of features [n, f]: unit rows times `scale`."""
        return np.float32(self.scale) * unit_rows(features @ self.weights[side])


def fit_heads(x: Array, y: Array, p: int, ridge: float, rank: int, soft: list[Array] | None = None, weight: float = 0.0) -> Heads:
    """Ridge CCA weighted by its correlations on the first p rows, with soft partners of the others at `weight`."""
    xp, yp = x[:p] - x[:p].mean(axis=0), y[:p] - y[:p].mean(axis=0)
    sxx, syy, sxy = xp.T @ xp / p, yp.T @ yp / p, xp.T @ yp / p
    if soft is not None:
        pseudo = x[p:].T @ soft[0] + soft[1].T @ y[p:]
        length = np.linalg.norm(pseudo)
        pseudo *= np.linalg.norm(sxy) / (length if length > 0 else 1)
        sxx, syy = ((1 - weight) * s + weight * rows.T @ rows / len(rows) for s, rows in ((sxx, x), (syy, y)))
        sxy = (1 - weight) * sxy + weight * pseudo
    x_root, y_root = _inverse_root(sxx, ridge), _inverse_root(syy, ridge)
    u, rho, v = _singular(x_root @ sxy @ y_root, rank)
    weights = (x_root @ (u * rho), y_root @ (v * rho))
    spread = deviation(unit_rows(x @ weights[0]), unit_rows(y @ weights[1]))
    return Heads(weights, 1 / np.sqrt(max(spread, 1e-6)))


def deviation(x: Array, y: Array) -> float:
    """Standard deviation of the entries of x y', without the n x m matrix."""
    mean = float(x.mean(axis=0) @ y.mean(axis=0))
    second = float(np.sum((x.T @ x) * (y.T @ y))) / (len(x) * len(y))
    return float(np.sqrt(max(second - mean**2, 1e-12)))


def _inverse_root(covariance: Array, ridge: float) -> Array:
    """(S + ridge trace(S) / d)^-1/2."""
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    floor = max(ridge, 1e-6) * values.sum() / len(values)
    return (vectors / np.sqrt(values + floor)) @ vectors.T


def _singular(matrix: Array, rank: int) -> tuple[Array, Array, Array]:
    """u, s, v of the `rank` largest directions above 1 % of the first: by the smaller Gram matrix.

    Several times as fast as an SVD. Squaring loses the directions below sqrt(float32 epsilon): those weigh rho^2 < 1e-4 in
    a score.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    matrix = matrix if wide else matrix.T
    values, u = np.linalg.eigh(matrix @ matrix.T)
    values, u = values[::-1][:rank], u[:, ::-1][:, :rank]
    keep = values > 1e-4 * max(float(values[0]), 1e-30)
    u, s = u[:, keep], np.sqrt(values[keep])
    v = matrix.T @ (u / s)
    return (u, s, v) if wide else (v, s, u)
