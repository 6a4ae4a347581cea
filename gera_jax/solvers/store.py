"""A fitted baseline as arrays and JSON, for `numpy.savez`: no pickle, so reading a file runs no code."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail

ROOM = "gera_jax.solvers"
WORDS = ("array", "dict", "list", "tuple", "named", "object")  # what an entry of the stored tree may be


def to_arrays(model: Any) -> dict[str, np.ndarray]:
    """Everything that a fitted baseline, or a dict or list of some, holds; `from_arrays` gives it back to the last bit.

    Raises:
      InputError: it holds something that is neither number, text, array, list, dict, nor an object of this room.

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
        if isinstance(value, tuple) and hasattr(value, "_fields") and type(value).__module__.startswith(f"{ROOM}."):
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return {"named": kind, "fields": {key: pack(item, f"{at}.{key}") for key, item in value._asdict().items()}}
        if isinstance(value, list | tuple):
            return {"tuple" if isinstance(value, tuple) else "list": [pack(item, f"{at}.{i}") for i, item in enumerate(value)]}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": {key: pack(item, f"{at}.{key}") for key, item in value.items()}}
        if type(value).__module__.startswith(f"{ROOM}."):
            kind = f"{type(value).__module__}:{type(value).__qualname__}"
            return {"object": kind, "fields": {key: pack(item, f"{at}.{key}") for key, item in vars(value).items()}}
        return fail(at, got=f"a {type(value).__name__}", wanted="numbers, texts, arrays, or objects of gera_jax.solvers")

    tree = pack(model, "model")
    return {**arrays, "tree": np.array(json.dumps(tree))}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Any:
    """What `to_arrays` packed.

    Raises:
      InputError: the arrays are not those of `to_arrays`, or name a class outside of this room.
    """
    if "tree" not in arrays:
        fail("model", got=f"arrays {sorted(arrays)}", wanted="those of a fitted baseline")

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
        kind, fields = _find(content), {key: unpack(item) for key, item in value["fields"].items()}
        if word == "named":
            return kind(**fields)
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


def _find(name: str) -> type:
    """The class of this room that is called "module:name"."""
    module, _, word = name.partition(":")
    if not module.startswith(f"{ROOM}."):
        fail("model", got=f"an object of {module}", wanted=f"one of {ROOM}")
    kind = getattr(importlib.import_module(module), word)
    if not isinstance(kind, type) or kind.__module__ != module:
        fail("model", got=f'"{name}"', wanted=f"a class of {ROOM}")
    return kind
