"""How alike two spaces are, row for row: no projection, no pairs learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation import ranks


def mutual_knn(a: Any, b: Any, *, k: int = 10, block_size: int = 1024) -> float:
    """Mean share of the k nearest rows (cosine, the row itself left out) that two spaces have in common.

    Args:
      a: [n, d_a] rows of one space; any float type.
      b: [n, d_b] the same items in the other space; widths may differ.
      k: neighbours; 1 <= k <= n - 1.
      block_size: rows of scores at once.

    Returns:
      In [0, 1]: 1 = the same neighbours everywhere; chance k / (n - 1). A row with NaN in either space shares
      nothing.

    Cost: O(n^2 (d_a + d_b)). Memory: two blocks.

    Raises:
      InputError: row counts differ, or k is not in 1..n-1.

    Source: Huh et al., "The Platonic Representation Hypothesis" (ICML 2024).

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> mutual_knn(a, 3 * a, k=4)
    1.0
    """
    a, b = ranks.as_float(a, "a"), ranks.as_float(b, "b")
    n = len(a)
    _same_rows(a, b)
    require(1 <= k < n, "k", got=k, wanted=f"1 <= k <= {n - 1} (one less than the {n} rows)")
    a, b = ranks.unit_rows(a), ranks.unit_rows(b)
    usable = ~(np.isnan(a[:, 0]) | np.isnan(b[:, 0]))
    shared = 0
    for first, last in ranks.blocks(n, n, block_size):
        near_a, near_b = (_neighbours(z, first, last, k) for z in (a, b))
        both = np.sort(np.concatenate([near_a, near_b], axis=1), axis=1)
        shared += int(np.sum((both[:, 1:] == both[:, :-1])[usable[first:last]]))  # each side lists a row once
    return shared / (n * k)


def linear_cka(a: Any, b: Any) -> float:
    """Linear centred kernel alignment ||A'B||^2 / (||A'A|| ||B'B||), Frobenius norms of centred matrices.

    Args:
      a: [n, d_a] rows of one space.
      b: [n, d_b] the same items in the other space.

    Returns:
      In [0, 1]; 1 for spaces equal up to rotation and one scale; 0 when either space is constant; NaN for NaN.
      Biased upwards where n is not much larger than the widths.

    Cost: O(n d_a d_b), or O(n^2 (d_a + d_b)) if n is smaller than both widths. Computed in float64.

    Raises:
      InputError: row counts differ.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited" (ICML 2019).

    >>> import numpy as np
    >>> a = np.random.default_rng(0).normal(size=(30, 5))
    >>> round(linear_cka(a, 3 * a[:, ::-1] + 1), 6)
    1.0
    """
    a, b = ranks.as_float(a, "a").astype(np.float64), ranks.as_float(b, "b").astype(np.float64)
    _same_rows(a, b)
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    if len(a) < min(a.shape[1], b.shape[1]):
        gram_a, gram_b = a @ a.T, b @ b.T
        cross, own_a, own_b = np.sum(gram_a * gram_b), np.sum(gram_a**2), np.sum(gram_b**2)
    else:
        cross, own_a, own_b = np.sum((a.T @ b) ** 2), np.sum((a.T @ a) ** 2), np.sum((b.T @ b) ** 2)
    size = np.sqrt(own_a) * np.sqrt(own_b)
    return float(cross / size) if size != 0 else 0.0


def _same_rows(a: np.ndarray, b: np.ndarray) -> None:
    require(len(a) == len(b), "b", got=f"{len(b)} rows", wanted=f"the same items as a ({len(a)} rows)",
            remedy="Row i of b must be row i of a; join the two tables by id first.")


def _neighbours(z: np.ndarray, first: int, last: int, k: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        scores = z[first:last] @ z.T
    scores[np.isnan(scores)] = -np.inf
    scores[np.arange(last - first), np.arange(first, last)] = -np.inf
    return np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
