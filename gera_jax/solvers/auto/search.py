"""The best scores of rows against rows, and means by them: all that grows with the square of the pools.

Few scores are formed on the host. Many are formed in tiles of one shape by a compiled function, whose rows are spread over all
devices, so a larger pool compiles nothing new and no n x m array is ever in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Found = tuple[Array, Array]
BLOCK = 1024  # rows of a score matrix in memory at once, on the host
TILE = (2048, 8192)  # queries and keys of a tile
HOST = 2e9  # multiplications up to which the host is faster than compiling
HUB = 10  # best scores whose mean is a density
LEADING = 128  # coordinates in which the candidates of a large search are found
CANDIDATES = 4  # times k, which are then compared in all coordinates
EXACT = 4000  # rows from which on a search among one pool goes by candidates


def nearest(queries: Array, keys: Array, k: int, *, shift: Array | None = None, exclude_self: bool = False) -> Found:
    """The k largest entries a row of queries @ keys' - shift: indices and values [n, k], in no order.

    Memory BLOCK x m or one tile beside the result; time n m d.
    """
    if len(queries) > BLOCK and queries.size * len(keys) > HOST:
        return _tiled(queries, keys, k, 0, None, shift, exclude_self)[0]
    indices, values = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ keys.T
        if shift is not None:
            scores -= shift
        if exclude_self:
            here = np.arange(len(scores))
            scores[here, start + here] = -np.inf
        indices[start : start + BLOCK], values[start : start + BLOCK] = _top(scores, k)
    return indices, values


def nearest_both(
    x: Array, y: Array, k: int, *, x_shift: Array | None = None, y_shift: Array | None = None
) -> tuple[Found, Found]:
    """`nearest` of each x among y (less y_shift) and of each y among x (less x_shift), from one product of the two."""
    k_x, k_y = min(k, len(y)), min(k, len(x))
    if len(x) > BLOCK and x.size * len(y) > HOST:
        return _tiled(x, y, k_x, k_y, x_shift, y_shift)
    of_x = np.empty((len(x), k_x), np.int64), np.empty((len(x), k_x), np.float32)
    of_y = np.empty((len(y), 0), np.int64), np.empty((len(y), 0), np.float32)
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        scores = x[block] @ y.T
        rows = scores if y_shift is None else scores - y_shift
        of_x[0][block], of_x[1][block] = _top(rows, k_x)
        columns = scores.T if x_shift is None else scores.T - x_shift[block]
        found = _top(columns, min(k, columns.shape[1]))
        candidates, values = np.concatenate([of_y[0], found[0] + start], axis=1), np.concatenate([of_y[1], found[1]], axis=1)
        best, values = _top(values, min(k, values.shape[1]))
        of_y = np.take_along_axis(candidates, best, axis=1), values
    return of_x, of_y


def nearest_within(rows: Array, k: int) -> Found:
    """`nearest` of each row of a pool among the others.

    Above EXACT rows the candidates are the CANDIDATES * k best by the LEADING coordinates, the principal ones of a
    pool.
    """
    if len(rows) <= EXACT or rows.shape[1] <= LEADING:
        return nearest(rows, rows, k, exclude_self=True)
    leading = np.ascontiguousarray(rows[:, :LEADING])
    candidates, _ = nearest(leading, leading, min(CANDIDATES * k, len(rows) - 1), exclude_self=True)
    values = np.empty(candidates.shape, np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        values[block] = np.matmul(rows[candidates[block]], rows[block, :, None])[..., 0]
    best, values = _top(values, k)
    return np.take_along_axis(candidates, best, axis=1), values


def density(queries: Array, keys: Array) -> Array:
    """[n] mean of the HUB largest scores of each query. It is large for a hub, a row that is close to many others."""
    return nearest(queries, keys, min(HUB, len(keys)))[1].mean(axis=1)


def neighbour_mean(
    queries: Array, keys: Array, values: Array, *, k: int, temperature: float, shift: Array | None = None
) -> Array:
    """[n, f] mean of values [m, f] under the softmax of the k best scores (queries @ keys' - shift) / temperature."""
    return soft_weights(nearest(queries, keys, min(k, len(keys)), shift=shift), len(keys), temperature) @ values


def soft_weights(found: Found, keys: int, temperature: float) -> Any:
    """Sparse [n, keys] softmax of scores / temperature over what `nearest` found: its product with values is their mean."""
    import scipy.sparse

    indices, scores = found
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.float32(temperature))
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.arange(0, indices.size + 1, indices.shape[1])
    return scipy.sparse.csr_matrix((weights.ravel(), indices.ravel(), starts), (len(indices), keys))


def _top(scores: Array, k: int) -> Found:
    if k < scores.shape[1]:
        chosen = np.argpartition(scores, -k, axis=1)[:, -k:]
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return chosen, np.take_along_axis(scores, chosen, axis=1)


def _tiled(
    x: Array,
    y: Array,
    k_x: int,
    k_y: int,
    x_shift: Array | None = None,
    y_shift: Array | None = None,
    exclude_self: bool = False,
) -> tuple[Found, Found]:
    """Both searches tile by tile on the devices; k_y = 0 leaves the second out."""
    import jax

    devices = jax.local_device_count()
    size = tuple(min(most, -(-len(rows) // 512) * 512) for most, rows in zip(TILE, (x, y), strict=True))
    b, c = -(-size[0] // devices) * devices, size[1]
    step = _step(k_x, k_y, exclude_self, devices)
    y_tiles = [(_padded(y[j : j + c], c), _shift(y_shift, len(y), j, c), np.int32(j)) for j in range(0, len(y), c)]
    of_x: list[Any] = []
    of_y = [_nothing(c, k_y) for _ in y_tiles]
    for i in range(0, len(x), b):
        rows, found = (_padded(x[i : i + b], b), _shift(x_shift, len(x), i, b), np.int32(i)), _nothing(b, k_x)
        for number, tile in enumerate(y_tiles):
            found, of_y[number] = step(*rows, *tile, found, of_y[number])
        of_x.append(jax.device_get(found))  # which also waits, so that few blocks are on the way at once
    return _joined(of_x, len(x)), _joined(jax.device_get(of_y), len(y))


@functools.cache
def _step(k_x: int, k_y: int, exclude_self: bool, devices: int) -> Callable:
    """One tile: the best so far of its rows and of its columns, merged with the tile's own."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec

    mesh, split, whole = jax.make_mesh((devices,), ("rows",)), PartitionSpec("rows"), PartitionSpec()

    def merged(found: Any, values: Any, indices: Any, k: int) -> tuple[Any, Any]:
        values, indices = jnp.concatenate([found[1], values], axis=1), jnp.concatenate([found[0], indices], axis=1)
        values, best = jax.lax.top_k(values, k)
        return jnp.take_along_axis(indices, best, axis=1), values

    def local(x: Any, x_shift: Any, i: Any, y: Any, y_shift: Any, j: Any, of_x: Any, of_y: Any) -> tuple[Any, Any]:
        first = i + jax.lax.axis_index("rows") * len(x)
        scores = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
        if exclude_self:
            same = (first + jnp.arange(len(x)))[:, None] == (j + jnp.arange(len(y)))[None]
            scores = jnp.where(same, -jnp.inf, scores)
        values, best = jax.lax.top_k(scores - y_shift, min(k_x, len(y)))
        of_x = merged(of_x, values, best + j, k_x)
        if k_y:
            values, best = jax.lax.top_k(scores.T - x_shift, min(k_y, len(x)))
            values, best = (jax.lax.all_gather(a, "rows", axis=1, tiled=True) for a in (values, best + first))
            of_y = merged(of_y, values, best, k_y)
        return of_x, of_y

    specs = (split, split, whole, whole, whole, whole, split, whole)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=(split, whole), check_vma=False)
    return jax.jit(mapped)


def _padded(rows: Array, size: int) -> Array:
    made = np.zeros((size, *rows.shape[1:]), np.float32)
    made[: len(rows)] = rows
    return made


def _shift(shift: Array | None, n: int, start: int, size: int) -> Array:
    """[size] of a tile: infinite where there is no row."""
    made = np.full(size, np.inf, np.float32)
    here = slice(start, min(start + size, n))
    made[: here.stop - here.start] = 0 if shift is None else shift[here]
    return made


def _nothing(size: int, k: int) -> Found:
    return np.zeros((size, k), np.int32), np.full((size, k), -np.inf, np.float32)


def _joined(parts: list[Found], n: int) -> Found:
    indices, values = (np.concatenate([part[i] for part in parts])[:n] for i in (0, 1))
    return indices.astype(np.int64), values
