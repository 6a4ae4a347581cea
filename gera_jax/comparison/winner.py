"""One method fitted on every known pair and every unpaired row, saved where `embed` finds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gera_jax import checks
from gera_jax.aligners import folder as folders
from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.methods import find
from gera_jax.comparison.task import make_task
from gera_jax.training.overview import overview, overview_text

logger = logging.getLogger("gera_jax")


def fit_winner(
    method: Any,
    output: Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
    test: int | None = 0,
    on_data: Callable[[dict[str, Any]], None] | None = None,
    **source: Any,
) -> Aligner:
    """Fit `method` with `settings` on all of `source` (the arguments of `make_task`) and save it in `output`.

    Trained methods keep the validation rows back, to choose their best step (`val` items, look-alikes with them where the split
    is grouped), and go on where they were killed; closed forms keep nothing back. `test` items are held out of everything, and
    `evaluate` scores them.
    """
    chosen = find(method)
    trained = chosen.needs_validation
    folders.require_free(output, but=folders.RUN_FILE if trained else "", name="output", remedy="Choose another --output.")
    seed = checks.whole(seed, "seed")
    task = make_task(**source, test=test, **({} if trained else dict(val=0)))
    seen = overview(task.data(0, seed))
    logger.info("%s", overview_text(seen))
    if on_data is not None:
        on_data(seen)
    pairs, val, held = task.parts(0, seed)
    aligner = Aligner(method, settings=dict(settings), validation=val if trained else None, seed=seed, folder=output).fit(pairs)
    if test != 0:
        aligner.save(output, test=held)
    return aligner
