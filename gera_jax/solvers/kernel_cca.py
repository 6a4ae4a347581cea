"""Kernel CCA: ridge CCA on the features of a Gaussian kernel, for relations that no linear map holds."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gera_jax.solvers.linear import SharedSpace, check_pairs, directions, even, from_mean, mean_row, unit_rows
from gera_jax.solvers.ridge_cca import RidgeCCA, regularization_rule
from gera_jax.solvers.settings import check_count, check_number

NULL_EIGENVALUE = 1e-10  # of the kernel between landmarks, relative to the largest: rounding below it


class KernelCCA(SharedSpace):
    """Ridge CCA on phi(x) = K(x, L) K(L, L)^-1/2, the Nystrom features of K(a, b) = exp(-(1 - cos(a, b)) / width).

    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, np.pi, 200); circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    >>> double = np.stack([np.cos(2 * angle), np.sin(2 * angle)], 1)  # no linear map leads there
    >>> score = KernelCCA().fit(circle[:100], double[:100]).similarity(circle[100:], double[100:])
    >>> bool(np.median(np.sum(score > np.diag(score)[:, None], axis=1)) < 2)  # of 100; ridge CCA: 8
    True

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
    """

    def __init__(
        self,
        width: float = 1.0,
        landmarks: int = 400,
        dim: int | None = None,
        regularization: float | Literal["auto"] = "auto",
        correlation_power: float = 1.0,
    ):
        check_number(width, "width", positive=True)
        check_count(landmarks, "landmarks", 2)
        RidgeCCA(dim, regularization, correlation_power)  # refuses what it would refuse later
        self.width, self.landmarks, self.dim = width, landmarks, dim
        self.regularization, self.correlation_power = regularization, correlation_power

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> KernelCCA:
        """Fit on pairs [p, dx], [p, dy]; unpaired rows x, y give landmarks and better means."""
        x_pairs, y_pairs, x, y = check_pairs(x_pairs, y_pairs, x, y)
        self.x_mean, self.y_mean = mean_row(x_pairs, x), mean_row(y_pairs, y)
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        x_known, y_known = directions(x_pairs, self.x_mean, "x_pairs"), directions(y_pairs, self.y_mean, "y_pairs")
        self.x_landmarks, self._x_root = self._landmarks(x_known, x, self.x_mean)
        self.y_landmarks, self._y_root = self._landmarks(y_known, y, self.y_mean)
        ridge = self.regularization
        if isinstance(ridge, str):
            ridge = min(1.0, regularization_rule(len(x_pairs)))
        # landmarks stand for the rows: they are all the unpaired rows that the means of the features need
        features = [
            self._features(rows, side % 2) for side, rows in enumerate((x_known, y_known, self.x_landmarks, self.y_landmarks))
        ]
        self.head = RidgeCCA(self.dim, ridge, self.correlation_power)._fit(*features)
        self.correlations = self.head.correlations
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space."""
        return self.head.transform_x(self._features(unit_rows(from_mean(self._checked(x, "x", 0), self.x_mean)), 0))

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the shared space."""
        return self.head.transform_y(self._features(unit_rows(from_mean(self._checked(y, "y", 1), self.y_mean)), 1))

    def _landmarks(self, known: np.ndarray, unpaired: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = known[even(len(known), self.landmarks)]
        rows = unpaired[even(len(unpaired), self.landmarks - len(chosen))]
        landmarks = np.concatenate([chosen, unit_rows(from_mean(rows, mean))])
        return landmarks, inverse_root(self._kernel(landmarks, landmarks), null=NULL_EIGENVALUE)

    def _features(self, units: np.ndarray, side: int) -> np.ndarray:
        landmarks, root = ((self.x_landmarks, self._x_root), (self.y_landmarks, self._y_root))[side]
        return self._kernel(units, landmarks) @ root

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(
            np.minimum(a @ b.T - 1, 0) / self.width
        )  # rounding puts cosines beyond 1, and a narrow kernel blows that up


def inverse_root(kernel: np.ndarray, *, null: float) -> np.ndarray:
    """[n, r] such that K(a, L) @ it are features with the kernel's products, for its r eigenvalues above `null` of the largest.

    >>> inverse_root(np.diag([4.0, 1.0, 0.0]), null=1e-10).round(6).tolist()
    [[0.0, 0.5], [1.0, 0.0], [0.0, 0.0]]
    """
    values, vectors = np.linalg.eigh(kernel)
    keep = values > null * values[-1]
    return vectors[:, keep] / np.sqrt(values[keep])
