"""Weights of several tables of one modality, estimated from held-out pairs."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from gera_jax.data.alignment import AlignmentData
from gera_jax.data.preprocessing import Features, Preprocessor
from gera_jax.solvers.auto.choice import Fold, mixture, out_of_fold
from gera_jax.solvers.linear import even
from gera_jax.solvers.ridge_cca import regularization_rule
from gera_jax.solvers.soft_cca import Ridge

ENOUGH_PAIRS = 100  # from which on they choose the weights; so few of less say nothing
MOST_PAIRS = 4000  # known pairs that are looked at
SHRINK = 30.0  # strength of the pull to equal weights, as a number of pairs


class TableWeights(NamedTuple):
    """Weights of a modality's tables, of mean 1, and how well each alone ranks held-out partners (mean reciprocal rank)."""

    weights: list[float]
    alone: list[float]


def weigh_tables(data: AlignmentData) -> AlignmentData:
    """`data` with the tables of each modality weighted; as it is where a modality has one table, or weights of its own.

    For each table of a modality ridge CCA is fitted, beside all tables of the other modality, without each fold of the known
    pairs. The weights are those under which held-out partners are most likely in the weighted sum of the scores, drawn towards
    equal weights (`auto.choice.mixture`). Below 100 known pairs, and of three modalities, they are equal.

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(400, 4))
    >>> from gera_jax.data import Pairs; from gera_jax.data.alignment import prepare
    >>> good, noise, y = z @ rng.normal(size=(4, 8)), rng.normal(size=(400, 8)), z @ rng.normal(size=(4, 6))
    >>> pairs = Pairs.from_arrays([good, noise], y)
    >>> data = weigh_tables(prepare(pairs, pairs.take([]), pairs.take([]), preprocess=pairs.preprocess))
    >>> weights = data.preprocessors["x"].options["weights"]
    >>> weights[0] > 5 * weights[1]
    True
    """
    found = table_weights(data)
    if not found:
        return data
    preprocessors, features = dict(data.preprocessors), dict(data.features)
    for name, own in found.items():
        preprocessors[name] = data.preprocessors[name].weighted(own.weights)
        features[name] = Features(data.tables[name], preprocessors[name])
    return dataclasses.replace(data, preprocessors=preprocessors, features=features)


def table_weights(data: AlignmentData) -> dict[str, TableWeights]:
    """Of each modality of several tables whose weights are not given; empty where they are equal by rule."""
    names, pairs = data.names, data.pairs[even(len(data.pairs), MOST_PAIRS)]
    open_ones = [name for name in names if (o := data.preprocessors[name].options)["parts"] and not o["weights"]]
    if len(names) != 2 or len(pairs) < ENOUGH_PAIRS or not open_ones:
        return {}
    pools = [np.concatenate([pairs[:, side], data.unpaired[name]]) for side, name in enumerate(names)]
    rows = [data.features[name].take(pool) for name, pool in zip(names, pools, strict=True)]
    rows = [own - own.mean(axis=0) for own in rows]
    found = {}
    for side, name in enumerate(names):
        if name in open_ones:
            tables = np.split(rows[side], np.cumsum(_dims(data.preprocessors[name]))[:-1], axis=1)
            views = [(own, rows[1]) if side == 0 else (rows[0], own) for own in tables]
            learners = [Ridge(*view, len(pairs), regularization_rule(len(pairs))) for view in views]
            folds = out_of_fold(learners, views, len(pairs))
            weights = mixture(folds, SHRINK, len(pairs))
            found[name] = TableWeights(weights.tolist(), [_reciprocal_rank(folds, i) for i in range(len(views))])
    return found


def _dims(preprocessor: Preprocessor) -> list[int]:
    return [table.dim for table in preprocessor.tables]


def _reciprocal_rank(folds: list[Fold], view: int) -> float:
    """Mean of 1 / rank of held-out partners among held-out and unpaired rows, both ways, by one view's score."""
    found = []
    for fold in folds:
        for side, (own, other) in enumerate(((fold.x, fold.y), (fold.y, fold.x))):
            scores = own[view][: fold.held] @ other[view][: fold.gallery[1 - side]].T
            found.append(1.0 / (1 + np.sum(scores > np.diagonal(scores)[:, None], axis=1)))
    return float(np.concatenate(found).mean())
