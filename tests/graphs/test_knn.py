"""Neighbours against brute force and scikit-learn."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from gera_jax.graphs import knn, screens


def _rows(n, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def _brute(x, pool, metric, excluded=None):
    x, pool = x.astype(np.float64), pool.astype(np.float64)
    if metric == "euclidean":
        distance = np.sqrt(((x[:, None] - pool[None]) ** 2).sum(-1))
    else:
        norm = [np.where((s := np.linalg.norm(a, axis=1, keepdims=True)) > 0, s, 1) for a in (x, pool)]
        distance = 1 - (x / norm[0]) @ (pool / norm[1]).T
    if excluded is not None:
        distance[np.arange(len(x)), excluded] = np.inf
    order = np.argsort(distance, axis=1, kind="stable")
    return order, np.take_along_axis(distance, order, axis=1)


@pytest.mark.parametrize(
    ("metric", "backend"),
    [("euclidean", "jax"), ("euclidean", "faiss"), ("euclidean", "tree"), ("cosine", "jax"), ("cosine", "faiss")],
)
def test_equals_brute_force_and_sklearn(metric, backend):
    x = _rows(60)
    indices, distances = knn(x, k=5, metric=metric, block_size=16, backend=backend)
    order, sorted_distances = _brute(x, x, metric, np.arange(60))
    np.testing.assert_array_equal(indices, order[:, :5])
    np.testing.assert_allclose(distances, sorted_distances[:, :5], atol=1e-5)
    peer = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(x).kneighbors()[1]
    np.testing.assert_array_equal(indices, peer)
    assert indices.dtype == np.int32
    assert distances.dtype == np.float32
    assert not np.allclose(distances, sorted_distances[:, :5] ** 2, atol=1e-5)
    assert not np.array_equal(indices, order[:, 1:6])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_pool_of_its_own_over_several_blocks(metric, monkeypatch):
    monkeypatch.setattr(screens, "POOL_BLOCK", 16)
    x, pool = _rows(21), _rows(50, seed=1) + 3
    indices, distances = knn(x, pool, k=12, metric=metric, block_size=8)
    order, sorted_distances = _brute(x, pool, metric)
    np.testing.assert_array_equal(indices, order[:, :12])
    np.testing.assert_allclose(distances, sorted_distances[:, :12], atol=1e-5)


def test_a_row_is_left_out_by_index_and_its_duplicate_is_not():
    x = _rows(10)
    x[7] = x[3]
    indices, distances = knn(x, k=2)
    assert indices[3, 0] == 7
    assert indices[7, 0] == 3
    assert distances[3, 0] == distances[7, 0] == 0
    assert not np.any(indices == np.arange(10)[:, None])
    kept, zero = knn(x, k=1, exclude_self=False)
    np.testing.assert_array_equal(zero, 0)
    assert kept[7, 0] == 3, "equal distances: the lower index first"


def test_many_duplicates_and_a_far_away_cloud_stay_exact():
    x = np.repeat(_rows(6), 20, axis=0) + np.float32(100)
    indices, distances = knn(x, k=19)
    np.testing.assert_array_equal(distances, 0)
    assert np.all(indices // 20 == np.arange(120)[:, None] // 20)


def test_excluded_positions_of_a_pool():
    x, pool = _rows(4), _rows(9, seed=2)
    free, _ = knn(x, pool, k=3)
    excluded = np.array([free[0, 0], -1, free[2, 1], -1])
    got, _ = knn(x, pool, k=2, exclude_self=excluded)
    np.testing.assert_array_equal(got, [free[0, 1:], free[1, :2], free[2, [0, 2]], free[3, :2]])


@pytest.mark.parametrize("backend", ["jax", "faiss"])
def test_cosine_with_a_zero_row(backend):
    x = _rows(8)
    x[2] = 0
    indices, distances = knn(x, k=7, metric="cosine", backend=backend)
    np.testing.assert_allclose(distances[2], 1)
    np.testing.assert_allclose(distances[0][indices[0] == 2], 1)
    assert np.isfinite(distances).all()


def test_memory_map_and_float16(tmp_path):
    x = _rows(30).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(knn(mapped, k=4, block_size=7)[0], knn(x.astype(np.float32), k=4)[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(k=6), "k: got 6; wanted 1 to 5, for 6 rows without the row itself. Lower k or give more rows."),
        (dict(k=0), "k: got 0"),
        (dict(k=2.0), "k: got 2.0; wanted an integer"),
        (dict(k=True), "k: got True; wanted an integer"),
        (dict(k=1, block_size=2.5), "block_size: got 2.5; wanted an integer"),
        (dict(k=1, exclude_self=np.full(6, 2**40)), "exclude_self: got positions"),
        (dict(k=1, pool=np.ones((3, 6), complex)), "pool: got rows of dtype complex128; wanted real numbers"),
        (dict(k=1, pool=np.full((3, 6), "a")), "pool: got rows of dtype <U1; wanted real numbers"),
        (dict(k=7, exclude_self=False), "k: got 7; wanted 1 to 6, for 6 rows."),
        (dict(k=1, metric="cosin"), 'Did you mean "cosine"'),
        (dict(k=1, backend="fais"), 'Did you mean "faiss"'),
        (dict(k=1, pool=np.ones((3, 2))), "pool: got rows of width 2; wanted width 6, as in x"),
        (dict(k=1, pool=np.ones((3, 6)), exclude_self=True), "Give an int array"),
        (dict(k=1, exclude_self=np.zeros(2, int)), "wanted an int array [6] of pool positions"),
        (dict(k=1, pool=np.ones((3, 6)), exclude_self=np.full(6, 3)), "exclude_self: got positions 3 to 3; wanted -1 to 2"),
        (dict(k=1, block_size=0), "block_size: got 0"),
    ],
)
def test_bad_input_says_what_to_do(arguments, words):
    with pytest.raises(ValueError) as error:
        knn(_rows(6), **arguments)
    assert words in str(error.value)


def test_non_finite_rows_and_missing_faiss(monkeypatch):
    x = _rows(6)
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="x: got NaN or infinity in 1 of 6 rows, first in row 4"):
        knn(x, k=2)
    with pytest.raises(ValueError, match="x: got NaN or infinity in 1 of 6 rows, first in row 4"):
        knn(x, _rows(9), k=2)
    with pytest.raises(ValueError, match="pool: got NaN or infinity in 1 of 6 rows, first in row 4"):
        knn(_rows(9), x, k=2)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'pip install "gera_jax\[knn\]"'):
        knn(_rows(6), k=2, backend="faiss")


def test_a_tree_is_taken_near_a_surface_of_few_dimensions(monkeypatch):
    module, taken = sys.modules[knn.__module__], []
    monkeypatch.setattr(module, "TREE_ROWS", 1_000)
    for name, search in list(module._SCREENS.items()):
        monkeypatch.setitem(module._SCREENS, name, lambda *a, name=name, search=search: (taken.append(name), search(*a))[1])
    cloud = _rows(1_500, d=12)
    plane = cloud[:, :2] @ _rows(2, d=12, seed=1)
    plane[700:720] = plane[3]  # equal rows, more of them than candidates
    for x in (plane, cloud, plane[:900]):
        indices, distances = knn(x, k=6)
        np.testing.assert_allclose(distances, knn(x, k=6, backend="jax")[1], atol=1e-5)
        assert not np.any(indices == np.arange(len(x))[:, None])
    assert taken[::2] == ["tree", "jax", "jax"]
    own, zero = knn(plane, plane, k=1, backend="tree")
    assert np.all(zero == 0) and own.dtype == np.int32
    bad = plane.copy()
    bad[5, 0] = np.nan
    with pytest.raises(ValueError, match="x: got NaN or infinity in 1 of 1500 rows, first in row 5"):
        knn(bad, k=2)
    with pytest.raises(ValueError, match='backend: got "tree" with metric="cosine"'):
        knn(plane, k=2, metric="cosine", backend="tree")
