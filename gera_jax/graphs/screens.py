"""Fast passes that shortlist neighbours and say how near any row can be that they left out; and the slow pass for the rest.

Every pass sees rows X that are shifted to the middle of the pool and scaled, by a power of two, to entries of at most 1; the
shift is subtracted in float64 before anything is cast, so each entry has a relative error of one rounding. For a unit u of
rounding (2^-24 in float32) the score X . P - (1 - g) |P|^2 / 2 with g = (d + 16) u is never smaller than the true one,
X . P - |P|^2 / 2, less g |X|^2 / 2: that covers every rounding of the rows and of the sums, in any order. So a row that is
not on the shortlist, whose last score is s, lies at a squared distance of at least (1 - g) |X|^2 - 2 s.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.spatial import cKDTree

from gera_jax.checks import fail, require

POOL_BLOCK = 16_384  # rows of the pool on the device at once
MIDDLE_ROWS = 1_024  # rows whose median is the middle: far outliers do not move it
REPAIR_ROWS = 256
DIFFERENCES = 2**17  # entries of differences at once


class View:
    """Rows as a search sees them, and their exact squared distances; "cosine" is Euclidean on unit rows.

    Args:
      x: [n, d] queries.
      pool: [N, d], or `x` itself.
      metric: "euclidean" or "cosine".

    Raises:
      InputError: NaN or infinite rows, entries that are no real numbers.
    """

    def __init__(self, x: np.ndarray, pool: np.ndarray, metric: str):
        self.cosine, self.width = metric == "cosine", pool.shape[1]
        parts = [("x", x)] if x is pool else [("x", x), ("pool", pool)]
        self.dtype = np.result_type(*(exact_dtype(rows, name) for name, rows in parts))
        ends = np.concatenate([_ends(rows, name, self.dtype) for name, rows in parts])
        self.scale = self.unit = 1.0
        self.lengths = np.empty(0, self.dtype)
        if self.cosine:
            self.lengths = np.concatenate([row_lengths(rows.astype(self.dtype)) for _, rows in blocks(pool)])
            return
        largest = power_of_two(ends)
        self.scale = 1.0 if 2.0**-200 < largest < 2.0**200 else largest  # squares of all else are within float64
        self.centre = middle_row(pool, self.dtype) * self.scale
        self.unit = power_of_two(ends * self.scale - self.centre)

    def exact(self, rows: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """Rows (unit ones for "cosine") before the shift; `at` are their positions in the pool where they come from there."""
        if not self.cosine:
            return rows if self.scale == 1 else rows * self.dtype.type(self.scale)
        length = row_lengths(rows.astype(self.dtype)) if at is None else self.lengths[at]
        return rows / length[..., None]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Rows as the passes see them, float64 [n, d]."""
        rows = self.exact(rows)
        rows = rows if self.cosine else (rows - self.centre) * self.unit
        return rows.astype(np.float64, copy=False)

    def squares(self, rows: np.ndarray) -> np.ndarray:
        """|X|^2 of rows that were shifted; for "cosine" a zero row counts as a unit row, at a right angle to any other."""
        return np.ones(len(rows)) if self.cosine else np.einsum("nd,nd->n", rows, rows)

    def distances(self, x: np.ndarray, pool: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Squared distances [n, c] of X from differences, with a relative error of (d + 4) 2^-52; float64."""
        out, count = np.empty(candidates.shape), candidates.shape[1]
        step = max(1, DIFFERENCES // (count * self.width))  # what stays in the cache
        for start in range(0, len(x), step):
            chosen = candidates[start : start + step]
            rows = self.exact(x[start : start + step].astype(self.dtype))
            difference = self.exact(pool[chosen], chosen) - rows[:, None]
            squared = np.einsum("ncd,ncd->nc", difference, difference)
            if self.cosine:
                squared[~rows.any(axis=1)] = 2.0
                squared[np.isinf(self.lengths[chosen])] = 2.0
            out[start : start + step] = squared
        return out * self.unit**2

    def lengths_of(self, squared: np.ndarray) -> np.ndarray:
        """Distances in the caller's units, float64, of squared distances of X."""
        return 0.5 * squared if self.cosine else np.sqrt(squared) / (self.scale * self.unit)


def exact_dtype(rows: np.ndarray, name: str) -> np.dtype:
    """A float that holds every entry of `rows`: float64, or longdouble for 64-bit integers.

    Raises:
      InputError: complex numbers, text or objects; 64-bit integers above 2^53 on a machine without a wider float.
    """
    kind, wide = rows.dtype.kind, rows.dtype.itemsize >= 8 and rows.dtype.kind in "iu"
    require(kind in "biufV", name, got=f"rows of dtype {rows.dtype}", wanted="real numbers", remedy="Give an array of floats.")
    if wide and np.finfo(np.longdouble).nmant < 63 and len(rows):
        got, wanted, remedy = "integers above 2^53", "integers that float64 holds", "Subtract a common offset first."
        require(int(rows.max()) <= 2**53 and int(rows.min()) >= -(2**53), name, got=got, wanted=wanted, remedy=remedy)
    return np.dtype(np.longdouble if wide or rows.dtype == np.longdouble else np.float64)


def middle_row(rows: np.ndarray, dtype: Any = np.float64) -> np.ndarray:
    """Median of each column over rows evenly spread over the array, [d]."""
    sample = np.sort(rows[:: -(-len(rows) // MIDDLE_ROWS)].astype(dtype), axis=0)
    return sample[len(sample) // 2]


def power_of_two(values: np.ndarray) -> float:
    """A factor that brings the largest magnitude into [1/2, 1): exact, unless an entry leaves the range of the float."""
    largest = float(np.abs(values).max(initial=0.0))
    return float(np.ldexp(1.0, int(np.clip(-np.frexp(largest)[1], -1000, 1000)))) if largest > 0 else 1.0


def row_lengths(rows: np.ndarray) -> np.ndarray:
    """Lengths [n] of float64 rows of any magnitude; infinity for a zero row, so that dividing by it leaves zeros."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    some = largest > 0
    relative = rows / np.where(some, largest, 1)[:, None]
    return np.where(some, largest * np.sqrt(np.einsum("nd,nd->n", relative, relative)), np.inf)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float32, whatever their magnitude; a zero row stays 0."""
    rows = np.asarray(rows).astype(np.float64)
    return (rows / row_lengths(rows)[:, None]).astype(np.float32)


def blocks(rows: np.ndarray, size: int = POOL_BLOCK) -> Iterator[tuple[int, np.ndarray]]:
    """First position and rows of consecutive blocks."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def _ends(rows: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
    """Smallest and largest entry of each column, [2, d]."""
    ends, wrong = [], []
    for start, block in blocks(rows):
        ends.append(np.stack([block.min(axis=0), block.max(axis=0)]).astype(dtype))
        if not np.isfinite(ends[-1]).all():
            wrong.append(start + np.flatnonzero(~np.isfinite(block.astype(dtype)).all(axis=1)))
    if wrong:
        wrong = np.concatenate(wrong)
        got, wanted = f"NaN or infinity in {len(wrong)} of {len(rows)} rows, first in row {wrong[0]}", "finite rows"
        remedy = "Drop these rows."
        fail(name, got=got, wanted=wanted, remedy=remedy)
    ends = np.stack(ends)
    return np.stack([ends[:, 0].min(axis=0), ends[:, 1].max(axis=0)])


def _grain(width: int, dtype: Any) -> float:
    """g of the module's first lines."""
    return (width + 16) * float(np.finfo(dtype).eps) / 2


def _bias(view: View, rows: np.ndarray) -> np.ndarray:
    """(1 - g) |P|^2 / 2 of rows of the pool."""
    return (0.5 * (1 - _grain(view.width, np.float32)) * view.squares(rows)).astype(np.float32)


def _beyond(view: View, x: np.ndarray, scores: np.ndarray, block_size: int) -> np.ndarray:
    """Squared distance [n] that no row off the shortlist undercuts; `scores` [n] are those of the last row on it."""
    squares = np.concatenate([view.squares(view(rows)) for _, rows in blocks(x, block_size)])
    if view.cosine:  # a zero row is equally far from all: none is nearer than those on the shortlist
        squares[~np.concatenate([rows.any(axis=1) for _, rows in blocks(x, block_size)])] = np.inf
    underflow = view.width * 2.0**-120  # products that float32 flushes to 0
    return (1 - _grain(view.width, np.float32)) * squares - 2.0 * scores.astype(np.float64) - underflow


def _even(rows: int, size: int) -> int:
    """Size of equal blocks of at most `size` rows: a last block that is mostly padding costs as much as a full one."""
    return -(-rows // -(-rows // size))


def _padded(rows: np.ndarray, size: int, value: float = 0) -> np.ndarray:
    """`rows` with `value` up to `size` rows, so that every block has one shape and compiles once."""
    return np.concatenate([rows, np.full((size - len(rows), *rows.shape[1:]), value, rows.dtype)])


@functools.partial(jax.jit, static_argnames="count")
def _merge(x, excluded, pool, bias, first, scores, indices, *, count):
    """Best `count` of the running candidates and one block of the pool."""
    position = first + jnp.arange(pool.shape[0], dtype=jnp.int32)
    product = jnp.matmul(x, pool.T, precision=lax.Precision.HIGHEST) - bias
    product = jnp.where(position == excluded[:, None], -jnp.inf, product)
    best, local = lax.top_k(product, min(count, pool.shape[0]))  # float32: other types fall back to a full sort
    best, chosen = lax.top_k(jnp.concatenate([scores, best], axis=1), count)
    return best, jnp.take_along_axis(jnp.concatenate([indices, first + local.astype(jnp.int32)], axis=1), chosen, axis=1)


def jax_screen(x, pool, view: View, count: int, excluded: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Shortlist [n, count] (-1 where there are fewer) and what lies beyond it [n]; the pool is the outer loop, read once."""
    block_size, pool_size = _even(len(x), block_size), _even(len(pool), POOL_BLOCK)
    scores = np.full((len(x), count), -np.inf, np.float32)
    indices = np.full((len(x), count), -1, np.int32)
    for first, block in blocks(pool, pool_size):
        block = view(block)
        bias = jnp.asarray(_padded(_bias(view, block), pool_size, np.inf))
        block = jnp.asarray(_padded(block.astype(np.float32), pool_size))
        for start in range(0, len(x), block_size):
            rows = slice(start, min(start + block_size, len(x)))
            query = (_padded(view(x[rows]).astype(np.float32), block_size), _padded(excluded[rows], block_size, -1))
            running = (_padded(scores[rows], block_size), _padded(indices[rows], block_size))
            best, found = _merge(*query, block, bias, np.int32(first), *running, count=count)
            scores[rows] = np.asarray(best)[: rows.stop - start]
            indices[rows] = np.asarray(found)[: rows.stop - start]
    return np.where(np.isneginf(scores), -1, indices), _beyond(view, x, scores[:, -1], block_size)


def faiss_screen(x, pool, view: View, count: int, excluded: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same score, as the inner product of rows with one more column."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError('backend="faiss" needs faiss: pip install "gera_jax[knn]"') from error
    del excluded  # left out afterwards: one of the spare candidates takes the place
    index = faiss.IndexFlatIP(view.width + 1)
    for _, block in blocks(pool):
        block = view(block)
        index.add(np.column_stack([block, -_bias(view, block)]).astype(np.float32))
    found = [
        index.search(np.column_stack([view(rows), np.ones(len(rows))]).astype(np.float32), count)
        for _, rows in blocks(x, block_size)
    ]
    scores, indices = (np.concatenate(part) for part in zip(*found, strict=True))
    return indices.astype(np.int32), _beyond(view, x, scores[:, -1], block_size)


def tree_screen(x, pool, view: View, count: int, excluded: np.ndarray, block_size: int) -> tuple[np.ndarray, np.ndarray]:
    """SciPy's k-d tree, in float64 from differences: what is left to doubt is one rounding of the shifted rows."""
    del excluded, block_size  # as with faiss
    rows = view(pool)
    # Split at the middle of the box: with balanced medians many equal rows take quadratic time.
    tree = cKDTree(rows, balanced_tree=False, compact_nodes=False)
    distances, indices = tree.query(rows if x is pool else view(x), k=np.arange(1, count + 1))
    last = distances[:, -1] * (1 - _grain(view.width, np.float64)) - 4 * np.sqrt(view.width) * 2.0**-53
    return indices.astype(np.int32), np.maximum(last, 0.0) ** 2


def search_again(
    x: np.ndarray, pool: np.ndarray, view: View, excluded: np.ndarray, indices: np.ndarray, squared: np.ndarray, doubt: np.ndarray
) -> None:
    """Put the true k nearest into `indices` and `squared` [n, k] at the rows `doubt` [m], whose shortlist was no proof.

    The score is computed anew in float64, shifted to a row of each block of queries, and differences decide among all rows that
    it cannot exclude: k rows are known to lie within the last squared distance that was found.
    """
    k, grain = squared.shape[1], _grain(view.width, np.float64)
    # Rows that are near each other share a block, so that a middle of their own leaves them few digits to lose.
    widest = np.argmax(np.ptp(view(x[doubt[:: -(-len(doubt) // MIDDLE_ROWS)]]), axis=0))
    doubt = doubt[np.argsort(x[doubt, widest], kind="stable")]
    for start in range(0, len(doubt), REPAIR_ROWS):
        part = doubt[start : start + REPAIR_ROWS]
        rows = view.exact(x[part].astype(view.dtype))
        middle = rows[len(rows) // 2]
        rows = ((rows - middle) * view.unit).astype(np.float64)
        reach = (1 - grain) * np.einsum("nd,nd->n", rows, rows)[:, None] - squared[part, -1:] * (1 + 2 * grain)
        kept = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        for first, block in blocks(pool):
            shifted = ((view.exact(block) - middle) * view.unit).astype(np.float64)
            bias = (1 - grain) * np.einsum("nd,nd->n", shifted, shifted)
            query, position = np.nonzero(reach + bias <= 2.0 * (rows @ shifted.T))
            position += first
            there = position != excluded[part[query]]
            kept = _nearest(kept, _pairs(x[part], pool, view, query[there], position[there]), k)
        indices[part], squared[part] = kept[1].reshape(-1, k), kept[2].reshape(-1, k)


def _pairs(x, pool, view: View, query: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squared distances of some pairs of rows, a few at a time."""
    step = max(1, 2**22 // view.width)
    parts = [slice(i, i + step) for i in range(0, len(query), step)]
    found = [view.distances(x[query[part]], pool, position[part, None])[:, 0] for part in parts]
    return query, position, np.concatenate([np.empty(0), *found])


def _nearest(kept: tuple, new: tuple, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest of each query among two lists of (query, position, squared distance), in order."""
    query, position, squared = (np.concatenate(both) for both in zip(kept, new, strict=True))
    order = np.lexsort((position, squared, query))
    query, position, squared = query[order], position[order], squared[order]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    return query[place < k], position[place < k], squared[place < k]
