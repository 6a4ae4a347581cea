"""Kernel CCA: ridge CCA on the features of a Gaussian kernel, for relations that no linear map holds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gera_jax.baselines.linear import SharedSpace, check_pairs, check_rows, mean_row, unit_rows
from gera_jax.baselines.ridge_cca import RidgeCCA, regularization_rule
from gera_jax.checks import require

NULL_EIGENVALUE = 1e-10  # of the kernel between landmarks, relative to the largest: rounding below it


class KernelCCA(SharedSpace):
    """Ridge CCA on phi(x) = K(x, L) K(L, L)^-1/2, the Nystrom features of K(a, b) = exp(-(1 - cos(a, b)) / width).

    Landmarks L are the pairs first and then unpaired rows, evenly over their order, so that rows without a partner say
    where the data lie. With all pairs as landmarks and no others the result is exact kernel CCA.

    Args:
      width: > 0, in units of 1 - cosine: how far a kernel reaches. Large widths give back the linear method.
      landmarks: at most this many on each side.
      dim: width of the shared space; None = all. At most p - 1.
      regularization: >= 0, relative to the mean variance of a feature (as in `RidgeCCA`), or "auto" =
        min(1, `regularization_rule(p)`).
      correlation_power: weight of a direction by its canonical correlation.

    Attributes after fit: x_landmarks [l, dx], y_landmarks [m, dy], correlations [r].

    Cost: O((n + p) l d + l^3) with l landmarks; stores the landmarks.

    Source: Bach and Jordan, "Kernel independent component analysis" (JMLR 2002); Williams and Seeger,
    "Using the Nystrom method to speed up kernel machines" (NeurIPS 2000).

    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, np.pi, 200); circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    >>> double = np.stack([np.cos(2 * angle), np.sin(2 * angle)], 1)  # no linear map leads there
    >>> score = KernelCCA().fit(circle[:100], double[:100]).similarity(circle[100:], double[100:])
    >>> bool(np.median(np.sum(score > np.diag(score)[:, None], axis=1)) < 2)  # of 100; ridge CCA: 8
    True
    """

    def __init__(
        self,
        width: float = 1.0,
        landmarks: int = 400,
        dim: int | None = None,
        regularization: float | Literal["auto"] = "auto",
        correlation_power: float = 1.0,
    ):
        require(width > 0, "width", got=width, wanted="a number > 0")
        require(landmarks >= 2, "landmarks", got=landmarks, wanted="at least 2")
        RidgeCCA(dim, regularization, correlation_power)  # refuses what it would refuse later
        self.width, self.landmarks, self.dim = width, landmarks, dim
        self.regularization, self.correlation_power = regularization, correlation_power

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> KernelCCA:
        """Fit on pairs [p, dx], [p, dy]; unpaired rows x, y give landmarks and better means.

        Raises:
          InputError: row counts differ, fewer than 2 pairs, NaN, or a side whose rows are all equal.
        """
        x_pairs, y_pairs = check_pairs(x_pairs, y_pairs)
        self.x_mean, self.y_mean = mean_row(x_pairs, x, "x"), mean_row(y_pairs, y, "y")
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        self.x_landmarks, self._x_root = self._landmarks(x_pairs, x, self.x_mean, "x")
        self.y_landmarks, self._y_root = self._landmarks(y_pairs, y, self.y_mean, "y")
        ridge = self.regularization
        if isinstance(ridge, str):
            ridge = min(1.0, regularization_rule(len(x_pairs)))
        features = [self._features(x_pairs, 0), self._features(y_pairs, 1)]
        # landmarks stand for the rows: they are all the unpaired rows that the means of the features need
        pool = [
            self._features(rows + mean, side)
            for side, (rows, mean) in enumerate(((self.x_landmarks, self.x_mean), (self.y_landmarks, self.y_mean)))
        ]
        self.head = RidgeCCA(self.dim, ridge, self.correlation_power).fit(*features, *pool)
        self.correlations = self.head.correlations
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space."""
        return self.head.transform_x(self._features(self._checked(x, "x", 0), 0))

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the shared space."""
        return self.head.transform_y(self._features(self._checked(y, "y", 1), 1))

    def _landmarks(self, pairs: np.ndarray, unpaired: Any, mean: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
        chosen = pairs[_even(len(pairs), self.landmarks)]
        if unpaired is not None and len(unpaired) and len(chosen) < self.landmarks:
            rows = np.asarray(unpaired)[_even(len(unpaired), self.landmarks - len(chosen))]
            chosen = np.concatenate([chosen, check_rows(rows, name, width=pairs.shape[1])])
        landmarks = unit_rows(chosen - mean)
        require(bool(np.any(chosen != chosen[:1])), f"{name}_pairs", got="rows that are all equal", wanted="rows that differ",
                remedy="Are the right array and the right rows given?")  # fmt: skip
        values, vectors = np.linalg.eigh(self._kernel(landmarks, landmarks))
        keep = values > NULL_EIGENVALUE * values[-1]
        return landmarks, vectors[:, keep] / np.sqrt(values[keep])

    def _features(self, rows: np.ndarray, side: int) -> np.ndarray:
        mean, landmarks, root = ((self.x_mean, self.x_landmarks, self._x_root), (self.y_mean, self.y_landmarks, self._y_root))[
            side
        ]
        return self._kernel(unit_rows(rows - mean), landmarks) @ root

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp((a @ b.T - 1) / self.width)


def _even(n: int, count: int) -> np.ndarray:
    """At most `count` of n row numbers, spread evenly."""
    return np.arange(n) if n <= count else np.linspace(0, n - 1, count).astype(np.int64)
