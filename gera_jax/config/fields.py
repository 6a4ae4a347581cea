"""Which fields a run has, of which type and in which range: what `check` and `train` both hold a config against.

The type of a field is that of its default in `blocks`; its range stands in RULES. What only a preprocessor, a head, a loss or an
optimiser can say of its own arguments is said by them when they are built, which `check` does too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gera_jax import checks
from gera_jax.config.blocks import SLOTS, base, grounding

SCHEMAS = {"alignment": base, "grounding": grounding}
MOST = 2**31 - 1  # what a step counter, an index or a seed on a device can hold
DEEPEST = 20
GRAPH = re.compile(r"^graphs\.[^.]+\.")  # its second word is a modality


class Rule(NamedTuple):
    """What a value must be, in words, and whether it is."""

    wanted: str
    holds: Callable[[Any], bool]
    also: tuple[type, ...] = ()  # types that are fine beside that of the default


def at_least(low: float, most: float = MOST) -> Rule:
    """A number from `low` to `most`."""
    return Rule(f"at least {low}" + (f", at most {most}" if most < MOST else ""), lambda value: low <= value <= most)


ABOVE_0 = Rule("above 0", lambda value: value > 0)
SHARE = Rule("a share from 0 to below 1", lambda value: 0 <= value < 1)
ROWS = at_least(0, 2**20)  # of a batch
WIDTH = at_least(1, 2**16)
SIZE = Rule("a number of rows, or a share below 1", lambda value: 0 <= value < 1 or (value >= 1 and float(value).is_integer()))
COUNTS = Rule(
    "whole numbers from 0 to 4096",
    lambda value: all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 4096 for v in value) and len(value) <= 8,
)
IDS = Rule("a file of ids, or a list of them", lambda value: True, (list, tuple))
LAYER = Rule("the number of a layer", lambda value: True, (int,))
NAME = Rule('a name without "." and "/"', lambda value: bool(value) and not set(value) & set("./"))
WORDS = Rule("a list of words", lambda value: all(isinstance(v, str) for v in value))

RULES: dict[str, Rule] = {
    "seed": at_least(0),
    "data.x.name": NAME,
    "data.y.name": NAME,
    "data.w.name": Rule(NAME.wanted, lambda value: not value or NAME.holds(value)),
    "data.pairs": at_least(0),
    "data.recordings": at_least(0),
    "data.split.seed": at_least(0),
    "data.split.val": SIZE,
    "data.split.test": SIZE,
    "data.split.val_ids": IDS,
    "data.split.test_ids": IDS,
    **{f"data.{slot}.layer": LAYER for side in SLOTS for slot in (side, f"test.{side}")},
    "data.clips.length": at_least(1, 2**20),
    "data.clips.seconds": at_least(0),
    "graphs.*.knn": at_least(1, 2**16),
    "graphs.*.metric": Rule('"euclidean" or "cosine"', lambda value: value in ("euclidean", "cosine")),
    "graphs.*.max_rows": at_least(2),
    "model.dim": WIDTH,
    "model.channels": WIDTH,
    "model.layers": at_least(0, 256),
    "model.kernel": at_least(1, 1023),
    "model.dropout": SHARE,
    "model.pooling": COUNTS,
    "model.power": at_least(0),
    "model.logit_scale": ABOVE_0,
    "model.temperature": ABOVE_0,
    "model.anchors.count": ROWS,
    "moments.knn": at_least(1),
    "moments.cutoff": at_least(0),
    "moments.nearest": at_least(0),
    "moments.similar": at_least(0),
    "batch.pairs": at_least(1, 2**20),
    "batch.anchors": ROWS,
    "batch.unpaired": ROWS,
    "batch.recordings": at_least(1, 2**20),
    "batch.sentences": ROWS,
    "views.noise": at_least(0),
    "views.feature_dropout": SHARE,
    "mixed.alpha": ABOVE_0,
    "buffers.length": at_least(0),
    "buffers.of": WORDS,
    "optimizer.lr": ABOVE_0,
    "optimizer.warmup_steps": at_least(0),
    "optimizer.clip_norm": at_least(0),
    "optimizer.ema": Rule("0 (off) or a decay below 1", SHARE.holds),
    "total_steps": at_least(0),
    "total_epochs": at_least(0),
    "total_examples": at_least(0),
    "evals.every_steps": at_least(1),
    "evals.patience": at_least(0),
    "checkpoint.every_steps": at_least(1),
    "checkpoint.latest": at_least(1),
    "checkpoint.best": at_least(1),
    "log_every_steps": at_least(0),
    "tensorboard": Rule('"auto", "on" or "off"', lambda value: value in ("auto", "on", "off")),
}


def require_fields(config: Mapping, known: Mapping | None = None, where: str = "") -> None:
    """Refuse fields that no run reads (with the nearest known name), missing fields, and values of another type or range.

    Args:
      config: the block.
      known: every field with its default; None = those of the config's task, if it is one of this library.
      where: the dotted name of the block.

    Blocks that are empty by default (losses, graphs, options, ...) may hold any fields; their numbers must be finite.

    >>> require_fields({**base().to_dict(), "log_every_steps": "often"})
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: log_every_steps: got 'often'; wanted a whole number such as 10.
    """
    if known is None:
        task = config.get("task", "alignment")
        if isinstance(task, str) and task not in SCHEMAS:  # of somebody else, whose `check` knows its fields
            return
        known = SCHEMAS[task if isinstance(task, str) else "alignment"]().to_dict()
    checks.require(isinstance(config, Mapping), where or "config", got=_shown(config), wanted=f"a block with {sorted(known)}")
    for name in config:
        checks.require_known(name, known, f"field of {where or 'the config'}")
    for name, default in known.items():
        path = f"{where}.{name}".lstrip(".")
        checks.require(
            name in config,
            path,
            got="no such field",
            wanted=f"a value such as {_shown(default)}",
            remedy="A config is what gera_jax.config.base() gives, with some of its fields changed.",
        )
        _require_value(config[name], default, path)


def _require_value(value: Any, default: Any, path: str) -> None:
    if isinstance(default, Mapping):
        if default:
            return require_fields(value, default, path)
        checks.require(isinstance(value, Mapping), path, got=_shown(value), wanted="a block of fields")
        return _require_finite(value, path)
    kinds, words = KINDS[type(default)]
    rule = RULES.get(GRAPH.sub("graphs.*.", path), Rule(f"{words} such as {_shown(default)}", lambda value: True))
    fine = isinstance(value, (*kinds, *rule.also)) and isinstance(value, bool) == isinstance(default, bool)
    checks.require(fine, path, got=_shown(value), wanted=f"{words} such as {_shown(default)}")
    _require_finite(value, path)
    checks.require(rule.holds(value), path, got=_shown(value), wanted=rule.wanted)


KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False,"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a text"),
    list: ((list, tuple), "a list"),
    tuple: ((list, tuple), "a list"),
}


def _require_finite(value: Any, path: str, depth: int = 0) -> None:
    """Numbers, wherever they are in `value`, can be held by a device."""
    if isinstance(value, Mapping | list | tuple):
        checks.require(depth < DEEPEST, path, got=f"blocks or lists in each other, over {DEEPEST} deep", wanted="a value")
        for name, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            _require_finite(inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, float):
        checks.require(
            value == 0 or 1e-37 <= abs(value) <= 1e38,
            path,
            got=value,
            wanted="a finite number that float32 holds",
            remedy="It would become 0 or infinity on a device.",
        )
    elif isinstance(value, int):
        checks.require(abs(value) <= MOST, path, got=_shown(value), wanted="a whole number below 2^31")


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > MOST:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) < 80 else f"{text[:76]} ..."
