"""CSA: canonical coordinates, compared with each direction weighted by how well the pairs agree in it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gera_jax.solvers.linear import SharedSpace, unit_rows
from gera_jax.solvers.ridge_cca import RidgeCCA


class CSA(SharedSpace):
    """sim(x, y) = sum_k rho_k u_k v_k / (|u| |v|), u and v the first s canonical coordinates and rho their correlations.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 5))
    >>> y = x @ np.diag([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> CSA(regularization=1e-6).fit(x, y).similarity(x, y).argmax(axis=1).tolist() == list(range(200))
    True

    The weights stand in the numerator alone: lengths are those of the plain coordinates, so a row that lies mostly along
    directions in which the pairs hardly agree scores low with everything. (`RidgeCCA` puts a power of rho into the coordinates,
    and so into the lengths too.)

    Args:
      dim: s, how many canonical coordinates; None = all that the pairs determine.
      regularization: >= 0, relative to trace(covariance) / d, or "auto" (`regularization_rule`). The original has none, and then
        needs more pairs than dimensions; 0 asks for that.

    Attributes after fit:
      x_weights [dx, s], y_weights [dy, s], correlations [s] in [0, 1] descending.

    Cost: that of `RidgeCCA`.

    Source: Li, Chinchali, Topcu, "CSA: Data-efficient Mapping of Unimodal Features to Multimodal Features" (ICLR 2025). Differs
    from the authors' code in the ridge.
    """

    x_weights: np.ndarray
    y_weights: np.ndarray
    correlations: np.ndarray

    def __init__(self, dim: int | None = None, regularization: float | Literal["auto"] = "auto"):
        self._canonical = RidgeCCA(dim, regularization, correlation_power=0.0)

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> CSA:
        """Fit on pairs [p, dx], [p, dy]; unpaired rows x, y only make the means better."""
        fitted = self._canonical.fit(x_pairs, y_pairs, x, y)
        self.x_weights, self.y_weights, self.correlations = fitted.x_weights, fitted.y_weights, fitted.correlations
        self._widths = (len(self.x_weights), len(self.y_weights))
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, s + 2]: coordinates times the root of the correlations, then what is missing to length 1, then 0.

        Neither of the last two meets anything but 0 on the other side, so products of rows are `similarity`.
        """
        return self._unit(self._canonical._heads(self._checked(x, "x", 0), 0), own=0)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, s + 2], as `transform_x` with the last two columns changed over."""
        return self._unit(self._canonical._heads(self._checked(y, "y", 1), 1), own=1)

    def _unit(self, coordinates: np.ndarray, *, own: int) -> np.ndarray:
        rows = unit_rows(coordinates) * np.sqrt(self.correlations)
        rest = np.zeros((len(rows), 2))
        rest[:, own] = np.sqrt(np.maximum(1 - np.sum(rows * rows, axis=1), 0))
        return np.concatenate([rows, rest], axis=1)
