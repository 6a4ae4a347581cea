"""Orthogonal Procrustes: one rotation between the two spaces."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.solvers.linear import LinearHeads, centred, check_pairs, mean_row, thin_svd
from gera_jax.solvers.settings import check_dim


class Procrustes(LinearHeads):
    """Shared space of the rotation that best maps one modality on the other.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, rotation = rng.normal(size=(50, 4)), np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> similarity = Procrustes().fit(x, x @ rotation).similarity(x, x @ rotation)
    >>> bool(np.allclose(np.diag(similarity), 1))
    True

    With X, Y the centred pairs and X'Y = U S V', x_weights = U_r and y_weights = V_r; at full rank the cosine
    is that of (x - mean) U V' against (y - mean), the classical solution. Give L2-normalised rows.

    Args:
      dim: width r of the shared space; None = all that the pairs determine. Always r <= rank of X'Y, which is at
        most min(p - 1, dx, dy): directions beyond it would be arbitrary.

    Attributes after fit:
      x_weights [dx, r], y_weights [dy, r] with orthonormal columns, x_offset [r], y_offset [r],
      singular_values [r] in descending order.

    Source: Schoenemann, "A generalized solution of the orthogonal Procrustes problem" (Psychometrika 1966).
    """

    singular_values: np.ndarray

    def __init__(self, dim: int | None = None):
        check_dim(dim)
        self.dim = dim

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> Procrustes:
        """Fit on pairs [p, dx], [p, dy]; unpaired rows x, y only make the means better.

        Raises:
          InputError: pairs without any common variation.
        """
        x_pairs, y_pairs, x, y = check_pairs(x_pairs, y_pairs, x, y)
        # the cross-covariance is taken about the means of the pairs: exact for any constant shift
        u, s, v = _cross_svd(centred(x_pairs), centred(y_pairs))
        limit = min(len(x_pairs) - 1, len(s), len(s) if self.dim is None else self.dim)
        r = min(limit, int(np.sum(s > s[0] * 1e-12)))
        wanted, remedy = "at least one common direction", "Are all rows of one side equal?"
        require(r >= 1 and s[0] > 0, "x_pairs", got="pairs whose two sides do not vary together", wanted=wanted, remedy=remedy)
        self.singular_values = s[:r]
        self._set_heads(u[:, :r], v[:, :r], mean_row(x_pairs, x), mean_row(y_pairs, y))
        return self


def _cross_svd(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x'y = u diag(s) v', through the row spaces where there are fewer pairs than dimensions."""
    x_basis, x = _row_space(x)
    y_basis, y = _row_space(y)
    u, s, vt = thin_svd(x.T @ y)
    return (u if x_basis is None else x_basis @ u), s, (vt.T if y_basis is None else y_basis @ vt.T)


def _row_space(x: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Orthonormal basis [d, p] of the rows and the rows in it [p, p]; unchanged if p >= d."""
    if x.shape[0] >= x.shape[1]:
        return None, x
    basis, coordinates = np.linalg.qr(x.T)
    return basis, coordinates.T
