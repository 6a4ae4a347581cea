"""Nearest neighbours of rows, and the filter that mixes a row with them."""

from __future__ import annotations

import importlib.util
import numbers
from typing import Any, Literal

import numpy as np
from scipy.spatial import cKDTree

from gera_jax.checks import require, require_known
from gera_jax.graphs.screens import View, faiss_screen, jax_screen, search_again, tree_screen, unit_rows

# `python -m benchmarks.knn --rows 5000 20000` (dim 256, k 32, 2 busy cores): jax 0.48 and 10.7 s, faiss 1.25 and 12.1 s. The lead
# shrinks with the rows, so faiss takes over well above the largest measured size; both are exact, it is a matter of time only.
FAISS_ROWS = 100_000
# CPU seconds at 20,000 x 10, k 10: a swiss roll (two-dimensional) tree 0.4, jax 2.1; a Gaussian cloud tree 4.9, jax 1.9.
TREE_ROWS, TREE_WIDTH, TREE_DIMENSION = 4_096, 64, 5.0
_SPARE = 8  # candidates beyond k: how far beyond the k-th they reach is what proves that none was missed


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

    >>> import numpy as np
    >>> indices, distances = knn(np.array([[0.0], [1.0], [3.0]]), k=1)
    >>> indices.tolist(), distances.tolist()
    ([[1], [0], [1]], [[1.0], [1.0], [2.0]])

    The neighbours are those of float64 brute force, whatever the rows: clusters or outliers far apart, a common offset (it is
    subtracted before anything is cast to float32), any scale, duplicates, float16 to float64 and integers up to 64 bits. A fast
    pass (products in float32, `lax.top_k`) shortlists k + 8 rows, whose distances are computed from differences in float64. A
    bound of the rounding of squared distances in that pass, (d + 16) 2^-24 (|x|^2 + |p|^2) for rows shifted to the middle of the
    pool, says whether a row that it left out can be nearer; if so, that row of `x` is searched again in float64 by the same rule.

    Args:
      x: [n, d] array or memory map; read in blocks.
      pool: [N, d]; None means `x`, and then a row is not its own neighbour (by index: its duplicates are).
      k: number of neighbours.
      metric: "euclidean" |x - p|, or "cosine" 1 - cos(x, p) = |x / |x| - p / |p||^2 / 2, which is 1 for a zero row.
      exclude_self: None or True = by index when `pool` is None; False = nothing is left out; an int array [n] = the pool
        position to leave out for each row, -1 for none.
      block_size: rows of `x` per block.
      backend: "jax", "tree" (SciPy's k-d tree), "faiss" (an extra) or "auto": the tree for more than `TREE_ROWS` rows near a
        surface of few dimensions, faiss above `FAISS_ROWS` pool rows where it is installed.

    Returns:
      indices int32 [n, k] into `pool` and distances float32 [n, k]: float64 distances with a relative error below (d + 4) 2^-52,
      rounded once. Of equal distances the lower index comes first (not among more than k + 8 equal rows). Distances that float32
      cannot hold (of float64 rows alone) are infinity or 0 and their neighbours right, for differences above 1e-150 times the
      largest entry. Memory block_size * 16,384 + n k; time n N d, several times that for rows that are searched again.

    Raises:
      InputError: k no integer or not below the number of rows (k above it when nothing is left out), unequal widths, NaN or
        infinite rows in `x` or `pool`, complex numbers or text.
      ImportError: backend="faiss" without faiss.
    """
    indices, distances = nearest(x, pool, k=k, metric=metric, exclude_self=exclude_self, block_size=block_size, backend=backend)
    with np.errstate(over="ignore"):
        return indices, distances.astype(np.float32)


def nearest(
    x: Any,
    pool: Any = None,
    *,
    k: int,
    metric: str = "euclidean",
    exclude_self: Any = None,
    block_size: int = 1024,
    backend: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """`knn` with its distances in float64."""
    require_known(metric, ("euclidean", "cosine"), "metric")
    require_known(backend, ("auto", *_SCREENS), "backend")
    excluded = _excluded(x, pool, exclude_self)
    pool = x if pool is None else pool
    for name, rows in (("x", x), ("pool", pool)):
        wanted, remedy = "an array of real numbers", "Drop the rows with masked entries, or fill them."
        require(not isinstance(rows, np.ma.MaskedArray), name, got="a masked array", wanted=wanted, remedy=remedy)
    x, pool = (a if isinstance(a, np.ndarray) else np.asarray(a) for a in ((x, x) if pool is x else (x, pool)))
    x, pool = (a.astype(np.float32) if a.dtype.kind == "V" else a for a in (x, pool))  # bfloat16
    _check(x, pool, k, excluded, block_size)
    fine = backend != "tree" or metric == "euclidean"
    got = f'"tree" with metric="{metric}"'
    remedy = '"auto" chooses for you.'
    require(fine, "backend", got=got, wanted='"tree" with metric="euclidean"', remedy=remedy)
    view = View(x, pool, metric)
    if backend == "auto":
        large = len(pool) > FAISS_ROWS and importlib.util.find_spec("faiss") is not None
        tree = metric == "euclidean" and len(pool) > TREE_ROWS and pool.shape[1] <= TREE_WIDTH
        tree = tree and _dimension(pool, view) <= TREE_DIMENSION
        backend = "tree" if tree else "faiss" if large else "jax"
    shortlist = min(k + _SPARE, len(pool))
    candidates, beyond = _SCREENS[backend](x, pool, view, shortlist, excluded, block_size)
    if shortlist == len(pool):
        beyond[:] = np.inf
    indices, squared = np.empty((len(x), k), np.int32), np.empty((len(x), k))
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        found = candidates[rows]
        exact = view.distances(x[rows], pool, np.maximum(found, 0))
        exact[(found < 0) | (found == excluded[rows, None])] = np.inf
        order = np.lexsort((found, exact))[:, :k]
        indices[rows] = np.take_along_axis(found, order, axis=1)
        squared[rows] = np.take_along_axis(exact, order, axis=1)
    last = squared[:, -1]
    doubt = np.flatnonzero((last > 0) & ~(last * (1 + 1e-9) < beyond))
    if len(doubt):
        search_again(x, pool, view, excluded, indices, squared, doubt)
    return indices, view.lengths_of(squared)


def _dimension(pool: np.ndarray, view: View, sample: int = 2_048, k: int = 10) -> float:
    """Levina and Bickel's estimate of the dimension of the surface that the rows lie near: what a k-d tree's time grows with."""
    rows = view(pool[:: -(-len(pool) // sample)])
    lengths = cKDTree(rows).query(rows[:: len(rows) // 128], k=k + 1)[0][:, 1:]
    lengths = np.maximum(lengths, 1e-12 * max(lengths.max(), 1e-300))  # of equal rows
    return 1 / max(float(np.mean(np.log(lengths[:, -1:] / lengths[:, :-1]))), 1e-12)


_SCREENS = {"jax": jax_screen, "faiss": faiss_screen, "tree": tree_screen}


def _excluded(x: Any, pool: Any, exclude_self: Any) -> np.ndarray:
    """Pool position to leave out for each row of `x`, -1 for none; int32 [n]."""
    n = len(x)
    if exclude_self is None or isinstance(exclude_self, bool):
        got, wanted = "True with a pool of its own", "the pool position of each row"
        remedy = "Give an int array [n], -1 for rows outside the pool."
        require(not (exclude_self and pool is not None), "exclude_self", got=got, wanted=wanted, remedy=remedy)
        own = pool is None and exclude_self is not False
        return np.arange(n, dtype=np.int32) if own else np.full(n, -1, np.int32)
    excluded = np.asarray(exclude_self)
    got, wanted = f"{excluded.dtype} {excluded.shape}", f"an int array [{n}] of pool positions, -1 for none"
    require(excluded.shape == (n,) and np.issubdtype(excluded.dtype, np.integer), "exclude_self", got=got, wanted=wanted)
    return np.clip(excluded, -2, np.iinfo(np.int32).max).astype(np.int32)  # what does not fit is refused as out of range


def _check(x: np.ndarray, pool: np.ndarray, k: int, excluded: np.ndarray, block_size: int) -> None:
    for name, rows in (("x", x), ("pool", pool)):
        require(rows.ndim == 2 and len(rows) > 0, name, got=f"shape {rows.shape}", wanted="[rows, features], not empty")
    require(x.shape[1] == pool.shape[1], "pool", got=f"rows of width {pool.shape[1]}", wanted=f"width {x.shape[1]}, as in x")
    for name, value in (("block_size", block_size), ("k", k)):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        require(whole, name, got=repr(value), wanted="an integer, at least 1")
    require(block_size >= 1, "block_size", got=block_size, wanted="at least 1")
    leaves_out = bool((excluded >= 0).any())
    inside = excluded.min() >= -1 and excluded.max() < len(pool)
    require(inside, "exclude_self", got=f"positions {excluded.min()} to {excluded.max()}", wanted=f"-1 to {len(pool) - 1}")
    wanted = f"1 to {len(pool) - leaves_out}, for {len(pool)} rows" + (" without the row itself" if leaves_out else "")
    remedy = "Lower k or give more rows."
    require(1 <= k <= len(pool) - leaves_out, "k", got=k, wanted=wanted, remedy=remedy)


def diffusion_filter(
    x: Any,
    pool: Any,
    *,
    k: int = 10,
    temperature: float = 0.1,
    strength: float = 0.5,
    exclude_self: Any = False,
    block_size: int = 1024,
) -> np.ndarray:
    """l2((1 - strength) x_i + strength sum_j P_ij pool_j), P = row-normalised exp((cos(x_i, pool_j) - 1) / temperature).

    >>> import numpy as np
    >>> pool = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> diffusion_filter(pool, pool, k=1, strength=0.5, exclude_self=np.arange(2))
    array([[0.70710677, 0.70710677],
           [0.70710677, 0.70710677]], dtype=float32)

    The sum runs over the k nearest rows of the pool by cosine. A new row looks at pool rows only, so nothing is refitted.

    Args:
      x: [n, d] array or memory map; unit rows make `strength` a fraction.
      pool: [N, d], for example the training rows.
      k: number of pool rows to average.
      temperature: of the weights, > 0; small = the nearest row only.
      strength: 0 (x itself, normalised) to 1 (the average alone).
      exclude_self: False, or an int array [n] with the pool position of each row (-1 = not in the pool): a row is then
        left out of its own average, as every new row is.
      block_size: rows per block. Memory block_size * k * d beside that of `knn`.

    Returns:
      float32 [n, d] of unit rows (a zero row stays 0). NumPy in, NumPy out; no gradient.
    """
    require(temperature > 0, "temperature", got=temperature, wanted="a number above 0")
    require(0 <= strength <= 1, "strength", got=strength, wanted="a number from 0 to 1")
    x, pool = (a if isinstance(a, np.ndarray) else np.asarray(a) for a in (x, pool))
    if strength == 0:
        return np.concatenate([unit_rows(x[start : start + block_size]) for start in range(0, len(x), block_size)])
    indices, distances = knn(x, pool, k=k, metric="cosine", exclude_self=exclude_self, block_size=block_size)
    out = np.empty(x.shape, np.float32)
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        # Distances are sorted, so subtracting the first one keeps the largest weight at 1 for any temperature.
        weights = np.exp((distances[rows, :1] - distances[rows]) / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        average = np.einsum("nk,nkd->nd", weights, np.asarray(pool[indices[rows]], np.float64))
        out[rows] = unit_rows((1.0 - strength) * np.asarray(x[rows], np.float64) + strength * average)
    return out
