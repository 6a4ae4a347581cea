"""Ranks of the right answer, by counting: the one idea under retrieval, FOSCTTM and zero-shot accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation.inputs import label_codes, rows_of, whole

BLOCK_ENTRIES = 1 << 25  # at most this many scores live at once (128 MiB of float32)
TILE_COLUMNS = 2048  # candidates of a tile: its scores are still in the cache when they are counted


class Positives(NamedTuple):
    """The right candidates of each query, as compressed rows: query i owns columns[start[i]:start[i + 1]]."""

    start: np.ndarray  # [n + 1]
    columns: np.ndarray  # [total]

    def rows(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Positives of queries first..last: (row in the block, column), flat."""
        start = self.start[first : last + 1]
        return np.repeat(np.arange(last - first), np.diff(start)), self.columns[start[0] : start[-1]]


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


class Product:
    """Cosines of unit rows, a tile of their product at a time."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self._x, self._y, self.shape = x, y, (len(x), len(y))

    def tile(self, rows: slice, columns: slice) -> np.ndarray:
        """Scores of some queries with some candidates, an array of its own."""
        with np.errstate(invalid="ignore"):
            return self._x[rows] @ self._y[columns].T


class Matrix:
    """Scores that lie in memory."""

    def __init__(self, scores: np.ndarray):
        self._scores, self.shape = scores, scores.shape

    def tile(self, rows: slice, columns: slice) -> np.ndarray:
        return self._scores[rows, columns].copy()


def cosines(x: np.ndarray, y: np.ndarray) -> Matrix | Product:
    """Scores of unit rows: computed once where they fit into a block, else a tile at a time."""
    if len(x) * len(y) > BLOCK_ENTRIES:
        return Product(x, y)
    with np.errstate(invalid="ignore"):
        return Matrix(x @ y.T)


class Tally:
    """How many wrong candidates beat, and how many reach, the right ones of each query.

    First `read` sees every tile with a right candidate, then `count` sees all tiles.

    Args:
      right: the right candidates.
      tie: scores nearer than this are one.
      every: whether each right candidate is counted for, or the best of each query alone.
    """

    def __init__(self, right: Positives, tie: float, *, every: bool):
        self._right, self._tie, self._every = right, tie, every
        self._own = np.full(len(right.columns), np.nan)
        self._turns: list[tuple[np.ndarray, np.ndarray]] = []

    def pairs(self, first: int, last: int, left: int, right: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The right pairs inside a tile: their numbers, and their rows and columns in the tile."""
        row, column = self._right.rows(first, last)
        here = np.flatnonzero((column >= left) & (column < right))
        return self._right.start[first] + here, row[here], column[here] - left

    def read(self, scores: np.ndarray, first: int, left: int) -> None:
        number, row, column = self.pairs(first, first + len(scores), left, left + scores.shape[1])
        self._own[number] = scores[row, column]

    def begin(self, dtype: Any) -> None:
        """Between reading and counting."""
        self._own = self._own.astype(dtype, copy=False)
        start, sizes = self._right.start[:-1], np.diff(self._right.start)
        query = np.repeat(np.arange(len(start)), sizes)
        best = np.fmax.reduceat(self._own, start)  # fmax: a number wins over NaN
        self._failed, self._best = np.isnan(best), start.copy()
        is_best = np.flatnonzero(self._own == best[query])[::-1]
        self._best[query[is_best]] = is_best
        # Each turn counts for one right candidate of every query that has so many.
        turns = [start[sizes > turn] + turn for turn in range(int(sizes.max()))] if self._every else [self._best]
        self._turns = [(query[at], at) for at in turns]
        self._above, self._reach = np.zeros(len(query), np.int64), np.zeros(len(query), np.int64)

    def count(self, scores: np.ndarray, first: int) -> None:
        """Adds a tile [queries from `first` on, some candidates], NaN where a candidate is a right one."""
        for query, at in self._turns:
            low, high = np.searchsorted(query, (first, first + len(scores)))
            query, at = query[low:high] - first, at[low:high]
            block = scores if len(query) == len(scores) else scores[query]
            own = self._own[at][:, None]
            self._above[at] += np.count_nonzero(block > own + self._tie, axis=1)
            self._reach[at] += np.count_nonzero(block >= own - self._tie, axis=1)

    def ranks(self, candidates: int) -> tuple[np.ndarray, np.ndarray]:
        """Rank (1 = best) of each query's best right row, and whether the query failed outright (NaN).

        rank = 1 + #{wrong: s > best} + #{wrong: s = best} / 2; right rows never compete with each other.
        A right row with NaN ranks last; a query with no other right row is `failed`, and is no success at any k.
        """
        rank = 1 + (self._above[self._best] + self._reach[self._best]) / 2
        return np.where(self._failed, candidates, rank), self._failed

    def closer(self, candidates: int) -> np.ndarray:
        """For each query the share of wrong rows above a right row (ties half, NaN 1), averaged over its right rows."""
        sizes = np.diff(self._right.start)
        share = (self._above + self._reach) / 2 / np.repeat(candidates - sizes, sizes)
        return np.add.reduceat(np.where(np.isnan(self._own), 1.0, share), self._right.start[:-1]) / sizes


def _parts(n: int, size: int) -> list[tuple[int, int]]:
    """Even parts of at most `size`: products of much smaller matrices round otherwise, and equal rows would not tie."""
    count = -(-n // size)
    edges = [n * i // count for i in range(count + 1)]
    return list(pairwise(edges))


def tally(
    scores: Any,
    forward: Positives,
    backward: Positives | None = None,
    *,
    tie: float = 0.0,
    every: bool = False,
    block_size: int = 1024,
) -> list[Tally]:
    """Counts of both directions, from tiles of the scores that both share.

    Tiles with a right pair are computed twice, since equal rows tie only where both come from the same product.

    Args:
      scores: a `Product`, a `Matrix` or another with their `shape` and `tile`.
      forward: the right columns of each row.
      backward: the right rows of each column; without it, rows alone are queries.
      tie, every: of `Tally`.
      block_size: queries at once.
    """
    n, m = scores.shape
    block_size = whole(block_size, "block_size")
    sides = [Tally(right, tie, every=every) for right in (forward, backward) if right is not None]
    columns = _parts(m, TILE_COLUMNS)
    rows = _parts(n, max(1, min(block_size, BLOCK_ENTRIES // min(m, TILE_COLUMNS))))
    grid = [(first, last, left, right) for first, last in rows for left, right in columns]
    dtype = None
    for first, last, left, right in grid:
        if len(sides[0].pairs(first, last, left, right)[0]):
            tile = scores.tile(slice(first, last), slice(left, right))
            dtype = tile.dtype
            for side, block, at in zip(sides, (tile, tile.T), ((first, left), (left, first)), strict=False):
                side.read(block, *at)
    for side in sides:
        side.begin(dtype)
    for first, last, left, right in grid:
        tile = scores.tile(slice(first, last), slice(left, right))
        _, row, column = sides[0].pairs(first, last, left, right)
        tile[row, column] = np.nan
        for side, block, begin in zip(sides, (tile, tile.T), (first, left), strict=False):
            side.count(block, begin)
    return sides


def both_ways(names: tuple[str, str], forward: dict[str, float], backward: dict[str, float]) -> dict[str, float]:
    """Metrics of both directions under their names, and their means."""
    result = {f"{names[0]}_to_{names[1]}/{key}": value for key, value in forward.items()}
    result |= {f"{names[1]}_to_{names[0]}/{key}": value for key, value in backward.items()}
    return result | {f"mean/{key}": (forward[key] + backward[key]) / 2 for key in forward}
