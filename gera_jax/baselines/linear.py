"""What the closed forms share: the interface, the checks of rows, and a pair of linear heads."""

from __future__ import annotations

import abc
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gera_jax.checks import require


@runtime_checkable
class Baseline(Protocol):
    """Anything fitted on pairs without a training loop.

    `transform_x` and `transform_y` give unit rows whose dot product is `similarity`.
    """

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> Baseline: ...

    def transform_x(self, x: Any) -> np.ndarray: ...

    def transform_y(self, y: Any) -> np.ndarray: ...

    def similarity(self, x: Any, y: Any) -> np.ndarray: ...


class SharedSpace(abc.ABC):
    """`similarity` as the dot product of two transforms, and the memory of the widths seen by `fit`."""

    _widths: tuple[int, int] | None = None

    @abc.abstractmethod
    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows of the shared space."""

    @abc.abstractmethod
    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows of the shared space."""

    def similarity(self, x: Any, y: Any) -> np.ndarray:
        """Cosine in the shared space, [n, m] in [-1, 1]; higher = closer."""
        return self.transform_x(x) @ self.transform_y(y).T

    def _checked(self, rows: Any, name: str, side: int) -> np.ndarray:
        require(self._widths is not None, type(self).__name__, got="a call before fit",
                wanted="a fitted object", remedy="Call .fit(x_pairs, y_pairs) first.")
        assert self._widths is not None
        return check_rows(rows, name, width=self._widths[side])


class LinearHeads(SharedSpace):
    """head(x) = normalize(x @ x_weights + x_offset), and likewise for y."""

    x_weights: np.ndarray  # [dx, r]
    y_weights: np.ndarray  # [dy, r]
    x_offset: np.ndarray  # [r]
    y_offset: np.ndarray  # [r]

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space; a row that maps to zero stays zero."""
        return unit_rows(self._checked(x, "x", 0) @ self.x_weights + self.x_offset)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the shared space; a row that maps to zero stays zero."""
        return unit_rows(self._checked(y, "y", 1) @ self.y_weights + self.y_offset)

    def _set_heads(self, x_weights: np.ndarray, y_weights: np.ndarray, x_mean: np.ndarray, y_mean: np.ndarray
                   ) -> None:
        self.x_weights, self.y_weights = x_weights, y_weights
        self.x_offset, self.y_offset = -x_mean @ x_weights, -y_mean @ y_weights
        self._widths = (len(x_weights), len(y_weights))


def check_rows(rows: Any, name: str, *, width: int | None = None) -> np.ndarray:
    """[rows, width] in float64 without NaN or infinity."""
    rows = np.asarray(rows)
    require(rows.ndim == 2, name, got=f"shape {rows.shape}", wanted="[rows, width]")
    require(width is None or rows.shape[1] == width, f"{name} width", got=rows.shape[1],
            wanted=f"{width}, the width that fit saw", remedy="Give rows of the same encoder and preprocessing.")
    rows = rows.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    require(bad.size == 0, name, got=f"{bad.size} rows with NaN or infinity (first: row {bad[:1]})",
            wanted="finite numbers", remedy="Drop or repair those rows.")
    return rows


def check_pairs(x_pairs: Any, y_pairs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both sides of at least two pairs, float64."""
    x_pairs, y_pairs = check_rows(x_pairs, "x_pairs"), check_rows(y_pairs, "y_pairs")
    require(len(x_pairs) == len(y_pairs), "y_pairs", got=f"{len(y_pairs)} rows",
            wanted=f"as many as x_pairs ({len(x_pairs)})", remedy="Row i of y_pairs must be the partner of row i.")
    require(len(x_pairs) >= 2, "x_pairs", got=f"{len(x_pairs)} pairs", wanted="at least 2 pairs")
    return x_pairs, y_pairs


def mean_row(pairs: np.ndarray, unpaired: Any, name: str) -> np.ndarray:
    """Mean over the pairs and the unpaired rows, if there are any."""
    if unpaired is None or len(unpaired) == 0:
        return pairs.mean(axis=0)
    unpaired = check_rows(unpaired, name, width=pairs.shape[1])
    return (pairs.sum(axis=0) + unpaired.sum(axis=0)) / (len(pairs) + len(unpaired))


def check_dim(dim: int | None) -> None:
    """`dim` is None (as many as the pairs determine) or at least 1."""
    require(dim is None or dim >= 1, "dim", got=dim, wanted="None or at least 1")


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Rows of length 1; a zero row stays zero."""
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return z / np.where(length == 0, 1.0, length)


def thin_svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u [n, r], s [r], vt [r, m] with r = min(n, m), by the faster solver or, where that gives up, by the surer one.

    LAPACK's divide and conquer does not always converge on matrices of low rank (seen: the cross-covariance of 50 matched
    centres in 512 x 384); its QR iteration, several times slower, does.

    Raises:
      ValueError: NaN or infinite entries.

    >>> u, s, vt = thin_svd(np.diag([2.0, 3.0]))
    >>> s.tolist()
    [3.0, 2.0]
    """
    try:
        return np.linalg.svd(matrix, full_matrices=False)
    except np.linalg.LinAlgError:
        import scipy.linalg

        return scipy.linalg.svd(matrix, full_matrices=False, lapack_driver="gesvd")
