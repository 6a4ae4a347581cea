"""The one scorer: what a method's similarities say about held-out rows, whichever door asks.

`Aligner.score`, the evaluations of a training, the cells of a comparison and `gera-jax evaluate` all call these functions, so
that the same rows and the same method give the same number to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation import ranks
from gera_jax.evaluation.hubness import csls, inverted_softmax, local_density, log_density
from gera_jax.evaluation.retrieval import _closer, _recalls

Similarity = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows of x [n, dx], rows of y [m, dy]) -> [n, m], higher = closer

KS = (1, 5, 10)
NEIGHBOURS = 10
REFERENCE_ROWS = 2_000  # training rows of a side that densities are taken over, evenly spread
TEMPERATURE = 0.5  # of the inverted softmax, in standard deviations of the training rows' scores
DIGITS = 9  # scores closer than this are ties: equal rows differ by rounding inside one product
BOOTSTRAPS = 500
MOST_ENTRIES = 2**27  # of a matrix of scores in memory: 1 GiB
CORRECTIONS = {
    "csls": "CSLS, densities from training rows",
    "inverted_softmax": "inverted softmax, densities from training rows",
    "csls_gallery": "CSLS, densities from the gallery",
    "inverted_softmax_gallery": "inverted softmax, densities from the gallery",
}


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Float64 products [n, m] of unit rows: the similarity of every method that is known by its shared space alone."""
    return np.asarray(x, np.float64) @ np.asarray(y, np.float64).T


def scores_of(x: np.ndarray, y: np.ndarray) -> np.ndarray | Cosines:
    """`cosines(x, y)`, computed a block at a time where the matrix is large."""
    return cosines(x, y) if len(x) * len(y) <= MOST_ENTRIES else Cosines(x, y)


class Cosines:
    """`cosines(x, y)` that are computed a block of rows at a time, for galleries whose matrix does not fit into memory."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self._x, self._y, self.shape = np.asarray(x, np.float64), np.asarray(y, np.float64), (len(x), len(y))

    @property
    def T(self) -> Cosines:
        return Cosines(self._y, self._x)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._x[rows] @ self._y.T


def split_metrics(
    scores: Any, *, x_groups: Any = None, y_groups: Any = None, names: tuple[str, str] = ("x", "y"), full: bool = True
) -> dict[str, float]:
    """Retrieval both ways and, where `full`, FOSCTTM, of a matrix of scores.

    >>> found = split_metrics(np.eye(4))
    >>> found["x_to_y/R@1"], found["mean/R@10"], found["foscttm"]
    (1.0, 1.0, 0.0)

    Args:
      scores: [n, m], higher = closer; rounded to 9 digits before they are compared. `Cosines` where n m is too much.
      x_groups, y_groups: [n], [m] item numbers; None = row i belongs to row i.
      names: of the modalities, for the keys.

    Raises:
      InputError: no rows, unequal rows without groups, a query without a right row or, where `full`, without a wrong one.
    """
    (n, m), flipped = scores.shape, (names[1], names[0])
    for rows, name in zip((n, m), names, strict=True):
        require(rows > 0, name, got="no row", wanted="at least one row of each modality")
    forward, backward = ranks.positives(n, m, x_groups, y_groups, names), ranks.positives(m, n, y_groups, x_groups, flipped)
    found = ranks.both_ways(
        names, _recalls(_blocks(scores), forward, n, KS, 0.0), _recalls(_blocks(scores.T), backward, m, KS, 0.0)
    )
    if full:
        found["foscttm"] = (_closer(_blocks(scores), forward, m, 0.0) + _closer(_blocks(scores.T), backward, n, 0.0)) / 2
    return found


def corrected_metrics(scores: Any, x_to_training: Any, training_to_y: Any, **options: Any) -> dict[str, float]:
    """`split_metrics` of scores that are corrected for hubs, under each of `CORRECTIONS`.

    Args:
      scores: [n, m] of the held-out rows.
      x_to_training: [n, q] scores of the held-out rows of x with training rows of y.
      training_to_y: [p, m] scores of training rows of x with the held-out rows of y.
      **options: of `split_metrics`.

    Returns:
      "csls/mean/R@10", ... The corrections "..._gallery" take densities from the held-out rows, which a query that comes alone
      does not have.
    """
    backward = training_to_y.T
    temperature = max(TEMPERATURE * float(np.std(np.concatenate([x_to_training.ravel(), backward.ravel()]))), 1e-12)
    found = {}
    for suffix, x_reference, y_reference in (("", x_to_training, backward), ("_gallery", scores, scores.T)):
        corrected = {
            "csls": csls(
                scores,
                x_density=local_density(x_reference, k=NEIGHBOURS),
                y_density=local_density(y_reference, k=NEIGHBOURS),
            ),
            "inverted_softmax": inverted_softmax(
                scores,
                x_density=log_density(x_reference, temperature=temperature),
                y_density=log_density(y_reference, temperature=temperature),
                temperature=temperature,
            ),
        }
        for name, matrix in corrected.items():
            found |= {f"{name}{suffix}/{key}": value for key, value in split_metrics(matrix, **options).items()}
    return found


def over_pairs(by_pair: Mapping[tuple[str, str], Mapping[str, float]]) -> dict[str, float]:
    """Of three modalities: each pair's metrics under "<a>-<b>/...", and the means of "mean/..." and "foscttm" over the pairs."""
    require(len(by_pair) > 0, "data.split", got="no two items that share two modalities", wanted="at least 2 to rank among")
    named = {f"{a}-{b}/{key}": value for (a, b), found in by_pair.items() for key, value in found.items()}
    shared = [key for key in next(iter(by_pair.values())) if key.startswith("mean/") or key == "foscttm"]
    return named | {key: float(np.mean([found[key] for found in by_pair.values()])) for key in shared}


class Interval(NamedTuple):
    """Where 95 % of the bootstrap's values lie."""

    low: float
    high: float


def recall_interval(scores: Any, *, x_groups: Any = None, y_groups: Any = None, k: int = 10, seed: int = 0) -> Interval:
    """95 % interval of the mean R@k over both directions, from a bootstrap over items.

    >>> recall_interval(np.eye(30), k=1)
    Interval(low=1.0, high=1.0)
    """
    n, m = scores.shape
    x_items = np.arange(n) if x_groups is None else np.asarray(x_groups)
    y_items = np.arange(m) if y_groups is None else np.asarray(y_groups)
    items = np.unique(np.concatenate([x_items, y_items]))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(items), np.full(len(items), 1 / len(items)), size=BOOTSTRAPS).astype(np.float64)
    means = []
    for matrix, own, other in ((scores, x_items, y_items), (scores.T, y_items, x_items)):
        right = ranks.positives(len(own), len(other), own, other, ("x", "y"))
        rank = np.concatenate([_ranks(block, right, first, last) for first, last, block in _blocks(matrix)])
        at = np.searchsorted(items, own)
        hits, count = np.bincount(at, rank <= k, len(items)), np.bincount(at, minlength=len(items))
        means.append(drawn @ hits / np.maximum(drawn @ count, 1))
    low, high = np.quantile((means[0] + means[1]) / 2, (0.025, 0.975))
    return Interval(float(low), float(high))


def reference_rows(rows: np.ndarray) -> np.ndarray:
    """At most `REFERENCE_ROWS` of the sorted row numbers, at even steps."""
    if len(rows) <= REFERENCE_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, REFERENCE_ROWS).astype(np.int64)]


def metric_names(names: Sequence[str] = ("x", "y"), *, full: bool = True) -> list[str]:
    """The keys of `split_metrics`.

    >>> metric_names()[-3:]
    ['mean/median_rank', 'mean/mean_rank', 'foscttm']
    """
    return list(split_metrics(np.eye(2), names=(names[0], names[1]), full=full))


def _ranks(scores: np.ndarray, right: ranks.Positives, first: int, last: int) -> np.ndarray:
    rank, failed = ranks.best_rank(scores, right, first, last)
    return np.where(failed, np.inf, rank)


def _blocks(scores: Any) -> Iterator[tuple[int, int, np.ndarray]]:
    for first, last in ranks.blocks(*scores.shape, 1024):
        yield first, last, np.round(np.asarray(scores[first:last], np.float64), DIGITS)
