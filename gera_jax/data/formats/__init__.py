"""One reader a file format: which arrays there are, shape and dtype from the header, rows with ids and meta."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.formats.arrays import FaissSource, NpySource, NpzSource, SafetensorsSource
from gera_jax.data.formats.arrow import ParquetSource, open_arrow, open_folder
from gera_jax.data.formats.base import PICKLED, ROW_NUMBERS, WRITE_AGAIN, Header, Source, near_names, reading
from gera_jax.data.formats.libraries import AnnDataSource, Hdf5Source, TorchSource
from gera_jax.data.formats.text import CsvSource, JsonLines, WordVectors

__all__ = ["READERS", "ROW_NUMBERS", "NpzSource", "open_source", "register_format"]

READERS: dict[str, Callable[[Path], Source]] = {
    ".npy": NpySource,
    ".npz": NpzSource,
    ".safetensors": SafetensorsSource,
    ".parquet": ParquetSource,
    ".csv": CsvSource,
    ".tsv": CsvSource,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".arrow": open_arrow,
    ".feather": open_arrow,
    ".ipc": open_arrow,
    ".h5": Hdf5Source,
    ".hdf5": Hdf5Source,
    ".h5ad": AnnDataSource,
    ".pt": TorchSource,
    ".pth": TorchSource,
    ".vec": WordVectors,
    ".txt": WordVectors,
    ".faiss": FaissSource,
    ".index": FaissSource,
}
TEXT = {".csv", ".tsv", ".jsonl", ".ndjson", ".vec", ".txt"}
SAVE = 'Load it where it was made and save the rows with their ids: np.savez("rows.npz", rows=rows, ids=ids).'
NEVER = {".pkl", ".pickle", ".joblib", ".ckpt"}  # they run code


def register_format(suffix: str, reader: Callable[[Path], Any]) -> None:
    """Read files of a suffix of one's own wherever a file of embeddings is taken, for this process.

    Args:
      suffix: such as ".emb"; one that is read already is refused.
      reader: path -> rows [n, d], or (rows, ids); or a `formats.base.Source`, which reads headers without rows.

    >>> register_format(".emb", np.loadtxt)
    >>> ".emb" in READERS
    True
    >>> del READERS[".emb"]
    """
    fine = isinstance(suffix, str) and suffix.startswith(".") and len(suffix) > 1 and suffix == suffix.lower()
    require(fine, "suffix", got=f'"{suffix}"', wanted='a suffix such as ".emb", in small letters')
    require(suffix not in READERS and suffix not in NEVER, "suffix", got=f'"{suffix}", which is taken', wanted="a new one")
    require(callable(reader), "reader", got=f"a {type(reader).__name__}", wanted="a function of a path")
    READERS[suffix] = partial(_Guest.open, reader=reader)


class _Guest(Source):
    """What a reader from outside gave, in memory."""

    @classmethod
    def open(cls, path: Path, *, reader: Callable[[Path], Any]) -> Source:
        with reading(path, f"{path.suffix} file"):
            found = reader(path)
        if isinstance(found, Source):
            return found
        made = cls(path)
        rows, ids = found if isinstance(found, tuple) else (found, None)
        arrays = dict(rows=np.asarray(rows)) | ({} if ids is None else dict(ids=np.asarray(ids)))
        made._arrays = arrays
        return made

    def headers(self) -> Mapping[str, Header]:
        return {name: (array.shape, array.dtype) for name, array in self._arrays.items()}

    def array(self, name: str) -> np.ndarray:
        return self._arrays[name]


def open_source(path: Path) -> Source:
    """The reader for `path`, or `InputError` when there is no such file or no reader for it."""
    if not path.exists():
        from gera_jax.data.builder import DatasetSource, is_dataset

        # `<directory>/<split>`: a split is named like a folder.
        if path.parent.is_dir() and is_dataset(path.parent):
            return DatasetSource(path.parent, split=path.name)
        fail("path", got=f'"{path}", which is not there', wanted="a file or a directory", remedy=near_names(path))
    if path.is_dir():
        from gera_jax.data.builder import DatasetSource, is_dataset

        return (None if is_dataset(path) else open_folder(path)) or DatasetSource(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"] and suffixes[-2:-1] != [] and suffixes[-2] in TEXT
    suffix = suffixes[-2 if packed else -1] if suffixes else ""
    remedy = f"{PICKLED.partition(':')[0]}. {SAVE}"
    require(suffix not in NEVER, "path", got=f'"{path.name}", a pickle', wanted="a file of numbers and words", remedy=remedy)
    wanted = f"one of {', '.join(READERS)} (text also .gz), or a folder of parquet, Arrow or TFDS files"
    require(suffix in READERS, "path", got=f'"{path.name}"', wanted=wanted, remedy=SAVE)
    require(path.is_file(), str(path), got="no plain file", wanted=f"a {suffix} file")
    require(path.stat().st_size > 0, str(path), got="an empty file (0 bytes)", wanted=f"a {suffix} file", remedy=WRITE_AGAIN)
    return READERS[suffix](path)
