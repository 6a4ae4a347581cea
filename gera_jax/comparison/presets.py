"""Comparisons that are asked for by one word or a file: `gera-jax quickstart`, `gera-jax compare --quick` and `--config FILE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gera_jax import config as config_lib
from gera_jax.checks import require, require_known
from gera_jax.config import schema

# What is not given is taken from here; `source` goes to the task. Two seeds give an interval, three one that is worth something.
# The quickstart leaves Gentle-CLIP out, as one of its fits takes as long as one of each of the others together.
PRESETS: dict[str, dict[str, Any]] = {
    "": dict(seeds=5, budget=4),
    "quick": dict(methods=("auto", "ridge_cca", "kernel_cca", "csa", "contrastive"), seeds=3, budget=2),
    "quickstart": dict(
        methods=("auto", "ridge_cca", "contrastive", "gera", "structure", "m3mix", "sspc"), counts=(50, 200), seeds=2, budget=1
    ),
    "smoke": dict(methods=("auto", "ridge_cca", "procrustes"), counts=(50, 100), seeds=1, budget=1, source=dict(test=100)),
}


def fill(preset: str, rule: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule of a comparison with what was not given (None, or nothing in it) from a preset, and the preset's source.

    >>> fill("quick", dict(methods=("asif",), counts=(), seeds=None, budget=None))
    ({'methods': ('asif',), 'counts': (), 'seeds': 3, 'budget': 2}, {})
    """
    require_known(preset, PRESETS, "preset")
    usual = PRESETS[preset]
    missing = {name for name, value in rule.items() if value is None or (hasattr(value, "__len__") and len(value) == 0)}
    return {name: usual.get(name, value) if name in missing else value for name, value in rule.items()}, usual.get("source", {})


def spread(counts: Sequence[int], most: int = 3) -> tuple[int, ...]:
    """At most so many of the counts, the first and the last among them.

    >>> spread((20, 50, 100, 200, 500, 1000)), spread((20, 50))
    ((20, 100, 1000), (20, 50))
    """
    last = len(counts) - 1
    chosen = range(len(counts)) if len(counts) <= most else (round(last * i / (most - 1) - 0.01) for i in range(most))
    return tuple(counts[i] for i in chosen)


def configured(config: Any, beside: Mapping[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The data and the rule of a comparison that a block or a file describes; nothing may be given beside it."""
    given = [name for name, value in beside.items() if value is not None and not (hasattr(value, "__len__") and len(value) == 0)]
    require(
        not given,
        "config",
        got=f"a config and {', '.join(given)}",
        wanted="one of them",
        remedy="Write them into the config's file.",
    )
    block = {**schema.defaults(schema.COMPARISON), **config_lib.read(config).to_dict()}
    config_lib.require_fields(block, schema.COMPARISON, "comparison")
    rule = {name: block.pop(name) for name in ("methods", "counts", "seeds", "budget", "metric")}
    own = {name: value for name, value in block.items() if value}  # 0 stands for the rule
    return own.pop("data", None), own, {**rule, "counts": tuple(rule["counts"])}
