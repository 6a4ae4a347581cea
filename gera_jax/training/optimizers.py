"""Optimisers and learning-rate schedules of optax, by config."""

from __future__ import annotations

from collections.abc import Mapping

import optax

from gera_jax import checks
from gera_jax.objectives import schedule


def build_optimizer(config: Mapping, total_steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """Gradient clipping by global norm, then any optimiser of optax, its rate following the schedule.

    Args:
      config: the `optimizer` block (`name`, `lr`, `schedule`, `warmup_steps`, `clip_norm`, `options`).
      total_steps, steps_per_epoch: length of the run and of an epoch.
    """
    make = getattr(optax, config["name"], None)
    if make is None:
        usual = ("adamw", "adam", "sgd", "lion", "lamb", "adafactor", "rmsprop", "radam", "nadamw")
        checks.require_known(config["name"], usual, "optimizer.name")
    kind = config["schedule"]
    spec = dict(kind=kind, start=config["lr"], end=config["lr"] if kind == "constant" else 0.0,
                warmup_steps=config["warmup_steps"])
    rate = schedule(spec, name="optimizer.lr", total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    try:
        main = make(learning_rate=rate, **config["options"])
    except TypeError as error:
        checks.fail("optimizer.options", got=str(error), wanted=f"arguments of optax.{config['name']}")
    return optax.chain(optax.clip_by_global_norm(config["clip_norm"]), main) if config["clip_norm"] else main
