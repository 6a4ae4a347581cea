"""Generators with known geodesics: the truth against integrals, walks and shortest paths on dense samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from gera_jax.embedding.manifolds import swiss_roll, tree


def test_swiss_roll_in_three_dimensions():
    roll = swiss_roll(200, seed=1)
    angle = roll.position
    assert angle.min() >= 1.5 * np.pi and angle.max() <= 4.5 * np.pi
    np.testing.assert_allclose(np.hypot(roll.points[:, 0], roll.points[:, 2]), angle)
    assert roll.points[:, 1].min() >= 0 and roll.points[:, 1].max() <= 5
    for i, j in ((0, 1), (2, 9), (5, 150)):
        arc = quad(lambda a: np.sqrt(1 + a * a), *sorted(angle[[i, j]]))[0]  # |d/da (a cos a, a sin a)|
        want = np.hypot(arc, roll.points[i, 1] - roll.points[j, 1])
        assert roll.distances[i, j] == pytest.approx(want)
        assert want >= np.linalg.norm(roll.points[i] - roll.points[j])


def test_swiss_roll_rotation_and_noise():
    flat, turned = swiss_roll(100, seed=3), swiss_roll(100, dim=10, seed=3)
    np.testing.assert_allclose(flat.distances, turned.distances)

    def pairwise(p):
        return np.linalg.norm(p[:, None] - p[None], axis=2)

    np.testing.assert_allclose(pairwise(flat.points), pairwise(turned.points), atol=1e-9)
    assert np.all(np.std(turned.points, axis=0) > 0)
    noisy = swiss_roll(2000, dim=10, noise=0.5, seed=3)
    clean = swiss_roll(2000, dim=10, seed=3)
    np.testing.assert_allclose(np.std(noisy.points - clean.points, axis=0), 0.5, rtol=0.1)  # in all ten, after the rotation
    assert np.array_equal(noisy.distances, clean.distances)
    assert np.array_equal(swiss_roll(50, seed=4).points, swiss_roll(50, seed=4).points)
    assert not np.allclose(swiss_roll(50, seed=5).points, swiss_roll(50, seed=4).points)


def test_tree_distances_are_the_walks():
    """Shortest paths on the graph whose edges are the steps of the walks."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    data = tree(60, dim=4, branches=3, seed=2)
    points, label = data.points, data.labels
    edges = [(i, i + 1) for i in range(59) if label[i] == label[i + 1]]
    for branch in (1, 2):
        first = int(np.argmax(label == branch))
        # The branch's first step starts at that point of the first branch which its own position tells.
        start = int(np.argmin(np.abs(np.linalg.norm(points[label == 0] - points[first], axis=1) - data.position[first])))
        edges.append((start, first))
    i, j = np.array(edges).T
    graph = coo_array((np.linalg.norm(points[i] - points[j], axis=1), (i, j)), shape=(60, 60))
    np.testing.assert_allclose(dijkstra(graph.tocsr(), directed=False), data.distances, atol=1e-9)
    assert np.bincount(label).tolist() == [20, 20, 20]
    assert np.all(np.abs(np.diff(points[label == 1], axis=0)) <= 1)


def test_tree_noise_and_sizes():
    assert np.bincount(tree(11, branches=3).labels).tolist() == [4, 4, 3]
    clean, noisy = tree(500, seed=1), tree(500, noise=3.0, seed=1)
    assert np.array_equal(clean.distances, noisy.distances)
    np.testing.assert_allclose(np.std(noisy.points - clean.points), 3.0, rtol=0.05)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: swiss_roll(1), "n: got 1; wanted at least 2 points."),
        (lambda: swiss_roll(9, dim=2), "dim: got 2; wanted at least 3."),
        (lambda: swiss_roll(9, noise=-1.0), "noise: got -1.0; wanted a standard deviation >= 0."),
        (lambda: tree(9, branches=5), "branches: got 5; wanted 1 to 4, for two points a branch at n = 9."),
        (lambda: tree(10, dim=0), "dim: got 0; wanted at least 1."),
    ],
)
def test_bad_input(run, message):
    with pytest.raises(ValueError) as error:
        run()
    assert str(error.value) == message
