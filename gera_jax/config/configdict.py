"""`ml_collections.ConfigDict`, whose fields are of any type to a type checker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_collections

if TYPE_CHECKING:

    class ConfigDict(ml_collections.ConfigDict):
        """A config or a block of one: fields by attribute or by name."""

        def __init__(self, initial_dictionary: Any = None, **options: Any) -> None: ...
        def __getattr__(self, attribute: str) -> Any: ...
        def __getitem__(self, key: Any) -> Any: ...
        def get(self, key: str, default: Any = None) -> Any: ...
        def copy_and_resolve_references(self, visit_map: Any = None) -> ConfigDict: ...

else:
    ConfigDict = ml_collections.ConfigDict
