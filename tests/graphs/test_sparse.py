"""Sparse neighbour graphs against loops over the dense distances; sparse Laplacians against the dense ones."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gera_jax.graphs import component_count, laplacian, neighbour_graph, sparse_laplacian

X = np.random.default_rng(0).normal(size=(40, 3))
D = np.linalg.norm(X[:, None] - X[None], axis=2)
KTH = np.sort(D, axis=1)[:, 4]


def dense(kind, **options):
    return neighbour_graph(X, k=4, kind=kind, **options).toarray()


@pytest.mark.parametrize("decay", [2.0, 40.0])
def test_alpha_decay(decay):
    """Also where the kernel reaches beyond the neighbours that are searched first (a small decay)."""
    k = np.exp(-((D / KTH[:, None]) ** decay))
    k[k < 1e-4] = 0
    want = (k + k.T) / 2
    np.fill_diagonal(want, 0)
    np.testing.assert_allclose(dense("alpha_decay", decay=decay), want, atol=2e-5)
    assert np.count_nonzero(want) > 40 * 8 * (1 if decay == 2 else 0)


def test_self_tuning_and_plain():
    near = np.argsort(D, axis=1)[:, 1:5]
    among = np.zeros_like(D)
    np.put_along_axis(among, near, 1.0, axis=1)
    np.testing.assert_allclose(dense("knn"), (among + among.T) / 2)
    want = np.where((among + among.T) > 0, np.exp(-(D**2) / (KTH[:, None] * KTH[None])), 0)
    np.testing.assert_allclose(dense("self_tuning"), want, atol=1e-5)


def test_fuzzy():
    w = dense("fuzzy")
    for i in range(40):
        near = np.argsort(D[i])[1:5]
        beyond = D[i, near] - D[i, near[0]]
        # The width at which the four weights sum to log2(4).
        widths = np.geomspace(1e-4, 1e4, 40001)
        own = np.exp(-beyond[None] / widths[np.argmin(np.abs(np.exp(-beyond / widths[:, None]).sum(1) - 2)), None])[0]
        assert np.all(w[i, near] >= own - 2e-3)
        assert w[i, near[0]] == pytest.approx(1.0)
    assert np.all(w <= 1) and np.all(w >= 0)


@pytest.mark.parametrize("kind", ["alpha_decay", "self_tuning", "knn", "fuzzy"])
def test_common_properties(kind):
    w = neighbour_graph(X, k=4, kind=kind)
    assert isinstance(w, sp.csr_array) and w.dtype == np.float64
    assert abs(w - w.T).max() < 1e-12 and not np.any(w.diagonal())
    assert w.data.min() > 0 and w.data.max() <= 1
    moved = neighbour_graph(3 * X + 5, k=4, kind=kind)
    np.testing.assert_allclose(w.toarray(), moved.toarray(), atol=1e-3)
    doubled = neighbour_graph(np.repeat(X, 2, axis=0), k=3, kind=kind)  # every point has a duplicate
    assert np.all(np.isfinite(doubled.data)) and np.all(doubled.sum(1) > 0)
    same = neighbour_graph(np.ones((6, 2)), k=2, kind=kind)
    assert np.all(same.data == 1) or kind == "knn"


def test_global_lengths():
    """Two clouds at a ratio of scales of 10: in global lengths the wide one conducts 100 times less."""
    both = np.concatenate([X, 10 * X + 500])
    local, wide = (neighbour_graph(both, k=4, lengths=lengths).toarray() for lengths in ("local", "global"))
    np.testing.assert_allclose(local[:40, :40], local[40:, 40:], atol=1e-3)
    np.testing.assert_allclose(wide[:40, :40], 100 * wide[40:, 40:], rtol=2e-2)
    lengths = np.concatenate([KTH, 10 * KTH])
    np.testing.assert_allclose(wide, local * np.mean(lengths**2) / np.outer(lengths, lengths), atol=1e-2)
    assert component_count(sp.csr_array(local)) == 2 and component_count(neighbour_graph(X, k=6)) == 1


@pytest.mark.parametrize("normalization", ["symmetric", "random_walk", "none"])
def test_laplacians(normalization):
    w = neighbour_graph(X, k=4).toarray()
    w[7] = w[:, 7] = 0  # an isolated node
    got = sparse_laplacian(sp.csr_array(w), normalization=normalization)
    np.testing.assert_allclose(got.toarray(), laplacian(jnp.asarray(w, jnp.float32), normalization=normalization), atol=1e-5)
    assert not np.any(got.toarray()[7])
    assert sparse_laplacian(sp.csr_array(w.astype(np.float32)), normalization=normalization).dtype == np.float32
    assert np.linalg.eigvals(got.toarray()).real.min() > -1e-10


BAD = [
    (dict(k=40), "k: got 40; wanted 1 to 39, for 40 points without the point itself. Lower k or give more points."),
    (dict(k=0), "k: got 0; wanted 1 to 39"),
    (dict(k=3, kind="heat"), 'kind: got "heat"; wanted a known name.'),
    (dict(k=3, lengths="mean"), 'lengths: got "mean"; wanted a known name.'),
    (dict(k=3, decay=0.0), "decay: got 0.0; wanted a finite number above 0."),
    (dict(k=3, floor=1.0), "floor: got 1.0; wanted a number between 0 and 1."),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=range(len(BAD)))
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        neighbour_graph(X, **options)


def test_bad_points():
    with pytest.raises(ValueError, match="x: got NaN or infinity in 1 of 40 rows, first in row 3"):
        neighbour_graph(np.where(np.arange(40)[:, None] == 3, np.nan, X), k=3)
    with pytest.raises(ValueError, match=r"w: got shape \(2, 3\)"):
        sparse_laplacian(sp.csr_array(np.ones((2, 3))))
