"""Geodesic similarity: the hand-checked numbers, a plain Dijkstra, SciPy's, and what happens to points that are not there."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.csgraph

from gera_jax.graphs import geodesic_similarity
from tests.contracts.test_grounding_numbers import circle
from tests.oracles import grounding as oracle

POINTS = circle(0, 20, 45, 75, 120, 180)
FROM_0 = [1, 0.939693, 0.846000, 0.712026, 0, 0]
FROM_2 = [0.846000, 0.906308, 1, 0.866025, 0.573132, 0]


def run(v, source, **options):
    return np.asarray(geodesic_similarity(jnp.asarray(v, "float32"), jnp.asarray(source, "int32"), **options))


def close(got, want, tolerance=2e-6) -> bool:
    return np.shape(got) == np.shape(want) and bool(np.max(np.abs(np.asarray(got) - np.asarray(want))) < tolerance)


def test_hand_numbers():
    assert close(run(POINTS, [0, 2], k=2), [FROM_0, FROM_2])
    assert not close(run(POINTS, [0, 2], k=2), [FROM_2, FROM_0])
    direct = np.where(1 - POINTS @ POINTS.T <= 0.5, POINTS @ POINTS.T, 0)[[0, 2]]
    assert not close(run(POINTS, [0, 2], k=2), direct)  # a path through 1 beats the edge 0-2
    assert close(run(POINTS, [0], k=2, cutoff=0.6)[0], [*FROM_0[:4], 1 - 0.580867, 0])
    assert close(run(POINTS, [0], k=5)[0][:4], [1, *np.cos(np.deg2rad([20, 45, 75]))][:1] + FROM_0[1:3] + FROM_0[3:4])


@pytest.mark.parametrize(("k", "cutoff"), [(1, 0.5), (3, 0.5), (5, 1.0)])
def test_equals_a_plain_dijkstra(k, cutoff):
    v = np.random.default_rng(k).normal(size=(24, 3)) + 1.5
    with jax.enable_x64(True):
        got = np.asarray(geodesic_similarity(jnp.asarray(v), jnp.arange(24), k=k, cutoff=cutoff))
    want = oracle.geodesic_similarity(v, np.arange(24), k=k, cutoff=cutoff)
    assert close(got, want, 1e-12)
    assert not close(got.T, want, 1e-3)  # edges are directed
    assert not close(got, oracle.geodesic_similarity(v, np.arange(24), k=k + 1, cutoff=cutoff), 1e-6)


def test_equals_scipy_on_the_same_edges():
    v = np.random.default_rng(0).normal(size=(200, 4)) + 1
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    squared = ((v[:, None] - v[None]) ** 2).sum(2)
    np.fill_diagonal(squared, np.inf)
    near = np.argsort(squared, axis=1)[:, :5]
    rows = np.repeat(np.arange(200), 5)
    graph = scipy.sparse.csr_array((1 - (unit[rows] * unit[near.ravel()]).sum(1), (rows, near.ravel())), shape=(200, 200))
    distance = scipy.sparse.csgraph.dijkstra(graph, indices=[3, 70], limit=0.5)
    want = np.where(np.isfinite(distance), 1 - distance, 0)
    assert close(run(v, [3, 70]), want, 1e-5)
    assert 0.05 < np.mean(want > 0) < 0.95


def test_masked_points_are_removed_whatever_they_hold():
    mask = np.array([True, True, False, True, True, True])
    want = oracle.geodesic_similarity(POINTS, [0, 4, 2], k=2, mask=mask)
    for filler in (np.nan, np.inf, 0.0):
        v = POINTS.copy()
        v[2] = filler
        got = run(v, [0, 4, 2], k=2, mask=jnp.asarray(mask))
        assert close(got, want)
    assert np.all(got[2] == 0) and np.all(got[:, 2] == 0)  # a masked source reaches nothing, itself included
    assert not close(run(POINTS, [0, 4, 2], k=2), want)
    few = jnp.asarray([True, True, False, False, False, False])
    assert close(run(POINTS, [0], k=5, mask=few)[0], [1, 0.939693, 0, 0, 0, 0])  # fewer points than neighbours


def test_equal_points_are_joined_and_components_are_not():
    v = np.concatenate([np.tile(circle(0), (3, 1)), circle(170, 180, 190)])
    got = run(v, [0, 4], k=2)
    assert close(got[0], [1, 1, 1, 0, 0, 0])
    assert np.all(got[1][:3] == 0) and np.all(got[1][3:] > 0.9)
    assert np.all(run(np.zeros((4, 2)), [0], k=2) >= 0)  # zero rows: a cosine of 0, an edge of 1, beyond the cutoff
    assert close(run(np.zeros((4, 2)), [0], k=2)[0], [1, 0, 0, 0])


def test_has_no_gradient_and_maps_over_recordings():
    v = jnp.asarray(np.stack([POINTS, POINTS[::-1]]), "float32")
    grad = jax.grad(lambda v: geodesic_similarity(v, jnp.array([0]), k=2).sum())(v[0])
    assert not np.any(grad)
    both = jax.jit(jax.vmap(lambda v, s, m: geodesic_similarity(v, s, k=2, mask=m)))(
        v, jnp.array([[0, 2], [5, 3]]), jnp.ones((2, 6), bool)
    )
    assert close(both[0], [FROM_0, FROM_2])
    assert close(both[1][:, ::-1], [FROM_0, FROM_2])


def test_it_runs_on_the_device_alone():
    text = (
        jax.jit(lambda v, s: geodesic_similarity(v, s, k=2))
        .lower(jax.ShapeDtypeStruct((6, 2), "float32"), jax.ShapeDtypeStruct((2,), "int32"))
        .as_text()
    )
    assert "while" in text and "callback" not in text


@pytest.mark.parametrize(
    ("v", "source", "options", "words"),
    [
        (np.zeros((4, 2)), [0], dict(k=4), "k: got 4; wanted 1 to 3, for 4 points. Lower k or give more points."),
        (np.zeros((4, 2)), [0], dict(k=0), "k: got 0; wanted 1 to 3, for 4 points. Lower k or give more points."),
        (
            np.zeros((4, 2)),
            [0],
            dict(k=1, cutoff=0.0),
            "cutoff: got 0.0; wanted above 0 and at most 1. A path's length is a sum of 1 - cosine.",
        ),
        (np.zeros((4, 2, 2)), [0], {}, "v: got shape (4, 2, 2); wanted [points, features]. Use jax.vmap over recordings."),
        (np.zeros((4, 2)), [0], dict(k=1, mask=np.ones(3, bool)), "mask: got bool (3,); wanted bool [4], True = a real point."),
    ],
)
def test_faults_say_what_is_wrong(v, source, options, words):
    with pytest.raises(ValueError) as error:
        run(v, source, **options)
    assert str(error.value) == words


def test_sources_are_positions():
    with pytest.raises(ValueError, match=r"source: got float32 \(1,\); wanted integers \[S\], positions in v"):
        geodesic_similarity(jnp.zeros((4, 2)), jnp.zeros(1), k=1)
