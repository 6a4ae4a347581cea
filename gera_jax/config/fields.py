"""A config held against the schema: whether each field is there, of its type and in its range; and all of them in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gera_jax import checks
from gera_jax.config.schema import ALIGNMENT, ENTRIES, MOST, TASKS, Block, Field, defaults

if TYPE_CHECKING:
    from gera_jax.config.files import ConfigDict

DEEPEST = 20


def require_fields(config: Mapping, known: Block | None = None, where: str = "") -> None:
    """Refuse fields that no run reads (with the nearest known name), missing fields, and values of another type or range.

    Args:
      config: the block.
      known: the fields; None = those of the config's task, if it is one of this library.
      where: the dotted name of the block.

    Blocks that are empty by default (losses, graphs, options, ...) may hold any fields; their numbers must be finite.

    >>> from gera_jax.config import load
    >>> require_fields({**load("gera").to_dict(), "log_every_steps": "often"})
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: log_every_steps: got 'often'; wanted a whole number such as 10.
    """
    if known is None:
        task = config.get("task", "alignment")
        if isinstance(task, str) and task not in TASKS:  # of somebody else, whose `check` knows its fields
            return
        known = TASKS[task if isinstance(task, str) else "alignment"]
    checks.require(isinstance(config, Mapping), where or "config", got=_shown(config), wanted=f"a block with {sorted(known)}")
    for name in config:
        checks.require_known(name, known, f"field of {where or 'the config'}")
    for name, field in known.items():
        path = f"{where}.{name}".lstrip(".")
        default = field.default if isinstance(field, Field) else defaults(field)
        remedy = "A config is what gera_jax.config.base() gives, with some of its fields changed."
        checks.require(name in config, path, got="no such field", wanted=f"a value such as {_shown(default)}", remedy=remedy)
        if not isinstance(field, Field):
            require_fields(config[name], field, path)
        elif isinstance(default, Mapping):
            _require_open(config[name], path)
        else:
            _require_value(config[name], field, path)


def _require_open(value: Any, path: str) -> None:
    checks.require(isinstance(value, Mapping), path, got=_shown(value), wanted="a block of fields")
    for name, entry in value.items():
        if path in ENTRIES:
            require_fields(entry, ENTRIES[path], f"{path}.{name}")
    _require_finite(value, path)


def _require_value(value: Any, field: Field, path: str) -> None:
    default, rule = field.default, field.rule
    kinds, words = KINDS[type(default)]
    wanted = rule.wanted if rule and default is None else f"{words} such as {_shown(default)}"
    fine = isinstance(value, (*kinds, *(rule.also if rule else ()))) and isinstance(value, bool) == isinstance(default, bool)
    checks.require(fine, path, got=_shown(value), wanted=wanted)
    _require_finite(value, path)
    if rule and rule.choices and not rule.holds(value):
        checks.require_known(value, rule.choices, path)
    checks.require(rule is None or rule.holds(value), path, got=_shown(value), wanted=rule.wanted if rule else wanted)


KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False,"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    list: ((list, tuple), "a list"),
    tuple: ((list, tuple), "a list"),
    type(None): ((type(None),), "a value"),
}


def _require_finite(value: Any, path: str, depth: int = 0) -> None:
    """Numbers, wherever they are in `value`, can be held by a device."""
    if isinstance(value, Mapping | list | tuple):
        checks.require(depth < DEEPEST, path, got=f"blocks or lists in each other, over {DEEPEST} deep", wanted="a value")
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            _require_finite(inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, float):
        wanted, remedy = "a finite number that float32 holds", "It would become 0 or infinity on a device."
        checks.require(value == 0 or 1e-37 <= abs(value) <= 1e38, path, got=value, wanted=wanted, remedy=remedy)
    elif isinstance(value, int):
        checks.require(abs(value) <= MOST, path, got=_shown(value), wanted="a whole number below 2^31")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > MOST:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."


TERM = "a term of the objective; weight is a number or a schedule"


class Row(NamedTuple):
    """A field of a config.

    Args:
      default: None for what stands in an open block, which has none.
      choices: every value, where there are few; else ().
    """

    field: str
    value: Any
    default: Any
    meaning: str
    choices: tuple[str, ...]


def describe(config: ConfigDict | Mapping) -> list[Row]:
    """Every field of a config, in the order of the schema, with its value, default, meaning and choices.

    >>> from gera_jax.config import load
    >>> row = next(row for row in describe(load("gera")) if row.field == "optimizer.lr")
    >>> row.value, row.default, row.meaning
    (0.0001, 0.001, 'highest learning rate')
    """
    plain = dict(config if isinstance(config, Mapping) else config.to_dict())
    return list(_rows(plain, TASKS.get(plain.get("task", ""), ALIGNMENT), ""))


def _rows(block: Mapping, fields: Block, at: str) -> list[Row]:
    rows: list[Row] = []
    for name in [*fields, *(name for name in block if name not in fields)]:
        if name not in block:
            continue
        value, path, field = block[name], f"{at}{name}", fields.get(name)
        if field is not None and not isinstance(field, Field):
            rows += _rows(value, field, f"{path}.")
        elif isinstance(value, Mapping) and value and path in ENTRIES:
            for entry, inner in value.items():
                rows += _rows(inner, ENTRIES[path], f"{path}.{entry}.")
        elif isinstance(value, Mapping) and value:
            meaning = TERM if path == "losses" else field.meaning if field else ""
            rows += [Row(f"{path}.{entry}", inner, None, meaning, ()) for entry, inner in value.items()]
        elif field is None:  # of somebody else's task
            rows.append(Row(path, value, None, "", ()))
        else:
            rows.append(Row(path, value, field.default, field.meaning, field.rule.choices if field.rule else ()))
    return rows


def table(rows: list[Row]) -> str:
    """Lines of the fields that differ from their default, then of all others; a meaning behind each."""
    shown = {row.field: _cell(row.value) for row in rows}
    width = max((len(row.field) for row in rows), default=0)
    changed = [row for row in rows if row.default is None or row.value != row.default]
    others = [row for row in rows if row not in changed]

    def line(row: Row) -> str:
        choices = f" ({' | '.join(row.choices)})" if row.choices else ""
        return f"  {row.field:<{width}}  {shown[row.field]:<16}  {row.meaning}{choices}".rstrip()

    parts = (("set by this config", changed), ("defaults", others))
    return "\n".join(text for title, some in parts if some for text in (f"{title}:", *map(line, some)))


def _cell(value: Any) -> str:
    if isinstance(value, Mapping) and "fn" in value:
        inputs = ", ".join(f"{name}={key}" for name, key in value.get("inputs", {}).items())
        weight = value.get("weight", 1.0)
        return f"{_cell(weight)} * {value['fn']}({inputs})"
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name}={_cell(inner)}' for name, inner in value.items())})"
    return '""' if value == "" else str(value)
