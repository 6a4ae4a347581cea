"""A config as text and in files: found by its name, its arguments, overrides, JSON, and what differs."""

from __future__ import annotations

import ast
import json
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_collections

from gera_jax import checks
from gera_jax.config.fields import require_fields

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
    for name, text in split_arguments(arg or ""):
        remedy = "Leave w out, or take a config of three: sspc."
        fine = name != "w" or "w" in defaults
        checks.require(fine, "modalities", got="x, y and w", wanted="two, as this config aligns two sets", remedy=remedy)
        checks.require_known(name, defaults, "argument of the config")
        values[name] = True if text is None else _parse_value(_unquoted(text), like=defaults[name], name=name)
    return ConfigDict(values)


def split_arguments(arg: str) -> list[tuple[str, str | None]]:
    """Name and text of each argument behind a config's name; None where a word stands alone.

    >>> split_arguments("pairs=100,smoke")
    [('pairs', '100'), ('smoke', None)]
    """
    parts = [part.partition("=") for part in ARGUMENT.findall(arg)]
    return [(name, text if given else None) for name, given, text in parts]


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


def load(spec: str | Path | ConfigDict | Mapping, overrides: Mapping[str, str] | None = None) -> ConfigDict:
    """The config that `spec` names, with every field of a run and no other, each of its type and in its range.

    Args:
      spec: a config's name ("gera") or a path of a `.py` (with `get_config`), either with `:arg` behind it, a path of a
        `.json` file, or a config.
      overrides: dotted field -> text of its value, as from `--config.optimizer.lr=1e-4`.

    Raises:
      InputError: an unknown name or field (with the nearest known one), a field that is missing, or a value of another type or
        out of its range.
    """
    config = read(spec)
    for field, text in (overrides or {}).items():
        override(config, field, text)
    require_fields(config.to_dict())
    return config


def names() -> list[str]:
    """Configs that come with the library."""
    return sorted(path.stem for path in _folder().glob("*.py") if not path.stem.startswith("_"))


def title(name: str) -> str:
    """The first line of a config's file: what it is.

    >>> title("gera")
    'GeRA: contrastive learning on pairs, plus diffusion-operator geometry on every training row (arXiv 2310.00672).'
    """
    checks.require_known(name, names(), "config")
    text = ast.get_docstring(ast.parse((_folder() / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def read(spec: Any) -> ConfigDict:
    """The block of fields that `spec` names, as `load` finds it, whatever its fields are."""
    if isinstance(spec, Mapping | ConfigDict):
        return _config(spec, "config")
    text, arg = name_and_argument(str(spec))
    path = Path(text)
    if path.suffix not in (".py", ".json"):
        checks.require_known(text, names(), "config")
        path = _folder() / f"{text}.py"
    checks.require(path.is_file(), "config", got=f"no file {path}", wanted=f"a .py or .json file, or one of {names()}")
    if path.suffix == ".json":
        got, wanted = f'arguments "{arg}" for {path}', "none: a .json file has no arguments"
        remedy = "Change its fields, such as --config.data.x.path=FILE --config.data.pairs=100."
        checks.require(not arg, "config", got=got, wanted=wanted, remedy=remedy)
        return _config(_read_json(path), f"config {path}")
    return _config(_run(path, arg), f"config {path}")


def _read_json(path: Path) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=checks.unique_fields)
    except (ValueError, RecursionError) as error:  # JSON and encodings are both ValueErrors
        checks.fail("config", got=f"{path} with {checks.in_words(error)}", wanted="JSON as a run writes it to config.json")
    if not isinstance(found, Mapping) or "digest" not in found:
        return found
    from gera_jax import files  # only here: NumPy takes longer to load than everything else of a config

    try:
        return files.read_json(path)
    except files.DamagedError:
        remedy = 'Put back a copy; if you changed it yourself, take its field "digest" out.'
        checks.fail("config", got=f"{path}, which its digest does not fit", wanted="the file as a run wrote it", remedy=remedy)


def _run(path: Path, arg: str) -> Any:
    """What `get_config` of a .py file returns; nothing is written beside the file, as an import would."""
    module = types.ModuleType(f"gera_jax_config_{path.stem}")
    module.__file__ = str(path)
    with checks.refusing("config", got=str(path), wanted="Python with a function get_config(arg=None)"):
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    wanted = "a function get_config(arg=None) that returns a ConfigDict"
    checks.require(callable(getattr(module, "get_config", None)), "config", got=f"{path} without get_config", wanted=wanted)
    with checks.refusing("config", got=f"get_config of {path}", wanted="a ConfigDict from it"):
        return module.get_config(arg or None)


def _config(fields: Any, name: str) -> ConfigDict:
    """A copy of `fields` that may be changed."""
    checks.require(isinstance(fields, Mapping | ConfigDict), name, got=f"a {type(fields).__name__}", wanted="a block of fields")
    with checks.refusing(name, got="a block", wanted="fields whose names are words without dots"):
        return ConfigDict(fields).copy_and_resolve_references()


def _folder() -> Path:
    """Installed wheels carry the configs inside the package; a checkout has them at its top level."""
    here = Path(__file__).parent.parent
    return here / "configs" if (here / "configs").is_dir() else here.parent / "configs"
