"""Retrieval: recall at k, ranks and FOSCTTM, both ways, by counting and in blocks."""

from __future__ import annotations

from collections.abc import Sequence
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
      block_size: queries at once; 2,048 candidates of them at a time.
      names: words for the keys.

    Returns:
      "x_to_y/R@1" ... in [0, 1] (chance k / m); "x_to_y/median_rank", "x_to_y/mean_rank" (1 = best, chance
      (m + 1) / 2; `chance_level` for several right rows), "x_to_y/MRR", the mean of 1 / rank; the same under "y_to_x/" and,
      averaged, "mean/". Rows tied with the right one cost half a rank each. A NaN score ranks last and is never a success, so a
      model of NaN gets R@k = 0.
      O(n m d): one product gives both directions. Memory: one tile.

    Raises:
      InputError: unequal rows without groups, groups on one side only, a query with no right row.
    """
    ks = counts(ks)
    x, y = ranks.unit_pair(x, y, names)
    right = ranks.positives_both_ways(len(x), len(y), x_groups, y_groups, names)
    found = ranks.tally(ranks.cosines(x, y), *right, tie=ranks.tie_width(x.dtype), block_size=block_size)
    return _recalls_both_ways(found, (len(x), len(y)), ks, names)


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
    right = ranks.positives_both_ways(*scores.shape, x_groups, y_groups, names)
    return _recalls_both_ways(ranks.tally(ranks.Matrix(scores), *right, block_size=block_size), scores.shape, ks, names)


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
      O(n m d) for both directions, plus O(n m g) with g right rows to a query.

    Raises:
      InputError: as `retrieval_metrics`; also where a query has no wrong row to be compared with.

    Source: Liu et al., "Jointly embedding multiple single-cell omics measurements" (2019).
    """
    x, y = ranks.unit_pair(x, y, ("x", "y"))
    right = ranks.positives_both_ways(len(x), len(y), x_groups, y_groups)
    _require_wrong_rows(right, (len(x), len(y)))
    found = ranks.tally(ranks.cosines(x, y), *right, tie=ranks.tie_width(x.dtype), every=True, block_size=block_size)
    return _closer_both_ways(found, (len(x), len(y)))


def foscttm_from_scores(scores: Any, *, x_groups: Any = None, y_groups: Any = None, block_size: int = 1024) -> float:
    """`foscttm` of a score matrix [n, m] that you have already (higher = closer).

    >>> import numpy as np
    >>> foscttm_from_scores(-np.eye(3)), foscttm_from_scores(np.zeros((3, 3)))
    (1.0, 0.5)
    """
    scores = scores_of(scores, "scores")
    right = ranks.positives_both_ways(*scores.shape, x_groups, y_groups)
    _require_wrong_rows(right, scores.shape)
    return _closer_both_ways(ranks.tally(ranks.Matrix(scores), *right, every=True, block_size=block_size), scores.shape)


def both_metrics(
    scores: Any, right: tuple[ranks.Positives, ranks.Positives], ks: tuple[int, ...], names: tuple[str, str], *, full: bool
) -> dict[str, float]:
    """Retrieval both ways and, where `full`, FOSCTTM, from one pass over the scores of `ranks.tally`."""
    if full:
        _require_wrong_rows(right, scores.shape)
    found = ranks.tally(scores, *right, every=full)
    metrics = _recalls_both_ways(found, scores.shape, ks, names)
    return metrics | ({"foscttm": _closer_both_ways(found, scores.shape)} if full else {})


def _recalls_both_ways(
    found: list[ranks.Tally], shape: tuple[int, int], ks: tuple[int, ...], names: tuple[str, str]
) -> dict[str, float]:
    sides = []
    for tally, candidates in zip(found, shape[::-1], strict=True):
        rank, failed = tally.ranks(candidates)
        recalls = {f"R@{k}": float(np.mean((rank <= k) & ~failed)) for k in ks}
        places = {"median_rank": float(np.median(rank)), "mean_rank": float(np.mean(rank))}
        sides.append(recalls | places | {"MRR": float(np.mean(~failed / rank))})
    return ranks.both_ways(names, *sides)


def _closer_both_ways(found: list[ranks.Tally], shape: tuple[int, int]) -> float:
    return sum(float(np.mean(tally.closer(candidates))) for tally, candidates in zip(found, shape[::-1], strict=True)) / 2


def _require_wrong_rows(right: tuple[ranks.Positives, ranks.Positives], shape: tuple[int, int]) -> None:
    got, wanted = "a query to which every row is a right answer", "at least one wrong row for each query"
    remedy = "Evaluate on two items or more."
    fine = all(int(np.diff(side.start).max()) < candidates for side, candidates in zip(right, shape[::-1], strict=True))
    require(fine, "foscttm", got=got, wanted=wanted, remedy=remedy)
