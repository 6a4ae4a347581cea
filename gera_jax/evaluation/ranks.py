"""Ranks of the right answer, by counting: the one idea under retrieval, FOSCTTM and zero-shot accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation.inputs import label_codes, rows_of, whole

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
