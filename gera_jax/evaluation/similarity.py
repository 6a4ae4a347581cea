"""How alike two spaces are, row for row, and which layers of two encoders are: no projection, no pairs learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import real, rows_of


def neighbour_count(k: int | Literal["rice"], n: int) -> int:
    """`k` itself, or for "rice" the rule ceil(2 n^(1/3)): 20 of 1000 rows, 35 of 5000.

    >>> neighbour_count("rice", 1000), neighbour_count("rice", 5000), neighbour_count(10, 5000)
    (20, 35, 10)
    """
    if k == "rice":
        k = min(math.ceil(2 * round(n ** (1 / 3), 12)), n - 1)
    require(isinstance(k, int | np.integer) and not isinstance(k, bool), "k", got=repr(k), wanted='a whole number or "rice"')
    require(1 <= k < n, "k", got=k, wanted=f"1 <= k <= {n - 1} (one less than the {n} rows)")
    return int(k)


def mutual_knn(a: Any, b: Any, *, k: int | Literal["rice"] = 10, block_size: int = 1024) -> float:
    """Mean share of the k nearest rows (cosine, the row itself left out) that two spaces have in common.

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> mutual_knn(a, 3 * a, k=4)
    1.0

    Args:
      a: [n, d_a] rows of one space; any float type.
      b: [n, d_b] the same items in the other space; widths may differ.
      k: neighbours, 1 <= k <= n - 1, or "rice" (`neighbour_count`).
      block_size: rows of scores at once.

    Returns:
      In [0, 1]: 1 = the same neighbours everywhere; chance k / (n - 1). A row with NaN in either space shares
      nothing.
      O(n^2 (d_a + d_b)). Memory: two blocks.

    Source: Huh et al., "The Platonic Representation Hypothesis" (ICML 2024).
    """
    a, b = rows_of(a, "a"), rows_of(b, "b")
    n = len(a)
    _same_rows(a, b)
    k = neighbour_count(k, n)
    return shared_neighbours(neighbour_keys(a, k, block_size), neighbour_keys(b, k, block_size)) / (n * k)


def neighbour_keys(z: np.ndarray, k: int, block_size: int = 1024) -> np.ndarray:
    """The pairs (i, j nearest of i) as sorted numbers i n + j [n k]; a row with NaN has none."""
    z, n = ranks.unit_rows(z), len(z)
    near = np.concatenate([_neighbours(z, first, last, k) for first, last in ranks.blocks(n, n, block_size)])
    near, row, real = np.sort(near, axis=1), np.arange(n)[:, None], ~np.isnan(z[:, 0])
    # where NaN leaves fewer than k rows, `near` is filled up with rows that are no neighbours: NaN, or the row itself
    return (row * n + near)[real[:, None] & real[near] & (near != row)]


def shared_neighbours(a: np.ndarray, b: np.ndarray) -> int:
    """How many pairs two lists of `neighbour_keys` have in common."""
    return len(np.intersect1d(a, b, assume_unique=True))


def linear_cka(a: Any, b: Any) -> float:
    """Linear centred kernel alignment ||A'B||^2 / (||A'A|| ||B'B||), Frobenius norms of centred matrices.

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(linear_cka(a, 3 * a[:, ::-1] + 1), 6)
    1.0

    Args:
      a, b: [n, d_a], [n, d_b] the same items in two spaces.

    Returns:
      In [0, 1]; 1 for spaces equal up to rotation and one scale; 0 when either space is constant; NaN for NaN.
      Biased upwards where n is not much larger than the widths.
      O(n d_a d_b), or O(n^2 (d_a + d_b)) if n is smaller than both widths. Computed in float64.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited" (ICML 2019).
    """
    a, b = rows_of(a, "a"), rows_of(b, "b")
    _same_rows(a, b)
    a, b = _centred(a), _centred(b)
    if len(a) < min(a.shape[1], b.shape[1]):
        gram_a, gram_b = a @ a.T, b @ b.T
        cross, own_a, own_b = np.sum(gram_a * gram_b), np.sum(gram_a**2), np.sum(gram_b**2)
    else:
        cross, own_a, own_b = np.sum((a.T @ b) ** 2), np.sum((a.T @ a) ** 2), np.sum((b.T @ b) ** 2)
    size = np.sqrt(own_a) * np.sqrt(own_b)
    return float(cross / size) if size != 0 else 0.0


def unbiased_cka(a: Any, b: Any) -> float:
    """CKA without the bias of small samples: HSIC is its estimate over distinct rows i, j, q, r.

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(unbiased_cka(a, 3 * a[:, ::-1]), 6)
    1.0

    Args:
      a, b: [n, d_a], [n, d_b] the same items in two spaces, n >= 4.

    Returns:
      At most 1: 1 for spaces equal up to rotation and one scale, about 0 for independent ones whatever n and the widths are
      (it can be below 0); 0 when either space has no structure of its own; NaN for NaN.
      O(n d_a d_b): no n x n matrix is formed. Computed in float64.

    Source: Song et al., "Feature Selection via Dependence Maximization" (JMLR 2012), theorem 2.
    """
    a, b = rows_of(a, "a"), rows_of(b, "b")
    _same_rows(a, b)
    require(len(a) >= 4, "a", got=f"{len(a)} rows", wanted="at least 4 rows")
    a, b = _centred(a), _centred(b)  # it changes nothing, and keeps the sums below small
    own_a, own_b = (np.sqrt(np.maximum(_unbiased_hsic(z, z), 0)) for z in (a, b))
    return float(_unbiased_hsic(a, b) / (own_a * own_b)) if own_a * own_b != 0 else 0.0


def _unbiased_hsic(a: np.ndarray, b: np.ndarray) -> float:
    """[tr(KL) + 1'K1 1'L1 / ((n-1)(n-2)) - 2 1'KL1 / (n-2)] / (n (n-3)) of K = aa', L = bb' without their diagonals."""
    n = len(a)
    length_a, length_b = np.sum(a * a, axis=1), np.sum(b * b, axis=1)
    row_a, row_b = (v @ v.sum(axis=0) - length for v, length in ((a, length_a), (b, length_b)))
    whole, diagonal = np.sum((a.T @ b) ** 2), length_a @ length_b
    total = row_a.sum() * row_b.sum() / ((n - 1) * (n - 2))
    value = whole - diagonal + total - 2 * (row_a @ row_b) / (n - 2)
    rounding = np.finfo(np.float64).eps * n * (whole + diagonal)
    return 0.0 if abs(value) <= rounding else value / (n * (n - 3))


def cknna(a: Any, b: Any, *, k: int | Literal["rice"] = 10, block_size: int = 1024) -> float:
    """Kernel alignment over pairs that are neighbours in both spaces: CKA that looks at neighbourhoods only.

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(cknna(a, 3 * a, k=4), 6)
    1.0

    sum of (K_ij - mean K_i)(L_ij - mean L_i) over rows i and their common k nearest j, over the root of the same sums of either
    space with itself; K, L are cosines.

    Args: as `mutual_knn`.

    Returns:
      1 for equal geometries, about 0 for independent ones; 0 when the rows of either space are all equal; NaN for NaN.
      O(n^2 (d_a + d_b)). Memory: two blocks.

    Source: Huh et al., "The Platonic Representation Hypothesis" (ICML 2024).
    """
    a, b = rows_of(a, "a"), rows_of(b, "b")
    n = len(a)
    _same_rows(a, b)
    k = neighbour_count(k, n)
    return local_alignment(LocalGeometry(a, k, block_size), LocalGeometry(b, k, block_size))


class LocalGeometry:
    """What `cknna` needs of one space: pairs of neighbours, mean cosines, and its alignment with itself."""

    def __init__(self, z: np.ndarray, k: int, block_size: int = 1024):
        self.keys = neighbour_keys(z, k, block_size)
        self.z = ranks.unit_rows(z).astype(np.float64)
        self.mean = self.z @ self.z.mean(axis=0)
        self.own = float(np.sum(self.centred(self.keys) ** 2))
        rounding = (self.z.shape[1] + 8) * np.finfo(np.float64).eps  # of one cosine; equal rows show no more than that
        self.own = 0.0 if self.own <= len(self.keys) * rounding**2 else self.own

    def centred(self, keys: np.ndarray, size: int = 1 << 15) -> np.ndarray:
        """Cosines of the pairs, less their row's mean."""
        row, column = np.divmod(keys, len(self.z))
        cuts = [slice(i, i + size) for i in range(0, len(keys), size)]
        parts = [np.einsum("nd,nd->n", self.z[row[cut]], self.z[column[cut]]) for cut in cuts]
        return np.concatenate([np.zeros(0), *parts]) - self.mean[row]


def local_alignment(a: LocalGeometry, b: LocalGeometry) -> float:
    """`cknna` of two prepared spaces."""
    if np.isnan(a.z).any() or np.isnan(b.z).any():
        return math.nan
    common = np.intersect1d(a.keys, b.keys, assume_unique=True)
    size = np.sqrt(a.own) * np.sqrt(b.own)
    return float(np.sum(a.centred(common) * b.centred(common)) / size) if size != 0 else 0.0


def _centred(x: np.ndarray) -> np.ndarray:
    """Rows less their mean in float64, the largest entry about 1, as fourth powers are summed; equal rows are exactly 0."""
    with np.errstate(invalid="ignore"):
        x = x.astype(np.float64) - x[0].astype(np.float64)  # x - mean alone leaves rounding behind where all rows are equal
        largest = np.max(np.abs(x), initial=0.0)
        x = x / (largest if largest != 0 else 1.0)
        return x - x.mean(axis=0)


def _same_rows(a: np.ndarray, b: np.ndarray) -> None:
    remedy = "Row i of b must be row i of a; join the two tables by id first."
    require(len(a) == len(b), "b", got=f"{len(b)} rows", wanted=f"the same items as a ({len(a)} rows)", remedy=remedy)


def _neighbours(z: np.ndarray, first: int, last: int, k: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        scores = z[first:last] @ z.T
    scores[np.isnan(scores)] = -np.inf
    scores[np.arange(last - first), np.arange(first, last)] = -np.inf
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]


# measure -> what is made once of a layer (from its unit rows and k), and the score of two of those
PREPARED: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "mutual_knn": (neighbour_keys, shared_neighbours),
    "cknna": (LocalGeometry, local_alignment),
    "cka": (lambda rows, k: rows, linear_cka),
    "unbiased_cka": (lambda rows, k: rows, unbiased_cka),
}
MEASURES = tuple(PREPARED)


def layer_scores(x: Any, y: Any, *, measure: str = "mutual_knn", k: int | Literal["rice"] = "rice") -> np.ndarray:
    """Likeness of every layer of one encoder with every layer of the other, on the same items.

    >>> rng = np.random.default_rng(0)
    >>> shared, x = rng.normal(size=(60, 4)), rng.normal(size=(60, 3, 4))
    >>> y = rng.normal(size=(60, 2, 4))
    >>> x[:, 1], y[:, 0] = shared, 2 * shared
    >>> np.unravel_index(layer_scores(x, y).argmax(), (3, 2))
    (np.int64(1), np.int64(0))

    Args:
      x: [n, L, d_x] layers of one encoder; row i of x and of y are a known pair.
      y: [n, M, d_y] layers of the other.
      measure: "mutual_knn", "cknna", "cka" or "unbiased_cka", all on unit rows.
      k: neighbours of the first two, or "rice" for ceil(2 n^(1/3)).

    Returns:
      [L, M] float64; higher = more alike.
      Neighbours are searched once a layer, O(n^2 (L d_x + M d_y)); the other measures cost L M times one of them.
    """
    require_known(measure, MEASURES, "measure")
    x, y = real(x, "x"), real(y, "y")
    for name, layers in (("x", x), ("y", y)):
        require(layers.ndim == 3 and min(layers.shape) > 0, name, got=f"shape {layers.shape}", wanted="[n, layers, d]")
        require(bool(np.isfinite(layers).all()), name, got="NaN or infinity", wanted="finite rows", remedy="Drop those rows.")
    require(len(x) == len(y), "y", got=f"{len(y)} rows", wanted=f"the same items as x ({len(x)} rows)")
    k = neighbour_count(k, len(x))
    prepare, score = PREPARED[measure]
    made = [
        [prepare(ranks.unit_rows(rows_of(layers[:, i], name)), k) for i in range(layers.shape[1])]
        for name, layers in (("x", x), ("y", y))
    ]
    scores = np.array([[float(score(a, b)) for b in made[1]] for a in made[0]])
    return scores / (len(x) * k) if measure == "mutual_knn" else scores
