"""`.pt` and `.pth` of PyTorch: a tensor, tensors by name, or a vector for each id. Only tensors and words are loaded, no code."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.formats.base import Header, Source, check_unpacked, reading

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
                fail(
                    str(path),
                    got="objects that only running code can load",
                    wanted="a tensor, or a dictionary of tensors",
                    remedy="Save the tensors only: torch.save({'rows': rows, 'ids': list_of_ids}, path).",
                )
        self.content: dict[str, Any] = {ROWS: stored} if isinstance(stored, torch.Tensor) else self._named(stored, torch)

    def _named(self, stored: Any, torch: Any) -> dict[str, Any]:
        require(
            isinstance(stored, dict) and len(stored) > 0,
            str(self.path),
            got=f"a {type(stored).__name__}",
            wanted="a tensor, a dictionary of tensors, or one of a vector for each id",
        )
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
            require(
                value.layout.__repr__() == "torch.strided",
                f"{self.path.name} {name}",
                got=f"a tensor of {value.layout}",
                wanted="a dense tensor",
                remedy="Save rows.to_dense().",
            )
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
