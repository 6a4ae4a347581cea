"""Every number that a comparison reports of one fitted method, from test rows and, for hub corrections, training rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gera_jax import evaluation
from gera_jax.checks import require_known
from gera_jax.data import AlignmentData

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (row numbers of x, of y) -> [n, m], higher = closer

KS = (1, 5, 10)
NEIGHBOURS = 10
REFERENCE_ROWS = 2_000  # training rows of a side that densities are taken over, evenly spread
TEMPERATURE = 0.5  # of the inverted softmax, in standard deviations of the training rows' scores
DIGITS = 9  # scores closer than this are ties: equal rows differ by rounding inside one product
CORRECTIONS = {
    "csls": "CSLS, densities from training rows",
    "inverted_softmax": "inverted softmax, densities from training rows",
    "csls_gallery": "CSLS, densities from the gallery",
    "inverted_softmax_gallery": "inverted softmax, densities from the gallery",
}


def held_out(data: AlignmentData, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct rows of the two sides of "val" or "test"."""
    pairs = getattr(data, split)
    return np.unique(pairs[:, 0]), np.unique(pairs[:, 1])


def require_metric(metric: str, names: tuple[str, str]) -> None:
    """Refuse a metric that `validation_metrics` does not give, with the nearest known one."""
    known = evaluation.retrieval_metrics_from_scores(np.eye(2), ks=KS, names=names)
    require_known(metric, [*known, "foscttm"], "metric")


def validation_metrics(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """Retrieval on the validation rows by plain scores."""
    return _metrics(data, "val", scores(*held_out(data, "val")))


def measure(data: AlignmentData, scores: Scores) -> dict[str, float]:
    """Retrieval both ways and FOSCTTM on the test rows, plain and under each correction.

    Returns:
      keys of `retrieval_metrics` and "foscttm"; the same under "csls/", "inverted_softmax/" (densities from training
      rows), "csls_gallery/" and "inverted_softmax_gallery/" (densities from the test rows themselves, which a query
      that comes alone does not have).
    """
    x, y = held_out(data, "test")
    pool = [_even(data.pool[name], REFERENCE_ROWS) for name in data.names[:2]]
    plain, x_to_pool, pool_to_y = scores(x, y), scores(x, pool[1]), scores(pool[0], y).T
    temperature = max(TEMPERATURE * float(np.std(np.concatenate([x_to_pool.ravel(), pool_to_y.ravel()]))), 1e-12)
    found = _metrics(data, "test", plain)
    for suffix, x_reference, y_reference in (("", x_to_pool, pool_to_y), ("_gallery", plain, plain.T)):
        corrected = {
            "csls": evaluation.csls(
                plain,
                x_density=evaluation.local_density(x_reference, k=NEIGHBOURS),
                y_density=evaluation.local_density(y_reference, k=NEIGHBOURS),
            ),
            "inverted_softmax": evaluation.inverted_softmax(
                plain,
                x_density=evaluation.log_density(x_reference, temperature=temperature),
                y_density=evaluation.log_density(y_reference, temperature=temperature),
                temperature=temperature,
            ),
        }
        for name, matrix in corrected.items():
            found |= {f"{name}{suffix}/{key}": value for key, value in _metrics(data, "test", matrix).items()}
    return found


def _metrics(data: AlignmentData, split: str, scores: np.ndarray) -> dict[str, float]:
    names = tuple(data.names[:2])
    rows = held_out(data, split)
    groups = dict(zip(("x_groups", "y_groups"), (data.groups[name][r] for name, r in zip(names, rows, strict=True)), strict=True))
    scores = np.round(np.asarray(scores, np.float64), DIGITS)
    found = evaluation.retrieval_metrics_from_scores(scores, ks=KS, names=names, **groups)
    return {**found, "foscttm": evaluation.foscttm_from_scores(scores, **groups)}


def _even(rows: np.ndarray, count: int) -> np.ndarray:
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
