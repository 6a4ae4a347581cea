"""Draws are functions of (seed, step, name); what is drawn for a row goes by its place in the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import augment

MIX = augment.check_draw({"kind": "beta", "alpha": 2.0, "beta": 6.0}, "draws.mix")


def test_a_draw_is_a_function_of_seed_step_and_name():
    one = augment.draw(MIX, seed=1, step=2, name="mix")
    assert one.dtype == np.float32 and one == augment.draw(MIX, seed=1, step=2, name="mix")
    others = [
        augment.draw(MIX, **{**dict(seed=1, step=2, name="mix"), **change})
        for change in (dict(seed=2), dict(step=3), dict(name="mux"))
    ]
    assert len({float(one), *map(float, others)}) == 4


def test_draws_have_the_mean_and_spread_of_their_distribution():
    values = np.array([augment.draw(MIX, seed=0, step=step, name="mix") for step in range(2000)])
    assert abs(values.mean() - 0.25) < 0.015 and abs(values.var() - 2 * 6 / (64 * 9)) < 0.003
    flipped = augment.check_draw({"alpha": 6.0, "beta": 2.0}, "draws.mix")
    assert np.mean([augment.draw(flipped, seed=0, step=step, name="mix") for step in range(200)]) > 0.7


def test_partners_are_a_new_permutation_each_step():
    a, b = (augment.partners(50, seed=0, step=step) for step in (0, 1))
    assert sorted(a) == sorted(b) == list(range(50)) and not (a == b).all() and not (a == np.arange(50)).all()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (dict(kind="bata"), 'draws.mix.kind: got "bata".*Did you mean "beta"'),
        (dict(alpah=1.0), 'field of draws.mix: got "alpah".*Did you mean "alpha"'),
        (dict(alpha=0.0), "draws.mix.alpha: got 0.0; wanted a number above 0"),
        (dict(alpha=np.inf), "draws.mix.alpha: got inf; wanted a number above 0"),
        (dict(beta="1"), "draws.mix.beta: got 1; wanted a number above 0"),
    ],
)
def test_faults_are_named(spec, words):
    with pytest.raises(InputError, match=words):
        augment.check_draw(spec, "draws.mix")


OPTIONS = dict(noise=0.3, feature_dropout=0.25)


def test_disturbed_rows_do_not_depend_on_how_they_are_cut():
    x, key = jnp.asarray(np.random.default_rng(0).normal(size=(8, 5)), jnp.float32), jax.random.key(4)
    whole = augment.disturb(x, key, **OPTIONS)
    parts = [augment.disturb(x[i : i + 2], key, first=i, **OPTIONS) for i in range(0, 8, 2)]
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-6)  # sums of other shapes may round otherwise
    assert not np.array_equal(jnp.concatenate([augment.disturb(x[i : i + 2], key, **OPTIONS) for i in range(0, 8, 2)]), whole)


def test_disturbed_rows_have_the_stated_noise_and_mean():
    x, key = jnp.asarray(np.random.default_rng(1).normal(size=(1, 20_000)) * 7, jnp.float32), jax.random.key(0)
    noise = augment.disturb(x, key, noise=0.3) - x
    assert float(jnp.linalg.norm(noise) / jnp.linalg.norm(x)) == pytest.approx(0.3, rel=0.03)
    dropped = augment.disturb(jnp.abs(x), key, feature_dropout=0.25)
    assert float(jnp.mean(dropped == 0)) == pytest.approx(0.25, abs=0.02)
    assert float(jnp.mean(dropped)) == pytest.approx(float(jnp.mean(jnp.abs(x))), rel=0.02)
    np.testing.assert_array_equal(augment.disturb(x, key), x)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_noise_of_narrow_floats_is_that_of_wide_ones(scale):
    x, key = scale * jnp.ones((3, 1_000), jnp.float16), jax.random.key(0)
    got, wanted = augment.disturb(x, key, noise=0.3), augment.disturb(x.astype(jnp.float32), key, noise=0.3)
    assert got.dtype == jnp.float16
    np.testing.assert_allclose(got.astype(jnp.float32), wanted, rtol=2e-3, atol=1e-3 * scale)
    assert not np.allclose(got.astype(jnp.float32), scale, rtol=0.05)  # companion: there is noise


def test_a_zero_row_stays_zero_with_a_finite_gradient():
    x = jnp.asarray([[0.0, 0.0], [3.0, 4.0]])
    value, gradient = jax.value_and_grad(lambda x: augment.disturb(x, jax.random.key(0), noise=0.3)[0].sum())(x)
    assert value == 0
    np.testing.assert_array_equal(gradient, [[1, 1], [0, 0]])
