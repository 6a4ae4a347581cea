"""Rows of one side in the other side's own space: ridge regression, estimated from the training pairs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

STRENGTHS = 10.0 ** np.arange(-12, 2)  # of the ridge, in shares of the inputs' mean square
MOST_PAIRS = 4_000  # that a map is estimated from, evenly spread
NEGLIGIBLE = 1e-12
ROUNDING = 1e-9  # of 1 - leverage, in float64


@dataclasses.dataclass(frozen=True)
class Predictor:
    """y = y_mean + (u(x) - u_mean) W, with u(x) the row z of the shared space or the raw row x itself.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(50, 4)); y = 3 + x @ rng.normal(size=(4, 6))
    >>> z = x / np.linalg.norm(x, axis=1, keepdims=True)
    >>> found = Predictor.fit(z, x, y)
    >>> found.raw, bool(np.allclose(found(z, x), y, atol=1e-6))
    (True, True)

    W is the ridge regression W = (U'U + g I)^-1 U'Y on the centred training pairs. Which u is taken, and g, minimise the squared
    error of the pairs that are left out one at a time, which has a closed form: (y - prediction) / (1 - leverage). The row of the
    shared space has learned from unpaired rows too, but its length is 1: where the two sets are one affine map apart and the
    pairs determine it, the raw row is exact.

    Attributes:
      raw: whether u is the raw row.
    """

    raw: bool
    input_mean: np.ndarray
    output_mean: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, z: Any, x: Any, y: Any) -> Predictor:
        """From training pairs: rows z [p, r] of the shared space, x [p, dx] and y [p, dy], pair by pair."""
        index = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_PAIRS)).astype(int))
        z, x, y = (np.asarray(rows)[index].astype(np.float64) for rows in (z, x, y))
        found = [_ridge(z, y), _ridge(x, y)]
        raw = found[1][0] < found[0][0]
        return cls(bool(raw), *found[raw][1])

    def __call__(self, z: Any, x: Any) -> np.ndarray:
        """[n, dy] for rows z [n, r] of the shared space and raw rows x [n, dx]."""
        inputs = np.asarray(x if self.raw else z, np.float64)
        return self.output_mean + (inputs - self.input_mean) @ self.weights

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Any) -> Predictor:
        return cls(bool(arrays["raw"]), *(np.asarray(arrays[name]) for name in ("input_mean", "output_mean", "weights")))


def _ridge(u: np.ndarray, y: np.ndarray) -> tuple[float, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Leave-one-out error of the best strength, and means and weights at it."""
    p = len(u)
    u_mean, y_mean = u.mean(0), y.mean(0)
    left, s, right = np.linalg.svd(u - u_mean, full_matrices=False)
    keep = s > NEGLIGIBLE * max(float(s[0]), np.finfo(float).tiny)
    left, s, right = left[:, keep], s[keep], right[keep]
    targets = y - y_mean
    projected, squares = left.T @ targets, s**2
    scale = float(squares.sum()) / max(p, 1) if len(s) else 1.0
    best: tuple[float, np.ndarray] = (np.inf, np.zeros((u.shape[1], y.shape[1])))
    outside, rest = targets - left @ projected, 1 - 1 / p - (left**2).sum(1)
    fitted = rest < ROUNDING  # pairs that the inputs can meet exactly: what is left is rounding, which the division would blow up
    outside[fitted], rest[fitted] = 0, 0
    for strength in STRENGTHS * scale:
        lost = strength / (squares + strength)
        error = (outside + left @ (lost[:, None] * projected)) / (rest + (left**2) @ lost)[:, None]
        total = float((error**2).sum())
        if total < best[0]:
            best = (total, right.T @ ((s / (squares + strength))[:, None] * projected))
    return best[0], (u_mean, y_mean, best[1])
