"""What can be known of a run from its config and the headers of its files."""

from __future__ import annotations

from typing import Any

from ml_collections import ConfigDict

from gera_jax.objectives import describe_terms
from gera_jax.training.experiment import check_config, duration, plan


def preflight(config: ConfigDict) -> dict[str, Any]:
    """Tables, steps and terms of a config, without reading a row.

    Returns:
      dict of `tables` (name -> shape), `steps`, `terms` (text).
    """
    task = check_config(config)
    found = task.preflight(config)
    steps = duration(config, examples=found.examples, batch_size=found.batch_size)
    terms, shapes, _ = plan(config, task, found.model, found.batch, task.inputs(config, masked=()), total_steps=steps,
                            steps_per_epoch=-(-found.examples // found.batch_size))
    return dict(tables={name: list(shape) for name, shape in found.tables.items()}, steps=steps,
                terms=describe_terms(terms, shapes, total_steps=steps))
