"""Symmetric products and their short gradients against plain ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.ops import squared_distances
from gera_jax.ops.symmetric import gram, self_squared_distances, symmetric_powers, symmetric_product


def rows(n=6, d=3, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, d)), "float32")


@pytest.mark.parametrize("n", [6, 515])  # in one piece, and in strips of uneven size
def test_products(n):
    x = rows(n)
    want = np.asarray(x, np.float64) @ np.asarray(x, np.float64).T
    for got in (symmetric_product(x, x), gram(x)):
        assert np.allclose(got, want, atol=1e-5)
        assert not np.allclose(got, np.roll(want, 1, axis=0), atol=1e-2)
        assert np.array_equal(got, got.T) or n < 512


@pytest.mark.parametrize("n", [6, 515])
def test_gradient_of_the_gram_matrix(n):
    x, g = rows(n), jnp.asarray(np.random.default_rng(1).normal(size=(n, n)), "float32")
    got = jax.grad(lambda v: jnp.sum(gram(v) * g))(x)
    want = jax.grad(lambda v: jnp.sum((v @ v.T) * g))(x)
    assert np.allclose(got, want, atol=1e-3)
    assert not np.allclose(got, jax.grad(lambda v: jnp.sum((v @ jax.lax.stop_gradient(v).T) * g))(x), atol=1e-1)


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5])
def test_powers_and_their_gradient(levels):
    """As a function of the rows behind a symmetric matrix, so along symmetric changes."""
    x, rng = rows() / 3, np.random.default_rng(1)
    weights = [jnp.asarray(rng.normal(size=(6, 6)), "float32") for _ in range(levels)]

    def plain(a):
        powers = [a]
        for _ in range(levels - 1):
            powers.append(powers[-1] @ a)
        return powers

    def total(powers):
        return lambda v: sum(jnp.sum(p * w) for p, w in zip(powers(jnp.tanh(gram(v))), weights, strict=True))

    short = total(lambda a: symmetric_powers(a, levels))
    assert np.allclose(short(x), total(plain)(x), rtol=1e-5)
    got, want = jax.grad(short)(x), jax.grad(total(plain))(x)
    assert np.allclose(got, want, atol=2e-5 * float(jnp.abs(want).max()))
    if levels > 1:
        weights[-1] = weights[-1] * 1.01
        assert not np.allclose(got, jax.grad(total(plain))(x), atol=2e-5 * float(jnp.abs(want).max()))


def test_distances_within_a_set():
    x = rows().at[4].set(rows()[1])
    mask = jnp.array([True, True, True, False, True, True])
    want = squared_distances(x)
    got = self_squared_distances(x.at[3].set(jnp.nan), mask)
    keep = mask[:, None] & mask[None, :]
    assert np.allclose(jnp.where(keep, got, 0), jnp.where(keep, want, 0), atol=1e-5)
    assert np.array_equal(jnp.diagonal(got), np.zeros(6)) and got[1, 4] < 1e-6
    grads = jax.grad(lambda v: jnp.sum(jnp.where(keep, jnp.exp(-self_squared_distances(v, mask)), 0)))(x)
    assert np.allclose(grads, jax.grad(lambda v: jnp.sum(jnp.where(keep, jnp.exp(-squared_distances(v)), 0)))(x), atol=1e-5)
    with pytest.raises(ValueError, match=r"x: got shape \(2, 3, 4\); wanted \[n, d\]"):
        self_squared_distances(jnp.zeros((2, 3, 4)))
