"""How much of a full re-embedding's search a bridge keeps, estimated from the rows that both models have embedded.

Recall@k of the true top k of an index of n rows: of the k documents that the new model puts first for a query, the share that the
bridge puts among its first k. The new model's rows are known of p documents alone, so a query's true top k is not. What is known
of each of them for each query is its place among these p under the new model, and its place among all n rows under the bridge.

1. The true score of a document is the r-th largest of the p that are known for its query: u = -Phi^-1((r - 1/2) / p).
2. Under the bridge it is the r'-th of all n rows, v = -Phi^-1((r' - 1/2) / n).
3. Among the documents with the largest u, v = a + b u + s e with a normal e. With the cut c = -Phi^-1(k/n) recall@k is
   E[Phi((a + b u - c) / s) | u > c]: the line is followed from the top of p documents to the top of n.

The interval is a bootstrap over documents.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from gera_jax.solvers.auto.search import BLOCK

TAIL, FEWEST = 0.03, 3  # share of a query's documents that the line is fitted to, and the least number of them
LEAST = 5  # documents with an event, below which nothing is said
DRAWS = 200  # of the bootstrap
NODES = 64  # at which the mean over the true top k is taken
TIE = 1e-5  # a document's own row in the index has its score up to rounding


class Kept(NamedTuple):
    """A retention with its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Events:
    """Queries and held-out documents of the upper tail: normal scores of their true score and of their rank under the bridge."""

    true: np.ndarray  # [e]
    found: np.ndarray  # [e]
    document: np.ndarray  # [e]

    @classmethod
    def joined(cls, parts: list[Events]) -> Events:
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("true", "found", "document")))


def normal_scores(scores: np.ndarray) -> np.ndarray:
    """-Phi^-1 of the place of each score [q, p] in its row, the largest first; NaN (a query's own document) stays.

    >>> normal_scores(np.array([[3.0, 1.0, np.nan, 2.0]])).round(2).tolist()
    [[0.97, -0.97, nan, -0.0]]
    """
    from scipy.special import ndtri

    known = np.isfinite(scores)
    order = np.argsort(np.argsort(-np.where(known, scores, -np.inf), axis=1, kind="stable"), axis=1)
    return np.where(known, -ndtri(np.clip((order + 0.5) / known.sum(axis=1, keepdims=True), 0, 1)), np.nan)


def tail(p: int) -> float:
    """The share of p documents of which the line is fitted."""
    return min(0.5, max(TAIL, FEWEST / p))


def ranked(
    queries: np.ndarray,
    index: np.ndarray,
    documents: np.ndarray,
    true: np.ndarray,
    names: np.ndarray,
    tail: float,
    selves: np.ndarray | None = None,
) -> Events:
    """The events of some queries and held-out documents.

    Args:
      queries: [q, d], index: [n, d] and documents: [h, d], all in the space of the search.
      true: [q, h] `normal_scores` of the new model among all p; NaN where a query is the document.
      names: [h] numbers of the documents.
      tail: share of the p documents that are looked at, see `tail`.
      selves: [q] which row of the index the query is, where it is one: it does not compete; -1 = none.
    """
    from scipy.special import ndtri

    upper = np.nan_to_num(true, nan=-np.inf) >= -ndtri(tail)
    found, n = np.full(true.shape, np.nan), len(index)
    for start in range(0, len(queries), BLOCK):
        part = queries[start : start + BLOCK]
        scores, own = part @ index.T, part @ documents.T
        if selves is not None:
            known = np.flatnonzero(selves[start : start + BLOCK] >= 0)
            scores[known, selves[start + known]] = -np.inf
        scores.sort(axis=1)
        for row, ordered in enumerate(scores):
            at = np.flatnonzero(upper[start + row])
            near = TIE * np.abs(own[row, at])
            above = n - np.searchsorted(ordered, own[row, at] + near, side="right")
            tied = n - np.searchsorted(ordered, own[row, at] - near, side="left") - above - 1  # without the document's own row
            place = np.minimum(above + np.maximum(tied, 0) / 2, n - 1)  # ties count half: a map to one point finds nothing
            found[start + row, at] = -ndtri((place + 0.5) / n)
    return Events(true[upper], found[upper], np.broadcast_to(names, true.shape)[upper])


def kept(events: Events, n: int, *, k: int = 10, seed: int = 0) -> Kept:
    """Recall@k of the true top k in an index of n rows."""
    from scipy.special import ndtri

    names, place = np.unique(events.document, return_inverse=True)
    if len(names) < LEAST:
        return Kept(math.nan, 0.0, 1.0)
    rng, levels = np.random.default_rng(seed), (np.arange(NODES) + 0.5) / NODES * k / n
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)
    draws = [_recall(events, count[place], -ndtri(k / n), -ndtri(levels)) for count in counts]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Kept(_recall(events, np.ones(len(place)), -ndtri(k / n), -ndtri(levels)), float(low), float(high))


def _recall(events: Events, weights: np.ndarray, cut: float, top: np.ndarray) -> float:
    """The share of `top`, normal scores of the true top k, that lands above the cut, under the line fitted with some weights."""
    from scipy.special import ndtr

    total = weights.sum()
    u_mean, v_mean = (float(weights @ z) / total for z in (events.true, events.found))
    u, v = events.true - u_mean, events.found - v_mean
    slope = float(weights @ (u * v)) / max(float(weights @ u**2), 1e-12)
    deviation = max(float(np.sqrt(weights @ (v - slope * u) ** 2 / total)), 1e-3)
    return float(ndtr((v_mean + slope * (top - u_mean) - cut) / deviation).mean())
