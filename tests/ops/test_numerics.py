"""Normalisation, masked means, medians: values against NumPy, and the places where they usually break."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import ops
from gera_jax.ops import numerics


def test_safe_normalize_value_and_zero_row():
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    x[2] = 0
    want = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
    np.testing.assert_allclose(ops.safe_normalize(jnp.asarray(x)), want, atol=1e-6)
    for wrong in (x, np.ones_like(x), 2 * want):
        assert not np.allclose(ops.safe_normalize(jnp.asarray(x)), wrong, atol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-8, 1.0, 1e4])
def test_safe_normalize_gradient_is_finite(size):
    x = jnp.full((2, 3), size, jnp.float32)
    grad = jax.grad(lambda a: jnp.sum(ops.safe_normalize(a)[:, 0]))(x)
    assert np.isfinite(grad).all()
    assert (size > 0) == bool(jnp.any(grad != 0))


def test_safe_normalize_keeps_nan_visible_and_bfloat16_computes_in_float32():
    assert np.isnan(ops.safe_normalize(jnp.array([jnp.nan, 1.0]))).all()
    assert ops.safe_normalize(jnp.ones((2, 2), jnp.bfloat16)).dtype == jnp.float32


def test_sanitize_stops_nan_in_value_and_gradient():
    x, mask = jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf]]), jnp.array([True, False])
    value, grad = jax.value_and_grad(lambda a: jnp.sum(numerics.sanitize(a, mask) ** 2))(x)
    assert float(value) == 5.0
    np.testing.assert_array_equal(grad, [[2.0, 4.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="wanted one entry per row"):
        numerics.sanitize(x, jnp.ones(3, bool))


def test_masked_mean_equals_numpy_and_sharded_equals_whole():
    rng = np.random.default_rng(1)
    v, w, mask = rng.normal(size=8), rng.random(8), rng.random(8) > 0.4
    v, w = v.astype(np.float32), w.astype(np.float32)
    want = np.average(v[mask], weights=w[mask])
    v[~mask] = np.nan
    got, grad = jax.value_and_grad(numerics.masked_mean)(jnp.asarray(v), jnp.asarray(mask), jnp.asarray(w))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(grad, np.where(mask, w, 0) / w[mask].sum(), rtol=1e-6)
    assert abs(want - np.nanmean(v)) > 1e-3, "weights must matter in this test"
    for shards in (2, 4, 8):
        split = [jnp.asarray(a.reshape(shards, -1)) for a in (v, mask, w)]
        parts = jax.vmap(lambda a, b, c: numerics.masked_mean(a, b, c, "d"), axis_name="d")(*split)
        np.testing.assert_allclose(parts, np.full(shards, want), rtol=1e-6)


def test_masked_mean_of_nothing_is_zero_with_zero_gradient():
    value, grad = jax.value_and_grad(numerics.masked_mean)(jnp.full(3, jnp.nan), jnp.zeros(3, bool))
    assert float(value) == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("q", [1, 2, 3, 8, 9, 100])
@pytest.mark.parametrize("kind", ["uniform", "ties", "wide", "zeros"])
def test_median_is_numpys(q, kind):
    rng = np.random.default_rng(q)
    values = {
        "uniform": rng.random((4, q)),
        "ties": rng.integers(0, 3, (4, q)),
        "wide": 10.0 ** rng.uniform(-30, 30, (4, q)),
        "zeros": np.zeros((4, q)),
    }[kind].astype(np.float32)
    got = jax.jit(numerics.median_of_nonnegative)(jnp.asarray(values))
    np.testing.assert_allclose(got, np.median(values, axis=1), rtol=1e-6)
    if kind == "uniform" and q > 2:
        assert not np.allclose(got, values.mean(axis=1), rtol=1e-6)
        assert not np.allclose(got, np.sort(values, axis=1)[:, q // 2 - 1], rtol=1e-6)


def test_median_with_mask_is_the_median_of_the_rest():
    rng = np.random.default_rng(3)
    values, mask = rng.random((6, 11)).astype(np.float32), rng.random((6, 11)) > 0.4
    mask[0] = False
    want = [np.median(v[m]) if m.any() else 0.0 for v, m in zip(values, mask, strict=True)]
    got = numerics.median_of_nonnegative(jnp.asarray(np.where(mask, values, np.nan)), jnp.asarray(mask))
    np.testing.assert_allclose(got, np.asarray(want, np.float32), rtol=1e-6)
    assert not np.allclose(np.median(values, axis=1)[1:], want[1:], rtol=1e-6)


def test_median_has_no_gradient_and_takes_minus_zero():
    assert float(jnp.sum(jax.grad(lambda v: numerics.median_of_nonnegative(v))(jnp.arange(5.0)))) == 0
    assert float(numerics.median_of_nonnegative(jnp.array([-0.0, 1.0, 2.0]))) == 1


def test_median_is_exact_in_float64():
    with jax.enable_x64(True):
        values = np.random.default_rng(0).random((3, 10))
        np.testing.assert_array_equal(numerics.median_of_nonnegative(jnp.asarray(values)), np.median(values, axis=1))
        assert np.any(np.median(values, axis=1) != np.median(values.astype(np.float32), axis=1))
