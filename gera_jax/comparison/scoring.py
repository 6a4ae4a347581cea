"""How a cell chooses a method's setting, what it reports of the fitted method, and a few test queries in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.aligners.kinds import FittedModel
from gera_jax.checks import require, require_known
from gera_jax.data import catalog
from gera_jax.data.alignment import AlignmentData
from gera_jax.evaluation.split import DIGITS, corrected_metrics, metric_names, reference_rows, split_metrics

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


Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (row numbers of x, of y) -> [n, m], higher = closer


def scores_of(data: AlignmentData, fitted: FittedModel) -> Scores:
    """Scores of raw rows by their numbers: the same computation as `Aligner.score`, to the last digit."""
    x, y = (data.tables[name].rows for name in data.names[:2])
    return lambda i, j: fitted.similarity(np.asarray(x[i]), np.asarray(y[j]))


def held_out(data: AlignmentData, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct rows of the two sides of "val" or "test"."""
    pairs = getattr(data, split)
    return np.unique(pairs[:, 0]), np.unique(pairs[:, 1])


def require_metric(metric: str, names: tuple[str, str]) -> None:
    """Refuse a metric that `validation_metrics` does not give, with the nearest known one."""
    require_known(metric, metric_names(names), "metric")


def validation_metrics(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """Retrieval on the validation rows by plain scores."""
    return split_metrics(scores(*held_out(data, "val")), **_options(data, "val"))


def measure(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """`split_metrics` of the test rows, and `corrected_metrics` with densities from the training rows."""
    x, y = held_out(data, "test")
    training = [reference_rows(data.pool[name]) for name in data.names[:2]]
    plain, options = scores(x, y), _options(data, "test")
    corrected = corrected_metrics(plain, scores(x, training[1]), scores(training[0], y), **options)
    return {**split_metrics(plain, **options), **corrected}


def _options(data: AlignmentData, split: str) -> dict:
    names = tuple(data.names[:2])
    groups = [data.groups[name][rows] for name, rows in zip(names, held_out(data, split), strict=True)]
    return dict(names=names, x_groups=groups[0], y_groups=groups[1])


QUERIES, FOUND = 5, 3
FIELDS = ("caption", "text", "title", "name", "label")  # of the meta of own tables
LONGEST = 120


def draw(data: AlignmentData, scores: Callable[[np.ndarray, np.ndarray], np.ndarray], *, seed: int) -> list[dict[str, Any]]:
    """Queries of y drawn at random from the test rows, and the rows of x that have the highest scores.

    Args:
      data: with test rows.
      scores: (row numbers of x, row numbers of y) -> [n, m], higher is closer.
      seed: of the draw.

    Returns:
      for each query `query`, `truth` and `found` in words, `rank` of its best partner (1 = the first found), and `right`: which
      of the rows found are its partners.
    """
    x, y = held_out(data, "test")
    y = np.sort(np.random.default_rng(seed).permutation(y)[:QUERIES])
    partner = data.groups[data.names[0]][x][:, None] == data.groups[data.names[1]][y][None]
    table, drawn = np.round(np.asarray(scores(x, y)[:], np.float64), DIGITS), []
    for column, row in enumerate(y):
        of, right = table[:, column], partner[:, column]
        best = np.flatnonzero(right)[np.argmax(of[right])]
        order = np.argsort(-of, kind="stable")[:FOUND]
        drawn.append(
            dict(
                query=words(data, 1, row),
                truth=words(data, 0, x[best]),
                rank=1 + int(np.sum(~right & (of > of[best]))),
                found=[words(data, 0, x[i]) for i in order],
                right=[bool(right[i]) for i in order],
            )
        )
    return drawn


def words(data: AlignmentData, side: int, row: int) -> str:
    """What a row is: its caption where its table has one, else its id."""
    name = data.names[side]
    source, meta = data.report.get("source", ""), data.meta[name]
    known: Sequence[str] = (catalog.info(source).captions[name],) if source in catalog.names() else FIELDS
    fields: Mapping[str, Any] = meta[row] if meta is not None else {}
    text = next((str(fields[field]) for field in known if fields.get(field)), str(data.tables[name].ids[row]))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
