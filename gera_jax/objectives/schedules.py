"""Numbers that change with the step: learning rates and weights, by config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optax

from gera_jax import checks

KINDS = {
    "constant": lambda start, end, steps: optax.constant_schedule(end),
    "linear": lambda start, end, steps: optax.linear_schedule(start, end, steps),
    "cosine": lambda start, end, steps: optax.cosine_decay_schedule(start, steps, alpha=end / start if start else 0.0),
}
FIELDS = {"kind", "start", "end", "steps", "warmup_steps"}


def schedule(value: Any, *, name: str, total_steps: int) -> Callable[[Any], Any]:
    """A function of the step from a config's value.

    Args:
      value: a number >= 0, or a dict of `kind` ("constant" | "linear" | "cosine"), `start`, `end`, `steps` (default: the
        whole run) and `warmup_steps` (a linear rise from 0 before it).
      name: what errors call it.
      total_steps: length of the run.

    >>> weight = schedule({"kind": "linear", "start": 0.0, "end": 2.0, "steps": 10}, name="weight", total_steps=100)
    >>> float(weight(5)), float(weight(50))
    (1.0, 2.0)
    """
    if not isinstance(value, Mapping):
        _require_number(value, name)
        return optax.constant_schedule(float(value))
    for field in value:
        checks.require_known(field, FIELDS, f"field of {name}")
    kind = value.get("kind", "constant")
    checks.require_known(kind, KINDS, f"{name}.kind")
    start, end = value.get("start", 0.0 if kind == "linear" else 1.0), value.get("end", 0.0 if kind == "cosine" else 1.0)
    _require_number(start, f"{name}.start")
    _require_number(end, f"{name}.end")
    checks.require(kind != "cosine" or start > 0, f"{name}.start", got=start, wanted="above 0 for a cosine",
                   remedy='A rise is kind="linear".')
    warmup = int(value.get("warmup_steps", 0))
    steps = int(value.get("steps", 0)) or max(1, total_steps - warmup)
    main = KINDS[kind](float(start), float(end), steps)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, float(main(0)), warmup), main], [warmup])


def _require_number(value: Any, name: str) -> None:
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    checks.require(fine, name, got=repr(value), wanted="a number of at least 0",
                   remedy="A term that should push the other way is another loss, not a negative weight.")
