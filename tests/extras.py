"""Libraries that no install of ours brings but an extra does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gera_jax.data.formats import open_source


def torch() -> Any:
    """PyTorch, or a skipped test: .pt files are written and read by it alone, so nothing else can stand in."""
    reason = (
        'only PyTorch writes and reads .pt files and tensors; it is in the extra "encoders", too large for the tests to install'
    )
    return pytest.importorskip("torch", reason=reason)


def inspect_table(path, key=""):
    """Shape and dtype of the rows of a file, as its reader takes them from the header."""
    source = open_source(Path(path))
    return source.inspect(source.choose(key))
