"""Flat indexes of faiss (`.faiss`, `.index`): the vectors lie in them as they are, so they are mapped without faiss."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.formats.arrays import check_size
from gera_jax.data.formats.base import Header, Source, reading

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
                fail(
                    str(path),
                    got=f"an index of faiss of kind {kind!r}",
                    wanted="an IndexFlat, or an IndexIDMap of one",
                    remedy="Take the vectors out: np.save(path, index.reconstruct_n(0, index.ntotal)).",
                )
            self.shape = self._head(file)
            count = self._count(file, 4)
            require(
                count == self.shape[0] * self.shape[1],
                str(path),
                got=f"{count} numbers in a damaged index",
                wanted=f"{self.shape[0]} vectors of {self.shape[1]}, as its head says",
            )
            self.start = file.tell()
            self.ids_start = 0
            if mapped:
                file.seek(count * 4, 1)
                require(
                    self._count(file, 8) == self.shape[0],
                    str(path),
                    got="another number of ids than of vectors",
                    wanted="a whole index",
                )
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
