"""Retrieval: recall at k, ranks and FOSCTTM, both ways, by counting and in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import counts, scores_of


def retrieval_metrics(
    x: Any,
    y: Any,
    *,
    x_groups: Any = None,
    y_groups: Any = None,
    ks: Sequence[int] = (1, 5, 10),
    block_size: int = 1024,
    names: tuple[str, str] = ("x", "y"),
) -> dict[str, float]:
    """Recall at k, median, mean and reciprocal rank of cosine retrieval, both ways and averaged.

    >>> import numpy as np
    >>> metrics = retrieval_metrics(np.eye(4), np.eye(4)[[0, 1, 3, 2]], ks=(1, 2))
    >>> metrics["x_to_y/R@1"], metrics["mean/mean_rank"]
    (0.5, 2.0)

    Args:
      x: [n, d] rows in the shared space; any float type. Need not have unit length: scores are cosines.
      y: [m, d]; row i matches row i of x unless groups are given.
      x_groups: [n] item numbers. A query is right when any row of its item ranks in the top k.
      y_groups: [m] item numbers, the same numbers as in `x_groups`.
      ks: the k of R@k.
      block_size: rows of scores at once; a block is cut further to stay under 128 MiB.
      names: words for the keys.

    Returns:
      "x_to_y/R@1" ... in [0, 1] (chance k / m); "x_to_y/median_rank", "x_to_y/mean_rank" (1 = best, chance
      (m + 1) / 2; `chance_level` for several right rows), "x_to_y/MRR", the mean of 1 / rank; the same under "y_to_x/" and,
      averaged, "mean/". Rows tied with the right one cost half a rank each. A NaN score ranks last and is never a success, so a
      model of NaN gets R@k = 0.
      O(n m d) twice. Memory: one block.

    Raises:
      InputError: unequal rows without groups, groups on one side only, a query with no right row.
    """
    ks = counts(ks)
    x, y = ranks.unit_pair(x, y, names)
    tie = ranks.tie_width(x.dtype)
    forward, backward = ranks.positives_both_ways(len(x), len(y), x_groups, y_groups, names)
    x_to_y = _recalls(_product(x, y, block_size), forward, len(x), ks, tie)
    return ranks.both_ways(names, x_to_y, _recalls(_product(y, x, block_size), backward, len(y), ks, tie))


def retrieval_metrics_from_scores(
    scores: Any,
    *,
    x_groups: Any = None,
    y_groups: Any = None,
    ks: Sequence[int] = (1, 5, 10),
    block_size: int = 1024,
    names: tuple[str, str] = ("x", "y"),
) -> dict[str, float]:
    """`retrieval_metrics` of a score matrix [n, m] that you have already (higher = closer).

    >>> import numpy as np
    >>> retrieval_metrics_from_scores(np.full((3, 3), np.nan))["mean/R@1"]
    0.0

    Only exactly equal scores are ties here, in whatever type they come (64-bit integers and long doubles are not rounded). Same
    keys, same rules for NaN.
    """
    ks = counts(ks)
    scores = scores_of(scores, "scores")
    n, m = scores.shape
    forward, backward = ranks.positives_both_ways(n, m, x_groups, y_groups, names)
    x_to_y = _recalls(_given(scores, block_size), forward, n, ks, 0.0)
    return ranks.both_ways(names, x_to_y, _recalls(_given(scores.T, block_size), backward, m, ks, 0.0))


def foscttm(x: Any, y: Any, *, x_groups: Any = None, y_groups: Any = None, block_size: int = 1024) -> float:
    """Fraction of samples closer than the true match, by cosine, mean over both directions.

    >>> import numpy as np
    >>> foscttm(np.eye(4), np.eye(4))
    0.0

    Args:
      x: [n, d] rows in the shared space; any float type, any length.
      y: [m, d]; row i matches row i unless groups are given.
      x_groups: [n] item numbers; a query with several right rows counts each of them, and right rows do not
        compete with each other, so chance stays 1/2.
      y_groups: [m].
      block_size: rows of scores at once.

    Returns:
      In [0, 1]: 0 perfect, 1/2 chance, 1 reversed. Ties count half, a NaN score counts 1.
      O(n m d) twice, plus O(n m g) with g right rows to a query.

    Raises:
      InputError: as `retrieval_metrics`; also where a query has no wrong row to be compared with.

    Source: Liu et al., "Jointly embedding multiple single-cell omics measurements" (2019).
    """
    x, y = ranks.unit_pair(x, y, ("x", "y"))
    tie = ranks.tie_width(x.dtype)
    forward, backward = ranks.positives_both_ways(len(x), len(y), x_groups, y_groups)
    x_to_y = _closer(_product(x, y, block_size), forward, len(y), tie)
    return (x_to_y + _closer(_product(y, x, block_size), backward, len(x), tie)) / 2


def foscttm_from_scores(scores: Any, *, x_groups: Any = None, y_groups: Any = None, block_size: int = 1024) -> float:
    """`foscttm` of a score matrix [n, m] that you have already (higher = closer).

    >>> import numpy as np
    >>> foscttm_from_scores(-np.eye(3)), foscttm_from_scores(np.zeros((3, 3)))
    (1.0, 0.5)
    """
    scores = scores_of(scores, "scores")
    n, m = scores.shape
    forward, backward = ranks.positives_both_ways(n, m, x_groups, y_groups)
    return (_closer(_given(scores, block_size), forward, m, 0.0) + _closer(_given(scores.T, block_size), backward, n, 0.0)) / 2


_Blocks = Iterator[tuple[int, int, np.ndarray]]


def _product(x: np.ndarray, y: np.ndarray, block_size: int) -> _Blocks:
    for first, last in ranks.blocks(len(x), len(y), block_size):
        with np.errstate(invalid="ignore"):
            yield first, last, x[first:last] @ y.T


def _given(scores: np.ndarray, block_size: int) -> _Blocks:
    for first, last in ranks.blocks(scores.shape[0], scores.shape[1], block_size):
        yield first, last, scores[first:last]


def _recalls(score_blocks: _Blocks, right: ranks.Positives, n: int, ks: tuple[int, ...], tie: float) -> dict[str, float]:
    rank, failed = np.zeros(n), np.zeros(n, bool)
    for first, last, scores in score_blocks:
        rank[first:last], failed[first:last] = ranks.best_rank(scores, right, first, last, tie)
    result = {f"R@{k}": float(np.mean((rank <= k) & ~failed)) for k in ks}
    reciprocal = float(np.mean(np.where(failed, 0, 1 / rank)))
    return result | {"median_rank": float(np.median(rank)), "mean_rank": float(np.mean(rank)), "MRR": reciprocal}


def _closer(score_blocks: _Blocks, right: ranks.Positives, m: int, tie: float) -> float:
    got, wanted = "a query to which every row is a right answer", "at least one wrong row for each query"
    remedy = "Evaluate on two items or more."
    require(int(np.diff(right.start).max()) < m, "foscttm", got=got, wanted=wanted, remedy=remedy)
    total = 0.0
    for first, last, scores in score_blocks:
        total += float(np.sum(ranks.fraction_closer(scores, right, first, last, tie)))
    return total / (len(right.start) - 1)
