"""What is drawn for a row goes by its place in the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.training import context

OPTIONS = dict(noise=0.3, feature_dropout=0.25)


def test_disturbed_rows_do_not_depend_on_how_they_are_cut():
    x, key = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)), jnp.float32), jax.random.key(4)
    whole = context.disturb(x, key, **OPTIONS)
    parts = [context.disturb(x[i : i + 2], key, first=i, **OPTIONS) for i in range(0, 8, 2)]
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-6)  # sums of other shapes may round otherwise
    assert not np.array_equal(jnp.concatenate([context.disturb(x[i : i + 2], key, **OPTIONS) for i in range(0, 8, 2)]), whole)


def test_disturbed_rows_have_the_stated_noise_and_mean():
    x, key = jnp.asarray(np.random.default_rng(1).normal(size=(1, 20_000)) * 7, jnp.float32), jax.random.key(0)
    added = context.disturb(x, key, noise=0.3) - x
    assert float(jnp.linalg.norm(added) / jnp.linalg.norm(x)) == pytest.approx(0.3, rel=0.03)
    dropped = context.disturb(jnp.abs(x), key, feature_dropout=0.25)
    assert float(jnp.mean(dropped == 0)) == pytest.approx(0.25, abs=0.02)
    assert float(jnp.mean(dropped)) == pytest.approx(float(jnp.mean(jnp.abs(x))), rel=0.02)
    np.testing.assert_array_equal(context.disturb(x, key), x)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_noise_of_narrow_floats_is_that_of_wide_ones(scale):
    x, key = scale * jnp.ones((3, 1_000), jnp.float16), jax.random.key(0)
    got, wanted = context.disturb(x, key, noise=0.3), context.disturb(x.astype(jnp.float32), key, noise=0.3)
    assert got.dtype == jnp.float16
    np.testing.assert_allclose(got.astype(jnp.float32), wanted, rtol=2e-3, atol=1e-3 * scale)
    assert not np.allclose(got.astype(jnp.float32), scale, rtol=0.05)  # companion: there is noise


def test_a_zero_row_stays_zero_with_a_finite_gradient():
    x = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    value, gradient = jax.value_and_grad(lambda x: context.disturb(x, jax.random.key(0), noise=0.3)[0].sum())(x)
    assert value == 0
    np.testing.assert_array_equal(gradient, [[1, 1], [0, 0]])
