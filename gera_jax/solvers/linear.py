"""What the closed forms share: the interface, the checks of rows, and a pair of linear heads."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gera_jax.checks import require
from gera_jax.data import as_rows

LARGEST = 1e140  # its square, and that of its inverse, are numbers of float64
ROWS = 4096  # of a table that are worked on at once
SAMPLE = 1000  # rows that the median is taken of, and rows measured at once
FAR = 30  # times the median distance from which on a row may be an outlier
ONE_DIRECTION = 1e-6  # unit rows nearer than that say nothing


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
        require(
            self._widths is not None,
            type(self).__name__,
            got="a call before fit",
            wanted="a fitted object",
            remedy="Call .fit(x_pairs, y_pairs) first.",
        )
        assert self._widths is not None
        return wide_rows(rows, name, width=self._widths[side], least=0)


class LinearHeads(SharedSpace):
    """head(x) = normalize(x @ x_weights + x_offset), and likewise for y; computed as (x - mean) @ x_weights, which is exact."""

    x_weights: np.ndarray  # [dx, r]
    y_weights: np.ndarray  # [dy, r]
    x_offset: np.ndarray  # [r]
    y_offset: np.ndarray  # [r]

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space; a row that maps to zero stays zero."""
        return unit_rows(self._heads(self._checked(x, "x", 0), 0))

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the shared space; a row that maps to zero stays zero."""
        return unit_rows(self._heads(self._checked(y, "y", 1), 1))

    def _heads(self, rows: np.ndarray, side: int) -> np.ndarray:
        """[n, r] before they are made unit."""
        return from_mean(rows, self._means[side]) @ (self.x_weights, self.y_weights)[side]

    def _set_heads(self, x_weights: np.ndarray, y_weights: np.ndarray, x_mean: np.ndarray, y_mean: np.ndarray) -> None:
        self.x_weights, self.y_weights, self._means = x_weights, y_weights, (x_mean, y_mean)
        self.x_offset, self.y_offset = -x_mean @ x_weights, -y_mean @ y_weights
        self._widths = (len(x_weights), len(y_weights))


def check_pairs(x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> tuple[np.ndarray, ...]:
    """The four arrays that a `fit` takes, float64: pairs that differ on both sides, and unpaired rows, maybe none.

    A `UserWarning` names rows so far out that they spoil the fit.
    """
    return tuple(rows.astype(np.float64, copy=False) for rows in checked_pairs(x_pairs, y_pairs, x, y))


def checked_pairs(x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> tuple[np.ndarray, ...]:
    """`check_pairs` without a copy: rows in the type that they were given in, memory maps where they lie."""
    found = as_pairs(x_pairs, y_pairs, x, y, names="xy")
    for rows, name in zip(found, ("x_pairs", "y_pairs", "x", "y"), strict=True):
        warn_of_outliers(rows, name)
    return found


def as_pairs(x_pairs: Any, y_pairs: Any, x: Any, y: Any, names: Sequence[str]) -> tuple[np.ndarray, ...]:
    """`x_pairs`, `y_pairs`, and the unpaired rows, which are called `names`, each through `as_rows`.

    Raises:
      InputError: what `as_rows` refuses, row counts that differ, fewer than 2 pairs, another width of the unpaired rows, or pairs
        that are all equal on one side.
    """
    pairs = (as_rows(x_pairs, "x_pairs", least=0), as_rows(y_pairs, "y_pairs", least=0))
    p, q = map(len, pairs)
    require(
        p == q,
        "y_pairs",
        got=f"{q} rows beside {p} of x_pairs",
        wanted="as many rows",
        remedy="Row i of y_pairs must be the partner of row i; rows without a partner are unpaired rows.",
    )
    require(p >= 2, "x_pairs", got=f"{p} pairs", wanted="at least 2 pairs")
    for rows, name in zip(pairs, ("x_pairs", "y_pairs"), strict=True):
        require_varied(rows, name)
    return *pairs, *(
        rows[:0] if extra is None else as_rows(extra, name, width=rows.shape[1], least=0)
        for extra, rows, name in zip((x, y), pairs, names, strict=True)
    )


def wide_rows(rows: Any, name: str, **options: Any) -> np.ndarray:
    """[n, d] in float64, of anything that `as_rows` reads."""
    return as_rows(rows, name, **options).astype(np.float64, copy=False)


def require_varied(rows: np.ndarray, name: str) -> None:
    """Raise `InputError` where rows [n, d] are one row repeated, up to rounding, or too large or small for their squares.

    What counts is the spread of a column against its own numbers: rows of 1e-20 differ as much as rows of 1e20.
    """
    low, high = rows.min(axis=0).astype(np.float64), rows.max(axis=0).astype(np.float64)
    spread, largest = high - low, np.maximum(np.abs(low), np.abs(high))
    require(
        bool((spread > 4 * np.finfo(rows.dtype).eps * largest).any()),
        name,
        got="rows that are all equal",
        wanted="rows that differ",
        remedy="Are the right array and the right rows given?",
    )
    require(
        bool(largest.max() < LARGEST and spread.max() > 1 / LARGEST),
        name,
        got=f"numbers up to {largest.max():.3g} that differ by {spread.max():.3g}",
        wanted="numbers that float64 can square",
        remedy="Give them in another unit.",
    )


def warn_of_outliers(rows: np.ndarray, name: str) -> None:
    """Warn of rows [n, d] so far out that they alone move the mean by more than the usual distance of a row from it.

    Every closed form subtracts the mean. Beyond that distance all other rows lie in one direction from it.
    """
    if len(rows) < 10:  # none of so few is usual
        return
    centre = np.median(rows[even(len(rows), SAMPLE)].astype(np.float64), axis=0)
    with np.errstate(over="ignore"):  # what is too long for its square is infinitely far
        distance = np.concatenate(
            [np.linalg.norm(part - centre, axis=1) for part in (rows[i : i + SAMPLE] for i in range(0, len(rows), SAMPLE))]
        )
    usual = np.median(distance)
    far = [int(row) for row in np.argsort(-distance, kind="stable") if distance[row] > FAR * usual]
    few = len(far) <= max(1, len(rows) // 10)  # more of them are no outliers: the rows' lengths are spread widely
    if few and usual > 0 and distance[far].sum() > len(rows) * usual:
        some = f"{', '.join(map(str, far[:5]))}{', ...' if len(far) > 5 else ''}"
        warnings.warn(
            f"{name}: {len(far)} of {len(rows)} rows (numbers {some}) are up to {distance.max() / usual:.2g} times as far "
            "from the median as the usual row, and the mean of all follows them. Remove or repair them.",
            UserWarning,
            stacklevel=4,
        )


def even(n: int, count: int) -> Any:
    """At most `count` of n row numbers at even steps; a slice where that is all of them.

    >>> even(9, 3).tolist(), even(2, 3)
    ([0, 4, 8], slice(None, None, None))
    """
    return slice(None) if n <= count else np.linspace(0, n - 1, count).astype(np.int64)


def mean_row(*parts: np.ndarray) -> np.ndarray:
    """Mean of all rows of the parts [n, d], taken about one of them: a common offset costs no digits."""
    origin = parts[0][0].astype(np.float64)
    blocks = (rows[start : start + ROWS] for rows in parts for start in range(0, len(rows), ROWS))
    return origin + sum((block - origin).sum(axis=0) for block in blocks) / sum(map(len, parts))


def from_mean(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Rows less `mean`, where a difference in the last digit alone is 0 and no direction."""
    found = rows - mean
    return np.where(np.abs(found) <= 4 * np.finfo(np.float64).eps * np.abs(mean), 0.0, found)


def centred(rows: np.ndarray) -> np.ndarray:
    """Rows less their mean."""
    return from_mean(rows, mean_row(rows))


def directions(pairs: np.ndarray, mean: np.ndarray, name: str) -> np.ndarray:
    """Unit rows from `mean` to the pairs [p, d], or an error where all pairs lie in one direction."""
    found = unit_rows(from_mean(pairs, mean))
    require(
        np.ptp(found, axis=0).max() > ONE_DIRECTION,
        name,
        got="rows of one direction from the mean of all rows",
        wanted="rows that differ in direction",
        remedy="Has the modality more than one column that varies?",
    )
    return found


def unit_rows(z: np.ndarray) -> np.ndarray:
    """Rows of length 1, of whatever length they were; a zero row stays zero.

    >>> unit_rows(np.array([[3e-200, 4e-200], [3e200, 4e200], [0.0, 0.0]])).round(6).tolist()
    [[0.6, 0.8], [0.6, 0.8], [0.0, 0.0]]
    """
    with np.errstate(over="ignore", under="ignore"):
        length = np.linalg.norm(z, axis=1, keepdims=True)
    limits = np.finfo(z.dtype)
    odd = ~((length > np.sqrt(limits.tiny / limits.eps)) & (length < np.sqrt(limits.max) / 2))[:, 0]
    if odd.any():  # zero, or so long or short that squares leave the range: a power of two changes no digit
        _, exponent = np.frexp(np.abs(z[odd]).max(axis=1, initial=0.0, keepdims=True))
        z = z.copy()
        z[odd] = np.ldexp(z[odd], -exponent)
        length[odd] = np.linalg.norm(z[odd], axis=1, keepdims=True)
    return z / np.where(length == 0, 1, length)


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


def leading_svd(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u [n, k], s [k], v [m, k] of the largest singular values, by a randomised range and two power iterations.

    >>> u, s, v = leading_svd(np.diag(np.float32([2.0, 3.0, 1.0])), 2)
    >>> s.round(4).tolist()
    [3.0, 2.0]

    Source: Halko, Martinsson and Tropp, "Finding structure with randomness" (SIAM Review 2011).
    """
    k = min(k, *matrix.shape)
    basis = np.random.default_rng(0).normal(size=(matrix.shape[1], k + 32)).astype(np.float32)
    for _ in range(3):
        left = np.linalg.qr(matrix @ basis)[0]
        basis = np.linalg.qr(matrix.T @ left)[0]
    u, s, vt = thin_svd(left.T @ matrix)
    keep = s[:k] > 1e-6 * s[0]
    return (left @ u)[:, :k][:, keep], s[:k][keep], vt[:k].T[:, keep]


def narrowing(x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps [r, k] of rows like x [n, r] and like y [m, r] that keep their products.

    They are Y' V S^-1/2 and X' U S^-1/2, with the k largest singular values of x y' = U S V'. There are fewer than k columns
    where the products have fewer directions.

    >>> rows = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32) @ np.float32([[1, 2, 0], [0, 1, 1]])
    >>> of_x, of_y = narrowing(rows, rows, 3)
    >>> of_x.shape, bool(np.allclose((rows @ of_x) @ (rows @ of_y).T, rows @ rows.T, atol=1e-4))
    ((3, 2), True)
    """
    u, s, v = leading_svd(x @ y.T, k)
    root = np.sqrt(s)
    return y.T @ (v / root), x.T @ (u / root)
