"""Files that are read by their own library: HDF5 (`.h5`, `.hdf5`, AnnData's `.h5ad`) and PyTorch's `.pt` and `.pth`."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.formats.base import WRITE_AGAIN, Header, Source, check_unpacked, choose_key, reading


def h5py() -> Any:
    """The library, or how to get it."""
    try:
        import h5py as library
    except ImportError as error:
        raise ImportError('HDF5 files need h5py: pip install "gera_jax[hdf5]"') from error
    return library


class Hdf5Source(Source):
    """Data sets by their path in the file."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.found: dict[str, Header] = {}
        self.stored: dict[str, int] = {}
        library = h5py()

        def visit(name: str, node: Any) -> None:
            if isinstance(node, library.Dataset):
                # what lies in other files is not read
                self.found[name] = tuple(node.shape or ()), np.dtype(node.dtype)
                self.stored[name] = -1 if node.external or node.is_virtual else node.id.get_storage_size()

        with reading(path, "HDF5 file"), library.File(path, "r") as file:
            file.visititems(visit)

    def headers(self) -> dict[str, Header]:
        return self.found

    def check(self, name: str) -> None:
        (shape, dtype), stored = self.found[name], self.stored[name]
        require(stored >= 0, f"{self.path.name} {name}", got="a data set that lies in other files", wanted="numbers in this file")
        check_unpacked(self.path, f"data set {name}", math.prod(shape) * dtype.itemsize, stored)

    def array(self, name: str) -> np.ndarray:
        self.check(name)
        library = h5py()
        with reading(self.path, "HDF5 file"), library.File(self.path, "r") as file:
            node = file[name]
            text = library.check_string_dtype(node.dtype) is not None
            self._check_strings(node)
            values = node[()]
        return np.asarray(values, object) if text and np.ndim(values) else np.asarray(values)

    def _check_strings(self, node: Any) -> None:
        """Refuse strings that say to be longer than the file: the library takes the memory before it looks.

        Each is stored as 16 bytes, of which the first four are its length; those in chunks are not looked at.
        """
        start = node.id.get_offset()
        if node.dtype.kind == "O" and start is not None:
            with self.path.open("rb") as file:
                file.seek(start)
                stored = file.read(16 * node.size)
            lengths = np.frombuffer(stored[: len(stored) // 16 * 16], "<u4")[::4]
            size = self.path.stat().st_size
            got, wanted = "a damaged HDF5 file (strings longer than the file)", "a whole HDF5 file"
            require(int(lengths.sum(dtype=np.uint64)) <= size, str(self.path), got=got, wanted=wanted, remedy=WRITE_AGAIN)


class AnnDataSource(Hdf5Source):
    """`.h5ad`: the matrices of `obsm` (also without that word before them) and `X`; ids are the names of `obs`."""

    def headers(self) -> dict[str, Header]:
        return {name: header for name, header in self.found.items() if name == "X" or name.startswith("obsm/")}

    def choose(self, key: str) -> str:
        known = self.headers()
        if not key:
            embeddings = {name: header for name, header in known.items() if name != "X"}
            return choose_key(self.path, key, embeddings or known)
        return choose_key(self.path, key if key in known or f"obsm/{key}" not in known else f"obsm/{key}", known)

    def id_names(self, key: str) -> list[str]:
        plain = [
            name.removeprefix("obs/")
            for name, (shape, dtype) in self.found.items()
            if name.startswith("obs/") and len(shape) == 1 and dtype.kind in "USOiu"
        ]
        # a column that may lack values, or that has few, is a group of arrays
        columns = [name.removesuffix("/values").removesuffix("/categories") for name in plain if not name.endswith("/codes")]
        return [name for name in columns if "/" not in name]

    def find_ids(self, key: str, ids_key: str, n: int) -> Any:
        return super().find_ids(key, ids_key or self._index(), n)

    def ids(self, name: str, key: str) -> Any:
        column = f"obs/{name}"
        if column in self.found:
            return self.array(column)
        with reading(self.path, "AnnData file"):
            if f"{column}/codes" in self.found:
                codes = self.array(f"{column}/codes")
                values, missing = self.array(f"{column}/categories")[np.maximum(codes, 0)], codes < 0
            else:
                values, missing = self.array(f"{column}/values"), self.array(f"{column}/mask")
            return [None if lost else value for value, lost in zip(values.tolist(), missing, strict=True)]

    def _index(self) -> str:
        with reading(self.path, "AnnData file"), h5py().File(self.path, "r") as file:
            obs = file["obs"]
            name = obs.attrs.get("_index", "_index")
            name = name.decode() if isinstance(name, bytes) else str(name)
        got = f"no names of rows (obs/{name})"
        require(name in self.id_names(""), str(self.path), got=got, wanted="an AnnData file", remedy=WRITE_AGAIN)
        return name


ROWS = "rows"


class TorchSource(Source):
    """What `torch.save` wrote, as arrays and lists by name."""

    def __init__(self, path: Path):
        super().__init__(path)
        try:
            import torch
        except ImportError as error:
            raise ImportError("Files of PyTorch need torch: pip install torch, or save the rows with np.save") from error
        with reading(path, "file of PyTorch"):
            archive = _members(path)
        check_unpacked(path, "an archive", sum(info.file_size for info in archive), sum(info.compress_size for info in archive))
        with reading(path, "file of PyTorch"):
            try:
                stored = torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                if "weights_only" not in str(error).lower() and "unsupported" not in str(error).lower():
                    raise
                got, wanted = "objects that only running code can load", "a tensor, or a dictionary of tensors"
                remedy = "Save the tensors only: torch.save({'rows': rows, 'ids': list_of_ids}, path)."
                fail(str(path), got=got, wanted=wanted, remedy=remedy)
        self.content: dict[str, Any] = {ROWS: stored} if isinstance(stored, torch.Tensor) else self._named(stored, torch)

    def _named(self, stored: Any, torch: Any) -> dict[str, Any]:
        wanted = "a tensor, a dictionary of tensors, or one of a vector for each id"
        require(isinstance(stored, dict) and len(stored) > 0, str(self.path), got=f"a {type(stored).__name__}", wanted=wanted)
        vectors = [value for value in stored.values() if isinstance(value, torch.Tensor) and value.ndim == 1]
        widths = {value.shape[0] for value in vectors}
        if len(vectors) == len(stored) and all(value.is_floating_point() for value in vectors):
            require(len(widths) == 1, str(self.path), got=f"vectors of {len(widths)} widths", wanted="vectors of one width")
            return {ROWS: torch.stack(vectors), "ids": list(stored)}
        return {str(name): value for name, value in stored.items() if isinstance(value, torch.Tensor | list | tuple)}

    def headers(self) -> dict[str, Header]:
        return {name: self._header(value) for name, value in self.content.items()}

    def _header(self, value: Any) -> Header:
        if isinstance(value, list | tuple):
            return (len(value),), np.dtype("O")
        name = str(value.dtype).removeprefix("torch.").replace("bfloat16", "float32")
        try:
            return tuple(value.shape), np.dtype(name)
        except TypeError:
            return tuple(value.shape), np.dtype("V1")

    def check(self, name: str) -> None:
        value = self.content[name]
        if not isinstance(value, list | tuple):
            got, wanted, remedy = f"a tensor of {value.layout}", "a dense tensor", "Save rows.to_dense()."
            require(value.layout.__repr__() == "torch.strided", f"{self.path.name} {name}", got=got, wanted=wanted, remedy=remedy)
            check_unpacked(self.path, f"tensor {name}", math.prod(value.shape) * value.element_size(), self.path.stat().st_size)

    def array(self, name: str) -> np.ndarray:
        value = self.content[name]
        if isinstance(value, list | tuple):
            return np.array(value, object)
        self.check(name)
        with reading(self.path, "file of PyTorch"):
            value = value.detach()
            return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()

    def ids(self, name: str, key: str) -> Any:
        value = self.content[name]
        return list(value) if isinstance(value, list | tuple) else self.array(name)


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """What the archive holds; the oldest files are none."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()
