"""Weights of tables: small for a poor one, equal for equal ones, and only where pairs can tell."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.data import Pairs
from gera_jax.data.alignment import prepare
from gera_jax.solvers.several_tables import table_weights, weigh_tables


def world(poor, n=500, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 6))
    good = [z @ rng.normal(size=(6, 20)) + 0.8 * rng.normal(size=(n, 20)) for _ in range(2)]
    third = dict(noise=rng.normal(size=(n, 20)), exchanged=good[0][rng.permutation(n)], good=z @ rng.normal(size=(6, 20)))[poor]
    return Pairs.from_arrays([*good, third], z @ rng.normal(size=(6, 15)) + 0.5 * rng.normal(size=(n, 15)))


def weights(pairs, **options):
    data = prepare(pairs, pairs.take([]), pairs.take([]), preprocess={"x": {**pairs.preprocess["x"], **options}})
    return weigh_tables(data).preprocessors["x"].options["weights"]


@pytest.mark.parametrize("poor", ["noise", "exchanged"])
def test_a_poor_table_weighs_little_and_good_ones_alike(poor):
    found = weights(world(poor).head(300))
    assert sum(found) == pytest.approx(3.0)
    assert found[2] < 0.25 and min(found[:2]) > 0.8
    assert weights(world("good").head(300))[2] > 0.7  # companion: a good third table keeps its weight


def test_few_pairs_leave_the_weights_equal():
    assert weights(world("noise").head(99)) == []
    assert weights(world("noise").head(100)) != []


def test_weights_that_are_given_stay():
    assert weights(world("noise").head(300), weights=[1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]


def test_each_table_is_said_to_be_worth_something_alone():
    pairs = world("noise").head(300)
    equal = prepare(pairs, pairs.take([]), pairs.take([]), preprocess=pairs.preprocess)
    data, alone = weigh_tables(equal), table_weights(equal)["x"].alone
    assert min(alone[:2]) > 3 * alone[2] and data.features["x"].dim == 60
    assert weigh_tables(data) is data  # they are given now
