"""Distances, arcs and collectives against slow NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import ops
from gera_jax.ops import collectives


def _direct(x, y):
    return ((x[:, None].astype(np.float64) - y[None]) ** 2).sum(-1)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e4])
def test_squared_distances_equal_direct_form(scale):
    rng = np.random.default_rng(0)
    x, y = (scale * rng.normal(size=(n, 4)).astype(np.float32) for n in (6, 5))
    close = dict(rtol=1e-4, atol=1e-6 * scale**2)
    np.testing.assert_allclose(ops.squared_distances(jnp.asarray(x)), _direct(x, x), **close)
    got = ops.squared_distances(jnp.asarray(x), jnp.asarray(y))
    np.testing.assert_allclose(got, _direct(x, y), **close)
    for wrong in (np.sqrt(_direct(x, y)), 2 * _direct(x, y), np.zeros((6, 5)), _direct(x, y[::-1])):
        assert not np.allclose(got, wrong, **close)


def test_squared_distances_survive_a_far_away_cloud():
    x = np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
    got = ops.squared_distances(jnp.asarray(x + np.float32(1000)))
    np.testing.assert_allclose(got, _direct(x, x), rtol=2e-3, atol=2e-3)
    far = x + np.float32(1000)
    uncentred = (far**2).sum(1)[:, None] + (far**2).sum(1) - 2 * far @ far.T
    assert not np.allclose(uncentred, _direct(x, x), rtol=2e-3, atol=2e-3)


def test_equal_rows_give_exact_zero_and_finite_gradient():
    x = jnp.asarray(np.tile(np.random.default_rng(2).normal(size=7).astype(np.float32), (5, 1)))
    assert np.all(np.asarray(ops.squared_distances(x)) == 0)
    for f in (lambda a: ops.squared_distances(a), lambda a: ops.squared_distances(a, x)):
        assert np.isfinite(jax.grad(lambda a, f=f: jnp.sum(f(a)))(x)).all()


def test_squared_distances_gradient_equals_direct_gradient():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(5, 3)), jnp.float32)
    weight = jnp.asarray(np.random.default_rng(4).random((5, 5)), jnp.float32)
    got = jax.grad(lambda a: jnp.sum(weight * ops.squared_distances(a)))(x)
    want = jax.grad(lambda a: jnp.sum(weight * jnp.sum((a[:, None] - a[None]) ** 2, -1)))(x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert not np.allclose(got, 2 * want, rtol=1e-4, atol=1e-4)


def test_squared_distances_batch_and_errors():
    x = jnp.asarray(np.random.default_rng(5).normal(size=(2, 4, 3)), jnp.float32)
    np.testing.assert_allclose(ops.squared_distances(x)[1], ops.squared_distances(x[1]), rtol=1e-5)
    with pytest.raises(ValueError, match="rows of width 2; wanted rows of width 3, as in x"):
        ops.squared_distances(x, jnp.ones((4, 2)))
    with pytest.raises(ValueError, match=r"x: got shape \(3,\); wanted \[..., rows, features\]"):
        ops.squared_distances(jnp.ones(3))


def test_slerp_divides_the_angle():
    rng = np.random.default_rng(6)
    x, y = (jnp.asarray(rng.normal(size=(4, 5)), jnp.float32) for _ in range(2))
    lam = jnp.array([0.0, 0.25, 0.5, 1.0])
    z = np.asarray(ops.slerp(x, y, lam))
    u, v = (np.asarray(ops.safe_normalize(a)) for a in (x, y))
    whole = np.arccos((u * v).sum(1))
    np.testing.assert_allclose(np.arccos(np.clip((u * z).sum(1), -1, 1)), np.asarray(lam) * whole, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-6)
    straight = np.asarray(ops.safe_normalize(0.75 * u + 0.25 * v))
    assert abs(np.arccos((u * straight).sum(1))[1] - 0.25 * whole[1]) > 1e-3, "a straight line must not pass"


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 1.0])
def test_slerp_is_finite_for_equal_and_opposite_rows(sign, lam):
    x = jnp.array([[0.6, 0.8]])
    value, grads = jax.value_and_grad(lambda a, b: jnp.sum(ops.slerp(a, b, lam)), argnums=(0, 1))(x, sign * x)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)
    if sign > 0:
        np.testing.assert_allclose(ops.slerp(x, x, lam), x, rtol=1e-6)


def test_slerp_refuses_unequal_shapes():
    with pytest.raises(ValueError, match="y: got shape"):
        ops.slerp(jnp.ones((2, 3)), jnp.ones((3, 3)), 0.5)


def test_collectives_equal_concatenation():
    x = jnp.arange(24.0).reshape(4, 2, 3)
    gathered = jax.vmap(lambda r: collectives.gather_rows(r, "d"), axis_name="d")(x)
    np.testing.assert_array_equal(gathered, np.broadcast_to(np.asarray(x).reshape(8, 3), (4, 8, 3)))
    offsets = jax.vmap(lambda r: collectives.row_offset(len(r), "d"), axis_name="d")(x)
    np.testing.assert_array_equal(offsets, [0, 2, 4, 6])
    np.testing.assert_array_equal(jax.vmap(lambda r: collectives.global_sum(r, "d"), axis_name="d")(x)[0], x.sum(0))
    assert collectives.gather_rows(x, None) is x
    assert collectives.global_sum(x, None) is x
    assert int(collectives.row_offset(3, None)) == 0
