"""Optimisers and learning-rate schedules of optax, by config."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from gera_jax import checks
from gera_jax.training.schedules import schedule


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
