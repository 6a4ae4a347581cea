"""Values of a config as text: arguments behind its name, overrides, JSON, and what differs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax.config.configdict import ConfigDict

ARGUMENT = re.compile(r"""(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,])+""")  # up to a comma outside of quotes
OPEN = ("options", "init_options", "kwargs")  # blocks whose fields are some function's own arguments


def parse_arg(arg: str | None, **defaults: Any) -> ConfigDict:
    """The part behind the colon of `--config gera:pairs=100,smoke`; a value with commas stands in quotes.

    >>> parse_arg("pairs=100,smoke", pairs=1000, smoke=False).to_dict()
    {'pairs': 100, 'smoke': True}
    >>> parse_arg('x="a,b.npy"', x="").x
    'a,b.npy'
    """
    values = dict(defaults)
    for part in ARGUMENT.findall(arg or ""):
        name, given, text = part.partition("=")
        remedy = "Leave w out, or take a config of three: sspc."
        fine = name != "w" or "w" in defaults
        checks.require(fine, "modalities", got="x, y and w", wanted="two, as this config aligns two sets", remedy=remedy)
        checks.require_known(name, defaults, "argument of the config")
        values[name] = _parse_value(_unquoted(text), like=defaults[name], name=name) if given else True
    return ConfigDict(values)


def with_arguments(spec: str, **values: Any) -> str:
    """A config's name or file with further arguments behind it, as `parse_arg` reads them.

    >>> with_arguments("gera", x="a.npy", pairs=0), with_arguments("gera:smoke", x="a, b.npy")
    ('gera:x=a.npy,pairs=0', 'gera:smoke,x="a, b.npy"')
    """
    given = [f"{name}={_quoted(str(value))}" for name, value in values.items()]
    return f"{spec}{',' if name_and_argument(spec)[1] else ':'}{','.join(given)}" if given else spec


def name_and_argument(spec: str) -> tuple[str, str]:
    """The name or path of a config, and what stands behind it; a colon in the path of a file that is there belongs to it.

    >>> name_and_argument("gera:pairs=100,smoke")
    ('gera', 'pairs=100,smoke')
    """
    for end in (len(spec), *reversed(_colons(spec))):
        if spec[:end].endswith((".py", ".json")) and _is_there(spec[:end]):
            return spec[:end], spec[end + 1 :]
    name, _, argument = spec.partition(":")
    return name, argument


def path_and_key(text: str) -> tuple[str, str]:
    """ "my.npz:image" is the array `image` of my.npz; a colon in a path that is there belongs to the path.

    >>> path_and_key("my.npz:image"), path_and_key("my.npy")
    (('my.npz', 'image'), ('my.npy', ''))
    """
    if len(several(text)) > 1:
        return text, ""
    for end in (len(text), *reversed(_colons(text))):
        if _is_there(text[:end]):
            return text[:end], text[end + 1 :]
    path, colon, key = text.rpartition(":")
    return (path, key) if colon and Path(path).suffix and "/" not in key else (text, "")


def several(path: str | Path) -> list[str]:
    """The files of "a.npz+b.npz:key", which stand side by side; a plus in the name of a file that is there belongs to the name.

    >>> several("lite.npz:image+dino.npy"), several("images.npy")
    (['lite.npz:image', 'dino.npy'], ['images.npy'])
    """
    text = str(path)
    pieces = text.split("+")
    if len(pieces) == 1 or any("+" in text[:end] and _is_there(text[:end]) for end in (len(text), *_colons(text))):
        return [text]
    return pieces if all(_is_there(piece) or "." in piece.strip("./") for piece in pieces) else [text]


def _colons(text: str) -> list[int]:
    return [i for i, letter in enumerate(text) if letter == ":"]


def _is_there(path: str) -> bool:
    try:
        return bool(path) and Path(path).exists()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def override(config: ConfigDict, field: str, text: str) -> None:
    """Set one dotted field from text; its type stays. Blocks that hold arguments of a function take new fields too.

    >>> from gera_jax.config import base
    >>> c = base()
    >>> override(c, "optimizer.lr", "0.01"); c.optimizer.lr
    0.01
    >>> override(c, "model.options.dropout", "0.1"); c.model.options.dropout
    0.1
    """
    node, parts = config, field.split(".")
    for depth, part in enumerate(parts):
        at = ".".join(parts[:depth]) or "the config"
        checks.require(
            isinstance(node, ConfigDict), f"--config.{field}", got=f"a field under the value {at}", wanted="a field of a block"
        )
        if depth == len(parts) - 1 and parts[depth - 1] in OPEN:
            with node.unlocked(), node.ignore_type():
                node[part] = _parse_value(text, like=None, name=field)
            return
        checks.require_known(part, node, f"field of {at}")
        if depth < len(parts) - 1:
            node = node[part]
    node[parts[-1]] = _parse_value(text, like=node[parts[-1]], name=field)


def to_json(config: ConfigDict | Mapping) -> str:
    """The config as JSON text with sorted fields; `load` reads it back from a file."""
    plain = config if isinstance(config, Mapping) else config.to_dict()
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


def _quoted(text: str) -> str:
    return json.dumps(text) if set(text) & set(",\"'\\") or text != text.strip() else text


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and ARGUMENT.fullmatch(text)
    return str(literal(text)) if quoted else text


def literal(text: str) -> Any:
    """The Python value that `text` writes, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _parse_value(text: str, *, like: Any, name: str) -> Any:
    """`text` as a value of the type of `like`; of any type where that is None."""
    if isinstance(like, str):
        return text
    value = literal(text.title() if text in ("true", "false") else text)
    if like is None:
        return value
    if isinstance(like, bool) or isinstance(value, bool):
        fine = isinstance(like, bool) and isinstance(value, bool)
    elif isinstance(like, float):
        fine = isinstance(value, int | float) and abs(value) < 1e300
        value = float(value) if fine else value
    elif isinstance(like, list | tuple):
        fine = isinstance(value, list | tuple)
        value = type(like)(value) if fine else value
    else:
        fine = isinstance(value, type(like))
    kind = "block" if isinstance(like, ConfigDict) else type(like).__name__
    shown = f"one of its fields, {name}.<field>" if kind == "block" else f"a value like {like!r} ({kind})"
    checks.require(fine, name, got=repr(text), wanted=shown)
    return value
