"""Sums and log-sum-exps along the rows and columns of a matrix of cells: whole, or in tiles, so that it is never stored.

A loss says once what a cell is, and `fold` computes either form from that. In tiles the log-sum-exps are online (a running
maximum and a running sum), and the gradient computes each tile anew: that of a log-sum-exp is the softmax, which needs no more
than the result. Over devices the columns, and what is known of them so far, go round in a ring: none gathers those of another.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import keep_logits, lowest
from gera_jax.ops.collectives import gather_rows, row_offset

LARGEST = 2048**2  # cells up to which the matrix is stored: 16 MiB in float32
BLOCK = {"cpu": 512, "other": 4096}  # rows and columns of a tile above that: near the cache, or work for a whole accelerator


class Side(NamedTuple):
    """What the cells know of their rows, or of their columns; the first axis of every array runs over those of this device."""

    values: Any  # floats, which get gradients
    marks: Any = None  # integers, which get none
    mask: Array | None = None  # bool, True = a real row


class Folds(NamedTuple):
    """Matrices of cells [n, m] on their way in; what is left of each, [n] or [m], on their way out."""

    row_lse: tuple[Array, ...] = ()
    column_lse: tuple[Array, ...] = ()
    row_sum: tuple[Array, ...] = ()
    column_sum: tuple[Array, ...] = ()


Cells = Callable[[Side, Side, Any], Folds]


def fold(
    cells: Cells, row: Side, column: Side, *, grid: Any = None, block_size: int | None = None, axis_name: str | None = None
) -> Folds:
    """Log-sum-exps and sums of `cells(row, column, grid)` along the columns and the rows of all devices.

    >>> side = Side(jnp.arange(4.0), mask=jnp.array([True, True, True, False]))
    >>> def cells(row, column, grid):
    ...     return Folds(row_sum=(row.values[:, None] * column.values[None, :],))
    >>> fold(cells, side, side, block_size=3).row_sum[0].tolist()
    [0.0, 3.0, 6.0, 0.0]

    Args:
      cells: elementwise in the cells, and without arrays of its own: it is called with parts of both sides and of `grid`. A
        function of a module, or a frozen dataclass: equal ones share their compiled programs.
      row, column: n rows and m columns on this device. A cell with a masked side counts nowhere.
      grid: floats [n, m of all devices] that the cells have besides (a pytree), with gradients; 0 in masked cells.
      block_size: rows and columns of a tile at most; None = one tile of everything, up to `LARGEST` cells, and `BLOCK` above.
      axis_name: mapped axis over which both sides are spread.

    Returns:
      `Folds` with [n] for rows and [m] for columns; where nothing counts a sum is 0 and a log-sum-exp low, but finite. In tiles
      the memory is linear in n + m, value and gradient take four products instead of three, and `jax.jvp` raises.
    """
    n, m = _length(row), _length(column)
    if block_size is None:
        devices = 1 if axis_name is None else lax.axis_size(axis_name)
        block_size = None if n * m * devices <= LARGEST else BLOCK.get(jax.default_backend(), BLOCK["other"])
    if block_size is None or n * m == 0:
        return _whole(cells, row, column, grid, axis_name)
    tiles = _Tiles(cells, (n, m), (min(block_size, n), min(block_size, m)), axis_name)
    return _compiled(tiles, (row.values, column.values, grid), (row[1:], column[1:]))


def check_block_size(block_size: int | None) -> None:
    """Raise unless `block_size` is None or a whole number of at least 1."""
    if block_size is not None:
        whole = hasattr(block_size, "__index__") and not isinstance(block_size, bool)
        wanted = "None or a whole number of at least 1, the rows of a tile"
        remedy = f"None takes tiles where the matrix would have more than {LARGEST:,} cells."
        checks.require(whole and int(block_size) >= 1, "block_size", got=block_size, wanted=wanted, remedy=remedy)


def _length(side: Side) -> int:
    return len(jax.tree.leaves(side.values)[0])


def _whole(cells: Cells, row: Side, column: Side, grid: Any, axis_name: str | None) -> Folds:
    """One tile of everything: the reference, with JAX's own gradients."""
    m, every = _length(column), jax.tree.map(partial(gather_rows, axis_name=axis_name), column)

    def left(of, axis, lse):
        over = jax.nn.logsumexp if lse else jnp.sum
        result = over(of, axis=axis)
        if axis == 0 and axis_name is not None:  # so far over the rows of this device alone
            result = lax.all_gather(result, axis_name)
            result = over(lax.dynamic_slice_in_dim(result, row_offset(m, axis_name), m, axis=1), axis=0)
        return result

    return _map(left, _present(cells, row, every, grid))


def _present(cells: Cells, row: Side, column: Side, grid: Any) -> Folds:
    """The cells, with nothing in those that are masked."""
    if row.mask is None and column.mask is None:
        return cells(row, column, grid)
    masks = [jnp.ones(_length(side), bool) if side.mask is None else side.mask for side in (row, column)]
    there = masks[0][:, None] & masks[1][None, :]

    def kept(of):
        return jnp.where(there, of, jnp.zeros((), of.dtype))

    return _map(lambda of, _, lse: keep_logits(of, there) if lse else kept(of), cells(row, column, jax.tree.map(kept, grid)))


class _Tiles(NamedTuple):
    """A division of the cells of two devices into tiles; it holds no arrays."""

    cells: Cells
    lengths: tuple[int, int]
    blocks: tuple[int, int]
    axis_name: str | None

    def ring(self, visit: Callable[..., Any], own: Any, visitor: Any) -> Any:
        """`visit(own, visitor, home)` for the visitor of every device `home`; after that each is at home again."""
        if self.axis_name is None:
            return visit(own, visitor, jnp.int32(0))
        size = lax.axis_size(self.axis_name)
        links = [(device, (device + 1) % size) for device in range(size)]

        def turn(round, state):
            own, visitor = visit(*state, (lax.axis_index(self.axis_name).astype(jnp.int32) - round) % size)
            return own, lax.ppermute(visitor, self.axis_name, links)

        return _each(size, turn, (own, visitor))

    def each(self, body: Callable[..., Any], state: Any) -> Any:
        """`state` after `body(starts, fresh, state)` of every tile.

        The last tile of an axis lies inwards, so that it is as large as the others; `fresh` is False for rows that others had.
        """
        across = -(-self.lengths[1] // self.blocks[1])

        def tile(index, state):
            starts, fresh = [], []
            for place, length, size in zip((index // across, index % across), self.lengths, self.blocks, strict=True):
                starts.append(jnp.minimum(place * size, length - size))
                new = starts[-1] + jnp.arange(size, dtype=jnp.int32) >= place * size
                fresh.append(new if length % size else None)
            return body(starts, fresh, state)

        return _each(-(-self.lengths[0] // self.blocks[0]) * across, tile, state)

    def cut(self, array: Array, starts: list[Array], axis: int) -> Array:
        """A tile's part of what belongs to the rows (axis 0) or the columns (1)."""
        return lax.dynamic_slice_in_dim(array, starts[axis], self.blocks[axis])

    def add(self, array: Array, part: Array, starts: list[Array], axis: int) -> Array:
        return lax.dynamic_update_slice_in_dim(array, self.cut(array, starts, axis) + part, starts[axis], 0)

    def corner(self, starts: list[Array], home: Array) -> tuple[Array, Array]:
        """Where a tile begins in the grid, which has the columns of all devices."""
        return starts[0], home * self.lengths[1] + starts[1]

    def inputs(self, values: Any, fixed: Any, starts: list[Array], fresh: list[Array | None], home: Array) -> Any:
        """Parts of the values, and a function of them that gives the tile's cells."""
        *sides, grid = values
        parts = [jax.tree.map(partial(self.cut, starts=starts, axis=axis), side) for axis, side in enumerate(sides)]
        parts.append(jax.tree.map(lambda v: lax.dynamic_slice(v, self.corner(starts, home), self.blocks), grid))
        known = []
        for axis, new in enumerate(fresh):
            marks, mask = jax.tree.map(partial(self.cut, starts=starts, axis=axis), fixed[axis])
            known.append((marks, new if mask is None else mask if new is None else mask & new))

        def cells(row, column, grid):
            return _present(self.cells, Side(row, *known[0]), Side(column, *known[1]), grid)

        return parts, cells


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _tiled(tiles: _Tiles, values: Any, fixed: Any) -> Folds:
    """What `_whole` computes; values = of the rows, of the columns, of the grid; fixed = (marks, mask) of rows and of columns."""
    rows, columns, grid = values
    zero = _zero((values, fixed))

    def first(starts, fresh, home):
        parts, cells = tiles.inputs(values, fixed, starts, fresh, home)
        return cells(*parts)

    def nothing(of, axis, lse):
        empty = jnp.zeros(tiles.lengths[1 - axis], of.dtype) + zero.astype(of.dtype)
        return (empty + lowest(of.dtype), empty) if lse else empty

    def visit(own, visitor, home):
        columns, marks, theirs = visitor

        def tile(starts, fresh, so_far):
            parts, cells = tiles.inputs((rows, columns, grid), (fixed[0], marks), starts, fresh, home)

            def more(old, of, axis, lse):
                if not lse:
                    return tiles.add(old, of.sum(axis), starts, 1 - axis)
                top, total = (tiles.cut(v, starts, 1 - axis) for v in old)
                # The maximum only keeps numbers in range: the result does not depend on it, and so no gradient has to.
                higher = lax.stop_gradient(jnp.maximum(top, of.max(axis)))
                total = total * jnp.exp(top - higher) + jnp.exp(of - jnp.expand_dims(higher, axis)).sum(axis)
                return tuple(
                    lax.dynamic_update_slice_in_dim(a, b, starts[1 - axis], 0) for a, b in zip(old, (higher, total), strict=True)
                )

            return _map(more, so_far, cells(*parts))

        so_far = tiles.each(tile, _join(own, theirs))
        return _of_rows(so_far), (columns, marks, _of_columns(so_far))

    corner = [jnp.int32(0)] * 2
    empty = _map(nothing, jax.eval_shape(first, corner, [None, None], jnp.int32(0)))
    own, (*_, theirs) = tiles.ring(visit, _of_rows(empty), (columns, fixed[1], _of_columns(empty)))
    return _map(lambda of, _, lse: of[0] + jnp.log(of[1]) if lse else of, _join(own, theirs))


def _forward(tiles: _Tiles, values: Any, fixed: Any) -> tuple[Folds, Any]:
    folds = _tiled(tiles, values, fixed)
    return folds, (values, fixed, folds)


def _backward(tiles: _Tiles, saved: Any, slopes: Folds) -> tuple[Any, None]:
    (rows, columns, grid), fixed, folds = saved
    known = _map(lambda result, slope, *_: (result, slope), folds, slopes)

    def visit(own, visitor, home):
        columns, marks, theirs, to_columns = visitor
        both = _join(_of_rows(known), theirs)

        def tile(starts, fresh, so_far):
            parts, cells = tiles.inputs((rows, columns, grid), (fixed[0], marks), starts, fresh, home)
            new, pull = jax.vjp(cells, *parts)

            def slope(of, pair, axis, lse):
                result, outer = (jnp.expand_dims(tiles.cut(v, starts, 1 - axis), axis) for v in pair)
                return outer * jnp.exp(of - result) if lse else jnp.broadcast_to(outer, of.shape)

            *to_sides, to_grid = pull(_map(slope, new, both))
            added = [
                jax.tree.map(partial(tiles.add, starts=starts, axis=axis), old, part)
                for axis, (old, part) in enumerate(zip(so_far[:2], to_sides, strict=True))
            ]
            corner = tiles.corner(starts, home)

            def into_grid(old, part):
                return lax.dynamic_update_slice(old, lax.dynamic_slice(old, corner, tiles.blocks) + part, corner)

            return *added, jax.tree.map(into_grid, so_far[2], to_grid)

        to_rows, to_columns, to_grid = tiles.each(tile, (own[0], to_columns, own[1]))
        return (to_rows, to_grid), (columns, marks, theirs, to_columns)

    to_rows, to_columns, to_grid = jax.tree.map(jnp.zeros_like, (rows, columns, grid))
    visitor = (columns, fixed[1], _of_columns(known), to_columns)
    (to_rows, to_grid), (*_, to_columns) = tiles.ring(visit, (to_rows, to_grid), visitor)
    return (to_rows, to_columns, to_grid), None


_tiled.defvjp(_forward, _backward)


@partial(jax.jit, static_argnums=0)
def _compiled(tiles: _Tiles, values: Any, fixed: Any) -> Folds:
    return _tiled(tiles, *_alike((values, fixed)))


def _each(count: int, body: Callable[..., Any], state: Any) -> Any:
    """A loop of known length, which reverse mode can pass."""
    return lax.scan(lambda state, index: (body(index, state), None), state, jnp.arange(count, dtype=jnp.int32))[0]


def _map(function: Callable[..., Any], *folds: Folds) -> Folds:
    """function(entry of each, axis that is folded, whether by log-sum-exp)."""
    kinds = zip(*folds, Folds(1, 0, 1, 0), Folds(True, True, False, False), strict=True)
    return Folds(*(tuple(function(*entry, axis, lse) for entry in zip(*entries, strict=True)) for *entries, axis, lse in kinds))


def _of_rows(folds: Folds) -> Folds:
    return Folds(row_lse=folds.row_lse, row_sum=folds.row_sum)


def _of_columns(folds: Folds) -> Folds:
    return Folds(column_lse=folds.column_lse, column_sum=folds.column_sum)


def _join(rows: Folds, columns: Folds) -> Folds:
    return Folds(*(a + b for a, b in zip(rows, columns, strict=True)))


def _zero(tree: Any) -> Array:
    """0, which varies over the mapped axes over which any leaf does: what `jax.shard_map` asks of the state of a loop."""
    return sum((jnp.zeros_like(leaf, jnp.float32).reshape(-1)[0] for leaf in jax.tree.leaves(tree)), start=jnp.float32(0))


def _alike(tree: Any) -> Any:
    """Every leaf as one that varies over the mapped axes over which any does; XLA removes it."""
    same = _zero(tree) == 0
    return jax.tree.map(lambda leaf: jnp.where(same, leaf, leaf), tree)
