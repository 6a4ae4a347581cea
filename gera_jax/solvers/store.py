"""A fitted model as arrays and JSON, for `numpy.savez`: no pickle, so reading a file runs no code of the file's."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail

ROOM = "gera_jax.solvers"
WORDS = ("array", "dict", "list", "tuple", "named", "made", "object")  # what an entry of the stored tree may be


def to_arrays(model: Any, rooms: Sequence[str] = (ROOM,)) -> dict[str, np.ndarray]:
    """Everything that a fitted model, or a dict or list of some, holds; `from_arrays` gives it back to the last bit.

    Args:
      rooms: modules, with all below them, whose objects may be among it. An object with `to_arrays` and a class method
        `from_arrays` is stored by these; any other by its attributes.

    Raises:
      InputError: it holds something that is neither number, text, array, list, dict, nor an object of `rooms`.

    >>> from gera_jax.solvers import Procrustes
    >>> rows = np.random.default_rng(0).normal(size=(5, 3))
    >>> again = from_arrays(to_arrays(Procrustes().fit(rows, rows)))
    >>> again.transform_x(rows).shape
    (5, 3)
    """
    arrays: dict[str, np.ndarray] = {}

    def pack(value: Any, at: str) -> Any:
        if isinstance(value, np.ndarray):
            arrays[at] = value
            return {"array": at}
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        kind, own = f"{type(value).__module__}:{type(value).__qualname__}", _inside(type(value).__module__, rooms)
        if own and isinstance(value, tuple) and hasattr(value, "_fields"):
            return {"named": kind, "fields": {key: pack(item, f"{at}.{key}") for key, item in value._asdict().items()}}
        if isinstance(value, list | tuple):
            return {"tuple" if isinstance(value, tuple) else "list": [pack(item, f"{at}.{i}") for i, item in enumerate(value)]}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": {key: pack(item, f"{at}.{key}") for key, item in value.items()}}
        if own and hasattr(value, "to_arrays") and hasattr(type(value), "from_arrays"):
            return {"made": kind, "fields": {key: pack(item, f"{at}.{key}") for key, item in value.to_arrays().items()}}
        if own and hasattr(value, "__dict__") and not isinstance(value, type):
            return {"object": kind, "fields": {key: pack(item, f"{at}.{key}") for key, item in vars(value).items()}}
        return fail(at, got=f"a {type(value).__name__}", wanted=f"numbers, texts, arrays, or objects of {' or '.join(rooms)}")

    tree = pack(model, "model")
    return {**arrays, "tree": np.array(json.dumps(tree))}


def from_arrays(arrays: Mapping[str, np.ndarray], rooms: Sequence[str] = (ROOM,)) -> Any:
    """What `to_arrays` packed.

    Raises:
      InputError: the arrays are not those of `to_arrays`, or name a class outside of `rooms`.
    """
    if "tree" not in arrays:
        fail("model", got=f"arrays {sorted(arrays)}", wanted="those of a fitted model")

    def unpack(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((word, content),) = ((word, value[word]) for word in WORDS if word in value)
        if word == "array":
            return np.asarray(arrays[content])
        if word == "dict":
            return {key: unpack(item) for key, item in content.items()}
        if word in ("list", "tuple"):
            items = [unpack(item) for item in content]
            return tuple(items) if word == "tuple" else items
        kind, fields = _find(content, rooms), {key: unpack(item) for key, item in value["fields"].items()}
        if word == "named":
            return kind(**fields)
        if word == "made":
            return kind.from_arrays(fields)
        made = kind.__new__(kind)
        made.__dict__.update(fields)
        return made

    try:
        return unpack(json.loads(str(np.asarray(arrays["tree"])[()])))
    except InputError:
        raise
    except (AttributeError, ImportError, LookupError, RecursionError, TypeError, ValueError) as error:
        fail(
            "model",
            got=f"a tree that does not fit its arrays ({type(error).__name__}: {error})",
            wanted="what gera_jax stored",
            remedy="Fit the model again.",
        )


def _inside(module: str, rooms: Sequence[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _find(name: str, rooms: Sequence[str]) -> type:
    """The class of these rooms that is called "module:name"."""
    module, _, word = name.partition(":")
    if not _inside(module, rooms):
        fail("model", got=f"an object of {module}", wanted=f"one of {' or '.join(rooms)}")
    kind = getattr(importlib.import_module(module), word)
    if not isinstance(kind, type) or kind.__module__ != module:
        fail("model", got=f'"{name}"', wanted=f"a class of {' or '.join(rooms)}")
    return kind


def size_bytes(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of the arrays inside an object, each counted once.

    >>> rows = np.zeros((2, 3))
    >>> size_bytes({"a": rows, "b": [rows, rows[:1]]})
    48
    """
    seen = set() if seen is None else seen
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return value.nbytes if value.base is None else size_bytes(value.base, seen)
    inside = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else vars(value).values()
        if hasattr(value, "__dict__")
        else ()
    )
    return sum(size_bytes(item, seen) for item in inside)
