"""Metric MDS: exact on Euclidean distances, monotone, at a stationary point, weights that act, scale that stays."""

from __future__ import annotations

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.embedding import classical_mds, metric_mds, place, sgd_mds, smacof
from tests.oracles import heat as oracle

N = 12
RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(N, 2)) * np.array([3.0, 1.0]) + 7
FLAT = np.linalg.norm(POINTS[:, None] - POINTS[None], axis=2)
BENT = FLAT + 0.4 * np.abs(np.triu(RNG.normal(size=(N, N)), 1) + np.triu(RNG.normal(size=(N, N)), 1).T)
BENT = np.triu(BENT, 1) + np.triu(BENT, 1).T  # no plane holds these
WEIGHTS = np.triu(RNG.uniform(0.1, 2.0, size=(N, N)), 1)
WEIGHTS = WEIGHTS + WEIGHTS.T
KEY = jax.random.key(0)


def f32(a):
    return jnp.asarray(a, jnp.float32)


def lengths(points):
    points = np.asarray(points, np.float64)
    return np.linalg.norm(points[:, None] - points[None], axis=2)


@pytest.mark.parametrize("solver", ["classical", "smacof", "sgd"])
def test_euclidean_distances_come_back_with_their_scale(solver):
    for scale in (1.0, 250.0):
        found = metric_mds(f32(scale * FLAT), solver=solver, key=KEY)
        np.testing.assert_allclose(lengths(found.points), scale * FLAT, atol=2e-3 * scale)
        assert found.stress < 1e-5 * scale**2
        np.testing.assert_allclose(np.mean(found.points, axis=0), 0, atol=1e-3 * scale)
    assert oracle.stress(np.asarray(found.points) / 250, BENT) > 1e-3


def test_classical_equals_the_oracle():
    got = classical_mds(f32(BENT), dim=3)
    want = oracle.classical_mds(BENT, dim=3)
    np.testing.assert_allclose(lengths(got), lengths(want), atol=1e-3)
    assert np.asarray(classical_mds(f32(np.zeros((2, 2))), dim=3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_smacof_never_rises_and_ends_at_a_stationary_point(weights):
    start = classical_mds(f32(BENT))
    w = None if weights is None else f32(weights)
    stresses = [float(smacof(f32(BENT), start, weights=w, iterations=k, tolerance=0.0).stress) for k in (0, 1, 3, 2000)]
    assert all(b <= a * (1 + 1e-5) for a, b in itertools.pairwise(stresses)) and stresses[-1] < 0.97 * stresses[0]
    end = smacof(f32(BENT), start, weights=w, iterations=2000, tolerance=0.0)
    assert float(end.stress) == pytest.approx(oracle.stress(np.asarray(end.points), BENT, weights=weights), rel=1e-4)
    points = np.asarray(end.points, np.float64)
    w = np.ones((N, N)) if weights is None else weights
    d = lengths(points) + np.eye(N)
    gradient = 2 * ((w * (d - BENT) / d)[:, :, None] * (points[:, None] - points[None])).sum(1)
    assert np.abs(gradient).max() < 2e-2
    assert np.abs(2 * ((w * (d - 1.5 * BENT) / d)[:, :, None] * (points[:, None] - points[None])).sum(1)).max() > 1


@pytest.mark.parametrize("n", [N, N - 1, 2])
def test_sgd_is_as_good_as_smacof(n):
    """Even and odd numbers of points; of four orders one ends in the same valley, and all end in one."""
    target = f32(BENT[:n, :n])
    start = classical_mds(target)
    majorised = smacof(target, start)
    found = [sgd_mds(target, start, jax.random.key(seed), sweeps=60) for seed in range(4)]
    assert min(f.stress for f in found) <= 1.05 * majorised.stress + 1e-6
    for sgd in found:
        assert sgd.stress == pytest.approx(oracle.stress(np.asarray(sgd.points), BENT[:n, :n]), rel=1e-3, abs=1e-6)
        assert smacof(target, sgd.points).stress >= 0.9 * sgd.stress - 1e-6


def test_sgd_meets_every_pair_once_a_sweep():
    """One sweep with a full step from far away reaches all points; the same key gives the same points, another does not."""
    start = f32(RNG.normal(size=(N, 2)))
    a, b, c = (sgd_mds(f32(BENT), start, jax.random.key(s), sweeps=2).points for s in (0, 0, 1))
    assert np.array_equal(a, b) and not np.allclose(a, c, atol=1e-3)
    # Weight on one pair only: this pair ends at its distance and the others stay where they were.
    only = np.zeros((N, N))
    only[3, 8] = only[8, 3] = 1.0
    end = np.asarray(sgd_mds(f32(BENT), start, KEY, weights=f32(only), sweeps=20).points)
    assert lengths(end)[3, 8] == pytest.approx(BENT[3, 8], rel=1e-3)
    others = [i for i in range(N) if i not in (3, 8)]
    np.testing.assert_allclose(lengths(end)[np.ix_(others, others)], lengths(start)[np.ix_(others, others)], atol=1e-4)


@pytest.mark.parametrize("solver", ["smacof", "sgd"])
def test_weights_act(solver):
    """A heavy pair comes close to its distance, at the cost of the others."""
    heavy = np.ones((N, N))
    heavy[0, 5] = heavy[5, 0] = 300.0

    def error(weights):
        points = metric_mds(f32(BENT), solver=solver, weights=weights, key=KEY, sweeps=60).points
        return abs(lengths(points)[0, 5] - BENT[0, 5])

    assert error(f32(heavy)) < 0.2 * error(None)


def test_place_finds_known_points_and_uses_weights():
    anchors = POINTS[:8]
    queries = POINTS[8:]
    distances = np.linalg.norm(queries[:, None] - anchors[None], axis=2)
    start = np.tile(anchors.mean(0), (4, 1)) + 0.1
    got = place(f32(distances), f32(anchors), f32(start), iterations=400)
    np.testing.assert_allclose(got, queries, atol=1e-2)
    wrong = distances.copy()
    wrong[:, 0] += 5.0
    trusted = np.ones_like(distances)
    trusted[:, 0] = 0.0
    assert np.abs(place(f32(wrong), f32(anchors), f32(start), iterations=400) - queries).max() > 0.1
    got = place(f32(wrong), f32(anchors), f32(start), weights=f32(trusted), iterations=400)
    np.testing.assert_allclose(got, queries, atol=1e-2)


def test_nasty_values_stay_finite():
    for target in (np.zeros((5, 5)), np.ones((5, 5)) - np.eye(5), 1e6 * BENT[:5, :5], 1e-6 * BENT[:5, :5]):
        for solver in ("classical", "smacof", "sgd"):
            found = metric_mds(f32(target), solver=solver, key=KEY)
            assert np.all(np.isfinite(found.points)) and np.isfinite(found.stress)


def test_bad_input():
    cases = [
        (lambda: metric_mds(jnp.ones((2, 3))), "distances: got shape (2, 3); wanted [n, n]."),
        (lambda: metric_mds(jnp.ones((2, 2)), solver="adam"), 'solver: got "adam"; wanted a known name.'),
        (lambda: metric_mds(jnp.ones((2, 2))), 'key: got None; wanted a random key for solver="sgd". Give jax.random.key(0).'),
        (lambda: smacof(jnp.ones((3, 3)), jnp.ones((2, 2))), "start: got shape (2, 2); wanted [3, dimensions]."),
        (lambda: smacof(jnp.ones((3, 3)), jnp.ones((3, 2)), weights=jnp.ones(3)), "weights: got shape (3,); wanted [3, 3]."),
        (lambda: classical_mds(jnp.ones((3, 3)), dim=0), "dim: got 0; wanted at least 1."),
        (lambda: sgd_mds(jnp.ones((3, 3)), jnp.ones((3, 2)), KEY, sweeps=0), "sweeps: got 0; wanted at least 1."),
    ]
    for run, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            run()
