"""The one scorer: what a method's similarities say about held-out rows, corrected for hubs, beside what guessing scores.

`Aligner.score`, the evaluations of a training, the cells of a comparison and `gera-jax evaluate` all call these functions, so
that the same rows and the same method give the same number to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import counts, real, rows_of, whole
from gera_jax.evaluation.retrieval import both_metrics


def chance_level(
    rows: int | None = None,
    *,
    x_groups: Any = None,
    y_groups: Any = None,
    ks: Sequence[int] = (1, 5, 10),
    names: tuple[str, str] = ("x", "y"),
) -> dict[str, float]:
    """Expected metrics of `retrieval_metrics` and `foscttm` where every order of the candidates is as likely as any other.

    >>> round(chance_level(200)["mean/R@10"], 6)
    0.05
    >>> captions = chance_level(x_groups=[0, 1, 2], y_groups=[0, 0, 1, 1, 2, 2], ks=(1, 2))
    >>> round(captions["x_to_y/R@2"], 4), round(captions["y_to_x/R@2"], 4)  # 1 - (4 * 3) / (6 * 5), and 2 / 3
    (0.6, 0.6667)

    A query with r right rows among m candidates has its best one at place k with probability C(m - k, r - 1) / C(m, r), and among
    the first k with probability 1 - C(m - r, k) / C(m, k). The mean of that place is (m + 1) / (r + 1).

    Args:
      rows: number of pairs, where row i matches row i; or give the groups.
      x_groups: [n] item numbers, as `retrieval_metrics` takes them: five captions of a picture are five right rows.
      y_groups: [m] item numbers.
      ks: the k of R@k.
      names: words for the keys.

    Returns:
      The keys of `retrieval_metrics`, "x_to_y/R@1" ..., "x_to_y/median_rank" (of all queries' places together),
      "x_to_y/mean_rank", "x_to_y/MRR"; the same for "y_to_x/" and "mean/"; and "foscttm", 1/2.
      O(m) for each number of right rows that occurs.
    """
    ks = counts(ks)
    if x_groups is None and y_groups is None:
        n = m = whole(rows, "rows")
    else:
        n, m = (0 if groups is None else len(groups) for groups in (x_groups, y_groups))
    forward, backward = ranks.positives_both_ways(n, m, x_groups, y_groups, names)
    return {**ranks.both_ways(names, _expected(forward, m, ks), _expected(backward, n, ks)), "foscttm": 0.5}


def _expected(right: ranks.Positives, m: int, ks: tuple[int, ...]) -> dict[str, float]:
    """Means over the queries; those with as many right rows share one computation."""
    place = np.arange(1, m + 1)
    found, mean_rank, reciprocal = np.zeros(m), 0.0, 0.0
    sizes, queries = np.unique(np.diff(right.start), return_counts=True)
    for r, share in zip(sizes, queries / queries.sum(), strict=True):
        missed = np.cumprod(np.maximum(m - r - place + 1, 0) / (m - place + 1))  # no right row among the first k
        first = r / (m - place + 1) * np.concatenate([[1.0], missed[:-1]])  # the first right row at place k
        found += share * (1 - missed)
        mean_rank += share * (m + 1) / (r + 1)
        reciprocal += share * float(np.sum(first / place))
    median = (np.searchsorted(found, 0.5 - 1e-12) + np.searchsorted(found, 0.5 + 1e-12)) / 2 + 1
    recalls = {f"R@{k}": float(found[min(k, m) - 1]) for k in ks}
    return recalls | {"median_rank": float(median), "mean_rank": float(mean_rank), "MRR": reciprocal}


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


class Cosines(ranks.Product):
    """`cosines(x, y)` that are computed a tile at a time, for galleries whose matrix does not fit into memory."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        super().__init__(np.asarray(x, np.float64), np.asarray(y, np.float64))


class _Rounded:
    """Scores as they are compared: to `DIGITS` digits."""

    def __init__(self, scores: Any):
        self._scores = scores if isinstance(scores, ranks.Product) else ranks.Matrix(np.asarray(scores))
        self.shape = scores.shape

    def tile(self, rows: slice, columns: slice) -> np.ndarray:
        return np.round(np.asarray(self._scores.tile(rows, columns), np.float64), DIGITS)


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
    """
    for rows, name in zip(scores.shape, names, strict=True):
        require(rows > 0, name, got="no row", wanted="at least one row of each modality")
    right = ranks.positives_both_ways(*scores.shape, x_groups, y_groups, names)
    return both_metrics(_Rounded(scores), right, KS, names, full=full)


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
    found = ranks.tally(_Rounded(scores), *ranks.positives_both_ways(n, m, x_items, y_items))
    for tally, own, candidates in zip(found, (x_items, y_items), (m, n), strict=True):
        rank, failed = tally.ranks(candidates)
        at = np.searchsorted(items, own)
        hits, count = np.bincount(at, (rank <= k) & ~failed, len(items)), np.bincount(at, minlength=len(items))
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
    ['mean/mean_rank', 'mean/MRR', 'foscttm']
    """
    return list(split_metrics(np.eye(2), names=(names[0], names[1]), full=full))
