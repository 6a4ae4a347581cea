"""Rows of one side in the other side's own space: ridge regression on the training pairs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

STRENGTHS = 10.0 ** np.arange(-12, 5)  # of the ridge, in shares of the inputs' mean square; without end it gives the mean
MOST_PAIRS = 4_000  # that a map is estimated from, evenly spread
NEGLIGIBLE = 1e-12
ROUNDING = 1e-9  # of 1 - leverage, in float64


@dataclasses.dataclass(frozen=True)
class Predictor:
    """y = y_mean + (x - x_mean) W, by the ridge regression W = (X'X + g I)^-1 X'Y on the centred training pairs.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(50, 4)); y = 3 + x @ rng.normal(size=(4, 6))
    >>> bool(np.allclose(Predictor.fit(x, y)(x), y, atol=1e-6))
    True

    g minimises the squared error of the pairs that are left out one at a time, which has a closed form: (y - prediction) /
    (1 - leverage). Where no g is better than the mean of y, W is 0.

    The rows are raw ones, because the shared space was fitted on the same pairs: there they look easier than new rows are.
    """

    x_mean: np.ndarray
    y_mean: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, x: Any, y: Any) -> Predictor:
        """From training pairs x [p, dx] and y [p, dy], row by row."""
        index = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_PAIRS)).astype(int))
        x, y = (np.asarray(rows)[index].astype(np.float64) for rows in (x, y))
        return cls(x.mean(0), y.mean(0), _ridge(x, y)[1])

    def __call__(self, x: Any) -> np.ndarray:
        """[n, dy] for rows x [n, dx]."""
        return self.y_mean + (np.asarray(x, np.float64) - self.x_mean) @ self.weights


class Predictors:
    """The maps of x to y and of y to x, estimated from training pairs when they are first asked for."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self._pairs = x, y

    @functools.cached_property
    def maps(self) -> tuple[Predictor, Predictor]:
        """The map of each side's rows to the other side."""
        x, y = self._pairs
        return Predictor.fit(x, y), Predictor.fit(y, x)

    def to_arrays(self) -> dict[str, Any]:
        return dict(maps=self.maps)  # the pairs themselves are not kept

    @classmethod
    def from_arrays(cls, arrays: Any) -> Predictors:
        made = cls.__new__(cls)
        made.maps = arrays["maps"]
        return made

    def __reduce__(self) -> tuple:
        return Predictors.from_arrays, (self.to_arrays(),)


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Leave-one-out error of the best strength, and the weights [dx, dy] at it."""
    p = len(x)
    left, s, right = np.linalg.svd(x - x.mean(0), full_matrices=False)
    keep = s > NEGLIGIBLE * max(float(s[0]), np.finfo(float).tiny)
    left, s, right = left[:, keep], s[keep], right[keep]
    targets = y - y.mean(0)
    projected, squares = left.T @ targets, s**2
    best = float(((targets * p / (p - 1)) ** 2).sum()), np.zeros((x.shape[1], y.shape[1]))  # the mean of the others
    outside, rest = targets - left @ projected, 1 - 1 / p - (left**2).sum(1)
    fitted = rest < ROUNDING  # pairs that the inputs can meet exactly: what is left is rounding, which the division would blow up
    outside[fitted], rest[fitted] = 0, 0
    for strength in STRENGTHS * squares.sum() / p:
        lost = strength / (squares + strength)
        error = (outside + left @ (lost[:, None] * projected)) / (rest + (left**2) @ lost)[:, None]
        total = float((error**2).sum())
        if total < best[0]:
            best = total, right.T @ ((s / (squares + strength))[:, None] * projected)
    return best
