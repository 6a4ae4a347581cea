"""Libraries that no install of ours brings but an extra does."""

from __future__ import annotations

from typing import Any

import pytest


def torch() -> Any:
    """PyTorch, or a skipped test: .pt files are written and read by it alone, so nothing else can stand in."""
    reason = (
        'only PyTorch writes and reads .pt files and tensors; it is in the extra "encoders", too large for the tests to install'
    )
    return pytest.importorskip("torch", reason=reason)
