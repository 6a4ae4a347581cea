"""Scores corrected for hubs: rows that are near everything lose what their neighbourhood explains."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation.inputs import real, rows_of, whole


def local_density(scores: Any, *, k: int = 10) -> np.ndarray:
    """Mean of the k best scores of each row: how near a row is to a reference set, [n, q] -> [n].

    >>> local_density(np.array([[1.0, 0.0, 0.5], [0.2, 0.2, 0.2]]), k=2).tolist()
    [0.75, 0.2]

    Args:
      scores: [n, q] similarities to q reference rows (higher = closer); NaN, of a reference row that is broken, counts for
        nothing.
      k: neighbours; fewer reference rows than that are all taken.

    Returns:
      [n]; NaN for a row that has no score but NaN.
    """
    scores = _reference_scores(scores)
    k = min(whole(k, "k"), scores.shape[1])
    return _known_mean(-np.partition(-scores, k - 1, axis=1)[:, :k])  # NaN is sorted last


def log_density(scores: Any, *, temperature: float) -> np.ndarray:
    """log mean_q exp(scores / temperature) of each row, [n, q] -> [n]: the normaliser of an inverted softmax.

    >>> float(log_density(np.zeros((1, 7)), temperature=0.1)[0])
    0.0

    NaN counts for nothing, as in `local_density`; a row of -inf has the density -inf, and one infinite score an infinite one.
    """
    scores = _reference_scores(scores)
    require(temperature > 0, "temperature", got=temperature, wanted="a number > 0")
    scores = scores / temperature
    top = np.fmax.reduce(scores, axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(scores.dtype)  # infinities speak for themselves: inf - inf is no number
    with np.errstate(divide="ignore"):  # a row of -inf
        return top[:, 0] + np.log(_known_mean(np.exp(scores - top)))


def csls(scores: Any, *, x_density: Any, y_density: Any) -> np.ndarray:
    """Cross-domain similarity local scaling: 2 s_ij - r(x_i) - r(y_j).

    >>> csls(np.array([[0.9, 0.8]]), x_density=[0.0], y_density=[0.5, 0.1]).round(2).tolist()  # the hub falls behind
    [[1.3, 1.5]]

    Args:
      scores: [n, m].
      x_density: [n] `local_density` of each x among reference rows of y; with training rows as reference a query is scored
        with no look at the gallery, with the gallery itself it is the correction of the source.
      y_density: [m] likewise among reference rows of x.

    Returns:
      [n, m]; equal densities change no rank.

    Source: Conneau et al., "Word Translation Without Parallel Data" (ICLR 2018).
    """
    scores = rows_of(scores, "scores")
    x_density, y_density = _densities(scores, x_density, y_density)
    return 2 * scores - x_density[:, None] - y_density


def inverted_softmax(scores: Any, *, x_density: Any, y_density: Any, temperature: float) -> np.ndarray:
    """s_ij / temperature - L(x_i) - L(y_j) with L of `log_density` at the same temperature.

    >>> inverted_softmax(np.array([[0.9, 0.8]]), x_density=[0.0], y_density=[5.0, 1.0], temperature=0.1).round(1).tolist()
    [[4.0, 7.0]]

    Along a row only L(y_j) changes ranks, and along a column only L(x_i): one matrix holds the log of the inverted
    softmax of both directions, up to a constant of each query.

    Args:
      scores: [n, m].
      x_density: [n] log density of each x among reference rows of y.
      y_density: [m] log density of each y among reference rows of x.

    Source: Smith et al., "Offline bilingual word vectors, orthogonal transformations and the inverted softmax" (ICLR 2017).
    """
    scores = rows_of(scores, "scores")
    require(temperature > 0, "temperature", got=temperature, wanted="a number > 0")
    x_density, y_density = _densities(scores, x_density, y_density)
    return scores / temperature - x_density[:, None] - y_density


def _reference_scores(scores: Any) -> np.ndarray:
    scores = rows_of(scores, "scores")
    require(scores.shape[1] > 0, "scores", got=f"shape {scores.shape}", wanted="at least one reference row")
    return scores


def _known_mean(values: np.ndarray) -> np.ndarray:
    """Mean over each row's numbers; NaN, without `np.nanmean`'s warning, where it has none."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=1) / np.sum(~np.isnan(values), axis=1, dtype=values.dtype)


def _densities(scores: np.ndarray, x_density: Any, y_density: Any) -> tuple[np.ndarray, np.ndarray]:
    found = tuple(real(v, name).astype(scores.dtype) for v, name in ((x_density, "x_density"), (y_density, "y_density")))
    for name, density, size in zip(("x_density", "y_density"), found, scores.shape, strict=True):
        require(density.shape == (size,), name, got=f"shape {density.shape}", wanted=f"one number for each of {size} rows")
    return found
