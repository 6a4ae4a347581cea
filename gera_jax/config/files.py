"""How a config is found by its name or file, and checked against the fields that a run reads."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax.config.blocks import base
from gera_jax.config.values import override


def load(spec: str | Path | ConfigDict | Mapping, overrides: Mapping[str, str] | None = None) -> ConfigDict:
    """The config that `spec` names.

    Args:
      spec: a config's name ("gera") or a path of a `.py` (with `get_config`), either with `:arg` behind it, a path of a
        `.json` file, or a config.
      overrides: dotted field -> text of its value, as from `--config.optimizer.lr=1e-4`.

    Raises:
      InputError: an unknown name or field (with the nearest known one), or a value of another type.
    """
    config = _load(spec)
    for field, text in (overrides or {}).items():
        override(config, field, text)
    return config


def require_fields(config: Mapping, known: Mapping | None = None, where: str = "") -> None:
    """Refuse fields that no run reads, with the nearest known name; free blocks (losses, graphs, options) are not looked into."""
    known = base().to_dict() if known is None else known
    for name, value in config.items():
        checks.require_known(name, known, f"field of {where or 'the config'}")
        below = known[name]
        if isinstance(below, Mapping):
            path = f"{where}.{name}".lstrip(".")
            checks.require(isinstance(value, Mapping), path, got=repr(value), wanted=f"a block with {sorted(below)}")
            if len(below) and isinstance(value, Mapping):
                require_fields(value, below, path)


def names() -> list[str]:
    """Configs that come with the library."""
    return sorted(path.stem for path in _folder().glob("*.py") if not path.stem.startswith("_"))


def _load(spec: Any) -> ConfigDict:
    if isinstance(spec, Mapping | ConfigDict):
        return ConfigDict(spec).copy_and_resolve_references()
    text, _, arg = str(spec).partition(":")
    path = Path(text)
    if path.suffix not in (".py", ".json"):
        checks.require_known(text, names(), "config")
        path = _folder() / f"{text}.py"
    checks.require(path.is_file(), "config", got=f"no file {path}", wanted=f"a .py or .json file, or one of {names()}")
    if path.suffix == ".json":
        checks.require(not arg, "config", got=f'arguments "{arg}" for {path}', wanted="none: a .json file has no arguments",
                       remedy="Change its fields, such as --config.data.x.path=FILE --config.data.pairs=100.")
        try:
            return ConfigDict(json.loads(path.read_text()))
        except json.JSONDecodeError as error:
            checks.fail("config", got=f"{path} with {error}", wanted="JSON as a run writes it to config.json")
    module_spec = importlib.util.spec_from_file_location(f"gera_jax_config_{path.stem}", path)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    checks.require(hasattr(module, "get_config"), "config", got=f"{path} without get_config",
                   wanted="a function get_config(arg=None) that returns a ConfigDict")
    return module.get_config(arg or None)


def _folder() -> Path:
    """Installed wheels carry the configs inside the package; a checkout has them at its top level."""
    here = Path(__file__).parent.parent
    return here / "configs" if (here / "configs").is_dir() else here.parent / "configs"
