"""Several tables of one modality side by side: the rows of two encoders, or of the layers of one, as one wide row.

>>> lite, dino = Table(np.ones((2, 3)), ["cat", "dog"]), Table(np.full((2, 2), 2.0), ["dog", "cow"])
>>> both = side_by_side([lite, dino], "image")
>>> both, both.rows[0].tolist()
(Table(image: 3 x 5 (3 + 2) float64, ids cat ... cow), [1.0, 1.0, 1.0, 0.0, 0.0])

What a table lacks is zeros, which `Preprocessor` takes for an item that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.ids import check_unique, first_ids
from gera_jax.data.tables import MOST_PARTS, Table


class Columns:
    """Some columns of rows that may lie on disk; indexed by arrays of row numbers or slices."""

    def __init__(self, rows: Any, columns: slice):
        self._rows, self._columns = rows, columns
        self.shape, self.dtype = (len(rows), columns.stop - columns.start), rows.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self._rows[index])[:, self._columns]


def check_parts(at: str, parts: Sequence[int], weights: Sequence[float]) -> None:
    """Refuse widths and weights of tables that are none; `at` is their place in a config."""
    numbers = all(isinstance(part, int | np.integer) and part > 0 for part in parts)
    require(numbers and len(parts) != 1, f"{at}.parts", got=list(parts), wanted="widths of at least two tables, or none")
    fits = not parts or len(weights) in (0, len(parts))  # without parts they are looked at again when there are rows
    right = fits and all(0 <= weight < np.inf for weight in weights) and (not weights or any(weights))
    wanted = f"{len(parts) or 'as many'} numbers of at least 0 as there are tables, not all 0"
    require(right, f"{at}.weights", got=list(weights), wanted=wanted)


def side_by_side(tables: Sequence[Table], name: str) -> Table:
    """One table of the rows of several, joined by their ids; `parts` of it are their widths.

    An item may be missing in some of them. Tables without ids are joined row by row. The words of an item are those of the first
    table that has some.

    Raises:
      InputError: more than 64 tables, tables with ids beside tables without, ids that a table shares with no other, repeated ids
        (unless all tables have the same ids in the same order), or tables without ids of unequal length.
    """
    require(
        1 <= len(tables) <= MOST_PARTS, name, got=f"{len(tables)} tables", wanted=f"1 to {MOST_PARTS}, one an encoder or a layer"
    )
    if len(tables) == 1:
        return tables[0]
    first, parts = tables[0], tuple(part for table in tables for part in (table.parts or (table.dim,)))
    without = [i + 1 for i, table in enumerate(tables) if table.numbered]
    got, wanted = f"ids in some tables and none in table {without[:1]}", "ids in every table of a modality, or in none"
    remedy = "Name the array or column of the ids, or write one beside the rows."
    require(len(without) in (0, len(tables)), name, got=got, wanted=wanted, remedy=remedy)
    same = [len(table) == len(first) and bool((table.ids == first.ids).all()) for table in tables]
    if all(same):
        rows = np.concatenate([np.asarray(table.rows) for table in tables], axis=1)
        return Table(rows, None if without else first.ids, name, first.meta, parts=parts)
    if without:
        got = f"tables of {', '.join(str(len(table)) for table in tables)} rows without ids"
        fail(name, got=got, wanted="equal lengths, or ids", remedy="Write the id of each row beside it.")
    for table in tables:
        check_unique(table)
    ids = list(dict.fromkeys(i for table in tables for i in table.ids.tolist()))
    for number, table in enumerate(tables):
        others = {i for other in tables if other is not table for i in other.ids.tolist()}
        if others.isdisjoint(table.ids.tolist()):
            got = f"table {number + 1}, whose ids are in no other table of the modality ({first_ids(table.ids)})"
            fail(name, got=got, wanted="tables of the same items", remedy="Are the ids written alike?")
    place = {item: at for at, item in enumerate(ids)}
    joined = np.zeros((len(ids), sum(parts)), np.result_type(*[_exact(table.rows.dtype) for table in tables]))
    meta: list[dict[str, Any]] = [{} for _ in ids]
    start = 0
    for table in tables:
        at = np.array([place[item] for item in table.ids.tolist()])
        joined[at, start : start + table.dim] = table.rows
        start += table.dim
        for row, words in zip(at, table.meta or (), strict=False):
            meta[row] = meta[row] or words
    return Table(joined, ids, name, meta if any(meta) else None, parts=parts)


def _exact(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.kind == "f" else np.dtype(np.float32)  # bfloat16 and smaller fit into float32


def is_several(source: Any) -> bool:
    """Whether what stands for a table is a list of tables: files, frames, or matrices of rows.

    >>> is_several(["a.npy", "b.npy"]), is_several([np.ones((3, 2)), np.ones((3, 5))]), is_several([[1.0, 2.0], [3.0, 4.0]])
    (True, True, False)
    """
    if not isinstance(source, list | tuple) or not source:
        return False
    return all(isinstance(one, str | Table) or hasattr(one, "__fspath__") or getattr(one, "ndim", 0) == 2 for one in source)


def joined_rows(rows: Any, parts: Sequence[int], name: str) -> Any:
    """New rows of a modality of several tables: a list of one matrix a table, or [n, tables, d], as wide rows.

    >>> joined_rows([np.ones((2, 3)), np.zeros((2, 1))], (3, 1), "x").shape
    (2, 4)
    """
    if is_several(rows):
        widths = [np.shape(one)[1] if not isinstance(one, Table) else one.dim for one in rows]
        got, wanted = f"{len(rows)} tables of widths {widths}", f"widths {list(parts)}, as were fitted"
        require(widths == list(parts), name, got=got, wanted=wanted, remedy="Give the tables in the same order.")
        tables = [one.rows if isinstance(one, Table) else np.asarray(one) for one in rows]
        lengths = {len(one) for one in tables}
        require(len(lengths) == 1, name, got=f"tables of {sorted(lengths)} rows", wanted="one row an item in each")
        return np.concatenate(tables, axis=1)
    return rows.reshape(len(rows), -1) if getattr(rows, "ndim", 0) == 3 and parts else rows
