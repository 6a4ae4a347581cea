"""The tasks that `config.task` may name."""

from __future__ import annotations

from gera_jax import checks
from gera_jax.training.alignment import AlignmentTask
from gera_jax.training.grounding import GroundingTask
from gera_jax.training.task import Task

TASKS: dict[str, Task] = {
    "alignment": AlignmentTask(),
    "grounding": GroundingTask(),
}


def find(name: str) -> Task:
    """The task of a name.

    Raises:
      InputError: an unknown name, with the nearest known one.
    """
    checks.require_known(name, TASKS, "task")
    return TASKS[name]
