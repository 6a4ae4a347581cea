"""Exact nearest neighbours of rows on the host: NumPy (or a memory map) in, NumPy out."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.spatial import cKDTree

from gera_jax.checks import fail, require, require_known

# `python -m benchmarks.knn --rows 5000 20000` (dim 256, k 32, 2 busy cores): jax 0.48 and 10.7 s, faiss 1.25 and 12.1 s. The lead
# shrinks with the rows, so faiss takes over well above the largest measured size; both are exact, it is a matter of time only.
FAISS_ROWS = 100_000
# CPU seconds at 20,000 x 10, k 10: a swiss roll (two-dimensional) tree 0.4, jax 2.1; a Gaussian cloud tree 4.9, jax 1.9.
TREE_ROWS, TREE_WIDTH, TREE_DIMENSION = 4_096, 64, 5.0
_POOL_BLOCK = 16_384  # rows of the pool on the device at once
_SPARE = 8  # candidates beyond k, so that rounding in the fast pass cannot push out a true neighbour


def knn(
    x: Any,
    pool: Any = None,
    *,
    k: int,
    metric: Literal["euclidean", "cosine"] = "euclidean",
    exclude_self: Any = None,
    block_size: int = 1024,
    backend: Literal["auto", "jax", "faiss", "tree"] = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of `pool` for each row of `x`, exactly, nearest first.

    A fast pass in blocks (products in float32, `lax.top_k`) finds k + 8 candidates; their distances are then computed from
    differences, so that duplicates get 0 and near ties come in their true order (equal distances: lower index first).

    Args:
      x: [n, d] array or memory map; read in blocks.
      pool: [N, d]; None means `x`, and then a row is not its own neighbour (by index: its duplicates are).
      k: number of neighbours.
      metric: "euclidean" |x - p|, or "cosine" 1 - cos(x, p), which is 1 for a zero row.
      exclude_self: None or True = by index when `pool` is None; False = nothing is left out; an int array [n] = the pool
        position to leave out for each row, -1 for none.
      block_size: rows of `x` per block.
      backend: "jax", "tree" (SciPy's k-d tree), "faiss" (an extra) or "auto": the tree for more than `TREE_ROWS` rows near a
        surface of few dimensions, faiss above `FAISS_ROWS` pool rows where it is installed.

    Returns:
      indices int32 [n, k] into `pool` and distances float32 [n, k]. Memory block_size * 16,384 + n k; time n N d.

    Raises:
      ValueError: k not below the number of rows (k above it when nothing is left out), unequal widths, non-finite rows.
      ImportError: backend="faiss" without faiss.

    >>> import numpy as np
    >>> indices, distances = knn(np.array([[0.0], [1.0], [3.0]]), k=1)
    >>> indices.tolist(), distances.tolist()
    ([[1], [0], [1]], [[1.0], [1.0], [2.0]])
    """
    require_known(metric, ("euclidean", "cosine"), "metric")
    require_known(backend, ("auto", *_BACKENDS), "backend")
    excluded = _excluded(x, pool, exclude_self)
    pool = x if pool is None else pool
    x, pool = (a if isinstance(a, np.ndarray) else np.asarray(a) for a in (x, pool))
    _check(x, pool, k, excluded, block_size)
    require(backend != "tree" or metric == "euclidean", "backend", got=f'"tree" with metric="{metric}"',
            wanted='"tree" with metric="euclidean"', remedy='"auto" chooses for you.')
    view = _Rows(metric, pool)
    if backend == "auto":
        large = len(pool) > FAISS_ROWS and importlib.util.find_spec("faiss") is not None
        tree = metric == "euclidean" and len(pool) > TREE_ROWS and pool.shape[1] <= TREE_WIDTH
        tree = tree and _dimension(pool) <= TREE_DIMENSION
        backend = "tree" if tree else "faiss" if large else "jax"
    wanted = min(k + _SPARE, len(pool))
    candidates = _BACKENDS[backend](x, pool, view, wanted, excluded, block_size)
    indices, distances = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        found = candidates[rows]
        exact = view.distances(x[rows], pool, np.maximum(found, 0))
        exact[(found < 0) | (found == excluded[rows, None])] = np.inf
        order = np.lexsort((found, exact))[:, :k]
        indices[rows] = np.take_along_axis(found, order, axis=1)
        distances[rows] = np.take_along_axis(exact, order, axis=1)
    return indices, distances


class _Rows:
    """How raw rows become rows whose inner products order the neighbours, and what their distance is."""

    def __init__(self, metric: str, pool: np.ndarray):
        self.cosine = metric == "cosine"
        self.centre = np.zeros(pool.shape[1], np.float32)
        self.length = np.ones(len(pool), np.float32)  # of the pool rows, by which "cosine" divides
        total = np.zeros(pool.shape[1])
        for start, rows in _blocks(pool):
            finite = np.isfinite(rows).all(axis=1)
            if not finite.all():
                fail("pool", got=f"NaN or infinity in {np.sum(~finite)} of rows {start} to {start + len(rows) - 1}, "
                     f"first in row {start + np.argmin(finite)}", wanted="finite rows", remedy="Drop these rows.")
            total += rows.sum(axis=0, dtype=np.float64)
            if self.cosine:
                self.length[start : start + len(rows)] = _lengths(rows)
        if not self.cosine:  # a common shift changes no distance and limits the cancellation in the fast pass
            self.centre = (total / max(len(pool), 1)).astype(np.float32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows, np.float32) - self.centre
        return unit_rows(rows) if self.cosine else rows

    def bias(self, rows: np.ndarray) -> np.ndarray:
        """Half squared lengths: x . p - bias(p) grows as the distance shrinks."""
        return np.zeros(len(rows), np.float32) if self.cosine else 0.5 * np.einsum("nd,nd->n", rows, rows)

    def distances(self, x: np.ndarray, pool: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Distances [n, c] from differences, without cancellation."""
        x, squared = self(x), np.empty(candidates.shape, np.float32)
        for column, chosen in enumerate(candidates.T):  # one column at a time: memory n*d, not n*c*d
            difference = pool[chosen].astype(np.float32, copy=False) - self.centre
            difference /= self.length[chosen, None]
            difference -= x
            squared[:, column] = np.einsum("nd,nd->n", difference, difference)
        if not self.cosine:
            return np.sqrt(squared)
        zero = ~x.any(axis=1)[:, None] | (self.length == np.inf)[candidates]
        return np.where(zero, np.float32(1), 0.5 * squared)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float32; a zero row stays 0."""
    return np.asarray(rows, np.float32) / _lengths(rows)[:, None]


def _lengths(rows: np.ndarray) -> np.ndarray:
    """Lengths in float32, infinity for a zero row, so that dividing by it leaves zeros."""
    rows = np.asarray(rows, np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    return np.where(length > 0, length, np.float32(np.inf))


def _blocks(rows: np.ndarray, size: int = _POOL_BLOCK) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


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


def _jax_candidates(x, pool, view: _Rows, count: int, excluded: np.ndarray, block_size: int) -> np.ndarray:
    """Positions [n, count] in `pool`, -1 where there are fewer; the pool is the outer loop and is read once."""
    block_size, pool_size = _even(len(x), block_size), _even(len(pool), _POOL_BLOCK)
    scores = np.full((len(x), count), -np.inf, np.float32)
    indices = np.full((len(x), count), -1, np.int32)
    for first, block in _blocks(pool, pool_size):
        block = view(block)
        bias = jnp.asarray(_padded(view.bias(block), pool_size, np.inf))
        block = jnp.asarray(_padded(block, pool_size))
        for start in range(0, len(x), block_size):
            rows = slice(start, min(start + block_size, len(x)))
            query = (_padded(view(x[rows]), block_size), _padded(excluded[rows], block_size, -1))
            running = (_padded(scores[rows], block_size), _padded(indices[rows], block_size))
            best, found = _merge(*query, block, bias, np.int32(first), *running, count=count)
            scores[rows] = np.asarray(best)[: rows.stop - start]
            indices[rows] = np.asarray(found)[: rows.stop - start]
    return np.where(np.isneginf(scores), -1, indices)


def _faiss_candidates(x, pool, view: _Rows, count: int, excluded: np.ndarray, block_size: int) -> np.ndarray:
    try:
        import faiss
    except ImportError as error:
        raise ImportError('backend="faiss" needs faiss: pip install "gera_jax[knn]"') from error
    width = pool.shape[1]
    index = faiss.IndexFlatIP(width) if view.cosine else faiss.IndexFlatL2(width)
    for _, block in _blocks(pool):
        index.add(np.ascontiguousarray(view(block)))
    del excluded  # left out afterwards: one of the spare candidates takes the place
    found = [index.search(np.ascontiguousarray(view(rows)), count)[1] for _, rows in _blocks(x, block_size)]
    return np.concatenate(found).astype(np.int32)


def _tree_candidates(x, pool, view: _Rows, count: int, excluded: np.ndarray, block_size: int) -> np.ndarray:
    del excluded, block_size  # as with faiss, a spare candidate takes the place of what is left out
    rows = view(pool)
    # Split at the middle of the box: with balanced medians many equal rows take quadratic time.
    tree = cKDTree(rows, balanced_tree=False, compact_nodes=False)
    return tree.query(rows if x is pool else view(x), k=np.arange(1, count + 1))[1].astype(np.int32)


def _dimension(pool: np.ndarray, sample: int = 2_048, k: int = 10) -> float:
    """Levina and Bickel's estimate of the dimension of the surface that the rows lie near: what a k-d tree's time grows with."""
    rows = pool[:: -(-len(pool) // sample)]
    lengths = cKDTree(rows).query(rows[:: len(rows) // 128], k=k + 1)[0][:, 1:]
    lengths = np.maximum(lengths, 1e-12 * max(lengths.max(), 1e-300))  # of equal rows
    return 1 / max(float(np.mean(np.log(lengths[:, -1:] / lengths[:, :-1]))), 1e-12)


_BACKENDS = {"jax": _jax_candidates, "faiss": _faiss_candidates, "tree": _tree_candidates}


def _excluded(x: Any, pool: Any, exclude_self: Any) -> np.ndarray:
    """Pool position to leave out for each row of `x`, -1 for none; int32 [n]."""
    n = len(x)
    if exclude_self is None or isinstance(exclude_self, bool):
        require(not (exclude_self and pool is not None), "exclude_self", got="True with a pool of its own",
                wanted="the pool position of each row", remedy="Give an int array [n], -1 for rows outside the pool.")
        own = pool is None and exclude_self is not False
        return np.arange(n, dtype=np.int32) if own else np.full(n, -1, np.int32)
    excluded = np.asarray(exclude_self)
    require(excluded.shape == (n,) and np.issubdtype(excluded.dtype, np.integer), "exclude_self",
            got=f"{excluded.dtype} {excluded.shape}", wanted=f"an int array [{n}] of pool positions, -1 for none")
    return excluded.astype(np.int32)


def _check(x: np.ndarray, pool: np.ndarray, k: int, excluded: np.ndarray, block_size: int) -> None:
    for name, rows in (("x", x), ("pool", pool)):
        require(rows.ndim == 2 and len(rows) > 0, name, got=f"shape {rows.shape}", wanted="[rows, features], not empty")
    require(x.shape[1] == pool.shape[1], "pool", got=f"rows of width {pool.shape[1]}", wanted=f"width {x.shape[1]}, as in x")
    require(block_size >= 1, "block_size", got=block_size, wanted="at least 1")
    leaves_out = bool((excluded >= 0).any())
    require(excluded.max() < len(pool), "exclude_self", got=f"position {excluded.max()}", wanted=f"below {len(pool)}")
    require(1 <= k <= len(pool) - leaves_out, "k", got=k, wanted=f"1 to {len(pool) - leaves_out}, for {len(pool)} rows"
            + (" without the row itself" if leaves_out else ""), remedy="Lower k or give more rows.")
