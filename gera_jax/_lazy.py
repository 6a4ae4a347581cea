"""Names of a package that load on first use, so that importing it stays quick."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list]]:
    """The module functions `__getattr__` and `__dir__` of a package.

    The names are those that the package imports under `if TYPE_CHECKING:`, where type checkers find them: each is said once.
    """
    spec = sys.modules[package].__spec__
    blocks = [node for node in ast.parse(spec.loader.get_source(package)).body if isinstance(node, ast.If)]  # type: ignore
    homes = {name.name: line.module for block in blocks for line in block.body for name in line.names}  # type: ignore

    def get(name: str) -> Any:
        home = homes.get(name)
        if home == package:  # a room of it
            return importlib.import_module(f"{package}.{name}")
        if home is not None:
            value = getattr(importlib.import_module(home), name)
            setattr(sys.modules[package], name, value)  # the next look-up no longer comes here
            return value
        from gera_jax.checks import did_you_mean

        raise AttributeError(f"module {package!r} has no attribute {name!r}. {did_you_mean(name, homes)}")

    return get, lambda: sorted({*vars(sys.modules[package]), *homes})
