"""Ridge CCA: whiten both modalities, keep the directions in which the pairs agree."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gera_jax.checks import require
from gera_jax.solvers.linear import ROWS, LinearHeads, centred, checked_pairs, from_mean, mean_row, thin_svd
from gera_jax.solvers.settings import check_auto, check_dim, check_number

NULL_VARIANCE = 1e-12  # directions with less than this share of the largest variance are rounding


def regularization_rule(pairs: int) -> float:
    """Ridge for a number of pairs, relative to trace(covariance) / d: 3 min(1, (100 / p)^0.7).

    >>> regularization_rule(50), round(regularization_rule(1000), 3)
    (3.0, 0.599)
    """
    return 3.0 * min(1.0, (100.0 / pairs) ** 0.7)


class RidgeCCA(LinearHeads):
    """Canonical correlation analysis with a ridge, the strongest linear closed form for few pairs.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(200, 5))
    >>> model = RidgeCCA(regularization=1e-6).fit(x, x @ np.diag([1.0, 2, 3, 4, 5]))
    >>> model.correlations.round(4).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]

    With means over pairs Sxx, Syy, Sxy and g = regularization * trace(S) / d on each side,
    (Sxx + gI)^-1/2 Sxy (Syy + gI)^-1/2 = U diag(rho) V', A = (Sxx + gI)^-1/2 U_r, B likewise with V_r:
    x_weights = A diag(rho)^correlation_power, y_weights = B diag(rho)^correlation_power.

    Args:
      dim: width r; None = all. Always r <= min(p - 1, dx, dy) and the rank of the cross-covariance.
      regularization: >= 0, relative to trace(covariance) / d, so that neither the scale nor p changes its
        meaning; or "auto" = `regularization_rule(p)`, one rule for all data, which needs no validation set.
      correlation_power: >= 0, weight of a direction by its canonical correlation: 1 as in CSA, 0 = plain CCA.

    Attributes after fit:
      x_weights [dx, r], y_weights [dy, r], x_offset [r], y_offset [r], correlations [r] in [0, 1] descending
      (shrunk by the ridge), regularization_used (the relative number).

    Cost: O(p d min(p, d)) in float64; no d x d matrix is decomposed where p <= d. Above, the rows are read in blocks, from where
    they lie: 80,000 pairs 1024 and 768 wide take 8 CPU seconds and 0.2 GiB (`benchmarks.fits`).

    Source: Vinod, "Canonical ridge" (J. Econometrics 1976); weighting by rho: CSA, Li et al. (ICLR 2025).
    """

    correlations: np.ndarray
    regularization_used: float

    def __init__(self, dim: int | None = None, regularization: float | Literal["auto"] = "auto", correlation_power: float = 1.0):
        check_dim(dim)
        check_auto(regularization, "regularization")
        check_number(correlation_power, "correlation_power")
        self.dim, self.regularization, self.correlation_power = dim, regularization, correlation_power

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> RidgeCCA:
        """Fit on pairs [p, dx], [p, dy]; unpaired rows x, y only make the means better.

        Raises:
          InputError: two sides that do not vary together.
        """
        return self._fit(*checked_pairs(x_pairs, y_pairs, x, y))

    def _fit(self, x_pairs: np.ndarray, y_pairs: np.ndarray, x: np.ndarray, y: np.ndarray) -> RidgeCCA:
        """`fit` on rows of our own making, which are no rows to warn a caller of."""
        p = len(x_pairs)
        x_mean, y_mean = mean_row(x_pairs, x), mean_row(y_pairs, y)
        ridge = regularization_rule(p) if isinstance(self.regularization, str) else float(self.regularization)
        # covariances about the means of the pairs: with unpaired rows given, only the offsets move
        if p > max(x_pairs.shape[1], y_pairs.shape[1]):
            sxx, syy, sxy = covariances(x_pairs, y_pairs)
            x_whitener, y_whitener = _root(*np.linalg.eigh(sxx), ridge, "x_pairs"), _root(*np.linalg.eigh(syy), ridge, "y_pairs")
            agreement = x_whitener.T @ sxy @ y_whitener
        else:
            x_rows, y_rows = centred(x_pairs), centred(y_pairs)
            x_whitener, y_whitener = whitener(x_rows, ridge, "x_pairs"), whitener(y_rows, ridge, "y_pairs")
            agreement = (x_rows @ x_whitener).T @ (y_rows @ y_whitener) / p
        u, rho, vt = thin_svd(agreement)
        r = min(p - 1, len(rho), len(rho) if self.dim is None else self.dim)
        r = min(r, int(np.sum(rho > NULL_VARIANCE)))
        wanted, remedy = "at least one common direction", "Is row i of x_pairs the partner of row i of y_pairs?"
        require(r >= 1, "x_pairs", got="pairs whose two sides do not vary together", wanted=wanted, remedy=remedy)
        weight = rho[:r] ** self.correlation_power
        self.correlations, self.regularization_used = rho[:r], ridge
        self._set_heads(x_whitener @ (u[:, :r] * weight), y_whitener @ (vt[:r].T * weight), x_mean, y_mean)
        return self


def covariances(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sxx [dx, dx], Syy [dy, dy] and Sxy [dx, dy] of rows [p, dx] and [p, dy], in float64, block by block.

    >>> x = np.random.default_rng(0).normal(size=(9, 2))
    >>> bool(np.allclose(covariances(x, 2 * x)[2], 2 * np.cov(x.T, bias=True)))
    True
    """
    x_mean, y_mean = mean_row(x), mean_row(y)
    xx, yy, xy = (np.zeros((a.shape[1], b.shape[1])) for a, b in ((x, x), (y, y), (x, y)))
    for start in range(0, len(x), ROWS):
        a, b = (from_mean(rows[start : start + ROWS].astype(np.float64), mean) for rows, mean in ((x, x_mean), (y, y_mean)))
        xx += a.T @ a
        yy += b.T @ b
        xy += a.T @ b
    return xx / len(x), yy / len(x), xy / len(x)


def whitener(rows: np.ndarray, ridge: float, name: str) -> np.ndarray:
    """[d, q] columns v_i / sqrt(variance_i + g): (S + gI)^-1/2 on the span of the rows, up to a rotation there.

    Outside the span the cross-covariance is zero, so nothing is lost, and the rotation is absorbed by the SVD.
    """
    p, d = rows.shape
    if p <= d:  # fewer pairs than dimensions: never form the d x d covariance
        _, s, vt = thin_svd(rows / np.sqrt(p))
        variance, directions = s**2, vt.T
    else:
        variance, directions = np.linalg.eigh(rows.T @ rows / p)
    return _root(variance, directions, ridge, name)


def _root(variance: np.ndarray, directions: np.ndarray, ridge: float, name: str) -> np.ndarray:
    """The columns of `whitener`, from the variances [q] along directions [d, q]."""
    largest = float(np.max(variance))
    remedy = "Are the right array and the right rows given?"
    require(largest > 0, name, got="rows that are all equal", wanted="rows that differ", remedy=remedy)
    keep = variance > NULL_VARIANCE * largest
    return directions[:, keep] / np.sqrt(variance[keep] + ridge * float(np.sum(variance[keep])) / len(directions))
