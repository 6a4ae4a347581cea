"""Wasserstein Procrustes: a hidden rotation from two pairs and unpaired rows, and the matching it starts from."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.solvers import Procrustes, WassersteinProcrustes, quadratic_assignment


def rotated(n=400, d=4, noise=0.02, seed=0):
    """A skewed cloud, whose shape tells its rotation, and the rotated cloud with noise."""
    rng = np.random.default_rng(seed)
    x = rng.exponential(size=(n, d)) * np.linspace(1, 2, d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return x, x @ turn + noise * rng.normal(size=(n, d)), turn


def hits(model, x, y):
    return np.mean(model.similarity(x, y).argmax(1) == np.arange(len(x)))


def test_a_hidden_rotation_from_two_pairs_and_unpaired_rows():
    """The two sets share no item but the pairs: x keeps even rows, y odd ones."""
    x, y, turn = rotated(1200, seed=1)
    pairs, x_pool, y_pool, test = slice(0, 2), x[2:1000:2], y[3:1000:2], slice(1000, 1200)
    model = WassersteinProcrustes(rounds=5, batch=300).fit(x[pairs], y[pairs], x_pool, y_pool)
    assert np.abs(model.x_weights @ model.y_weights.T - turn).max() < 0.1
    assert hits(model, x[test], y[test]) > 0.9
    assert hits(Procrustes().fit(x[pairs], y[pairs], x_pool, y_pool), x[test], y[test]) < 0.3  # companion: pairs alone
    wrong = WassersteinProcrustes(rounds=5, batch=300).fit(x[pairs], y[pairs], x_pool, y_pool**3)
    assert hits(wrong, x[test], y[test]) < 0.3  # companion: a set of another shape


@pytest.mark.parametrize("pairs", [8, 20])
def test_known_pairs_alone_are_procrustes(pairs):
    x, y, _ = rotated(40)
    alone = WassersteinProcrustes().fit(x[:pairs], y[:pairs])
    unit = [v - v[:pairs].mean(0) for v in (x, y)]
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in unit]
    u, _, vt = np.linalg.svd(unit[0][:pairs].T @ unit[1][:pairs])
    np.testing.assert_allclose(alone.x_weights @ alone.y_weights.T, u @ vt, atol=1e-9)


def test_the_mass_of_the_pairs_decides_against_the_cloud():
    """Pairs of one rotation, clouds of another: with enough mass the pairs win."""
    x, _, turn = rotated(200)
    x = np.concatenate([x, -x])  # both clouds and both sides of the pairs then have the mean 0
    other = np.linalg.qr(np.random.default_rng(9).normal(size=(4, 4)))[0]
    pairs, x_pool, y_pool = np.r_[0:10, 200:210], np.r_[10:90, 210:290], np.r_[90:190, 290:390]

    def distance(mass):
        model = WassersteinProcrustes(rounds=5, pair_mass=mass)
        model.fit(x[pairs], x[pairs] @ turn, x[x_pool], x[y_pool] @ other)
        return np.abs(model.x_weights @ model.y_weights.T - turn).max()

    assert distance(1000.0) < 0.1 < 0.3 < distance(0.001)


def value(a, b, linear, match):
    return np.sum(a * b[np.ix_(match, match)]) + 2 * linear[np.arange(len(a)), match].sum()


def test_quadratic_assignment_finds_the_hidden_order_and_is_near_the_best():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 3))
    order = rng.permutation(12)
    a = points @ points.T
    assert quadratic_assignment(a, a[np.ix_(order, order)], np.zeros((12, 12))).tolist() == np.argsort(order).tolist()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        a, b, linear = (rng.normal(size=(6, 6)) for _ in range(3))
        a, b = a + a.T, b + b.T
        values = [value(a, b, linear, np.array(m)) for m in itertools.permutations(range(6))]
        got = value(a, b, linear, quadratic_assignment(a, b, linear))
        assert got >= np.quantile(values, 0.95)
        assert value(a, b, linear, np.arange(6)) < got  # companion


def test_the_linear_term_breaks_a_tie():
    a = np.ones((5, 5))
    wanted = np.eye(5)[[3, 1, 4, 0, 2]]
    assert quadratic_assignment(a, a, wanted).tolist() == [3, 1, 4, 0, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(pair_mass=0), "pair_mass: got 0; wanted a number > 0."),
        (dict(centers=1), "centers: got 1; wanted at least 2."),
        (dict(dim=0), "dim: got 0; wanted None or at least 1."),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError) as error:
        WassersteinProcrustes(**options)
    assert str(error.value) == words


def test_rows_that_are_all_equal():
    with pytest.raises(InputError) as error:
        WassersteinProcrustes().fit(np.ones((3, 2)), np.eye(3))
    assert str(error.value) == (
        "x_pairs: got rows that are all equal; wanted rows that differ. Are the right array and the right rows given?"
    )
