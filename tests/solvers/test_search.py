"""The search of rows among rows: by tiles, on the host and on eight devices, as a sort of all scores gives it; and what is built on it."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.solvers import CotrainedHeads
from gera_jax.solvers.auto import recipe, search, views
from gera_jax.solvers.linear import leading_svd
from tests.solvers.test_cotrained import clusters, split

RNG = np.random.default_rng(0)


def want(scores, k):
    return np.sort(scores, axis=1)[:, -k:]


@pytest.fixture(params=["host", "devices"])
def tiled(request, monkeypatch):
    """Small tiles, so that rows and columns are merged; on the host, or on every device there is."""
    monkeypatch.setattr(search, "TILE", (512, 512))
    monkeypatch.setattr(search, "SMALL", 0 if request.param == "devices" else np.inf)
    return request.param


@pytest.mark.parametrize("k", [1, 10, 60])
def test_tiles_give_what_a_sort_gives(tiled, k):
    x, y = RNG.normal(size=(1300, 5)).astype(np.float32), RNG.normal(size=(1100, 5)).astype(np.float32)
    shifts = dict(x_shift=RNG.normal(size=1300), y_shift=RNG.normal(size=1100))
    for found, a, b, shift in zip(search.nearest_both(x, y, k, **shifts), (x, y), (y, x), ("y_shift", "x_shift"), strict=True):
        scores = a @ b.T - shifts[shift]
        np.testing.assert_allclose(np.sort(found[1], axis=1), want(scores, k), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.take_along_axis(scores, found[0], axis=1), found[1], rtol=1e-4, atol=1e-5)
        assert np.abs(want(a @ b.T, k) - want(scores, k)).max() > 0.1  # companion: no shift
    if tiled == "devices":
        assert search._devices() == 8


def test_a_row_is_not_its_own_neighbour(tiled):
    rows = RNG.normal(size=(1100, 4)).astype(np.float32)
    indices, values = search.nearest(rows, rows, 7, exclude_self=True)
    scores = rows @ rows.T
    assert not (indices == np.arange(1100)[:, None]).any()
    assert (search.nearest(rows, rows, 7)[0] == np.arange(1100)[:, None]).any()  # companion
    np.fill_diagonal(scores, -np.inf)
    np.testing.assert_allclose(np.sort(values, axis=1), want(scores, 7), rtol=1e-4, atol=1e-5)


def test_no_rows_find_nothing(tiled):
    rows = np.ones((4, 3), np.float32)
    assert search.nearest(rows[:0], rows, 2)[0].shape == (0, 2)
    assert [part.shape for found in search.nearest_both(rows, rows[:0], 2) for part in found] == [(4, 0), (4, 0), (0, 2), (0, 2)]


@pytest.mark.parametrize("shape", [(3, 5000), (5000, 3), (1, 1), (700, 701)])
@pytest.mark.parametrize("k", [1, 9])
def test_the_best_of_scores_with_ties(shape, k):
    scores = RNG.integers(0, 40, size=shape).astype(np.float32)
    for found, table in (
        (search._top(scores, min(k, shape[1])), scores),
        (search._top_of_columns(scores, min(k, shape[0])), scores.T),
    ):
        np.testing.assert_array_equal(np.sort(found[1], axis=1), want(table, found[1].shape[1]))
        np.testing.assert_array_equal(np.take_along_axis(table, found[0], axis=1), found[1])
        assert all(len({*row}) == len(row) for row in found[0])


def test_candidates_by_the_leading_coordinates_are_nearly_all_right(monkeypatch):
    """Principal coordinates with spreads that fall as those of embeddings do; with equal ones the first say too little."""
    monkeypatch.setattr(search, "EXACT", 100)
    monkeypatch.setattr(search, "LEADING", 32)

    def recall(spreads):
        rows = RNG.normal(size=(900, 128)) * spreads
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        exact, found = search.nearest(rows, rows, 10, exclude_self=True), search.nearest_within(rows, 10)
        return np.mean([len({*a} & {*b}) / 10 for a, b in zip(exact[0], found[0], strict=True)])

    assert recall(1 / np.arange(1, 129)) > 0.99 > 0.8 > recall(np.ones(128))


def test_the_leading_singular_values():
    matrix = (RNG.normal(size=(300, 40)) * 0.8 ** np.arange(40) @ RNG.normal(size=(40, 200))).astype(np.float32)
    u, s, v = leading_svd(matrix, 12)
    np.testing.assert_allclose(s, np.linalg.svd(matrix, compute_uv=False)[:12], rtol=1e-4)
    best = np.linalg.norm(np.linalg.svd(matrix, compute_uv=False)[12:])
    assert np.linalg.norm(matrix - (u * s) @ v.T) < 1.001 * best < np.linalg.norm(matrix - (u * s)[:, :11] @ v[:, :11].T)


def test_features_that_are_not_kept_give_the_same_heads(monkeypatch):
    """And so do rows in blocks, in float32, and in a memory map."""
    train, x, y = split(p=60)
    kept = CotrainedHeads().fit(**train).similarity(x, y)
    monkeypatch.setattr(views, "KEPT", 0)
    monkeypatch.setattr(views, "ROWS", 33)
    np.testing.assert_allclose(CotrainedHeads().fit(**train).similarity(x, y), kept, atol=2e-4)
    single = {name: rows.astype(np.float32) for name, rows in train.items()}
    np.testing.assert_allclose(CotrainedHeads().fit(**single).similarity(x, y), kept, atol=2e-3)


def test_large_pools_are_scored_in_a_joint_basis(monkeypatch):
    x, y = clusters(n=700)
    train = dict(x_pairs=x[:150], y_pairs=y[:150], x=x[150:400], y=y[400:650])
    exact = CotrainedHeads().fit(**train).similarity(x[650:], y[650:])
    monkeypatch.setattr(recipe, "EXACT", 200)
    monkeypatch.setattr(recipe, "BASIS", 60)
    model = CotrainedHeads().fit(**train)
    assert model._pool_heads[0].shape[1] == 60
    z = model.transform_x(x[650:]), model.transform_y(y[650:])
    np.testing.assert_allclose(np.linalg.norm(np.concatenate(z), axis=1), 1, atol=1e-5)
    assert np.corrcoef(exact.ravel(), (z[0] @ z[1].T).ravel())[0, 1] > 0.99
    monkeypatch.setattr(recipe, "BASIS", 2)  # companion
    poor = CotrainedHeads().fit(**train).similarity(x[650:], y[650:])
    assert np.corrcoef(exact.ravel(), poor.ravel())[0, 1] < 0.95


def test_pools_come_from_maps_without_a_copy(tmp_path):
    x, y = clusters(n=400)
    for name, rows in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", rows.astype(np.float32))
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"]
    from_maps = CotrainedHeads().fit(maps[0][:50], maps[1][:50], maps[0][50:200], maps[1][200:350])
    in_memory = [np.array(rows) for rows in maps]
    again = CotrainedHeads().fit(in_memory[0][:50], in_memory[1][:50], in_memory[0][50:200], in_memory[1][200:350])
    np.testing.assert_array_equal(from_maps.transform_x(x), again.transform_x(x))
