"""The tasks that `config.task` may name."""

from __future__ import annotations

import functools
import importlib

from gera_jax import checks
from gera_jax.training.task import Task

TASKS: dict[str, str | Task] = {  # name -> a task, or the "module:class" of one, loaded when it is asked for
    "alignment": "gera_jax.training.alignment:AlignmentTask",
    "grounding": "gera_jax.moments.task:GroundingTask",
}


def find(name: str) -> Task:
    """The task of a name.

    Raises:
      InputError: an unknown name, with the nearest known one.
    """
    checks.require_known(name, TASKS, "task")
    task = TASKS[name]
    return _load(task) if isinstance(task, str) else task


@functools.cache
def _load(path: str) -> Task:
    module, _, kind = path.partition(":")
    return getattr(importlib.import_module(module), kind)()
