"""Fenced blocks of the pages, and small own files for them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str, language: str = "python") -> list[str]:
    """The code blocks of a page under ROOT, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def write_files(folder: Path, *, items: int = 160, shared: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """images.npz and texts.npz, of which `shared` items have both; 6 common directions of 12 and 10, and noise."""
    rng = np.random.default_rng(0)
    number = 2 * items - shared
    z = rng.normal(size=(number, 6))
    x, y = (z @ rng.normal(size=(6, d)) + 0.3 * rng.normal(size=(number, d)) for d in (12, 10))
    ids = np.array([f"item{i}" for i in range(number)])
    np.savez(folder / "images.npz", rows=x[:items], ids=ids[:items])
    np.savez(folder / "texts.npz", rows=y[-items:], ids=ids[-items:])
    return x, y
