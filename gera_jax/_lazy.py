"""Names of a package that load on first use, so that importing it stays quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attach(package: str, homes: Mapping[str, str], rooms: Iterable[str] = ()) -> tuple[Callable[[str], Any], Callable[[], list]]:
    """The module functions `__getattr__` and `__dir__` of a package.

    A package says the same names under `if TYPE_CHECKING:` for type checkers, which cannot see through `__getattr__`.

    Args:
      package: its `__name__`.
      homes: public name -> the module it lives in.
      rooms: modules of the package that load by their own name.
    """
    rooms = tuple(rooms)

    def get(name: str) -> Any:
        if name in rooms:
            return importlib.import_module(f"{package}.{name}")
        if name in homes:
            value = getattr(importlib.import_module(homes[name]), name)
            setattr(sys.modules[package], name, value)  # the next look-up no longer comes here
            return value
        from gera_jax.checks import did_you_mean

        raise AttributeError(f"module {package!r} has no attribute {name!r}. {did_you_mean(name, [*rooms, *homes])}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *rooms, *homes})

    return get, names
