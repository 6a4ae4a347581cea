"""Every search against exact arithmetic on the hard sets, and searches that fail there."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from benchmarks.knn import plain
from gera_jax.graphs import knn, screens
from tests.hard_sets import exact_distances, hard_sets

SETS = hard_sets()
SEARCHES = [("euclidean", "jax"), ("euclidean", "faiss"), ("euclidean", "tree"), ("cosine", "jax"), ("cosine", "faiss")]


@functools.cache
def truth(name, metric):
    distance = exact_distances(SETS[name], SETS[name], metric)
    np.fill_diagonal(distance, np.inf)
    return distance


def fault(indices, distances, true, k=5):
    """What is wrong with the k nearest that a search found, or None; any choice among equal distances is right."""
    with np.errstate(over="ignore"):
        nearest = np.sort(true, axis=1)[:, :k]
        chosen = np.take_along_axis(true, indices, axis=1)
        grain = 1e-15 * (np.max(true, where=np.isfinite(true), initial=0) <= 2)  # what is left of 1 - cos of float64 unit rows
        if any(len(set(row)) < k for row in indices.tolist()):
            return "a row twice"
        if not np.allclose(chosen, nearest, rtol=1e-12, atol=grain):
            return f"{np.mean(chosen > nearest * (1 + 1e-12)):.2f} of the neighbours are not the nearest"
        close = np.allclose(distances, nearest.astype(np.float32), rtol=1e-6, atol=max(1e-44, grain))
        return None if close else "distances are off"


@pytest.mark.parametrize("name", SETS)
def test_every_search_finds_the_nearest(name):
    for metric, backend in SEARCHES:
        found = knn(SETS[name], k=5, metric=metric, backend=backend)
        assert fault(*found, truth(name, metric)) is None, (metric, backend)


@pytest.mark.parametrize("name", [name for name in SETS if name.startswith("hard")])
def test_a_pool_of_its_own_in_blocks(name, monkeypatch):
    monkeypatch.setattr(screens, "POOL_BLOCK", 16)
    rows = SETS[name]
    left_out = np.where(np.arange(11) < 6, np.arange(11), -1)
    true = truth(name, "euclidean")[:11].copy()
    true[np.arange(6, 11), np.arange(6, 11)] = 0  # these rows meet themselves
    found = knn(rows[:11], rows, k=5, block_size=4, exclude_self=left_out, backend="jax")
    assert fault(*found, true) is None


def test_rows_of_two_kinds_in_one_search():
    whole = np.arange(40, dtype=np.int64)[:, None] + 2**60
    near = np.array([[2**60 + 11]], np.uint64)
    indices, distances = knn(near, whole, k=1)
    assert indices.tolist() == [[11]] and distances.tolist() == [[0.0]]
    indices, distances = knn(np.array([[3.25]]), np.arange(9, dtype=np.uint8)[:, None], k=2)
    assert indices.tolist() == [[3, 4]] and distances.tolist() == [[0.25, 0.75]]


def test_wide_rows():
    """64 columns: clusters, an outlier and an offset at once."""
    rows = SETS["hard: offset, clusters and an outlier"]
    rows = np.concatenate([rows] * 12 + [rows[:, :4]], axis=1)[:24]
    true = exact_distances(rows, rows)
    np.fill_diagonal(true, np.inf)
    for backend in ("jax", "faiss", "tree"):
        assert fault(*knn(rows, k=5, backend=backend), true) is None, backend


def test_products_in_float32_fail():
    """The companion: the search of before loses neighbours on these, and finds them on plain rows."""
    assert fault(*plain(SETS["plain float32"], 5), truth("plain float32", "euclidean")) is None
    for name in (
        "hard: clusters 10000 apart",
        "hard: clusters 100000 apart, float64",
        "hard: an outlier at 1e+06",
        "hard: offset 1.7e+09",
        "hard: a small cluster far away",
        "hard: int64 above 2^53",
    ):
        assert fault(*plain(SETS[name], 5), truth(name, "euclidean")) is not None, name


def test_float64_products_without_a_check_fail():
    """Nor is it enough to compute the products in float64."""
    name = "hard: clusters 1e+09 apart, float64"
    rows = SETS[name] - SETS[name].mean(0)
    squared = (rows**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * rows @ rows.T
    np.fill_diagonal(squared, np.inf)
    indices = np.argsort(squared, axis=1)[:, :5]
    distances = np.sqrt(np.maximum(np.take_along_axis(squared, indices, axis=1), 0))
    assert fault(indices, distances, truth(name, "euclidean")) is not None


def test_the_bound_holds():
    """No row off the shortlist is nearer than the screen says, and the screen proves ordinary rows without a second search."""
    rows = np.random.default_rng(3).normal(size=(48, 5)).astype(np.float32)
    true = exact_distances(rows, rows)
    view = screens.View(rows, rows, "euclidean")
    for screen in (screens.jax_screen, screens.faiss_screen, screens.tree_screen):
        shortlist, beyond = screen(rows, rows, view, 13, np.full(48, -1, np.int32), 48)
        rest = np.array([np.min(np.delete(row, some)) for row, some in zip(true, shortlist, strict=True)]) * view.unit
        assert np.all(beyond <= rest**2)
        assert np.all(beyond >= 0.98 * np.sort(true, axis=1)[:, 12] ** 2 * view.unit**2)
