"""Numbers that change with the step, by config: learning rates, weights, and the optimisers of optax."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gera_jax import checks

KINDS = {
    "constant": lambda start, end, steps, epoch: optax.constant_schedule(end),
    "linear": lambda start, end, steps, epoch: optax.linear_schedule(start, end, steps),
    "cosine": lambda start, end, steps, epoch: optax.cosine_decay_schedule(start, steps, alpha=end / start if start else 0.0),
    "step": lambda start, end, steps, epoch: optax.join_schedules(
        [optax.constant_schedule(start), optax.constant_schedule(end)], [steps]
    ),
    "inverse_epoch": lambda start, end, steps, epoch: _inverse_epoch(start, epoch),
}
FIELDS = {"kind", "start", "end", "steps", "warmup_steps", "warmup_percent"}
STARTS = {"linear": 0.0, "step": 0.0}  # the others start at 1
ENDS = {"cosine": 0.0}  # the others end at 1


def schedule(value: Any, *, name: str, total_steps: int, steps_per_epoch: int = 1) -> Callable[[Any], Any]:
    """A function of the step from a config's value.

    Args:
      value: a number >= 0, or a dict of `kind`, `start`, `end`, `steps` (default: the whole run) and one of `warmup_steps` and
        `warmup_percent` (of the run, 0 to 100): a linear rise from 0, before which nothing of the kind's own course is
        spent. Kinds: "constant" (`end`), "linear" and "cosine" (`start` to `end` over `steps`), "step" (`start`, 0 unless
        given, before `steps`, which it needs; then `end`) and "inverse_epoch" (`start` / (1 + epoch), epochs from 0).
      name: what errors call it.
      total_steps: length of the run.
      steps_per_epoch: length of an epoch, for "inverse_epoch".

    Raises:
      InputError: an unknown field or kind, a number below 0, a warm-up given twice.

    >>> weight = schedule({"kind": "linear", "start": 0.0, "end": 2.0, "steps": 10}, name="weight", total_steps=100)
    >>> float(weight(5)), float(weight(50))
    (1.0, 2.0)
    >>> halves = schedule({"kind": "inverse_epoch"}, name="weight", total_steps=100, steps_per_epoch=10)
    >>> float(halves(9)), float(halves(10))
    (1.0, 0.5)
    """
    if not isinstance(value, Mapping):
        _require_number(value, name)
        return optax.constant_schedule(float(value))
    for field in value:
        checks.require_known(field, FIELDS, f"field of {name}")
    kind = value.get("kind", "constant")
    checks.require_known(kind, KINDS, f"{name}.kind")
    start, end = value.get("start", STARTS.get(kind, 1.0)), value.get("end", ENDS.get(kind, 1.0))
    _require_number(start, f"{name}.start")
    _require_number(end, f"{name}.end")
    checks.require(
        kind != "cosine" or start > 0,
        f"{name}.start",
        got=start,
        wanted="above 0 for a cosine",
        remedy='A rise is kind="linear".',
    )
    _require_number(value.get("steps", 0), f"{name}.steps")
    checks.require(
        kind != "step" or value.get("steps", 0) > 0,
        f"{name}.steps",
        got=value.get("steps", 0),
        wanted="the step from which the weight is `end`",
    )
    warmup = _warmup(value, name, total_steps)
    steps = int(value.get("steps", 0)) or max(1, total_steps - warmup)
    main = KINDS[kind](float(start), float(end), steps, steps_per_epoch)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, float(main(0)), warmup), main], [warmup])


def _inverse_epoch(start: float, steps_per_epoch: int) -> Callable[[Any], Any]:
    def weight(step: Any) -> Any:
        epoch = jnp.asarray(step) // steps_per_epoch
        return jnp.asarray(start, jnp.float32) / (1 + epoch).astype(jnp.float32)

    return weight


def _warmup(value: Mapping, name: str, total_steps: int) -> int:
    """Steps of the linear rise, from the one of two fields that is set."""
    steps, percent = value.get("warmup_steps", 0), value.get("warmup_percent", 0)
    _require_number(steps, f"{name}.warmup_steps")
    _require_number(percent, f"{name}.warmup_percent")
    checks.require(
        not (steps and percent), f"{name}.warmup_steps", got=f"{steps} beside warmup_percent={percent}", wanted="one of the two"
    )
    checks.require(percent <= 100, f"{name}.warmup_percent", got=percent, wanted="a percentage of the run, 0 to 100")
    return int(steps) or round(total_steps * percent / 100)


def _require_number(value: Any, name: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    negative = number and value < 0
    checks.require(
        number and 0 <= value < 1e38,
        name,
        got=repr(value),
        wanted="a number of at least 0 that float32 holds",
        remedy="A term that should push the other way is another loss, not a negative weight." if negative else "",
    )


def build_optimizer(config: Mapping, total_steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """Gradient clipping by global norm, then any optimiser of optax, its rate following the schedule.

    Args:
      config: the `optimizer` block (`name`, `lr`, `schedule`, `warmup_steps`, `clip_norm`, `options`).
      total_steps, steps_per_epoch: length of the run and of an epoch.
    """
    checks.require_known(config["name"], optimizers(), "optimizer.name")
    make = getattr(optax, config["name"])
    kind = config["schedule"]
    spec = dict(
        kind=kind, start=config["lr"], end=config["lr"] if kind == "constant" else 0.0, warmup_steps=config["warmup_steps"]
    )
    rate = schedule(spec, name="optimizer.lr", total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    options = config["options"]
    with checks.refusing("optimizer.options", got=options, wanted=f"arguments of optax.{config['name']}"):
        main = make(learning_rate=rate, **options)
    asks_for = checks.refusing("optimizer", got=f"{config['name']} with {options}", wanted="one of gradients and parameters")
    with asks_for, jax.numpy_dtype_promotion("standard"):
        jax.eval_shape(lambda x: main.update(x, main.init(x), x), {"x": jnp.zeros((2, 2))})
    return optax.chain(optax.clip_by_global_norm(config["clip_norm"]), main) if config["clip_norm"] else main


@functools.cache
def optimizers() -> tuple[str, ...]:
    """Names of the optimisers of optax: what takes a learning rate."""
    found = {name: getattr(optax, name) for name in dir(optax) if name.islower() and not name.startswith("_")}
    return tuple(
        name
        for name, make in found.items()
        if callable(make) and not inspect.isclass(make) and "learning_rate" in inspect.signature(make).parameters
    )
