"""Weights of the heads and corrections of their score, estimated from held-out pairs by cross-validation on the known pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gera_jax.solvers.auto.search import HUB, best_of, soft_weights
from gera_jax.solvers.linear import even, unit_rows
from gera_jax.solvers.soft_cca import deviation, unit_scale

Array = np.ndarray
ONE_FOLD = 2000  # pairs from which on one fold is enough
MOST_HELD = 1200  # held-out pairs of all folds that are scored
MOST_OTHERS = 2000  # unpaired rows of a modality, and pairs of the fit, at even steps, that a fold scores them against
LEAST_WEIGHT = 0.02  # views below it are left out
FOUND = 0.02  # of the candidates: a partner at this place of the list counts for half
SCALES = 0.25 * 1.4 ** np.arange(12)  # inverse temperatures; the best one gives the cross-entropy


class Fold(NamedTuple):
    """Heads that were fitted without `held` of the pairs, and their outputs.

    The rows of `x` and of `y` are the held-out pairs, then unpaired rows, then the pairs of the fit.
    """

    held: int
    x: list[Array]  # one [rows, r] a view
    y: list[Array]
    order: tuple[Array, Array]  # row numbers in the pools
    gallery: tuple[int, int]  # held-out and unpaired rows: the candidates of a query


def parts(p: int) -> list[Array]:
    """Numbers of the pairs that each fold holds out.

    5 folds hold out each pair once, and 3 from 500 pairs on, where a fit costs more and varies less. From 2,000 pairs on one fold
    decides as surely; it holds out a quarter of the pairs, but no more than it scores.

    >>> [rows.tolist() for rows in parts(7)], len(parts(2_000)[0]), len(parts(60_000)[0])
    ([[0, 5], [1, 6], [2], [3], [4]], 500, 1200)
    """
    if p >= ONE_FOLD:
        return [np.arange(0, p, max(4, p // MOST_HELD))]
    count = min(p, 5 if p < 500 else 3)
    return [np.arange(part, p, count) for part in range(count)]


def out_of_fold(learners: Sequence[Any], views: Sequence[tuple[Array, Array]], p: int) -> list[Fold]:
    """Every view's heads without each of `parts(p)`.

    Args:
      learners: of each view, an object whose `without(parts)` gives heads.
      views: features of the pools, known pairs first, ([n, fx], [m, fy]) each.
      p: known pairs.
    """
    held, folds = parts(p), []
    for part in held:
        scored, seen = part[: max(1, MOST_HELD // len(held))], np.setdiff1d(np.arange(p), part)
        rest = [p + np.arange(len(rows) - p)[even(len(rows) - p, MOST_OTHERS)] for rows in views[0]]
        order = tuple(np.concatenate([scored, r, seen[even(len(seen), MOST_OTHERS)]]) for r in rest)
        folds.append(Fold(len(scored), [], [], order, tuple(len(scored) + len(r) for r in rest)))
    for learner, view in zip(learners, views, strict=True):
        for fold, heads in zip(folds, learner.without(held), strict=True):
            units = [heads.apply(view[side][fold.order[side]], side) for side in (0, 1)]
            scale = np.float32(unit_scale(*(z[fold.held :] for z in units)))
            fold.x.append(scale * units[0])
            fold.y.append(scale * units[1])
    return folds


def mixture(folds: Sequence[Fold], shrink: float, p: int) -> Array:
    """[views] weights of the views' scores under which held-out partners are most likely; their sum is the number of views.

    The weights u >= 0 minimise CE(sum_v u_v S_v) + (shrink / p) sin^2(u, 1). S_v are the scores of view v over their deviation.
    CE is the softmax cross-entropy of a held-out row's partner among held-out and unpaired rows, in both directions. The length
    of u is a temperature and is free. The second term draws u towards equal weights; `shrink` is its strength in pairs.
    """
    import scipy.optimize

    views = len(folds[0].x)
    scores = [
        np.stack([a[: fold.held] @ b[: fold.gallery[1 - side]].T for a, b in zip(*sides, strict=True)])
        for fold in folds
        for side, sides in enumerate(((fold.x, fold.y), (fold.y, fold.x)))
    ]
    queries, equal = sum(s.shape[1] for s in scores), np.full(views, views**-0.5)

    def objective(u: Array) -> tuple[float, Array]:
        value, slope = 0.0, np.zeros(views)
        for s in scores:
            nats, share = _cross_entropy(np.tensordot(u.astype(np.float32), s, 1))
            value, slope = value + nats / queries, slope + np.tensordot(s, share, ([1, 2], [0, 1])) / queries
        square, along = u @ u + 1e-12, u @ equal
        value += shrink / p * (1 - along**2 / square)
        return value, slope - shrink / p * (2 * along * equal / square - 2 * along**2 * u / square**2)

    u = scipy.optimize.minimize(
        objective, np.ones(views), jac=True, method="L-BFGS-B", bounds=[(0, None)] * views, options=dict(maxiter=50)
    ).x
    return views * u / u.sum() if u.sum() > 0 else np.ones(views)


def corrections(
    folds: Sequence[Fold],
    weights: Array,
    rows: tuple[Array, Array],
    hubness: Sequence[float],
    expansion: Sequence[float],
    shrink: float,
    p: int,
) -> tuple[float, float]:
    """The offered hubness and expansion with which the mixed score finds held-out partners best.

    They minimise p M + shrink CE. M is a soft miss rate: the mean of rank / (k + rank), where rank counts the candidates before
    the partner and k is 2 % of the candidates. CE is the cross-entropy of `mixture` at the best of three of `SCALES`: the
    uncorrected score's best scale and the two sharper ones. M measures what a list of hits is judged by, but its estimate is
    noisy. CE varies less, but it favours hubness, because the partners with the worst ranks weigh most in it.

    Args:
      folds: of `out_of_fold`.
      weights: [views], of `mixture`.
      rows: unit coordinates of both pools, where an expansion is compared.
      hubness: weights of the densities to choose from.
      expansion: weights of the expansion to choose from.
      shrink: weight of the cross-entropy, as a number of pairs; infinity = the cross-entropy alone.
      p: known pairs.
    """
    recall = 1 / (1 + shrink / p)
    total = np.zeros((len(hubness), len(expansion)))
    for fold in folds:
        h = fold.held
        x, y = (
            np.concatenate([np.sqrt(np.float32(w)) * z for w, z in zip(weights, side, strict=True) if w > LEAST_WEIGHT], axis=1)
            for side in (fold.x, fold.y)
        )
        spread = np.float32(deviation(x[h:], y[h:]))
        own = [rows[side][fold.order[side]] for side in (0, 1)]
        scores = (x @ y.T) / spread
        scores = [scores, np.ascontiguousarray(scores.T)]  # of each side's rows against the other's
        hubs = [_mean_best(scores[s][: fold.gallery[s], h:]) for s in (0, 1)]
        pool_hubs = [_mean_best(scores[s][h:, h:]) for s in (0, 1)]
        places = [expanded(scores[s][: fold.gallery[s], h:], own[1 - s][h:], pool_hubs[1 - s]) for s in (0, 1)]
        spreads = [deviation(places[s], own[1 - s][h:]) for s in (0, 1)]
        for side in (0, 1):
            other, g = 1 - side, fold.gallery[1 - side]
            plain = scores[side][:h, :g]
            more = places[side][:h] @ own[other][:g].T / np.float32(spreads[side])
            more += own[side][:h] @ places[other][:g].T / np.float32(spreads[other])
            near = int(np.argmin([_cross_entropy(np.float32(t) * plain, slope=False)[0] for t in SCALES]))
            for i, weight in enumerate(hubness):
                for j, gain in enumerate(expansion):
                    score = plain + np.float32(gain) * more - np.float32(weight) * hubs[other]
                    nats = min(_cross_entropy(np.float32(t) * score, slope=False)[0] for t in SCALES[near : near + 3])
                    total[i, j] += recall * _misses(score) + (1 - recall) * nats
    i, j = np.unravel_index(int(np.argmin(total)), total.shape)
    return float(hubness[i]), float(expansion[j])


def expanded(scores: Array, rows: Array, shift: Array) -> Array:
    """Unit rows in the other modality's own space: the mean of the 15 pool rows that score best after a correction of hubs."""
    return unit_rows(soft_weights(best_of(scores, 15, shift / 2), len(rows), 0.5) @ rows).astype(np.float32)


def _mean_best(scores: Array) -> Array:
    """`density` where the scores are there already."""
    return best_of(scores, HUB)[1].mean(axis=1)


def _misses(scores: Array) -> float:
    """Sum over queries [h, g] of rank / (k + rank), rank = columns strictly above the own one, k = `FOUND` of the columns."""
    ranks = np.sum(scores > np.diagonal(scores)[:, None], axis=1)
    return float(np.sum(ranks / (FOUND * scores.shape[1] + ranks)))


def _cross_entropy(scores: Array, slope: bool = True) -> tuple[float, Array]:
    """Sum over queries [h, g] of -log softmax at the own column, and its derivative by the scores."""
    rows = np.arange(len(scores))
    share = np.exp(scores - scores.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    nats = -float(np.log(np.maximum(share[rows, rows], 1e-30)).sum())
    if slope:
        share[rows, rows] -= 1
    return nats, share
