"""How a method's setting is chosen: on validation rows, by one rule and one budget for every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require

METRIC = "mean/R@10"
BUDGET = 4


class Trial(NamedTuple):
    """One setting of a method and what it scored on the validation rows."""

    setting: Mapping[str, Any]
    score: float
    cpu_seconds: float


def trials(settings: Sequence[Mapping[str, Any]], budget: int) -> Sequence[Mapping[str, Any]]:
    """The settings that a method may try: the first `budget` of its list, its default first.

    >>> trials([{}, {"power": 4}, {"power": 2}], 2)
    [{}, {'power': 4}]
    """
    require(budget >= 1, "budget", got=budget, wanted="at least 1 trial, a method's default")
    return settings[:budget]


def choose(tried: Sequence[Trial]) -> int:
    """The trial of the highest validation score; of equal ones the earlier, and a NaN never wins.

    >>> choose([Trial({}, 0.3, 1.0), Trial({"power": 4}, 0.5, 1.0), Trial({"power": 2}, 0.5, 1.0)])
    1
    """
    scores = np.array([trial.score for trial in tried], np.float64)
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))


def rule(budget: int, metric: str = METRIC) -> str:
    """The rule in words, for reports."""
    return (
        f"Every method tries at most {budget} settings, its default first, and keeps the one with the highest {metric} on the "
        "validation rows (of equal ones the earlier). Trained methods also keep their best step by the same rows. "
        "Test rows are scored once, with that setting."
    )
