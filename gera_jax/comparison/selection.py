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


def goodness(score: float, metric: str = METRIC) -> float:
    """`score` so that higher is better, whichever way `metric` goes; a NaN is worse than everything.

    >>> goodness(0.3), goodness(2.0, "mean/mean_rank"), goodness(float("nan"))
    (0.3, -2.0, -inf)
    """
    sign = -1.0 if metric.endswith(("rank", "foscttm")) else 1.0
    return -np.inf if np.isnan(score) else sign * score


def choose(tried: Sequence[Trial], metric: str = METRIC) -> int:
    """The trial of the best validation score; of equal ones the earlier, and a NaN never wins.

    >>> choose([Trial({}, 0.3, 1.0), Trial({"power": 4}, 0.5, 1.0), Trial({"power": 2}, 0.5, 1.0)])
    1
    >>> choose([Trial({}, 3.0, 1.0), Trial({"power": 4}, 5.0, 1.0)], "mean/mean_rank")
    0
    """
    return int(np.argmax([goodness(trial.score, metric) for trial in tried]))


def rule(budget: int, metric: str = METRIC) -> str:
    """The rule in words, for reports."""
    tried = "1 setting" if budget == 1 else f"{budget} settings"
    return (
        f"Every method tries at most {tried}, its default first, and keeps the one with the best {metric} on the "
        "validation rows (of equal ones the earlier). Trained methods also keep their best step by the same rows. "
        "Test rows are scored once, with that setting."
    )
