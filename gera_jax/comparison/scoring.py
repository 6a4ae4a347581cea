"""What a cell reports of one fitted method: the one scorer on the validation or test rows of its data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gera_jax.aligners.kinds import FittedModel
from gera_jax.checks import require_known
from gera_jax.data.alignment import AlignmentData
from gera_jax.evaluation.split import CORRECTIONS, corrected_metrics, metric_names, reference_rows, split_metrics

__all__ = ["CORRECTIONS", "held_out", "measure", "require_metric", "scores_of", "validation_metrics"]

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
