"""One method fitted on every known pair and every unpaired row, saved where `embed` finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax.comparison import field
from gera_jax.comparison.task import make_task
from gera_jax.estimators import Aligner


def fit_winner(method: str, output: Path, *, settings: Mapping[str, Any], seed: int, **source: Any) -> Aligner:
    """Fit `method` with `settings` on all of `source` (the arguments of `make_task`) and save it in `output`.

    Trained methods keep the validation rows back, to choose their best step (`val` items, look-alikes with them where the split
    is grouped); closed forms keep nothing back.
    """
    checks.require(
        not any((output / name).exists() for name in ("aligner.npz", "run.json")),
        "output",
        got=f"{output}, which holds a model",
        wanted="an empty folder",
        remedy="Choose another --output.",
    )
    (chosen,) = field.find([method])
    task = make_task(**source, test=0, **({} if chosen.needs_validation else dict(val=0)))
    data = task.data(0, seed)
    return chosen.save(task, data, dict(settings), seed=seed, folder=output)
