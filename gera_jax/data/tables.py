"""A table of embeddings with ids: load it from any known file, or look at its header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import require
from gera_jax.config.files import path_and_key, several
from gera_jax.data.formats import open_source
from gera_jax.data.ids import check_ids, first_ids
from gera_jax.data.rows import to_array

if TYPE_CHECKING:
    from gera_jax.data.formats.base import Source

MOST_PARTS = 64  # tables of a modality that stand side by side
FINGERPRINT_BYTES = 2**28
REMEDY_INT = "Whole numbers are labels or token ids, not embeddings; if they are meant, save rows.astype('float32')."


def is_float(dtype: np.dtype) -> bool:
    """True for float16, float32, float64 and bfloat16 (which NumPy does not count among its floats)."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


@dataclass(frozen=True, eq=False)
class Table:
    """Embeddings of one modality: rows [n, d] with one id each.

    Args:
      rows: [n, d] float16, float32, float64 or bfloat16; a memory-mapped array stays on disk.
      ids: [n] strings or whole numbers; rows of two modalities with equal ids are a pair. None numbers the rows.
      name: the modality, used in every message.
      meta: one dict of words a row, or None.
      numbered: the ids are row numbers and not the caller's: such a table is joined only with another of as many rows.
      numbered_of: how many rows the numbers counted, also where some of them were left out since.
      parts: widths of the tables that stand side by side in a row, see `side_by_side`; () = it is one table.

    Raises:
      InputError: rows are not a matrix of floats, there is no row, or ids do not fit.

    >>> table = Table(np.eye(3, dtype=np.float16), ["a", "b", "c"], "image")
    >>> table, table.take([2]).dtype
    (Table(image: 3 x 3 float16, ids a ... c), dtype('float32'))
    """

    rows: np.ndarray
    ids: Any = None
    name: str = "table"
    meta: list[dict[str, Any]] | None = None
    numbered: bool = False
    numbered_of: int = 0
    parts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        masked = isinstance(self.rows, np.ma.MaskedArray) and is_float(self.rows.dtype)
        rows = self.rows.filled(np.nan) if masked else self.rows  # what was masked is missing, and counted as NaN
        rows = rows if isinstance(rows, np.ndarray) else to_array(rows, self.name)
        check_shape(self.name, rows.shape, rows.dtype)
        numbered = self.numbered or self.ids is None
        ids = np.arange(len(rows)) if self.ids is None else check_ids(self.name, self.ids, len(rows))
        remedy = "Pool over time or patches first: these are the tables of encoders, or the layers of one."
        require(len(self.parts) <= MOST_PARTS, f"{self.name} parts", got=len(self.parts), wanted="at most 64", remedy=remedy)
        wide = not self.parts or sum(self.parts) == rows.shape[1]
        require(wide, f"{self.name} parts", got=self.parts, wanted=f"widths whose sum is {rows.shape[1]}")
        if self.meta is not None:
            require(
                len(self.meta) == len(rows),
                f"{self.name} meta",
                got=f"{len(self.meta)} entries",
                wanted=f"one a row, {len(rows)}",
                remedy="Write one entry for each row, in the order of the rows.",
            )
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "ids", ids)
        object.__setattr__(self, "numbered", numbered)
        object.__setattr__(self, "numbered_of", (self.numbered_of or len(rows)) if numbered else 0)

    @classmethod
    def from_frame(cls, frame: Any, *, key: str = "", ids_key: str = "", name: str = "table") -> Table:
        """A table from a pandas, polars or Arrow table, by the rules of a parquet file.

        Args:
          frame: with a column of lists (or of tensors), or columns of numbers, and a column of ids.
          key: the column of the vectors, or what stands before the numbers of `dim_0`, `dim_1`, ...; may be empty when there is
            only one candidate.
          ids_key: the column of the ids; `id`, `ids`, `<key>_ids` and an index of names in pandas are found by themselves.
          name: the modality.

        Raises:
          InputError: as `load_table`.
          ImportError: without pyarrow.

        >>> import pandas
        >>> Table.from_frame(pandas.DataFrame(dict(id=["a", "b"], vector=[[0.5, 1.0], [1.0, 2.0]])), name="image")
        Table(image: 2 x 2 float64, ids a ... b)
        """
        from gera_jax.data.formats.arrow import open_frame

        return _load(open_frame(frame, name), key, ids_key, name, None)

    def __len__(self) -> int:
        return self.rows.shape[0]

    def __repr__(self) -> str:
        n, d = self.rows.shape
        ids = "without ids" if self.numbered else f"ids {self.ids[0]} ... {self.ids[-1]}"
        parts = f" ({' + '.join(map(str, self.parts))})" if self.parts else ""
        return f"Table({self.name}: {n} x {d}{parts} {self.rows.dtype.name}, {ids})"

    @property
    def dim(self) -> int:
        """Width d of a row."""
        return self.rows.shape[1]

    def take(self, index: Any) -> np.ndarray:
        """Rows [..., d] at `index` [...] as a fresh float32 array."""
        return to_float32(self.rows[row_numbers(self.name, index, len(self))], copy=True)

    def subset(self, index: Any) -> Table:
        """A table of the rows at `index` [m] (row numbers, or True for each row to keep), with their ids and meta."""
        index = row_numbers(self.name, index, len(self))
        meta = None if self.meta is None else [self.meta[i] for i in index]
        return Table(self.rows[index], self.ids[index], self.name, meta, self.numbered, self.numbered_of, self.parts)

    def without(self, index: Any) -> Table:
        """A table without the rows at `index` [m] (numbers, or True for each to drop), such as `validate_table(...).bad_rows`."""
        keep = np.ones(len(self), bool)
        keep[row_numbers(self.name, index, len(self))] = False
        return self.subset(np.flatnonzero(keep))


def row_numbers(name: str, index: Any, n: int) -> np.ndarray:
    """`index` as row numbers (int64): numbers from -n to n - 1 of any shape, or a bool [n].

    >>> row_numbers("image", [False, True, True], 3).tolist(), row_numbers("image", [2, -1], 3).tolist()
    ([1, 2], [2, -1])
    """
    index = np.asarray(index)
    if index.dtype == bool and index.shape == (n,):
        return np.flatnonzero(index)
    wanted = f"row numbers, or a bool ({n},)"
    require(index.dtype.kind in "iu" or not index.size, f"{name} index", got=f"{index.dtype.name} {index.shape}", wanted=wanted)
    wrong = index[(index < -n) | (index >= n)]
    require(
        not wrong.size, f"{name} index", got=f"{wrong.size} numbers outside ({first_ids(wrong)})", wanted=f"from 0 to {n - 1}"
    )
    return index.astype(np.int64)


def to_float32(block: np.ndarray, *, copy: bool = False) -> np.ndarray:
    """`block` as float32; what float32 cannot hold becomes inf, without a warning (validation counts it)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array(block, np.float32, copy=True if copy else None)


def check_shape(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise `InputError` unless shape and dtype are those of a table of embeddings."""
    remedy = REMEDY_INT if dtype.kind in "iub" else "Save float32 rows."
    require(is_float(dtype), f"{name} rows", got=f"dtype {dtype.name}", wanted="float16, float32 or float64", remedy=remedy)
    require(
        len(shape) == 2,
        f"{name} rows",
        got=f"shape {tuple(shape)}",
        wanted="a matrix [n, d]",
        remedy="Give one embedding a row: pool over time or patches, or reshape to [n, -1].",
    )
    require(
        shape[0] > 0 and shape[1] > 0,
        f"{name} rows",
        got=f"shape {tuple(shape)}",
        wanted="at least one row and one column",
        remedy="The file holds no embeddings: write it again.",
    )


def choose_layer(name: str, shape: tuple[int, ...], layer: int | str | None) -> int | None:
    """Number of the layer to take from an array [n, layers, d]; None for a matrix, and where no layer is chosen, that is, all.

    Raises:
      InputError: the layer and the array do not fit.

    >>> choose_layer("image", (8, 12, 64), "-1"), choose_layer("image", (8, 64), "")
    (11, None)
    """
    if layer is None or layer == "":
        return None
    require(str(layer).removeprefix("-").isdecimal(), f"{name} layer", got=repr(layer), wanted="a whole number")
    got = f"layer {layer} of an array {list(shape)}"
    require(len(shape) == 3, f"{name} layer", got=got, wanted="an array [n, layers, d]", remedy="Leave layer empty for a matrix.")
    number, count = int(layer), shape[1]
    require(-count <= number < count, f"{name} layer", got=number, wanted=f"from 0 to {count - 1}, or from -{count} to -1")
    return number % count


def load_table(
    path: str | Path, *, key: str = "", ids_key: str = "", name: str = "", layer: int | str | None = None, rows: bool = True
) -> Table:
    """Load embeddings and their ids from a file or a folder.

    Args:
      path: `.npy`, `.safetensors`, `.faiss` (all memory-mapped), `.npz`, `.parquet`, `.arrow`, `.feather`, `.csv`, `.tsv`,
        `.jsonl`, `.h5`, `.hdf5`, `.h5ad`, `.pt`, `.vec`, GloVe's `.txt`, a folder of parquet or Arrow files, or a TFDS directory
        of `array_record` files; `<directory>/<split>` names one of its splits.
      key: the array, column or feature; may be empty when there is only one candidate. Columns `dim_0`, `dim_1`, ... are the
        vector `dim`.
      ids_key: where the ids are: an array, column or feature, a field of the npz's `meta`, or a file. Found by itself: `ids`,
        `id`, `<key>_ids`, an index of names from pandas, and beside `a.npy` the file `a.ids.npy`, `.txt` or `.json`. What only
        looks like ids (`image_id`, `names`, a column without a repeat) is refused until it is named; "row-number" says that none
        of it is meant. Without any, ids are the row numbers (TFDS: refused, its order is hashed) and the table is `numbered`.
      name: the modality; the key or the file's stem by default.
        Several files side by side are "a.npz+b.npz:key", see `side_by_side`.
      layer: which layer of an array [n, layers, d]; None or "" = all, side by side.
      rows: False = zeros stand in place of the rows, which are not read: to see what pairs and splits would come of a file.

    Raises:
      InputError: no such file or key, a damaged or pickled file, whole numbers, or ids that do not fit or are not named.
      ImportError: a format whose library is not installed, with the extra that brings it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", image=np.ones((2, 4), np.float32), ids=["cat", "dog"])
    ...     load_table(f"{folder}/a.npz", key="image")
    Table(image: 2 x 4 float32, ids cat ... dog)
    """
    names = several(path)
    if len(names) == 1:
        return _load(open_source(Path(path)), key, ids_key, name, layer, rows=rows)
    from gera_jax.data.side_by_side import side_by_side

    wanted = "a key behind each: a.npz:image+b.npz"
    require(not key, name or str(path), got=f'the key "{key}" beside several files', wanted=wanted)
    parts = [path_and_key(one) for one in names]
    name = name or Path(parts[0][0]).name.split(".")[0]
    tables = [_load(open_source(Path(file)), word, ids_key, name, layer, rows=rows) for file, word in parts]
    return side_by_side(tables, name)


def _load(source: Source, key: str, ids_key: str, name: str, layer: int | str | None, *, rows: bool = True) -> Table:
    key = source.choose(key)
    name = name or key or source.path.name.split(".")[0]
    # The header first: a wrong dtype is refused before a gigabyte is read.
    shape, dtype = source.inspect(key)
    number = choose_layer(f"{name} ({source.path.name})", shape, layer)
    parts = (shape[2],) * shape[1] if number is None and len(shape) == 3 else ()
    flat = (shape[0], sum(parts)) if parts else shape if number is None else (shape[0], shape[2])
    check_shape(f"{name} ({source.path.name})", flat, dtype)
    if rows:
        found, ids, meta = source.read(key, ids_key)
        return Table(found.reshape(flat) if number is None else found[:, number], ids, name, meta, parts=parts)
    ids, meta = source.labels(key, ids_key)
    return Table(np.broadcast_to(np.zeros((), dtype), flat), ids, name, meta, parts=parts)


def load_layers(path: str | Path, *, key: str = "", ids_key: str = "", name: str = "") -> tuple[np.ndarray, np.ndarray | None]:
    """All layers [n, layers, d] of a file and their ids [n], or None where it has none; a memory map stays on disk."""
    source = open_source(Path(path))
    key = source.choose(key)
    name = name or key or source.path.name.split(".")[0]
    shape, dtype = source.inspect(key)
    wanted, remedy = "an array [n, layers, d]", "Stack one embedding a layer: np.stack(layers, axis=1)."
    require(len(shape) == 3, f"{name} ({source.path.name})", got=f"shape {list(shape)}", wanted=wanted, remedy=remedy)
    check_shape(f"{name} ({source.path.name})", (shape[0], shape[1] * shape[2]), dtype)
    rows, ids, _ = source.read(key, ids_key)
    return rows, None if ids is None else check_ids(name, ids, len(rows))


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
