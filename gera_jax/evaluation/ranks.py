"""Ranks of the right answer, by counting: retrieval and FOSCTTM both ways, in blocks, and what zero-shot accuracy stands on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation.inputs import counts, label_codes, rows_of, scores_of, whole

BLOCK_ENTRIES = 1 << 25  # at most this many scores live at once (128 MiB of float32)


class Positives(NamedTuple):
    """The right candidates of each query, as compressed rows: query i owns columns[start[i]:start[i + 1]]."""

    start: np.ndarray  # [n + 1]
    columns: np.ndarray  # [total]

    def rows(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positives of queries first..last: (offset of each query, row in the block, column), flat."""
        start = self.start[first : last + 1]
        row = np.repeat(np.arange(last - first), np.diff(start))
        return start[:-1] - start[0], row, self.columns[start[0] : start[-1]]


def positives(n: int, m: int, query_groups: Any, candidate_groups: Any, names: tuple[str, str]) -> Positives:
    """Right candidates: the same row number, or every row of the same group; every query needs at least one."""
    if query_groups is None and candidate_groups is None:
        wanted = "equal row counts, row i matching row i"
        remedy = f"Give {names[0]}_groups and {names[1]}_groups where an item has several rows."
        require(n == m, f"{names[1]} rows", got=f"{m} rows against {n} rows of {names[0]}", wanted=wanted, remedy=remedy)
        return Positives(np.arange(n + 1), np.arange(n))
    for name, groups, rows in ((names[0], query_groups, n), (names[1], candidate_groups, m)):
        remedy = "Groups are needed on both sides, or on neither."
        require(groups is not None, f"{name}_groups", got="None", wanted="the item number of each row", remedy=remedy)
        shape = np.asarray(groups).shape
        require(shape == (rows,), f"{name}_groups", got=f"shape {shape}", wanted=f"one item number for each of the {rows} rows")
    named = f"{names[0]}_groups", f"{names[1]}_groups"
    query_groups, candidate_groups = label_codes(query_groups, candidate_groups, names=named)
    order = np.argsort(candidate_groups, kind="stable")
    in_order = candidate_groups[order]
    first = np.searchsorted(in_order, query_groups, "left")
    count = np.searchsorted(in_order, query_groups, "right") - first
    lonely = np.flatnonzero(count == 0)
    got = f"{lonely.size} of {n} queries with no right row among {names[1]} (first: row {lonely[:1]})"
    wanted = f"every group of {names[0]} present in {names[1]}_groups"
    remedy = "Drop those queries, or add their rows to the gallery."
    require(lonely.size == 0, f"{names[0]}_groups", got=got, wanted=wanted, remedy=remedy)
    start = np.concatenate([[0], np.cumsum(count)])
    column = np.arange(start[-1]) + np.repeat(first - start[:-1], count)
    return Positives(start, order[column])


def positives_both_ways(
    n: int, m: int, x_groups: Any, y_groups: Any, names: tuple[str, str] = ("x", "y")
) -> tuple[Positives, Positives]:
    """`positives` of the rows of x among those of y, and of the rows of y among those of x."""
    return positives(n, m, x_groups, y_groups, names), positives(m, n, y_groups, x_groups, names[::-1])


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a zero row stays zero, and a row with NaN or infinity is NaN throughout."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # dividing by the largest entry first keeps rows of 1e-30 or 1e30 from under- or overflowing
        largest = np.max(np.abs(x), axis=1, keepdims=True)
        x = x / np.where(largest == 0, 1, largest).astype(x.dtype)
        length = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(length == 0, 1, length).astype(x.dtype)
    return np.where(np.isfinite(x).all(axis=1, keepdims=True), x, np.array(np.nan, x.dtype))


def unit_pair(x: Any, y: Any, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as unit rows of one float type; the widths must agree."""
    x, y = rows_of(x, names[0]), rows_of(y, names[1])
    got, wanted = f"{y.shape[1]} against {x.shape[1]} of {names[0]}", "rows of one shared space"
    remedy = "Project both sides first (transform_x, transform_y)."
    require(x.shape[1] == y.shape[1], f"{names[1]} width", got=got, wanted=wanted, remedy=remedy)
    x, y = unit_rows(x), unit_rows(y)
    dtype = np.promote_types(x.dtype, y.dtype)
    return x.astype(dtype, copy=False), y.astype(dtype, copy=False)


def blocks(n: int, m: int, block_size: int) -> Iterator[tuple[int, int]]:
    """Ranges of query rows, so that a block of scores stays under BLOCK_ENTRIES."""
    size = max(1, min(whole(block_size, "block_size"), BLOCK_ENTRIES // m))
    for first in range(0, n, size):
        yield first, min(first + size, n)


def tie_width(dtype: Any) -> float:
    """Cosines nearer than this are one score: equal rows can differ by rounding inside one matrix product."""
    return 4 * float(np.finfo(dtype).eps)


def best_rank(scores: np.ndarray, right: Positives, first: int, last: int, tie: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Rank (1 = best) of each query's best right row, and whether the query failed outright (NaN).

    rank = 1 + #{wrong: s > best} + #{wrong: s = best} / 2; right rows never compete with each other.
    A right row with NaN ranks last; a query with no other right row is `failed`, and is no success at any k.
    """
    offset, row, column = right.rows(first, last)
    own = scores[row, column]
    best = np.fmax.reduceat(own, offset)  # fmax: a number wins over NaN
    failed = np.isnan(best)
    above = np.count_nonzero(scores > (best + tie)[:, None], axis=1)
    reach = np.count_nonzero(scores >= (best - tie)[:, None], axis=1)
    own_reach = np.add.reduceat((own >= (best - tie)[row]).astype(np.int64), offset)
    rank = 1 + above + (reach - above - own_reach) / 2
    return np.where(failed, scores.shape[1], rank), failed


def fraction_closer(scores: np.ndarray, right: Positives, first: int, last: int, tie: float = 0.0) -> np.ndarray:
    """For each query the share of wrong rows above a right row (ties half, NaN 1), averaged over its right rows."""
    offset, row, column = right.rows(first, last)
    own = scores[row, column]
    count = np.diff(right.start[first : last + 1])
    wrong = scores.shape[1] - count
    total = np.zeros(last - first)
    for turn in range(int(count.max())):  # turn-th right row of every query that has so many
        have = np.flatnonzero(count > turn)
        at = offset[have] + turn
        block = scores if have.size == last - first else scores[have]
        mine = own[at]
        above = np.count_nonzero(block > (mine + tie)[:, None], axis=1)
        reach = np.count_nonzero(block >= (mine - tie)[:, None], axis=1)
        beaten_by_right = np.zeros(have.size)
        for other in range(int(count.max())):  # right rows are no competitors: take them out of both counts
            there = count[have] > other
            theirs = own[np.where(there, offset[have] + other, 0)]
            beaten_by_right += there * (0.5 * (theirs > mine + tie) + 0.5 * (theirs >= mine - tie))
        share = ((above + reach) / 2 - beaten_by_right) / wrong[have]
        total[have] += np.where(np.isnan(mine), 1.0, share)
    return total / count


def both_ways(names: tuple[str, str], forward: dict[str, float], backward: dict[str, float]) -> dict[str, float]:
    """Metrics of both directions under their names, and their means."""
    result = {f"{names[0]}_to_{names[1]}/{key}": value for key, value in forward.items()}
    result |= {f"{names[1]}_to_{names[0]}/{key}": value for key, value in backward.items()}
    return result | {f"mean/{key}": (forward[key] + backward[key]) / 2 for key in forward}


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
    """Recall at k, median rank and mean rank of cosine retrieval, both ways and averaged.

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
      (m + 1) / 2; `chance_level` for several right rows); the same under "y_to_x/" and, averaged, "mean/". Rows tied with the
      right one cost half a rank each. A NaN score ranks last and is never a success, so a model of NaN gets R@k = 0.
      O(n m d) twice. Memory: one block.

    Raises:
      InputError: unequal rows without groups, groups on one side only, a query with no right row.
    """
    ks = counts(ks)
    x, y = unit_pair(x, y, names)
    tie = tie_width(x.dtype)
    forward, backward = positives_both_ways(len(x), len(y), x_groups, y_groups, names)
    x_to_y = recalls(_product(x, y, block_size), forward, len(x), ks, tie)
    return both_ways(names, x_to_y, recalls(_product(y, x, block_size), backward, len(y), ks, tie))


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
    forward, backward = positives_both_ways(n, m, x_groups, y_groups, names)
    x_to_y = recalls(_given(scores, block_size), forward, n, ks, 0.0)
    return both_ways(names, x_to_y, recalls(_given(scores.T, block_size), backward, m, ks, 0.0))


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
    x, y = unit_pair(x, y, ("x", "y"))
    tie = tie_width(x.dtype)
    forward, backward = positives_both_ways(len(x), len(y), x_groups, y_groups)
    x_to_y = closer(_product(x, y, block_size), forward, len(y), tie)
    return (x_to_y + closer(_product(y, x, block_size), backward, len(x), tie)) / 2


def foscttm_from_scores(scores: Any, *, x_groups: Any = None, y_groups: Any = None, block_size: int = 1024) -> float:
    """`foscttm` of a score matrix [n, m] that you have already (higher = closer).

    >>> import numpy as np
    >>> foscttm_from_scores(-np.eye(3)), foscttm_from_scores(np.zeros((3, 3)))
    (1.0, 0.5)
    """
    scores = scores_of(scores, "scores")
    n, m = scores.shape
    forward, backward = positives_both_ways(n, m, x_groups, y_groups)
    return (closer(_given(scores, block_size), forward, m, 0.0) + closer(_given(scores.T, block_size), backward, n, 0.0)) / 2


_Blocks = Iterator[tuple[int, int, np.ndarray]]


def _product(x: np.ndarray, y: np.ndarray, block_size: int) -> _Blocks:
    for first, last in blocks(len(x), len(y), block_size):
        with np.errstate(invalid="ignore"):
            yield first, last, x[first:last] @ y.T


def _given(scores: np.ndarray, block_size: int) -> _Blocks:
    for first, last in blocks(scores.shape[0], scores.shape[1], block_size):
        yield first, last, scores[first:last]


def recalls(score_blocks: _Blocks, right: Positives, n: int, ks: tuple[int, ...], tie: float) -> dict[str, float]:
    rank, failed = np.zeros(n), np.zeros(n, bool)
    for first, last, scores in score_blocks:
        rank[first:last], failed[first:last] = best_rank(scores, right, first, last, tie)
    result = {f"R@{k}": float(np.mean((rank <= k) & ~failed)) for k in ks}
    return result | {"median_rank": float(np.median(rank)), "mean_rank": float(np.mean(rank))}


def closer(score_blocks: _Blocks, right: Positives, m: int, tie: float) -> float:
    got, wanted = "a query to which every row is a right answer", "at least one wrong row for each query"
    remedy = "Evaluate on two items or more."
    require(int(np.diff(right.start).max()) < m, "foscttm", got=got, wanted=wanted, remedy=remedy)
    total = 0.0
    for first, last, scores in score_blocks:
        total += float(np.sum(fraction_closer(scores, right, first, last, tie)))
    return total / (len(right.start) - 1)
