"""What can be known of a run from its config and the headers of its files."""

from __future__ import annotations

from typing import Any

import jax
from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax.training import buffers
from gera_jax.training.experiment import check_config, duration, initial_state, plan
from gera_jax.training.optimizers import build_optimizer
from gera_jax.training.step import make_steps
from gera_jax.training.terms import describe_terms


def preflight(config: ConfigDict) -> dict[str, Any]:
    """Tables, steps and terms of a config, without reading a row: what `train` builds is built here too, on shapes alone.

    Returns:
      dict of `tables` (name -> shape), `steps`, `terms` (text).
    """
    task = check_config(config)
    found = task.preflight(config)
    steps = duration(config, examples=found.examples, batch_size=found.batch_size)
    per_epoch = -(-found.examples // found.batch_size)
    inputs = task.inputs(config, masked=())
    terms, shapes, queue = plan(config, task, found.model, found.batch, inputs, total_steps=steps, steps_per_epoch=per_epoch)
    buffers.check_length(config.buffers, found.examples)
    told = describe_terms(terms, shapes, total_steps=steps)
    optimizer = build_optimizer(config.optimizer.to_dict(), steps, steps_per_epoch=per_epoch)
    step, _ = make_steps(config, task, found.model, terms, inputs, optimizer)
    state = jax.eval_shape(lambda: initial_state(config, found.model.init(jax.random.key(0)), optimizer, queue))
    with checks.refusing("config", got="a step that cannot be taken", wanted="losses and options that can be trained"):
        jax.eval_shape(step, state, dict(found.batch))
    return dict(tables={name: list(shape) for name, shape in found.tables.items()}, steps=steps, terms=told)
