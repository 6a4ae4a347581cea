"""Held-out pairs choose: the head that knows the relation, the hubs that are there, and nothing from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import logsumexp

from gera_jax.solvers import CotrainedHeads
from gera_jax.solvers.auto.choice import FOUND, SCALES, Fold, _cross_entropy, _misses, corrections, mixture, out_of_fold, parts
from gera_jax.solvers.soft_cca import Ridge, deviation, moments


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def fold(noises, held=60, rows=160, seed=0, dim=12):
    """One fold of views whose scores show the true pairs under noise."""
    rng = np.random.default_rng(seed)
    z, sides = rng.normal(size=(rows, dim)), ([], [])
    for noise in noises:
        for side in sides:
            side.append(unit(z + noise * rng.normal(size=z.shape)).astype(np.float32))
    for x, y in zip(*sides, strict=True):
        scale = np.float32(deviation(x, y) ** -0.5)
        x *= scale
        y *= scale
    return Fold(held, *sides, (np.arange(rows), np.arange(rows)), (rows, rows))


def test_the_mixture_finds_the_head_that_knows():
    weights = mixture([fold((0.3, 30.0))], shrink=0.0, p=60)
    assert weights.sum() == pytest.approx(2) and weights[0] > 1.9
    even = mixture([fold((0.6, 0.6))], shrink=0.0, p=60)  # companion: two heads that know alike
    assert abs(even[0] - even[1]) < 0.5


def test_shrinkage_pulls_to_equal_weights():
    folds = [fold((0.5, 1.5))]
    gaps = [np.ptp(mixture(folds, shrink=s, p=60)) for s in (0.0, 30.0, 1e5)]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.02


def test_no_head_knows_anything_gives_finite_weights():
    weights = mixture([fold((1e6, 1e6), held=20, rows=40)], shrink=10.0, p=20)
    assert np.isfinite(weights).all() and weights.sum() == pytest.approx(2)


def test_the_slope_of_the_cross_entropy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 7))
    nats, slope = _cross_entropy(scores)
    want = sum(np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(scores))
    assert nats == pytest.approx(want)
    for i, j in ((0, 0), (1, 3), (3, 2)):
        moved = scores.copy()
        moved[i, j] += 1e-5
        assert (_cross_entropy(moved)[0] - nats) / 1e-5 == pytest.approx(slope[i, j], abs=1e-4)


def test_soft_misses_are_those_of_a_loop():
    scores = np.random.default_rng(3).normal(size=(5, 100)).astype(np.float32)
    ranks = [sum(s > row[i] for s in row) for i, row in enumerate(scores)]
    assert FOUND * 100 == 2 and _misses(scores) == pytest.approx(sum(r / (2 + r) for r in ranks))
    assert _misses(np.eye(5, 100)) == 0 and _misses(-np.eye(5, 100)) == pytest.approx(5 * 99 / 101)
    assert abs(_misses(scores) - sum(r / (3 + r) for r in ranks)) > 0.1  # companion: another k


@pytest.mark.parametrize("shrink", [0.0, 10.0, 1e4, math.inf])
def test_the_hubness_has_the_least_misses_and_nats(shrink):
    """Against p M + shrink CE by loops over rows in float64, where there are hubs and some partners are far away."""
    rng, p = np.random.default_rng(1), 60
    z = rng.normal(size=(400, 12))
    x, y = (
        np.concatenate([unit(z + 0.3 * rng.normal(size=z.shape)), 1 + np.abs(rng.normal(size=(400, 1)))], axis=1) for _ in "xy"
    )
    x[p:, :12] = unit(rng.normal(size=(340, 12)))
    y[:p:8, :12] = y[:p:8, :12][::-1]
    x, y = (v * np.std(x @ y.T) ** -0.5 for v in (x, y))
    hubness, scale = np.linspace(0, 1, 9), np.std(x[p:] @ y[p:].T)

    def oracle(misses, nats):  # the weights of M and of CE
        total = np.zeros(len(hubness))
        for a, b in ((x, y), (y, x)):
            hubs, near = [np.mean(sorted(row)[-10:]) for row in b @ a[p:].T / scale], None
            for i, weight in enumerate(hubness):  # no hubness first
                score = a[:p] @ b.T / scale - weight * np.array(hubs)
                ranks = [sum(row > row[own]) for own, row in enumerate(score)]
                at = [sum(logsumexp(t * row) - t * row[own] for own, row in enumerate(score)) for t in SCALES]
                near = np.argmin(at) if near is None else near
                total[i] += misses * sum(r / (8 + r) for r in ranks) + nats * min(at[near : near + 3])
        return hubness[np.argmin(total)]

    fold = Fold(p, [x.astype(np.float32)], [y.astype(np.float32)], (np.arange(400),) * 2, (400, 400))
    found = corrections([fold], np.ones(1), (np.eye(400, 5), np.eye(400, 5)), hubness, (0.0,), shrink, p)[0]
    assert found == oracle(*((p, shrink) if shrink < math.inf else (0, 1)))
    if shrink != 10:  # companion: the weights the other way round choose another
        assert found != oracle(*((shrink, p) if shrink < math.inf else (1, 0)))


def test_hubness_is_chosen_where_there_are_hubs():
    rng = np.random.default_rng(0)
    z, options = rng.normal(size=(160, 12)), (np.ones(1), (np.eye(160, 5), np.eye(160, 5)), (0.0, 0.25, 0.5), (0.0,), 10.0, 60)

    def chosen(x, y):
        scale = np.float32(deviation(x, y) ** -0.5)
        sides = [[(v * scale).astype(np.float32)] for v in (x, y)]
        return corrections([Fold(60, *sides, (np.arange(160),) * 2, (110, 110))], *options)[0]

    rows = [unit(z + 0.8 * rng.normal(size=z.shape)) for _ in range(2)]
    hubs = [np.concatenate([v, np.full((160, 1), 1.0)], axis=1) for v in rows]
    for v in hubs:
        v[:, -1] += np.abs(rng.normal(size=160))  # some rows are near to everything
    assert chosen(*hubs) == 0.5
    dense = [v.copy() for v in rows]
    for v in dense:
        v[110:] = v[rng.integers(60, size=50) // 6]  # companion: the pool is dense around ten right partners, not around hubs
    assert chosen(*dense) < 0.5


def test_held_out_pairs_are_not_seen_by_their_fit():
    rng = np.random.default_rng(2)
    views = [(rng.normal(size=(130, 6)).astype(np.float32), rng.normal(size=(120, 5)).astype(np.float32))]

    def folds_of(views):
        return out_of_fold([Ridge(*view, 100, 0.5) for view in views], views, 100)

    folds = folds_of(views)
    assert [f.held for f in folds] == [20] * 5 and folds[0].gallery == (50, 40)
    assert sorted(np.concatenate([f.order[0][: f.held] for f in folds])) == list(range(100))
    other = (views[0][0].copy(), views[0][1])
    other[0][folds[0].order[0][:20]] += 5  # what the first fold holds out moves: its fit does not, the others' do
    moved = folds_of([other])
    rest = slice(20, 50)
    cos = [np.abs(np.sum(unit(a.y[0][rest]) * unit(b.y[0][rest]), axis=1)).mean() for a, b in zip(folds, moved, strict=True)]
    assert cos[0] > 0.999 and min(cos[1:]) < 0.999


@pytest.mark.parametrize("width", [3, 90])  # by Gram matrices; by two blocks
def test_the_deviation_of_scores(width):
    x, y = (np.random.default_rng(seed).normal(size=(rows, width)) + 1 for seed, rows in ((0, 1100), (1, 60)))
    assert deviation(x, y) == pytest.approx(np.std(x @ y.T), rel=1e-9)
    assert abs(deviation(x, y) / np.sqrt(np.mean((x @ y.T) ** 2)) - 1) > 0.01  # companion: the mean is taken off


def test_factors_give_ridge_cca():
    """Against inverse roots and a full SVD."""
    rng = np.random.default_rng(4)
    z = rng.normal(size=(80, 4))
    x, y = (z @ rng.normal(size=(4, d)) + 0.3 * rng.normal(size=(80, d)) for d in (7, 5))
    x, y = (v - v.mean(axis=0) for v in (x, y))
    roots = []
    for v in (x, y):
        s = v.T @ v / 80
        values, vectors = np.linalg.eigh(s + 0.4 * np.trace(s) / len(s) * np.eye(len(s)))
        roots.append((vectors / np.sqrt(values)) @ vectors.T)
    u, rho, vt = np.linalg.svd(roots[0] @ (x.T @ y / 80) @ roots[1])
    want = unit(x @ roots[0] @ u[:, :5] * rho) @ unit(y @ roots[1] @ vt.T * rho).T
    x32, y32 = x.astype(np.float32), y.astype(np.float32)
    heads = Ridge(x32, y32, 80, 0.4).fit()
    got = heads.apply(x, 0) @ heads.apply(y, 1).T / heads.scale**2
    np.testing.assert_allclose(got, want, atol=2e-3)
    weaker = Ridge(x32, y32, 80, 4.0).fit()  # companion: another ridge
    assert np.abs(weaker.apply(x, 0) @ weaker.apply(y, 1).T / weaker.scale**2 - want).max() > 2e-2


def test_moments_of_a_fold_are_all_less_those_held_out():
    """Against covariances of the fold's own rows in float64; to 2e-6 of the largest entry."""
    rng = np.random.default_rng(6)
    x, y = (rng.normal(size=(900, d)).astype(np.float32) + 0.3 for d in (20, 11))
    held = np.arange(1, 700, 3)
    seen = np.setdiff1d(np.arange(700), held)
    found = (moments(x, y, np.arange(700)) - moments(x, y, held)).covariances()
    plain = np.cov(np.concatenate([x[seen], y[seen]], axis=1).T.astype(np.float64), bias=True)
    for got, want in zip(found, (plain[:20, :20], plain[20:, 20:], plain[:20, 20:]), strict=True):
        assert np.abs(got - want).max() < 2e-6 * np.abs(plain).max()
    whole = moments(x, y, np.arange(700)).covariances()  # companion: nothing is held out
    assert np.abs(whole[0] - plain[:20, :20]).max() > 1e-3 * np.abs(plain).max()


@pytest.mark.parametrize(("p", "folds", "held"), [(100, 5, 20), (500, 3, 167), (2000, 1, 500), (40_000, 1, 1213)])
def test_folds_hold_out_pairs_that_no_other_does(p, folds, held):
    found = parts(p)
    assert len(found) == folds and len(found[0]) == held
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))


def test_the_fit_drops_views_that_mislead():
    """y is a rotation of x: the plain view is exact, and the mixture says so; below 100 pairs it is equal, without the narrow kernel."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(300, 8))
    y = x @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    model = CotrainedHeads(views=("plain", "narrow")).fit(x[:120], y[:120], x=x[120:180], y=y[180:240])
    assert model.mixture[0] > model.mixture[1] and model.mixture.sum() == pytest.approx(2)
    assert np.mean(model.similarity(x[240:], y[240:]).argmax(axis=1) == np.arange(60)) > 0.95
    few = CotrainedHeads().fit(x[:60], y[:60], x=x[120:180], y=y[180:240])
    weight = 3 / (2 + 60 / 400)  # of two views; the smoothed one has the share that 60 of 400 unpaired rows give it
    np.testing.assert_allclose(few.mixture, [weight, weight * 60 / 400, weight])
    alone = CotrainedHeads(views=("narrow",)).fit(x[:60], y[:60])
    np.testing.assert_array_equal(alone.mixture, [1])
    assert (few.hubness_used, few.expansion_used) == (0.25, 0.15)
    asked = CotrainedHeads(hubness=0.3, expansion=0.0, shrink=np.inf).fit(x[:120], y[:120], x=x[120:180], y=y[180:240])
    assert (asked.hubness_used, asked.expansion_used) == (0.3, 0.0)
    np.testing.assert_array_equal(asked.mixture, np.ones(4))
