"""Routes of the heat kernel and of its distances that whole square matrices do not reach."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.graphs import heat_geodesic_distance, heat_kernel
from tests.oracles import heat as oracle

W = np.triu(np.random.default_rng(0).uniform(0.2, 1.0, size=(7, 7)), 1)
LAPLACIAN = oracle.laplacian(W + W.T)
HEAT = oracle.heat_kernel(LAPLACIAN, t=0.4)
NODES = np.array([5, 0, 3])


@pytest.mark.parametrize("rho", [0.3, 1.0])
def test_triplets_over_some_columns_compare_the_columns_own_rows(rho):
    d = oracle.heat_geodesic_distance(HEAT, t=0.4)[:, NODES]
    rows = np.sqrt(((d[:, None] - d[NODES][None]) ** 2).sum(2))
    got = heat_geodesic_distance(HEAT[:, NODES], t=0.4, rho=rho, diagonal=np.diag(HEAT), columns=NODES)
    assert np.allclose(got, (1 - rho) * d + rho * rows, atol=1e-7)
    others = np.sqrt(((d[:, None] - d[:3][None]) ** 2).sum(2))
    assert not np.allclose(got, (1 - rho) * d + rho * others, atol=1e-2)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_dense_laplacian_of_low_rank(rank):
    values, vectors = np.linalg.eigh(LAPLACIAN)
    want = (vectors[:, :rank] * np.exp(-0.4 * values[:rank])) @ vectors[:, :rank].T
    got = heat_kernel(jnp.asarray(LAPLACIAN, "float32"), t=0.4, method="lowrank", rank=rank)
    assert np.allclose(got, want, atol=1e-5)
    assert not np.allclose(got, HEAT, atol=1e-2)
