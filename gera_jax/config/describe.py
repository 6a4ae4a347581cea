"""A config in words: each field with its value and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gera_jax.config.schema import ALIGNMENT, ENTRIES, TASKS, Block, Field

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
    shown = {row.field: _shown(row.value) for row in rows}
    width = max((len(row.field) for row in rows), default=0)
    changed = [row for row in rows if row.default is None or row.value != row.default]
    others = [row for row in rows if row not in changed]

    def line(row: Row) -> str:
        choices = f" ({' | '.join(row.choices)})" if row.choices else ""
        return f"  {row.field:<{width}}  {shown[row.field]:<16}  {row.meaning}{choices}".rstrip()

    parts = (("set by this config", changed), ("defaults", others))
    return "\n".join(text for title, some in parts if some for text in (f"{title}:", *map(line, some)))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "fn" in value:
        inputs = ", ".join(f"{name}={key}" for name, key in value.get("inputs", {}).items())
        weight = value.get("weight", 1.0)
        return f"{_shown(weight)} * {value['fn']}({inputs})"
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name}={_shown(inner)}' for name, inner in value.items())})"
    return '""' if value == "" else str(value)
