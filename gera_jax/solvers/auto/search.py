"""The best scores of rows against rows, and means by them: all that grows with the square of the pools.

Scores are formed in tiles, so no n x m array is ever in memory. On an accelerator, or on several devices, the step of a tile is
one compiled function of fixed shapes whose rows are spread over the devices. On one CPU it is NumPy, whose products are faster.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Found = tuple[Array, Array]
BLOCK = 1024  # rows of a score matrix in memory at once where it has few columns
TILE = (2048, 8192)  # queries and keys of a tile
SMALL = 2e9  # multiplications up to which compiling costs more than it saves
HUB = 10  # best scores whose mean is a density
LEADING = 128  # coordinates in which the candidates of a large search are found
CANDIDATES = 4  # times k, which are then compared in all coordinates
EXACT = 4000  # rows from which on a search among one pool goes by candidates


def nearest(queries: Array, keys: Array, k: int, *, shift: Array | None = None, exclude_self: bool = False) -> Found:
    """The k largest entries a row of queries @ keys' - shift: indices and values [n, k], in no order.

    Memory one tile beside the result; time n m d.
    """
    return _tiled(queries, keys, k, 0, None, shift, exclude_self)[0]


def nearest_both(
    x: Array, y: Array, k: int, *, x_shift: Array | None = None, y_shift: Array | None = None
) -> tuple[Found, Found]:
    """`nearest` of each x among y (less y_shift) and of each y among x (less x_shift), from one product of the two."""
    return _tiled(x, y, min(k, len(y)), min(k, len(x)), x_shift, y_shift)


def best_of(scores: Array, k: int, shift: Array | None = None) -> Found:
    """`nearest` where the scores [n, m] are there already."""
    return _top(scores if shift is None else scores - shift, min(k, scores.shape[1]))


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


def corrected(indices: Array, scores: Array, shift: Array, k: int) -> tuple[Array, Array]:
    """Of a short list [n, s] as `nearest` gives it: the k best a row after the `shift` [m] of the listed rows is taken off."""
    scores = scores - shift[indices].astype(np.float32)
    best = np.argpartition(scores, -k, axis=1)[:, -k:]
    return np.take_along_axis(indices, best, axis=1), np.take_along_axis(scores, best, axis=1)


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
    """The k largest a row: they lie in the k groups of columns with the largest maxima, so most columns are only read once."""
    n, m = scores.shape
    if k >= m:
        chosen = np.broadcast_to(np.arange(m), scores.shape)
        return chosen, np.take_along_axis(scores, chosen, axis=1)
    size = int((m / k) ** 0.5)  # of a group: it has the columns of one remainder
    groups = m // size
    if size < 3 or groups <= k:
        chosen = np.argpartition(scores, -k, axis=1)[:, -k:]
        return chosen, np.take_along_axis(scores, chosen, axis=1)
    largest = scores[:, : size * groups].reshape(n, size, groups).max(axis=1)
    best = np.argpartition(largest, -k, axis=1)[:, -k:]
    columns = (best[:, None] + groups * np.arange(size)[:, None]).reshape(n, -1)
    columns = np.concatenate([columns, np.broadcast_to(np.arange(size * groups, m), (n, m - size * groups))], axis=1)
    values = np.take_along_axis(scores, columns, axis=1)
    chosen = np.argpartition(values, -k, axis=1)[:, -k:]
    return np.take_along_axis(columns, chosen, axis=1), np.take_along_axis(values, chosen, axis=1)


def _top_of_columns(scores: Array, k: int) -> Found:
    """`_top` of the transpose, of which only the groups' maxima are written."""
    n, m = scores.shape
    size = int((n / k) ** 0.5)
    groups = n // max(size, 1)
    if size < 3 or groups <= k:
        return _top(np.ascontiguousarray(scores.T), k)
    largest = scores[: size * groups].reshape(size, groups, m).max(axis=0)
    best = np.argpartition(np.ascontiguousarray(largest.T), -k, axis=1)[:, -k:]
    rows = (best[:, None] + groups * np.arange(size)[:, None]).reshape(m, -1)
    rows = np.concatenate([rows, np.broadcast_to(np.arange(size * groups, n), (m, n - size * groups))], axis=1)
    values = scores[rows, np.arange(m)[:, None]]
    chosen = np.argpartition(values, -k, axis=1)[:, -k:]
    return np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(values, chosen, axis=1)


def _tiled(
    x: Array,
    y: Array,
    k_x: int,
    k_y: int,
    x_shift: Array | None = None,
    y_shift: Array | None = None,
    exclude_self: bool = False,
) -> tuple[Found, Found]:
    """Both searches tile by tile; k_y = 0 leaves the second out."""
    devices = _devices() if x.size * len(y) > SMALL else 0
    b, c = (min(most, max(512, -(-len(rows) // 512) * 512)) for most, rows in zip(TILE, (x, y), strict=True))
    b = -(-b // devices) * devices if devices else b
    step = _device_step(k_x, k_y, exclude_self, devices) if devices else functools.partial(_host_step, k_x, k_y, exclude_self)
    pad = (b, c) if devices else (0, 0)
    y_tiles = [
        (_padded(y[j : j + c], pad[1]), _shift(y_shift, len(y), j, c, pad[1]), np.int32(j)) for j in range(0, max(1, len(y)), c)
    ]
    of_x: list[Any] = []
    of_y = [_nothing(len(tile[0]), k_y) for tile in y_tiles]
    for i in range(0, max(1, len(x)), b):
        rows = _padded(x[i : i + b], pad[0]), _shift(x_shift, len(x), i, b, pad[0]), np.int32(i)
        found = _nothing(len(rows[0]), k_x)
        for number, tile in enumerate(y_tiles):
            found, of_y[number] = step(*rows, *tile, found, of_y[number])
        of_x.append(tuple(np.asarray(part) for part in found))  # which waits, so that few blocks are on the way at once
    return _joined(of_x, len(x)), _joined(of_y, len(y))


def _devices() -> int:
    """How many devices to compute on; 0 where there is but one CPU."""
    import jax

    count = jax.local_device_count()
    return count if count > 1 or jax.default_backend() != "cpu" else 0


def _host_step(
    k_x: int,
    k_y: int,
    exclude_self: bool,
    x: Array,
    x_shift: Array | None,
    i: int,
    y: Array,
    y_shift: Array | None,
    j: int,
    of_x: Found,
    of_y: Found,
) -> tuple[Found, Found]:
    """One tile: the best so far of its rows and of its columns, merged with the tile's own."""
    scores = x @ y.T
    if exclude_self:
        rows = np.arange(max(i, j), min(i + len(x), j + len(y)))
        scores[rows - i, rows - j] = -np.inf
    of_x = _merged(of_x, best_of(scores, k_x, y_shift), j, k_x)
    if k_y:
        of_y = _merged(of_y, _top_of_columns(scores if x_shift is None else scores - x_shift[:, None], min(k_y, len(x))), i, k_y)
    return of_x, of_y


def _merged(found: Found, new: Found, first: int, k: int) -> Found:
    indices, values = np.concatenate([found[0], new[0] + first], axis=1), np.concatenate([found[1], new[1]], axis=1)
    best, values = _top(values, k)
    return np.take_along_axis(indices, best, axis=1), values


@functools.cache
def _device_step(k_x: int, k_y: int, exclude_self: bool, devices: int) -> Callable:
    """`_host_step` as a compiled function, the rows of x on all devices."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec

    mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()[:devices]), ("rows",))
    split, whole = PartitionSpec("rows"), PartitionSpec()

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
    """Rows and rows of zeros up to `size`; as they are where size is 0."""
    if not size:
        return rows
    made = np.zeros((size, *rows.shape[1:]), np.float32)
    made[: len(rows)] = rows
    return made


def _shift(shift: Array | None, n: int, start: int, count: int, size: int) -> Array | None:
    """The shift of a tile of `count` from `start` on; where it is padded to `size`, infinite where there is no row."""
    own = None if shift is None else shift[start : start + count]
    if not size:
        return own
    made = np.full(size, np.inf, np.float32)
    made[: min(count, n - start)] = 0 if own is None else own
    return made


def _nothing(size: int, k: int) -> Found:
    return np.zeros((size, k), np.int32), np.full((size, k), -np.inf, np.float32)


def _joined(parts: list[Any], n: int) -> Found:
    indices, values = (np.concatenate([np.asarray(part[i]) for part in parts])[:n] for i in (0, 1))
    return indices.astype(np.int64), values
