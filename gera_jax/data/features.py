"""Preprocessed rows of a table by row number: once and kept, or on demand where the table is too large for memory."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.data.preprocessing import Preprocessor
from gera_jax.data.tables import Table

MATERIALIZE_BYTES = 2**30
FINGERPRINT_BYTES = 2**28


class Features:
    """Rows of a table as training sees them.

    >>> table = Table(np.arange(12.0).reshape(4, 3), ["a", "b", "c", "d"])
    >>> features = Features(table, Preprocessor(l2=False).fit(table.rows))
    >>> features.take([[0, 3]]).tolist(), len(features), features.dim
    ([[[-4.5, -4.5, -4.5], [4.5, 4.5, 4.5]]], 4, 3)
    """

    def __init__(self, table: Table, preprocessor: Preprocessor):
        self._rows, self.preprocessor = table.rows, preprocessor
        n, itemsize = len(table), np.dtype(table.rows.dtype).itemsize
        self.materialized = n * max(table.dim * itemsize, preprocessor.dim * 4) <= MATERIALIZE_BYTES
        self._kept = preprocessor(table.rows[np.arange(n)], row_numbers=np.arange(n)) if self.materialized else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Width of a row of features."""
        return self.preprocessor.dim

    def take(self, index: Any) -> np.ndarray:
        """Features [..., d] at the row numbers `index` [...], float32, a fresh array.

        Raises:
          InputError: a row number outside of the table.
        """
        index = np.asarray(index, dtype=np.int64)
        inside = index.size == 0 or (index.min() >= 0 and index.max() < len(self))
        require(inside, "row numbers", got=f"values outside of 0 to {len(self) - 1}", wanted="rows of the table")
        if self._kept is not None:
            return self._kept[index]
        # Sorted, so that neighbouring rows of a file are read together. Repeats stay: the filter compiles once per shape.
        flat = index.reshape(-1)
        if (flat[1:] >= flat[:-1]).all():  # as the sampler asks with one shard: no copy to put them back in order
            return self.preprocessor(self._rows[flat], row_numbers=flat).reshape(*index.shape, self.dim)
        order = np.argsort(flat)
        out = np.empty((len(flat), self.dim), np.float32)
        out[order] = self.preprocessor(self._rows[flat[order]], row_numbers=flat[order])
        return out.reshape(*index.shape, self.dim)


class StackedRows:
    """Two row arrays as one, [n + m, d], without a copy; indexed by arrays of row numbers or slices."""

    def __init__(self, first: np.ndarray, second: np.ndarray):
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), first.shape[1])
        self.dtype = np.promote_types(first.dtype, second.dtype) if first.dtype != second.dtype else first.dtype
        self.ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        index = np.arange(len(self))[index]
        out = np.empty((*index.shape, self.shape[1]), self.dtype)
        later = index >= len(self._first)
        out[~later] = self._first[index[~later]]
        out[later] = self._second[index[later] - len(self._first)]
        return out


def stack(table: Table, test: Table) -> Table:
    """Training table and own test table as one: test rows follow, so that one row number names any row."""
    meta = None
    if table.meta is not None or test.meta is not None:
        meta = [*(table.meta or [{}] * len(table)), *(test.meta or [{}] * len(test))]
    whole = Table.__new__(Table)  # both halves are checked tables already, and a check would read them from disk
    values = dict(
        rows=StackedRows(table.rows, test.rows),
        name=table.name,
        meta=meta,
        ids=np.concatenate([table.ids.astype(str), test.ids.astype(str)]),
    )
    for field in dataclasses.fields(Table):
        object.__setattr__(whole, field.name, values.get(field.name, getattr(table, field.name)))
    return whole


def fingerprint(table: Table, ids: np.ndarray | None = None) -> str:
    """Hash of shape, dtype, ids (or what rows are paired by in their place) and rows.

    Of a table above 256 MiB it takes rows that are evenly spread over it.
    """
    n, d = table.rows.shape
    digest = hashlib.blake2b(f"{n} {d} {table.rows.dtype}".encode(), digest_size=16)
    ids = table.ids if ids is None else ids
    digest.update(np.ascontiguousarray(ids).data.cast("B") if ids.dtype.kind != "U" else "\n".join(ids).encode())
    width = d * np.dtype(table.rows.dtype).itemsize
    count = min(n, max(1, FINGERPRINT_BYTES // width))
    index = np.arange(n) if count == n else np.linspace(0, n - 1, count).astype(np.int64)
    step = max(1, 2**24 // width)
    for start in range(0, count, step):
        digest.update(np.ascontiguousarray(table.rows[index[start : start + step]]).view(np.uint8).data)
    return digest.hexdigest()
