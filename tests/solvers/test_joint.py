"""The narrow form of the mixed score: exact where the space is wide enough, near where it is not, and the same when it is folded."""

from __future__ import annotations

import numpy as np

from gera_jax.solvers.auto.joint import LENGTH, Group, joint_maps
from gera_jax.solvers.soft_cca import Heads

RNG = np.random.default_rng(0)


def heads(fx, fy, r, seed, scale):
    rng = np.random.default_rng(seed)
    spread = 0.9 ** np.arange(r)
    return Heads(tuple((rng.normal(size=(f, r)) * spread).astype(np.float32) for f in (fx, fy)), scale)


def near(own, seed):
    """Heads that differ a little, as those before and after co-training do."""
    rng = np.random.default_rng(seed)
    return Heads(tuple((w + 0.1 * w.std() * rng.normal(size=w.shape)).astype(np.float32) for w in own.weights), 1.4)


def features(n, widths, seed):
    rng = np.random.default_rng(seed)
    return [tuple(rng.normal(size=(n, f)).astype(np.float32) for f in pair) for pair in widths]


def score(groups, rows):
    """The sum over all heads of weight times scale^2 times cosine, a pair of rows at a time, in float64."""
    n, m = len(rows[0][0]), len(rows[0][1])
    found = np.zeros((n, m))
    for group in groups:
        for weight, own in group.terms:
            a, b = (rows[group.view][side].astype(np.float64) @ own.weights[side] for side in (0, 1))
            for i in range(n):
                for j in range(m):
                    found[i, j] += weight * own.scale**2 * (a[i] @ b[j]) / np.linalg.norm(a[i]) / np.linalg.norm(b[j])
    return found


def products(groups, maps, rows):
    x, y = (sum(own[side](rows[group.view][side]) for group, own in zip(groups, maps, strict=True)) for side in (0, 1))
    return x, y, x @ y.T


WIDTHS = [(12, 9), (20, 15)]


def test_heads_of_few_columns_are_kept_whole():
    groups = [Group(0, [(1.0, heads(12, 9, 6, 1, 2.0))]), Group(1, [(0.7, heads(20, 15, 8, 2, 1.5))])]
    rows = features(30, WIDTHS, 5)
    maps = joint_maps(groups, features(200, WIDTHS, 4), 14)
    x, _, got = products(groups, maps, rows)
    assert x.shape == (30, 14)
    np.testing.assert_allclose(got, score(groups, rows), atol=1e-4)
    other = [groups[0], Group(1, [(1.4, groups[1].terms[0][1])])]  # companion: another weight
    assert np.abs(score(other, rows) - got).max() > 0.1


def test_fewer_columns_keep_the_leading_directions():
    groups = [Group(0, [(1.0, heads(12, 9, 9, 1, 2.0))]), Group(1, [(0.7, heads(20, 15, 15, 2, 1.5))])]
    rows, samples = features(30, WIDTHS, 5), features(300, WIDTHS, 4)
    want = score(groups, rows).ravel()
    near_all, few = (products(groups, joint_maps(groups, samples, k), rows)[2].ravel() for k in (20, 3))
    assert np.corrcoef(want, near_all)[0, 1] > 0.99 > 0.9 > np.corrcoef(want, few)[0, 1]


def test_two_stages_of_one_view_share_their_map():
    first = heads(20, 15, 10, 2, 1.5)
    groups = [Group(0, [(1.0, near(first, 3)), (0.5, first)])]
    rows, samples = features(30, WIDTHS[1:], 5), features(300, WIDTHS[1:], 4)
    maps = joint_maps(groups, samples, 20)
    assert maps[0][0].weights.shape == (20, 40)  # of two heads of 10 columns, and as many directions of their lengths
    want, got = score(groups, rows).ravel(), products(groups, maps, rows)[2].ravel()
    assert np.corrcoef(want, got)[0, 1] > 0.999
    strange = [Group(0, [(1.0, heads(20, 15, 10, 7, 1.5)), (0.5, first)])]  # companion: lengths that have nothing in common
    apart = products(strange, joint_maps(strange, samples, 20), rows)[2].ravel()
    assert np.corrcoef(score(strange, rows).ravel(), apart)[0, 1] < 0.999


def test_the_length_is_that_of_many_directions():
    """Heads of more columns than LENGTH, whose rest is estimated: right in the mean, also for rows unlike the samples."""
    rng = np.random.default_rng(3)
    own = Heads(tuple((rng.normal(size=(400, 300)) * 0.99 ** np.arange(300)).astype(np.float32) for _ in "xy"), 1.0)
    rows, samples = features(200, [(400, 400)], 5), features(900, [(400, 400)], 4)
    (maps,) = joint_maps([Group(0, [(1.0, own)])], samples, 300)
    assert maps[0].weights.shape[1] == 300 + sum(LENGTH) < 600
    odd = rows[0][0] * np.linspace(0.2, 3, 400, dtype=np.float32)
    for new in (rows[0][0], odd):
        lengths = np.linalg.norm(maps[0](new), axis=1)
        assert abs(lengths.mean() - 1) < 0.02 and lengths.std() < 0.06
    alone = np.linalg.norm(odd @ own.weights[0][:, :64], axis=1) / np.linalg.norm(odd @ own.weights[0], axis=1)
    assert abs(alone.mean() - 1) > 0.1  # companion: the leading directions alone


def test_folded_maps_take_what_features_are_made_from():
    groups = [Group(0, [(1.0, heads(12, 9, 6, 1, 2.0))])]
    (maps,) = joint_maps(groups, features(200, WIDTHS[:1], 4), 6)
    raw, linear = RNG.normal(size=(30, 5)).astype(np.float32), RNG.normal(size=(5, 12)).astype(np.float32)
    mean = RNG.normal(size=12).astype(np.float32)
    want = maps[0](raw @ linear - mean)
    np.testing.assert_allclose(maps[0].folded(linear, mean)(raw), want, atol=1e-5)
    assert np.abs(maps[0].folded(linear, 0 * mean)(raw) - want).max() > 0.1  # companion: no mean
    np.testing.assert_allclose(maps[0].folded(None, mean)(raw @ linear), want, atol=1e-5)


def test_rows_of_no_direction_stay_zero():
    groups = [Group(0, [(1.0, heads(12, 9, 6, 1, 2.0))])]
    (maps,) = joint_maps(groups, features(200, WIDTHS[:1], 4), 6)
    assert np.all(maps[0](np.zeros((2, 12), np.float32)) == 0)
