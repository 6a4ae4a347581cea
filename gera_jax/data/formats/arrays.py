"""Arrays that lie on disk as they are (`.npy`, `.safetensors`, flat indexes of faiss), and `.npz`, which is unpacked."""

from __future__ import annotations

import contextlib
import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.data.formats.base import (
    ID_WORDS,
    PICKLED,
    WRITE_AGAIN,
    Header,
    Source,
    check_unpacked,
    choose_key,
    may_hold_ids,
    parse_ids,
    reading,
)


def read_npy_header(path: Path, file: Any, member: str = "") -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an .npy file or npz member, which then stands at its data; refuses pickled objects and damage."""
    where = f'"{path.name}"' + (f", array {member}" if member else "")
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
        got = f"version {version}, shape {shape}"
        require(version[0] in (1, 2, 3) and all(size >= 0 for size in shape), where, got=got, wanted="an .npy header")
    except (InputError, PermissionError):
        raise
    except Exception as error:  # the header is a Python literal, and reading a damaged one raises whatever a parser can
        fail(str(path), got=f"a file without an .npy header ({str(error)[:200]})", wanted="a whole .npy file", remedy=WRITE_AGAIN)
    require(not dtype.hasobject, where, got="pickled objects", wanted="plain numbers or strings", remedy=PICKLED)
    return tuple(int(size) for size in shape), bool(fortran), dtype


def byte_count(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of an array; Python's whole numbers do not overflow."""
    return math.prod(shape) * dtype.itemsize


def check_size(path: Path, need: int) -> None:
    """Raise `InputError` when a file is shorter than its header says."""
    size = path.stat().st_size
    wanted = f"{need} bytes as its header says"
    require(size >= need, str(path), got=f"{size} bytes, a truncated file", wanted=wanted, remedy=WRITE_AGAIN)


class NpySource(Source):
    """`.npy`: one array, without a name."""

    def _header(self) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        with self.path.open("rb") as file:
            header = read_npy_header(self.path, file)
            check_size(self.path, file.tell() + byte_count(header[0], header[2]))
            return *header, file.tell()

    def headers(self) -> dict[str, Header]:
        shape, _, dtype, _ = self._header()
        return {"": (shape, dtype)}

    def choose(self, key: str) -> str:
        return ""  # one array, so a key has nothing to choose

    def id_names(self, key: str) -> list[str]:
        return []

    def array(self, name: str) -> np.ndarray:
        shape, fortran, dtype, start = self._header()
        if byte_count(shape, dtype) == 0:  # nothing cannot be mapped
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", start, shape, "F" if fortran else "C")


class NpzSource(Source):
    """`.npz`: arrays by key; ids from an array or from a field of the JSON string `meta` or `<key>_meta`."""

    def __init__(self, path: Path):
        super().__init__(path)
        with reading(path, "npz"), zipfile.ZipFile(path) as archive:
            self.members = {
                info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
            }
        self.keys = list(self.members)
        self._headers: dict[str, Header] = {}
        self._meta: dict[str, list[dict[str, Any]] | None] = {}

    @contextlib.contextmanager
    def _member(self, key: str) -> Iterator[Any]:
        with (
            reading(self.path, f"npz, array {key}"),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.members[key]) as file,
        ):
            yield file

    def header(self, key: str) -> Header:
        """Shape and dtype of one member; what is locked, or unpacks to far more than it holds, is refused."""
        if key not in self._headers:
            info = self.members[key]
            got, remedy = f"an archive with a password (array {key})", "Unpack it and save it again with np.savez."
            require(not info.flag_bits & 1, str(self.path), got=got, wanted="an open .npz", remedy=remedy)
            with self._member(key) as file:
                shape, _, dtype = read_npy_header(self.path, file, key)
                need = file.tell() + byte_count(shape, dtype)
            got, wanted = f"array {key} of {info.file_size} bytes in a damaged archive", f"{need} bytes as its header says"
            require(info.file_size == need, str(self.path), got=got, wanted=wanted, remedy=WRITE_AGAIN)
            check_unpacked(self.path, f"array {key}", need, info.compress_size)
            self._headers[key] = shape, dtype
        return self._headers[key]

    def headers(self) -> dict[str, Header]:
        return {key: self.header(key) for key in self.keys}

    def inspect(self, key: str) -> Header:
        return self.header(key)

    def choose(self, key: str) -> str:
        if key in self.members:
            return key
        return choose_key(self.path, key, dict.fromkeys(self.keys, ((), np.dtype("f4"))) if key else self.headers())

    def array(self, name: str) -> np.ndarray:
        """One member, unpacked."""
        self.header(name)  # refuses by name before anything is read
        with self._member(name) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def blocks(self, name: str, size: int) -> Iterator[np.ndarray]:
        """The rows of one member as they are unpacked."""
        self.header(name)
        with self._member(name) as file:
            shape, fortran, dtype = read_npy_header(self.path, file, name)
            if fortran:  # its rows lie apart
                yield from super().blocks(name, size)
                return
            for start in range(0, shape[0], size):
                count = min(size, shape[0] - start)
                yield np.frombuffer(file.read(count * byte_count(shape[1:], dtype)), dtype).reshape(count, *shape[1:])

    def meta(self, key: str) -> list[dict[str, Any]] | None:
        """The JSON list of `<key>_meta` or `meta`, one dict a row, if there is one."""
        if key not in self._meta:
            self._meta[key] = self._read_meta(key)
        return self._meta[key]

    def _read_meta(self, key: str) -> list[dict[str, Any]] | None:
        for name in (f"{key}_meta", "meta"):
            if name in self.members and self.header(name)[1].kind in "US" and self.header(name)[0] == ():
                text = self.array(name).item()
                try:
                    meta = json.loads(text)
                except (ValueError, RecursionError):  # words about the file in another form
                    continue
                if isinstance(meta, list) and all(isinstance(entry, dict) for entry in meta):
                    return meta
        return None

    def id_names(self, key: str) -> list[str]:
        fields = [
            field
            for entry in self.meta(key) or ()
            for field, value in entry.items()
            if type(value) in (str, int) or ID_WORDS.search(field)
        ]
        arrays = [name for name in self.keys if name != key and self._may_hold_ids(name)]
        return list(dict.fromkeys([*arrays, *fields]))

    def _may_hold_ids(self, name: str) -> bool:
        try:
            return may_hold_ids(name, *self.header(name))
        except InputError:  # pickled strings, say: where they are called like ids they are refused, not passed over
            return bool(ID_WORDS.search(name))

    def ids(self, name: str, key: str) -> Any:
        if name in self.members:
            return self.array(name)
        entries = self.meta(key) or []
        without = [row for row, entry in enumerate(entries) if entry.get(name) is None]
        got = f'{len(without)} entries of meta without "{name}" (first: row {without[0] if without else ""})'
        require(not without, "ids", got=got, wanted="one id a row")
        return [entry[name] for entry in entries]


class SafetensorsSource(Source):
    """`.safetensors`: the library checks the header, which says where on the disk each tensor lies."""

    DTYPES: ClassVar[dict[str, str]] = {
        "F16": "<f2",
        "F32": "<f4",
        "F64": "<f8",
        "I8": "i1",
        "I16": "<i2",
        "I32": "<i4",
        "I64": "<i8",
        "U8": "u1",
        "U16": "<u2",
        "U32": "<u4",
        "U64": "<u8",
        "BOOL": "?",
    }

    def __init__(self, path: Path):
        import safetensors

        super().__init__(path)
        with reading(path, ".safetensors file"):
            with safetensors.safe_open(path, framework="numpy") as file:  # shapes, dtypes and places fit each other and the file
                self.metadata = file.metadata() or {}
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                self.entries = json.loads(file.read(length))
            self.entries.pop("__metadata__", None)
        self.start = 8 + length

    def headers(self) -> dict[str, Header]:
        return {name: (tuple(entry["shape"]), self._dtype(entry["dtype"])) for name, entry in self.entries.items()}

    def _dtype(self, name: str) -> np.dtype:
        if name == "BF16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.DTYPES.get(name, "V1"))  # of another kind: named, and refused where it is asked for

    def array(self, name: str) -> np.ndarray:
        """One tensor as a memory map."""
        shape, dtype = self.headers()[name]
        if byte_count(shape, dtype) == 0:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, "r", self.start + self.entries[name]["data_offsets"][0], shape)

    def check(self, name: str) -> None:
        kind = self.entries[name]["dtype"]
        got, wanted, remedy = f"dtype {kind}", "F16, BF16, F32 or F64", "Save float32 rows."
        require(kind == "BF16" or kind in self.DTYPES, f"{self.path.name} {name}", got=got, wanted=wanted, remedy=remedy)

    def id_names(self, key: str) -> list[str]:
        # strings fit only into the header: a JSON list; any other "id" there is the file's own, such as a model's name
        lists = [name for name, value in self.metadata.items() if value.lstrip().startswith("[")]
        return [*super().id_names(key), *lists]

    def ids(self, name: str, key: str) -> Any:
        if name in self.entries:
            return np.array(self.array(name))
        return parse_ids(self.metadata[name], f"{self.path.name}, {name}")


FLAT, MAPPED = (b"IxF2", b"IxFI", b"IxFl"), (b"IxMp", b"IxM2")
HEAD = struct.Struct("<iqqq?i")  # width, vectors, two words without meaning, trained, metric
VECTORS, IDS = "vectors", "ids"


class FaissSource(Source):
    """`IndexFlat` (of any metric), and `IndexIDMap` around one, whose numbers are the ids."""

    def __init__(self, path: Path):
        super().__init__(path)
        with path.open("rb") as file:
            kind = file.read(4)
            mapped = kind in MAPPED
            if mapped:
                self._head(file)
                kind = file.read(4)
            if kind not in FLAT:
                got, wanted = f"an index of faiss of kind {kind!r}", "an IndexFlat, or an IndexIDMap of one"
                remedy = "Take the vectors out: np.save(path, index.reconstruct_n(0, index.ntotal))."
                fail(str(path), got=got, wanted=wanted, remedy=remedy)
            self.shape = self._head(file)
            count = self._count(file, 4)
            wanted = f"{self.shape[0]} vectors of {self.shape[1]}, as its head says"
            require(count == self.shape[0] * self.shape[1], str(path), got=f"{count} numbers in a damaged index", wanted=wanted)
            self.start = file.tell()
            self.ids_start = 0
            if mapped:
                file.seek(count * 4, 1)
                got = "another number of ids than of vectors"
                require(self._count(file, 8) == self.shape[0], str(path), got=got, wanted="a whole index")
                self.ids_start = file.tell()

    def _head(self, file: Any) -> tuple[int, int]:
        with reading(self.path, "index of faiss"):
            width, n, _, _, _, metric = HEAD.unpack(file.read(HEAD.size))
            if metric > 1:  # those with a number behind them, such as Lp
                file.read(4)
        require(width > 0 and n >= 0, str(self.path), got=f"{n} vectors of width {width}", wanted="a whole index of faiss")
        return n, width

    def _count(self, file: Any, size: int) -> int:
        """The length of the list that follows, which must lie in the file."""
        with reading(self.path, "index of faiss"):
            (count,) = struct.unpack("<Q", file.read(8))
        check_size(self.path, file.tell() + count * size)
        return count

    def headers(self) -> dict[str, Header]:
        found = {VECTORS: (self.shape, np.dtype(np.float32))}
        return {**found, IDS: (self.shape[:1], np.dtype(np.int64))} if self.ids_start else found

    def array(self, name: str) -> np.ndarray:
        if 0 in self.shape:
            return np.zeros(self.shape if name == VECTORS else self.shape[:1], self.headers()[name][1])
        if name == IDS:
            return np.array(np.memmap(self.path, "<i8", "r", self.ids_start, self.shape[:1]))
        return np.memmap(self.path, "<f4", "r", self.start, self.shape)
