"""Late fusion over pairs of tables against a slow loop, what a table lacks, and the folder."""

from __future__ import annotations

import numpy as np
import pytest

import gera_jax as gj
from gera_jax.aligners.table_pairs import TablePairs
from gera_jax.checks import InputError
from gera_jax.data import Pairs
from gera_jax.solvers import RidgeCCA


def world(n=120, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    tables = [z @ rng.normal(size=(4, width)) + rng.normal(size=(n, width)) for width in (5, 7, 6)]
    return [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in tables]


def fitted(weights=([1.0, 3.0], [1.0]), holes=()):
    a, b, y = world()
    for row in holes:
        b[row] = 0
    x = np.concatenate([a, b], axis=1)
    model = TablePairs(RidgeCCA, ([5, 7], [6]), weights).fit([x[:80], y[:80]], [x[80:100], y[80:100]])
    return model, x, y


def scores(tables, y, weights, trained):
    """Oracle: a fit for each table, each score over the deviation of all its training scores, summed in a loop."""
    total = np.zeros((20, 20))
    for rows, weight in zip(tables, weights, strict=True):
        both = [i for i in range(80) if np.any(rows[i])]
        one = RidgeCCA().fit(rows[both], y[both], rows[trained][np.any(rows[trained] != 0, axis=1)], y[trained])
        seen_x = [*both, *(i for i in trained if np.any(rows[i]))]
        seen = np.array([[float(u @ v) for v in one.transform_y(y[[*both, *trained]])] for u in one.transform_x(rows[seen_x])])
        total += weight * one.transform_x(rows[100:]) @ one.transform_y(y[100:]).T / seen.std()
    return total


@pytest.mark.parametrize("weights", [[1.0, 3.0], [1.0, 0.0]])
def test_the_score_is_the_weighted_sum_of_the_pairs(weights):
    model, x, y = fitted((weights, [1.0]))
    got = model.transform_x(x[100:]) @ model.transform_y(y[100:]).T
    want = scores([x[:, :5], x[:, 5:]], y, weights, list(range(80, 100)))
    np.testing.assert_allclose(got / got.std(), want / want.std(), atol=1e-5)
    equal = scores([x[:, :5], x[:, 5:]], y, [1.0, 1.0], list(range(80, 100)))  # companion: other weights give another score
    assert np.abs(got / got.std() - equal / equal.std()).max() > 0.05


def test_what_a_table_lacks_trains_nothing_and_adds_nothing():
    model, x, y = fitted(holes=range(40))
    x[110, 5:] = 0
    got = model.transform_x(x[100:]) @ model.transform_y(y[100:]).T
    one = RidgeCCA().fit(x[:80, :5], y[:80], x[80:100, :5], y[80:100])
    alone = one.transform_x(x[110:111, :5]) @ one.transform_y(y[100:]).T
    assert np.corrcoef(got[10], alone[0])[0, 1] > 0.999999
    assert np.corrcoef(got[11], (one.transform_x(x[111:112, :5]) @ one.transform_y(y[100:]).T)[0])[0, 1] < 0.999
    with pytest.raises(InputError, match=r"pairs: got 1 pairs in table 2 of x and table 1 of y; wanted at least 2"):
        fitted(holes=range(79))


def test_many_pairs_of_tables_are_one_wide_row():
    rng = np.random.default_rng(0)
    many = Pairs.from_arrays(rng.normal(size=(60, 6, 4)), rng.normal(size=(60, 3, 5)))  # 18 pairs of tables
    few = Pairs.from_arrays(rng.normal(size=(60, 4, 4)), rng.normal(size=(60, 3, 5)))
    kinds = [type(gj.Aligner("ridge_cca").fit(pairs)._model.model) for pairs in (many, few)]
    assert kinds == [RidgeCCA, TablePairs]


@pytest.mark.parametrize("method", ["auto", "asif", "kernel_cca"])
def test_a_folder_gives_the_same_rows(method, tmp_path):
    a, b, y = world()
    aligner = gj.Aligner(method).fit(Pairs.from_arrays([a[:90], b[:90]], y[:90]))
    aligner.save(tmp_path / "model")
    again = gj.load(tmp_path / "model")
    np.testing.assert_allclose(again.transform_x([a[90:], b[90:]]), aligner.transform_x([a[90:], b[90:]]), atol=1e-6)
    assert float(again.score([a[90:], b[90:]], y[90:])) > 0.4
