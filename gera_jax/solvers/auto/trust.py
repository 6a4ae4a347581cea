"""Which unpaired rows are of the pairs' distribution. The others are foreign, and a recipe that learns from them is misled."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from gera_jax.solvers.auto.search import BLOCK
from gera_jax.solvers.linear import even, from_mean, mean_row, unit_rows

Array = np.ndarray
FEWEST = 5  # pairs below which nothing can be told
LEARNED = 1000  # rows of each kind, at even steps, that the classifier is fitted on
WIDTH = 0.5  # of its kernel exp(-(1 - cos) / WIDTH)
DOUBT = 0.002  # probability with which a bound of the share may fail, at each of ten thresholds
DEVIATIONS = 2.88  # of a normal variable, for the same doubt
CERTAIN = 0.2  # foreign share that must be beyond doubt before a row is left out


class Trust(NamedTuple):
    """Which unpaired rows of a side are kept, and the estimated share of foreign ones: 0 where none is beyond doubt."""

    own: Array  # [n] bool
    foreign: float


def trusted(x_pairs: Array, y_pairs: Array, x: Array, y: Array) -> tuple[Array, Array, tuple[float, float]]:
    """The unpaired rows of both sides without foreign ones, and the shares of those. A `UserWarning` names them."""
    kept, shares = [], []
    for name, paired, rows in (("x", x_pairs, x), ("y", y_pairs, y)):
        found = trust(paired, rows)
        if found.foreign > 0:
            warnings.warn(
                f"{name}: an estimated {found.foreign:.0%} of the {len(rows)} unpaired rows are unlike the rows of the pairs. "
                f"{np.sum(~found.own)} rows are left out. Do they come from the same source and encoder as the pairs?",
                UserWarning,
                stacklevel=3,
            )
        kept.append(rows if found.own.all() else rows[found.own])
        shares.append(found.foreign)
    return kept[0], kept[1], (shares[0], shares[1])


def trust(paired: Array, unpaired: Array) -> Trust:
    """Which unpaired rows [n, d] look like the paired rows [p, d] of the same side.

    >>> rng = np.random.default_rng(0); own, foreign = rng.normal(size=(300, 9)), rng.normal(size=(400, 9)) + 3
    >>> found = trust(own[:100], np.concatenate([own[100:], foreign]))  # 400 of 600
    >>> round(found.foreign, 1), bool(found.own[:200].mean() > 0.9), bool(found.own[200:].mean() < 0.1)
    (0.7, True, True)
    >>> trust(own[:100], own[100:]).foreign
    0.0

    A kernel ridge regression tells paired rows (+1) from unpaired ones (-1), both kinds with the same total weight. The score of
    a row is the prediction of a regression without that row, so paired and own unpaired rows have scores of one distribution.
    With P(t) and Q(t) the shares of paired and of unpaired rows that score at least t, at most Q(t) / P(t) of the unpaired rows
    are own, whatever t. Rows are left out only where this bound, with the errors of both shares added, says that more than
    CERTAIN are foreign. The estimated share a of own rows is then Q(t) / P(t) at the t with the least bound, and rows below the t
    with the least Q(t) - 2 a P(t) are left out: that is the expected share of rows on the wrong side, up to a constant. The
    thresholds t are the lower half of the paired rows' scores.

    Below FEWEST pairs all rows are kept. Cost: O(l^3 + n l d) for l = 2 LEARNED rows, and O(l^3) where nothing is foreign.
    """
    from scipy.special import betaincinv

    everything = Trust(np.ones(len(unpaired), bool), 0.0)
    if len(unpaired) < 10 or len(paired) < FEWEST:
        return everything
    mean = mean_row(paired)
    taken, p = even(len(unpaired), LEARNED), min(len(paired), LEARNED)
    rows = _units(np.concatenate([paired[even(len(paired), LEARNED)], unpaired[taken]]), mean)
    scores, weights = _leave_one_out(rows, p)
    known, others = np.sort(scores[:p]), scores[p:]
    ranks = np.unique(np.ceil(np.arange(1, 11) / 20 * p).astype(int))
    reached = np.array([np.mean(others >= cut) for cut in known[ranks - 1]])
    surely = betaincinv(p - ranks + 1, ranks, DOUBT)  # P of a threshold that is the score of that rank among p
    above = reached + DEVIATIONS * np.sqrt(np.maximum(reached * (1 - reached), 1 / len(others)) / len(others))
    surest = np.argmin(above / surely)
    if above[surest] / surely[surest] > 1 - CERTAIN:
        return everything
    usual = (p - ranks + 1) / (p + 1)
    share = float(min(1.0, reached[surest] / usual[surest]))
    cut = known[ranks - 1][np.argmin(reached - 2 * share * usual)]
    blocks = (unpaired[i : i + BLOCK] for i in range(0, len(unpaired), BLOCK))
    found = np.concatenate([_kernel(_units(block, mean), rows) @ weights for block in blocks])
    found[taken] = others
    return Trust(found >= cut, 1 - share)


def _units(rows: Array, mean: Array) -> Array:
    return unit_rows(from_mean(rows, mean)).astype(np.float32)


def _leave_one_out(rows: Array, p: int) -> tuple[Array, Array]:
    """[n] scores of rows, the first p of them paired, each without the row itself; [n] weights of the regression on all."""
    n = len(rows)
    label = np.where(np.arange(n) < p, 1.0, -1.0)
    noise = 2 * np.where(label > 0, p, n - p) / n
    inverse = np.linalg.inv(_kernel(rows, rows).astype(np.float64) + np.diag(noise))
    weights = inverse @ label
    return label - weights / np.diagonal(inverse), weights


def _kernel(a: Array, b: Array) -> Array:
    """exp(-(1 - cos) / WIDTH), and 1 for a free constant."""
    return np.exp((a @ b.T - 1) / np.float32(WIDTH)) + 1
