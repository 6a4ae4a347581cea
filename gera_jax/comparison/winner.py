"""One method fitted on every known pair and every unpaired row, saved where `embed` finds it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax.comparison import field
from gera_jax.comparison.task import make_task
from gera_jax.estimators import Aligner


def fit_winner(method: str, output: Path, *, settings: Mapping[str, Any], seed: int, **source: Any) -> Aligner:
    """Fit `method` with `settings` on all of `source` (the arguments of `make_task`) and save it in `output`.

    Trained methods keep the validation rows back, to choose their best step; closed forms keep nothing back.
    """
    checks.require(
        not any((output / name).exists() for name in ("aligner.npz", "run.json")),
        "output",
        got=f"{output}, which holds a model",
        wanted="an empty folder",
        remedy="Choose another --output.",
    )
    (chosen,) = field.find([method])
    task = make_task(**source)
    block = copy.deepcopy(task.block)
    block["split"]["test"] = 0
    if not chosen.needs_validation:
        block["split"]["val"] = 0
    task = dataclasses.replace(task, block=block)
    data = task.data(0, seed)
    return chosen.save(task, data, dict(settings), seed=seed, folder=output)
