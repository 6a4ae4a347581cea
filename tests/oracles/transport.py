"""Entropic transport as plain matrix scaling of exp(scores / epsilon)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tests.oracles.tools import kept


class Sinkhorn(NamedTuple):
    plan: np.ndarray  # 0 in masked rows and columns
    log_plan: np.ndarray  # -inf there
    row_error: float  # sum of |row sum - row mass|; the columns are scaled last and hold exactly


def _masses(mass, rows: list[int]) -> np.ndarray:
    if mass is None:
        return np.full(len(rows), 1.0 / len(rows))
    return np.array([float(mass[i]) for i in rows])


def sinkhorn(scores, *, epsilon, row_mass=None, column_mass=None, iterations=100, x_mask=None, y_mask=None) -> Sinkhorn:
    """Maximises <P, scores> + epsilon H(P): rows, then columns, `iterations` times; over what exists, masses 1 in all."""
    scores = np.asarray(scores, np.float64)
    rows, columns = kept(x_mask, scores.shape[0]), kept(y_mask, scores.shape[1])
    plan = np.zeros(scores.shape)
    if not rows or not columns:
        return Sinkhorn(plan, np.full(scores.shape, -np.inf), 0.0)
    a, b = _masses(row_mass, rows), _masses(column_mass, columns)
    top = max(scores[i, j] for i in rows for j in columns)  # a common factor, which the scaling takes out again
    p = np.array([[math.exp((scores[i, j] - top) / epsilon) for j in columns] for i in rows])
    for _ in range(iterations):
        for i in range(len(rows)):
            p[i] *= a[i] / sum(p[i])
        for j in range(len(columns)):
            p[:, j] *= b[j] / sum(p[:, j])
    for u, i in enumerate(rows):
        for v, j in enumerate(columns):
            plan[i, j] = p[u, v]
    error = sum(abs(sum(p[i]) - a[i]) for i in range(len(rows)))
    with np.errstate(divide="ignore"):
        return Sinkhorn(plan, np.log(plan), error)
