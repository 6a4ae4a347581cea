"""Values of a config as text: arguments behind its name, overrides, JSON, and what differs."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gera_jax import checks


def parse_arg(arg: str | None, **defaults: Any) -> ConfigDict:
    """The part behind the colon of `--config gera:pairs=100,smoke`.

    >>> parse_arg("pairs=100,smoke", pairs=1000, smoke=False).to_dict()
    {'pairs': 100, 'smoke': True}
    """
    values = dict(defaults)
    for part in filter(None, (arg or "").split(",")):
        name, given, text = part.partition("=")
        checks.require_known(name, defaults, "argument of the config")
        values[name] = _parse_value(text, like=defaults[name], name=name) if given else True
    return ConfigDict(values)


def override(config: ConfigDict, field: str, text: str) -> None:
    """Set one dotted field from text; its type stays.

    >>> from gera_jax.config import base
    >>> c = base()
    >>> override(c, "optimizer.lr", "0.01"); c.optimizer.lr
    0.01
    """
    node, parts = config, field.split(".")
    for depth, part in enumerate(parts):
        at = ".".join(parts[:depth]) or "the config"
        checks.require(isinstance(node, ConfigDict), f"--config.{field}", got=f"a field under the value {at}",
                       wanted="a field of a block")
        checks.require_known(part, node, f"field of {at}")
        if depth < len(parts) - 1:
            node = node[part]
    node[parts[-1]] = _parse_value(text, like=node[parts[-1]], name=field)


def path_and_key(text: str) -> tuple[str, str]:
    """"my.npz:image" is the array `image` of my.npz; a colon elsewhere belongs to the path."""
    path, colon, key = text.rpartition(":")
    return (path, key) if colon and Path(path).suffix in (".npz", ".safetensors", ".parquet") else (text, "")


def to_json(config: ConfigDict | Mapping) -> str:
    """The config as JSON text with sorted fields; `load` reads it back from a file."""
    plain = config.to_dict() if isinstance(config, ConfigDict) else config
    return json.dumps(plain, indent=2, sort_keys=True)


def differences(old: Mapping, new: Mapping, where: str = "") -> list[str]:
    """Lines `field: old -> new` where two configs differ."""
    lines = []
    for name in sorted(set(old) | set(new)):
        a, b = old.get(name, "(absent)"), new.get(name, "(absent)")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{where}{name}.")
        elif a != b:
            lines.append(f"{where}{name}: {a!r} -> {b!r}")
    return lines


def _parse_value(text: str, *, like: Any, name: str) -> Any:
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval(text.title() if text in ("true", "false") else text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(like, bool) or isinstance(value, bool):
        fine = isinstance(like, bool) and isinstance(value, bool)
    elif isinstance(like, float):
        fine = isinstance(value, int | float)
        value = float(value) if fine else value
    else:
        fine = isinstance(value, type(like))
    checks.require(fine, name, got=repr(text), wanted=f"a value like {like!r} ({type(like).__name__})")
    return value
