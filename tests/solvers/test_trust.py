"""Foreign unpaired rows: found, told of and left out, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.solvers import CotrainedHeads, RidgeCCA
from gera_jax.solvers.auto import recipe
from gera_jax.solvers.auto.trust import LEARNED, _kernel, _leave_one_out, _units, trust


def cloud(n, seed, width=20, mixing=99):
    """Rows about one point, long in 8 of the directions. The shape is always the same, and the seed draws the rows."""
    shape, rng = np.random.default_rng(mixing), np.random.default_rng(seed)
    return shape.normal(size=width) + rng.normal(size=(n, 8)) @ shape.normal(size=(8, width)) + 0.5 * rng.normal(size=(n, width))


def other_cloud(n, seed):
    return cloud(n, seed, mixing=77)


@pytest.mark.parametrize(("p", "foreign"), [(20, 0.9), (60, 0.6), (100, 0.5), (100, 0.9)])
def test_foreign_rows_are_found_and_counted(p, foreign):
    mixed = np.concatenate([cloud(200, 1), other_cloud(round(200 * foreign / (1 - foreign)), 2)])
    order = np.random.default_rng(3).permutation(len(mixed))
    found = trust(cloud(p, 4), mixed[order])
    assert found.foreign == pytest.approx(foreign, abs=0.15)
    assert found.own[order < 200].mean() > 0.8 and found.own[order >= 200].mean() < 0.05
    swapped = trust(other_cloud(100, 4), mixed[:400])  # companion: with pairs of the other cloud, the other half is foreign
    assert swapped.own[:200].mean() < 0.05 and swapped.own[200:].mean() > 0.8


def test_rows_with_the_same_mean_are_found():
    rng = np.random.default_rng(0)
    line = rng.normal(size=(300, 12)) * np.where(np.arange(12) < 3, 3.0, 0.3)
    plane = rng.normal(size=(600, 12)) * np.where(np.arange(12) > 8, 3.0, 0.3)
    found = trust(line[:60], np.concatenate([line[60:], plane]))
    assert found.own[:240].mean() > 0.85 and found.own[240:].mean() < 0.05


def test_own_rows_are_kept():
    alarms = sum(trust(cloud(p, 2 * seed), cloud(300, 2 * seed + 1)).foreign > 0 for p in (5, 10, 20, 60) for seed in range(10))
    assert alarms <= 1, alarms
    # companion: scores of a regression that has seen the rows tell any two draws apart
    rows = _units(np.concatenate([cloud(60, 0), cloud(300, 1)]), cloud(60, 0).mean(axis=0))
    unseen, weights = _leave_one_out(rows, 60)
    seen = _kernel(rows, rows) @ weights
    apart, alike = (np.mean(score[60:] >= np.median(score[:60])) for score in (seen, unseen))
    assert apart < 0.2 and alike > 0.35


def test_a_score_is_that_of_a_regression_without_the_row():
    rows = _units(cloud(30, 0), cloud(30, 0).mean(axis=0))
    scores, _ = _leave_one_out(rows, 10)
    label, noise = np.where(np.arange(30) < 10, 1.0, -1.0), 2 * np.where(np.arange(30) < 10, 10, 20) / 30
    for row in (3, 20):
        rest = np.delete(np.arange(30), row)
        solved = np.linalg.solve(_kernel(rows[rest], rows[rest]) + np.diag(noise[rest]), label[rest])
        assert scores[row] == pytest.approx(float(_kernel(rows[[row]], rows[rest])[0] @ solved), abs=1e-5)
        assert abs(scores[row] - label[row]) > 0.05  # companion: the label itself


def test_rows_beyond_those_of_the_fit_are_judged_alike():
    mixed = np.concatenate([cloud(500, 1), other_cloud(2 * LEARNED, 2)])
    found = trust(cloud(50, 4), mixed)
    assert found.own[:500].mean() > 0.8 and found.own[500:].mean() < 0.05
    assert found.foreign == pytest.approx(0.8, abs=0.1)


def test_too_few_rows_to_tell():
    for paired, unpaired in ((cloud(4, 0), other_cloud(100, 1)), (cloud(50, 0), other_cloud(9, 1)), (cloud(50, 0), cloud(0, 1))):
        found = trust(paired, unpaired)
        assert found.own.all() and found.foreign == 0 and len(found.own) == len(unpaired)
    assert not trust(cloud(50, 0), other_cloud(100, 1)).own.any()  # companion: every row is foreign, and none is left


def pairs_and_foreign(seed, p=40, own=100, foreign=1000):
    """Pairs, own unpaired rows, foreign ones and 200 test rows. The foreign rows have a shape that a matching may follow."""
    rng, n = np.random.default_rng(seed), p + 2 * own + 200
    turn, cloud_of_all = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0], cloud(n, seed)
    y = np.tanh(cloud_of_all @ rng.normal(size=(20, 16)) / 4) + 0.3 * rng.normal(size=(n, 16))
    x = cloud_of_all + 0.5 * rng.normal(size=(n, 20))
    bad_y = np.tanh(cloud(foreign, seed + 60) @ turn @ rng.normal(size=(20, 16)) / 4) + 1
    pairs, mine = dict(x_pairs=x[:p], y_pairs=y[:p]), dict(x=x[p : p + own], y=y[p + own : p + 2 * own])
    return pairs, mine, dict(x=cloud(foreign, seed + 50) @ turn + 1, y=bad_y), x[-200:], y[-200:]


def foscttm(model, x, y):
    scores = model.similarity(x, y)
    own = np.diag(scores)
    return ((scores > own[:, None]).mean() + (scores > own[None]).mean()) / 2


def test_foreign_rows_do_not_hurt(monkeypatch):
    errors = []
    for seed in (0, 1):
        pairs, mine, bad, x, y = pairs_and_foreign(seed)
        mixed = {side: np.concatenate([mine[side], bad[side]]) for side in "xy"}
        clean = CotrainedHeads().fit(**pairs, **mine)
        assert clean.foreign_share == (0.0, 0.0)
        with pytest.warns(UserWarning, match=r"[xy]: an estimated \d+% of the 1100 unpaired rows") as told:
            found = CotrainedHeads().fit(**pairs, **mixed)
        assert [str(note.message)[0] for note in told] == ["x", "y"]
        assert all(note.filename == __file__ for note in told)  # it points at the caller of fit
        assert found.foreign_share == pytest.approx((10 / 11, 10 / 11), abs=0.05)
        assert all(rows < 40 + 200 for rows in found.pool_rows)
        with monkeypatch.context() as patch:
            patch.setattr(recipe, "trusted", lambda x_pairs, y_pairs, x, y: (x, y, (0.0, 0.0)))
            misled = CotrainedHeads().fit(**pairs, **mixed)  # companion: all rows are used
        errors.append([foscttm(model, x, y) for model in (clean, found, misled)])
    clean, found, misled = np.mean(errors, axis=0)
    assert found < clean + 0.002 and misled > clean + 0.003, errors


def test_without_unpaired_rows_the_plain_view_has_the_ridge_of_ridge_cca():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(230, 6))
    x, y = (z @ rng.normal(size=(6, 60)) + rng.normal(size=(230, 60)) for _ in range(2))
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    options = dict(views=("plain",), hubness=0.0)
    found = [CotrainedHeads(**options, regularization=r).fit(x[:30], y[:30]) for r in (1.0, 60 / 29)]
    want = RidgeCCA().fit(x[:30], y[:30]).similarity(x[30:], y[30:])
    same, stronger = (np.corrcoef(model.similarity(x[30:], y[30:]).ravel(), want.ravel())[0, 1] for model in found)
    assert same > 0.97 and same > stronger  # companion: relative to the 29 directions that 30 rows have
