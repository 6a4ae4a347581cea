"""One method fitted on every known pair and every unpaired row, saved where `embed` finds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax.aligners.aligner import Aligner
from gera_jax.comparison import field
from gera_jax.comparison.task import make_task
from gera_jax.training.overview import overview, overview_text

logger = logging.getLogger("gera_jax")
HELD = {"aligner.npz": "a model", "run.json": "a model", "results.json": "a comparison", "cells.jsonl": "a comparison"}


def fit_winner(
    method: str,
    output: Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    on_data: Callable[[dict[str, Any]], None] | None = None,
    **source: Any,
) -> Aligner:
    """Fit `method` with `settings` on all of `source` (the arguments of `make_task`) and save it in `output`.

    Trained methods keep the validation rows back, to choose their best step (`val` items, look-alikes with them where the split
    is grouped), and go on where they were killed; closed forms keep nothing back.
    """
    (chosen,) = field.find([method])
    held = [words for name, words in HELD.items() if (output / name).exists() and name != chosen.goes_on_from]
    checks.require(
        not held,
        "output",
        got=f"{output}, which holds {held[0] if held else ''}",
        wanted="an empty folder",
        remedy="Choose another --output.",
    )
    seed = checks.whole(seed, "seed")
    task = make_task(**source, test=0, **({} if chosen.needs_validation else dict(val=0)))
    data = task.data(0, seed)
    seen = overview(data)
    logger.info("%s", overview_text(seen))
    if on_data is not None:
        on_data(seen)
    with checks.disk_room(output):
        return chosen.save(task, data, dict(settings), seed=seed, folder=output)
