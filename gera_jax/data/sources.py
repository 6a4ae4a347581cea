"""One reader a file format: which arrays there are, shape and dtype from the header, rows with ids and meta."""

from __future__ import annotations

import contextlib
import difflib
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from gera_jax.checks import did_you_mean, fail, require

Header = tuple[tuple[int, ...], np.dtype]
Loaded = tuple[np.ndarray, Any, "list[dict[str, Any]] | None"]  # rows, ids or None, meta or None

WRITE_AGAIN = "The copy or the writing of it was cut short: copy or write it again."
PICKLED = "Pickled objects can run code, so they are never loaded: save numbers and strings only, np.array(ids, dtype=str)."
ID_NAMES = ("ids", "id")


class Source(Protocol):
    """An open file or directory of one format."""

    def choose(self, key: str) -> str: ...
    def inspect(self, key: str) -> Header: ...
    def read(self, key: str, ids_key: str) -> Loaded: ...


def open_source(path: Path) -> Source:
    """The reader for `path`, or `InputError` when there is no such file or no reader for it."""
    if not path.exists():
        from gera_jax.data.builder import DatasetSource, is_dataset

        # `<directory>/<split>`: a split is named like a folder.
        if path.parent.is_dir() and is_dataset(path.parent):
            return DatasetSource(path.parent, split=path.name)
        fail("path", got=f'"{path}", which is not there', wanted="a file or a directory", remedy=near_names(path))
    if path.is_dir():
        from gera_jax.data.builder import DatasetSource

        return DatasetSource(path)
    known = {".npy": NpySource, ".npz": NpzSource, ".safetensors": SafetensorsSource, ".parquet": ParquetSource}
    if path.suffix not in known:
        fail("path", got=f'"{path.name}"', wanted=f"one of {', '.join(known)}, or a TFDS directory",
             remedy="Save it as .npy or .npz.")
    require(path.stat().st_size > 0, str(path), got="an empty file (0 bytes)", wanted=f"a {path.suffix} file",
            remedy=WRITE_AGAIN)
    return known[path.suffix](path)


def near_names(path: Path) -> str:
    """A remedy that names the nearest existing files."""
    parent = path.parent
    while not parent.exists():
        path, parent = parent, parent.parent
    names = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(f'"{parent / name}"' for name in near) + "?"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f'"{parent}" holds: {shown}.' if names else f'"{parent}" is empty.'


def choose_key(path: Path, key: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """`key` if it is there, or if it is empty the only matrix (else the only array [n, layers, d]); `InputError` otherwise."""
    if key:
        if key not in shapes:
            fail("key", got=f'"{key}"', wanted=f'an array of "{path.name}"', remedy=did_you_mean(key, shapes))
        return key
    candidates = [name for name, shape in shapes.items() if len(shape) == 2]
    candidates = candidates or [name for name, shape in shapes.items() if len(shape) == 3]  # with a layer axis
    if len(candidates) != 1:
        fail("key", got="no key", wanted=f'the name of one array of "{path.name}"',
             remedy=f"Set key to one of: {', '.join(candidates or shapes)}.")
    return candidates[0]


def read_ids_file(path: Path) -> Any:
    """Ids from .npy, .txt (one a line) or .json (a list)."""
    require(path.is_file(), "ids", got=f'"{path}", which is not there', wanted="a file of ids",
            remedy="Give a .npy, .txt (one id a line) or .json (a list) file.")
    if path.suffix == ".npy":
        NpySource(path).inspect("")
        return np.load(path, allow_pickle=False)
    try:
        text = path.read_text(encoding="utf-8-sig")  # an editor's byte-order mark is no part of the first id
    except UnicodeDecodeError as error:
        fail("ids", got=f'"{path}", which is no UTF-8 ({error})', wanted="ids in UTF-8",
             remedy='Write the file with encoding="utf-8".')
    if path.suffix == ".json":
        return parse_ids(text, str(path))
    return np.array(text.removesuffix("\n").split("\n") if text else [], dtype=str)


def parse_ids(text: str, where: str) -> list:
    """Ids from a JSON list."""
    try:
        ids = json.loads(text)
    except json.JSONDecodeError as error:
        fail("ids", got=f'"{where}", which is no JSON ({error})', wanted="a list of ids", remedy="Write it with json.dump.")
    require(isinstance(ids, list), "ids", got=f'a {type(ids).__name__} in "{where}"', wanted="a list of ids")
    return ids


def find_ids_file(path: Path, ids_key: str) -> Any:
    """Ids of a file that holds rows only: from `ids_key`, a path, or from the file beside it; None when there is none."""
    if ids_key:
        beside = path.parent / ids_key
        return read_ids_file(beside if beside.exists() else Path(ids_key))
    for suffix in (".npy", ".txt", ".json"):
        beside = path.with_name(path.stem + ".ids" + suffix)
        if beside.exists():
            return read_ids_file(beside)
    return None


def read_npy_header(path: Path, file: Any, member: str = "") -> Header:
    """Shape and dtype of an .npy file or npz member; refuses pickled objects and damage."""
    where = f'"{path.name}"' + (f", array {member}" if member else "")
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        fail(str(path), got=f"a file without an .npy header ({error})", wanted="a whole .npy file", remedy=WRITE_AGAIN)
    require(not dtype.hasobject, where, got="pickled objects", wanted="plain numbers or strings", remedy=PICKLED)
    return shape, dtype


class NpySource:
    """`.npy`: stays on disk as a memory map."""

    def __init__(self, path: Path):
        self.path = path

    def choose(self, key: str) -> str:
        return ""  # one array, so a key has nothing to choose

    def inspect(self, key: str) -> Header:
        with self.path.open("rb") as file:
            shape, dtype = read_npy_header(self.path, file)
            need = file.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        check_size(self.path, need)
        return shape, dtype

    def read(self, key: str, ids_key: str) -> Loaded:
        return np.load(self.path, mmap_mode="r", allow_pickle=False), find_ids_file(self.path, ids_key), None


def check_size(path: Path, need: int) -> None:
    """Raise `InputError` when a file is shorter than its header says."""
    size = path.stat().st_size
    require(size >= need, str(path), got=f"{size} bytes, a truncated file", wanted=f"{need} bytes as its header says",
            remedy=WRITE_AGAIN)


class NpzSource:
    """`.npz`: arrays by key; ids from an array or from a field of the JSON string `meta` or `<key>_meta`."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.keys = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        except zipfile.BadZipFile as error:
            fail(str(path), got=f"a truncated or damaged npz ({error})", wanted="a whole .npz file", remedy=WRITE_AGAIN)

    def inspect(self, key: str) -> Header:
        with zipfile.ZipFile(self.path) as archive, archive.open(key + ".npy") as file:
            return read_npy_header(self.path, file, key)

    def choose(self, key: str) -> str:
        if key in self.keys:
            return key
        if key:
            return choose_key(self.path, key, dict.fromkeys(self.keys, ()))
        return choose_key(self.path, key, {name: self.inspect(name)[0] for name in self.keys})

    def array(self, key: str) -> np.ndarray:
        """One member, decompressed."""
        self.inspect(key)  # refuses pickled objects by name before anything is read
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                return archive[key]
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            fail(str(self.path), got=f"a damaged npz (array {key}: {error})", wanted="a whole .npz file",
                 remedy=WRITE_AGAIN)

    def meta(self, key: str) -> list[dict[str, Any]] | None:
        """The JSON list of `<key>_meta` or `meta`, one dict a row, if there is one."""
        for name in (f"{key}_meta", "meta"):
            if name in self.keys and self.inspect(name)[1].kind in "US":
                array = self.array(name)
                try:
                    meta = json.loads(str(array)) if array.ndim == 0 else None
                except json.JSONDecodeError:
                    meta = None
                if isinstance(meta, list) and all(isinstance(entry, dict) for entry in meta):
                    return meta
        return None

    def read(self, key: str, ids_key: str) -> Loaded:
        meta = self.meta(key)
        fields = dict.fromkeys(name for entry in meta or () for name in entry)
        if ids_key and ids_key not in self.keys and ids_key not in fields:
            fail("ids", got=f'"{ids_key}"', wanted=f'an array or a meta field of "{self.path.name}"',
                 remedy=did_you_mean(ids_key, [*self.keys, *fields]))
        for name in (ids_key,) if ids_key else (f"{key}_ids", *ID_NAMES):
            if name in self.keys:
                return self.array(key), self.array(name), meta
            if meta and all(name in entry for entry in meta):
                return self.array(key), [entry[name] for entry in meta], meta
        if ids_key:  # row numbers in place of the ids that were asked for would pair the wrong rows
            without = [row for row, entry in enumerate(meta or ()) if ids_key not in entry]
            fail("ids", got=f'{len(without)} entries of meta without "{ids_key}" (first: row {without[0]})',
                 wanted="one id a row")
        return self.array(key), None, meta


class SafetensorsSource:
    """`.safetensors`: a JSON header, then plain bytes, so a tensor is memory-mapped without any package."""

    DTYPES: ClassVar[dict[str, str]] = {
        "F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
        "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?",
    }

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                require(8 + length <= path.stat().st_size, str(path), got="a truncated file",
                        wanted="a whole safetensors file", remedy=WRITE_AGAIN)
                self.header = json.loads(file.read(length))
        except (struct.error, UnicodeDecodeError, json.JSONDecodeError) as error:
            fail(str(path), got=f"no safetensors header ({error})", wanted="a safetensors file", remedy=WRITE_AGAIN)
        require(isinstance(self.header, dict), str(path), got="a header that is no JSON object",
                wanted="a safetensors file", remedy=WRITE_AGAIN)
        self.metadata = self.header.pop("__metadata__", None) or {}
        self.start = 8 + length

    def choose(self, key: str) -> str:
        return choose_key(self.path, key, {name: tuple(entry["shape"]) for name, entry in self.header.items()})

    def inspect(self, key: str) -> Header:
        entry = self.header[key]
        if entry["dtype"] == "BF16":
            import ml_dtypes

            dtype = np.dtype(ml_dtypes.bfloat16)
        else:
            require(entry["dtype"] in self.DTYPES, f"{self.path.name} {key}", got=f"dtype {entry['dtype']}",
                    wanted="F16, BF16, F32 or F64", remedy="Save float32 rows.")
            dtype = np.dtype(self.DTYPES[entry["dtype"]])
        check_size(self.path, self.start + entry["data_offsets"][1])
        return tuple(entry["shape"]), dtype

    def array(self, key: str) -> np.ndarray:
        """One tensor as a memory map."""
        shape, dtype = self.inspect(key)
        offset = self.start + self.header[key]["data_offsets"][0]
        return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)

    def read(self, key: str, ids_key: str) -> Loaded:
        for name in (ids_key,) if ids_key else (f"{key}_ids", *ID_NAMES):
            if name in self.header:
                return self.array(key), np.array(self.array(name)), None
            # strings fit only into the header: a JSON list; any other "id" there is the file's own, such as a model's name
            if name in self.metadata and (ids_key or self.metadata[name].startswith("[")):
                return self.array(key), parse_ids(self.metadata[name], f"{self.path.name}, {name}"), None
        return self.array(key), find_ids_file(self.path, ids_key), None


class ParquetSource:
    """`.parquet`: one column of lists (the embedding), an id column, and columns of words as meta."""

    def __init__(self, path: Path):
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError('Parquet files need pyarrow: pip install "gera_jax[formats]"') from error
        self.path, self.parquet = path, pyarrow.parquet
        self.types = pyarrow.types
        with self.whole_file():
            self.file_metadata = pyarrow.parquet.read_metadata(path)
            self.schema = pyarrow.parquet.read_schema(path)

    @contextlib.contextmanager
    def whole_file(self) -> Iterator[None]:
        """Names the file where pyarrow finds it damaged."""
        try:
            yield
        except (ValueError, OSError) as error:  # pyarrow.ArrowInvalid is a ValueError
            fail(str(self.path), got=f"a truncated or damaged parquet file ({error})", wanted="a whole parquet file",
                 remedy=WRITE_AGAIN)

    def is_list(self, name: str) -> bool:
        """Whether a column holds lists of numbers."""
        kind, types = self.schema.field(name).type, self.types
        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return lists and types.is_primitive(kind.value_type)

    def choose(self, key: str) -> str:
        return choose_key(self.path, key, {name: (0, 0) if self.is_list(name) else (0,) for name in self.schema.names})

    def inspect(self, key: str) -> Header:
        kind, n = self.schema.field(key).type, self.file_metadata.num_rows
        if not self.is_list(key):
            fail(f"{self.path.name} {key}", got=f"a column of {kind}", wanted="a column of lists of floats",
                 remedy="Store one list (the embedding) a row.")
        value = str(kind.value_type)
        dtype = np.dtype({"halffloat": "float16", "float": "float32", "double": "float64"}.get(value, "int64"))
        values = 0
        for group in range(self.file_metadata.num_row_groups):
            row_group = self.file_metadata.row_group(group)
            columns = (row_group.column(c) for c in range(row_group.num_columns))
            values += sum(c.num_values for c in columns if self.owner(c.path_in_schema) == key)
        return (n, values // n if n else 0), dtype

    def owner(self, path: str) -> str:
        """The column that a path of the schema lies in; a name may hold dots itself."""
        return max((name for name in self.schema.names if f"{path}.".startswith(f"{name}.")), key=len)

    def read(self, key: str, ids_key: str) -> Loaded:
        (n, dim), dtype = self.inspect(key)
        words = [name for name in self.schema.names if self.types.is_string(self.schema.field(name).type)]
        if ids_key and ids_key not in self.schema.names:
            fail("ids", got=f'"{ids_key}"', wanted=f'a column of "{self.path.name}"',
                 remedy=did_you_mean(ids_key, self.schema.names))
        names = (ids_key,) if ids_key else (f"{key}_ids", *ID_NAMES)
        ids_name = next((name for name in names if name in self.schema.names), None)
        columns = list(dict.fromkeys([key, *words, *([ids_name] if ids_name else [])]))
        with self.whole_file():
            table = self.parquet.read_table(self.path, columns=columns)
        column = table.column(key).combine_chunks()
        lengths = np.asarray(column.value_lengths()) if not self.types.is_fixed_size_list(column.type) else None
        whole = column.null_count == 0 and (lengths is None or bool((lengths == dim).all()))
        require(whole, f"{self.path.name} {key}", got="rows of different lengths or empty rows",
                wanted="as many numbers in each row as in every other", remedy="Write the rows again with one encoder.")
        rows = column.flatten().to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(n, dim)
        ids = table.column(ids_name).to_pylist() if ids_name else None
        return rows, ids, table.select(words).to_pylist() if words else None
