"""Methods, a loss and a format as somebody outside of gera_jax would write them."""

from __future__ import annotations

import numpy as np


class LeastSquares:
    """Maps x onto y; scores are negative distances there. It has no shared space."""

    def __init__(self, ridge: float = 1e-3):
        self.ridge = ridge

    def fit(self, x_pairs, y_pairs):
        gram = x_pairs.T @ x_pairs + self.ridge * np.eye(x_pairs.shape[1])
        self.weights = np.linalg.solve(gram, x_pairs.T @ y_pairs)

    def similarity(self, x, y):
        return -np.linalg.norm((x @ self.weights)[:, None] - y[None], axis=2)


class Centred:
    """A rotation, with a shared space; it sees the unpaired rows."""

    def fit(self, x_pairs, y_pairs, x=None, y=None):
        self.seen = [len(x), len(y)]
        u, _, v = np.linalg.svd(x_pairs.T @ y_pairs, full_matrices=False)
        self.maps = [u, v.T]

    def transform_x(self, x):
        return x @ self.maps[0]

    def transform_y(self, y):
        return y @ self.maps[1]


def squared_distance(x, y, *, scale: float = 1.0):
    """A loss that knows nothing of masks, groups and devices."""
    return scale * ((x - y) ** 2).sum(-1).mean()
