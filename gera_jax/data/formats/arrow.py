"""Columns of Arrow: parquet, feather and Arrow files, folders of them, and data frames in memory.

A vector is a column of lists or of tensors, or many columns of numbers: `dim_0`, `dim_1`, ... (any word before the number),
or all columns of numbers beside the ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.data.formats.base import ID_WORDS, Header, Source, check_unpacked, reading

COLUMNS = "columns"  # the name of a vector that is all columns of numbers
NOT_OF_A_VECTOR = {"label", "labels", "class", "target", "y", "split", "fold", "group", "cluster"}


def library() -> Any:
    """The library, or how to get it."""
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Tables of columns need pyarrow: pip install "gera_jax[formats]"') from error
    return pa


def natural(path: Path) -> list:
    """A key that puts part-2 before part-10."""
    return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", path.name)]


class ArrowSource(Source):
    """A table of columns, in memory or read column by column.

    Args:
      schema: names and types of the columns.
      n: rows.
      columns: gives a `pyarrow.Table` of the columns named.
      partly: columns of which most cells are numbers and some are not, with the first such row; only text has them.
    """

    kind = "table of columns"

    def __init__(
        self, path: Path, schema: Any, n: int, columns: Callable[[list[str]], Any], partly: Mapping[str, str] | None = None
    ):
        super().__init__(path)
        self.schema, self.n, self.columns, self.partly = schema, n, columns, dict(partly or {})
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        got = f"{len(twice)} names of two columns or more ({', '.join(twice[:3])})"
        require(not twice, str(path), got=got, wanted="another name for each column", remedy="Rename one of them.")
        self.wide = self._wide()

    @classmethod
    def of(cls, table: Any, path: Path, partly: Mapping[str, str] | None = None) -> ArrowSource:
        """The source of a `pyarrow.Table` in memory."""
        return cls(path, table.schema, table.num_rows, table.select, partly)

    def _kind(self, name: str) -> Any:
        """The type of a column; that of its values where they are stored as a dictionary (a category)."""
        kind = self.schema.field(name).type
        return kind.value_type if library().types.is_dictionary(kind) else kind

    def _is_number(self, name: str) -> bool:
        types, kind = library().types, self._kind(name)
        return types.is_floating(kind) or types.is_integer(kind)

    def _is_text(self, name: str) -> bool:
        types, kind = library().types, self._kind(name)
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def _wide(self) -> dict[str, list[str]]:
        """Vectors that lie in many columns: their name and their columns, in order."""
        families: dict[str, dict[int, str]] = {}
        for name in self.schema.names:
            found = re.fullmatch(r"(.*?)(\d{1,9})", name)
            if found and (self._is_number(name) or name in self.partly):
                families.setdefault(found[1], {})[int(found[2])] = name
        wide = {}
        for prefix, members in families.items():
            numbers = sorted(members)
            if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
                wide[prefix.rstrip("_-. ") or COLUMNS] = [members[number] for number in numbers]
        if wide or any(self._width(name) for name in self.schema.names):
            return wide
        numbers = [
            name
            for name in self.schema.names
            if (self._is_number(name) or name in self.partly) and not ID_WORDS.search(name.lower())
        ]
        other = [name for name in numbers if name.lower() in NOT_OF_A_VECTOR]
        if len(numbers) > 1:
            got, wanted = f"{len(numbers)} columns of numbers, {', '.join(other)} among them", "columns of a vector alone"
            remedy = "Name the vector's columns dim_0, dim_1, ..., or leave it out."
            require(not other, str(self.path), got=got, wanted=wanted, remedy=remedy)
            return {COLUMNS: numbers}
        return {}

    def _width(self, name: str) -> tuple[int, ...] | None:
        """What a row of a column of vectors has: (width,), the shape of a tensor, (-1,) where only the data tell; else None."""
        pa, kind = library(), self.schema.field(name).type
        if isinstance(kind, pa.FixedShapeTensorType):
            return tuple(kind.shape)
        types = pa.types
        fixed = types.is_fixed_size_list(kind)
        if not (fixed or types.is_list(kind) or types.is_large_list(kind)) or not types.is_primitive(kind.value_type):
            return None
        return (kind.list_size,) if fixed else (-1,)

    def headers(self) -> dict[str, Header]:
        found: dict[str, Header] = {}
        for name in self.schema.names:
            width, kind = self._width(name), self.schema.field(name).type
            if width is not None:
                found[name] = (self.n, *(self.counted(name) if width == (-1,) else width)), _dtype(kind.value_type)
            else:
                found[name] = (self.n,), _dtype(self._kind(name))
        for name, columns in self.wide.items():
            kinds = [_dtype(self._kind(column)) for column in columns if column not in self.partly]
            found[name] = (self.n, len(columns)), np.result_type(*kinds) if kinds else np.dtype(np.float64)
        return found

    def counted(self, name: str) -> tuple[int, ...]:
        """Width of a column of lists whose type does not say it."""
        with reading(self.path, self.kind):
            column = self.columns([name]).column(0)
            return (sum(len(chunk.flatten()) for chunk in column.chunks) // max(self.n, 1),)

    def check(self, name: str) -> None:
        if name not in self.wide and self._width(name) is None:
            wanted, remedy = "a column of lists of floats", "Store one list (the embedding) a row."
            fail(f"{self.path.name} {name}", got=f"a column of {self.schema.field(name).type}", wanted=wanted, remedy=remedy)

    def array(self, name: str) -> np.ndarray:
        shape, dtype = self.headers()[name]
        if name in self.wide:
            return self._many(self.wide[name], dtype)
        with reading(self.path, self.kind):
            column = self.columns([name]).column(0)
        rows, start = np.empty((shape[0], int(np.prod(shape[1:]))), dtype), 0
        for chunk in column.chunks:
            storage = getattr(chunk, "storage", chunk)
            uneven = storage.null_count or len(storage.flatten()) != len(storage) * rows.shape[1]
            if uneven or (hasattr(storage, "value_lengths") and np.any(np.asarray(storage.value_lengths()) != rows.shape[1])):
                self._name_uneven(name, storage, rows.shape[1], start)
            with reading(self.path, self.kind):
                values = storage.flatten().to_numpy(zero_copy_only=False)
            rows[start : start + len(chunk)] = values.reshape(-1, rows.shape[1])
            start += len(chunk)
        return rows.reshape(shape)

    def _name_uneven(self, name: str, chunk: Any, width: int, start: int) -> None:
        lengths = [len(row) if row is not None else 0 for row in chunk.to_pylist()]
        usual = max(set(lengths), key=lengths.count)
        row = next((row for row, length in enumerate(lengths) if length != usual or not length), 0)
        got = f"rows of different lengths or empty rows (first: row {start + row}, of {lengths[row]} numbers beside {usual})"
        wanted, remedy = "as many numbers in each row as in every other", "Write the rows again with one encoder."
        fail(f"{self.path.name} {name}", got=got, wanted=wanted, remedy=remedy)

    def _many(self, names: list[str], dtype: np.dtype) -> np.ndarray:
        for name in names:
            require(name not in self.partly, f"{self.path.name} {name}", got=self.partly.get(name), wanted="a number in each row")
        rows = np.empty((self.n, len(names)), dtype)
        with reading(self.path, self.kind):
            table = self.columns(names)
            for column, name in enumerate(names):
                rows[:, column] = table.column(name).to_numpy()
        whole = (rows == np.rint(rows)).all(axis=0)
        for column in np.flatnonzero(whole if self.n > 4 and not whole.all() else []):
            require(
                len(np.unique(rows[:, column])) < self.n,
                f"{self.path.name} {names[column]}",
                got="whole numbers without a repeat beside columns of fractions",
                wanted="a part of the vector, not ids",
                remedy='If it holds the ids, call it "id" in the heading; else leave it out, or save the rows as .npy.',
            )
        return rows

    def id_names(self, key: str) -> list[str]:
        inside = {column for columns in self.wide.values() for column in columns}
        types = library().types
        return [
            name
            for name in self.schema.names
            if name != key
            and name not in inside
            and (
                self._is_text(name)
                or types.is_integer(self._kind(name))
                or types.is_binary(self._kind(name))
                or (ID_WORDS.search(name) and self._width(name) is None)
            )
        ]

    def find_ids(self, key: str, ids_key: str, n: int) -> Any:
        return super().find_ids(key, ids_key or self._pandas_index(), n)

    def _pandas_index(self) -> str:
        """The index that pandas wrote, where it is one of names: whole numbers without a name may be what a filter left over."""
        names = {name.lower() for name in self.schema.names}
        if names & {"id", "ids"}:
            return ""
        try:
            stored = json.loads((self.schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
        except (ValueError, KeyError, TypeError, RecursionError):
            stored = []
        levels = [name for name in self.schema.names if name in stored] or sorted({"__index_level_0__"} & set(self.schema.names))
        if len(levels) != 1:
            return ""
        named = not levels[0].startswith("__index_level_") and levels[0] in self.id_names("")
        return levels[0] if named or self._is_text(levels[0]) else ""

    def ids(self, name: str, key: str) -> Any:
        with reading(self.path, self.kind):
            return self.columns([name]).column(0).to_pylist()

    def meta(self, key: str) -> list[dict[str, Any]] | None:
        words = [name for name in self.schema.names if self._is_text(name) and name not in self.partly]
        with reading(self.path, self.kind):
            return self.columns(words).to_pylist() if words else None


def _dtype(kind: Any) -> np.dtype:
    """NumPy's dtype of a column's values: numbers, truth values, dates and times have one, all else are objects."""
    types = library().types
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return np.dtype(kind.to_pandas_dtype())
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_date(kind):
        unit = "ms" if types.is_date(kind) else kind.unit  # of a time zone NumPy knows nothing
        return np.dtype(f"{'m' if types.is_duration(kind) else 'M'}8[{unit}]")
    return np.dtype(object)


class ParquetSource(ArrowSource):
    """One or many `.parquet` files, of which only the columns asked for are read."""

    kind = "parquet file"

    def __init__(self, path: Path, files: Sequence[Path] = ()):
        self.files = list(files) or [path]
        self.parquet = library().parquet
        with reading(path, self.kind):
            self.file_metadata = [self.parquet.read_metadata(file) for file in self.files]
            schemas = [self.parquet.read_schema(file) for file in self.files]
        for file, schema in zip(self.files, schemas, strict=True):
            got, wanted = f"{file.name} of other columns than {self.files[0].name}", "files of the same columns"
            require(schema.equals(schemas[0]), str(path), got=got, wanted=wanted, remedy="Give the path of one of them.")
        super().__init__(path, schemas[0], sum(found.num_rows for found in self.file_metadata), self._columns)

    def _columns(self, names: list[str]) -> Any:
        return library().concat_tables([self.parquet.ParquetFile(file).read(columns=names) for file in self.files])

    def tables(self, names: Sequence[str], size: int) -> Iterator[Any]:
        """`pyarrow.Table`s of the columns named, at most `size` rows each, in the order of the rows."""
        pa = library()
        for file in self.files:
            with reading(file, self.kind), self.parquet.ParquetFile(file, memory_map=True) as opened:
                for batch in opened.iter_batches(batch_size=size, columns=list(names), use_threads=False):
                    yield pa.Table.from_batches([batch])

    def blocks(self, name: str, size: int) -> Iterator[np.ndarray]:
        for table in self.tables(self.wide.get(name, [name]), size):
            yield ArrowSource.of(table, self.path).array(name)

    def counted(self, name: str) -> tuple[int, ...]:
        return (self._values(name) // max(self.n, 1),)

    def _values(self, name: str) -> int:
        """Numbers in a column, from the footers."""
        values = 0
        for found in self.file_metadata:
            for group in range(found.num_row_groups):
                row_group = found.row_group(group)
                columns = (row_group.column(c) for c in range(row_group.num_columns))
                values += sum(c.num_values for c in columns if self.owner(c.path_in_schema) == name)
        return values

    def owner(self, path: str) -> str:
        """The column that a path of the schema lies in; a name may hold dots itself."""
        return max((name for name in self.schema.names if f"{path}.".startswith(f"{name}.")), key=len, default="")

    def check(self, name: str) -> None:
        super().check(name)
        (n, *width), dtype = self.headers()[name]
        stored = sum(file.stat().st_size for file in self.files)
        check_unpacked(self.path, f"column {name}", n * int(np.prod(width)) * dtype.itemsize, stored)


def open_arrow(path: Path, files: Sequence[Path] = ()) -> ArrowSource:
    """`.arrow`, `.feather` and `.ipc` files, of either kind of stream, memory-mapped."""
    pa = library()
    tables = []
    for file in files or [path]:
        with reading(file, "Arrow file"), pa.memory_map(str(file)) as stored:
            head = stored.read(4)
            stored.seek(0)
            if head == b"FEA1":
                from pyarrow import feather

                table = feather.read_table(file)
            else:
                table = (pa.ipc.open_file if head == b"ARRO" else pa.ipc.open_stream)(stored).read_all()
            table.validate(full=True)  # places that a damaged file gives may lie outside of it
            tables.append(table)
    with reading(path, "folder of Arrow files"):
        return ArrowSource.of(pa.concat_tables(tables), path)


FOLDERS = {".parquet": ParquetSource, ".arrow": open_arrow, ".feather": open_arrow}


def open_folder(path: Path) -> ArrowSource | None:
    """A folder of parquet or of Arrow files as one table, in the order of their names; None where it holds none."""
    files = sorted(
        (file for file in path.rglob("*") if file.is_file() and not file.name.startswith(("_", "."))),
        key=lambda file: (file.parent, natural(file)),
    )
    for suffix, reader in FOLDERS.items():
        mine = [file for file in files if file.suffix.lower() == suffix]
        if mine:
            return reader(path, mine)
    return None


def open_frame(frame: Any, name: str) -> ArrowSource:
    """A pandas, polars or Arrow table in memory."""
    pa = library()
    try:
        if isinstance(frame, pa.Table):
            table = frame
        elif hasattr(frame, "iloc"):  # pandas: with its index, unless that only counts
            table = pa.Table.from_pandas(frame)
        else:
            table = pa.table(frame)
    except (InputError, ImportError):
        raise
    except Exception as error:  # pyarrow says in many kinds of error that a column fits no type
        wanted = "a pandas, polars or Arrow table whose columns are of one kind each"
        fail(name, got=f"{type(frame).__name__} ({' '.join(str(error).split())[:200]})", wanted=wanted)
    return ArrowSource.of(table, Path(name))
