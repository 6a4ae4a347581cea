"""How a config is found by its name or file."""

from __future__ import annotations

import ast
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax.config.fields import require_fields
from gera_jax.config.values import name_and_argument, override


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
        checks.require(
            not arg,
            "config",
            got=f'arguments "{arg}" for {path}',
            wanted="none: a .json file has no arguments",
            remedy="Change its fields, such as --config.data.x.path=FILE --config.data.pairs=100.",
        )
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
        checks.fail(
            "config",
            got=f"{path}, which its digest does not fit",
            wanted="the file as a run wrote it",
            remedy='Put back a copy; if you changed it yourself, take its field "digest" out.',
        )


def _run(path: Path, arg: str) -> Any:
    """What `get_config` of a .py file returns; nothing is written beside the file, as an import would."""
    module = types.ModuleType(f"gera_jax_config_{path.stem}")
    module.__file__ = str(path)
    with checks.refusing("config", got=str(path), wanted="Python with a function get_config(arg=None)"):
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    checks.require(
        callable(getattr(module, "get_config", None)),
        "config",
        got=f"{path} without get_config",
        wanted="a function get_config(arg=None) that returns a ConfigDict",
    )
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
