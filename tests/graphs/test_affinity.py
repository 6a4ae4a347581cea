"""Affinities: hand numbers for the points 0, 1, 3 on a line, and the inputs that make bandwidths vanish."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.graphs import affinity
from gera_jax.ops import squared_distances

D2 = jnp.array([[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]])


def _full(a, b, c):
    return np.array([[1, a, b], [a, 1, c], [b, c, 1]])


def _points(m, d=3, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(m, d)), jnp.float32)


def test_gaussian_hand_numbers():
    released = affinity(D2, median_diagonal=True)
    np.testing.assert_allclose(released, _full(0.60653066, 0.01110900, 0.13533528), rtol=1e-5)
    default = affinity(D2)  # the median of 1, 9, 4 is 4
    np.testing.assert_allclose(default, _full(*np.exp([-1 / 8, -9 / 8, -4 / 8])), rtol=1e-5)
    np.testing.assert_allclose(affinity(D2, bandwidth=1.0, scale=1.0), np.exp(-np.asarray(D2)), rtol=1e-5)
    np.testing.assert_allclose(affinity(D2, bandwidth=2.0), default, rtol=1e-6)  # a number is a length
    for wrong in (default, np.eye(3), np.ones((3, 3)), affinity(D2, median_diagonal=True, scale=1.0)):
        assert not np.allclose(released, wrong, rtol=1e-5)


def test_self_tuning_hand_numbers():
    got = affinity(D2, bandwidth="self_tuning", k=1)
    np.testing.assert_allclose(got, _full(0.36787944, 0.01110900, 0.13533528), rtol=1e-5)
    np.testing.assert_allclose(affinity(D2, bandwidth="self_tuning", k=1, scale=9.0), got, rtol=0)
    assert not np.allclose(got, affinity(D2, bandwidth="self_tuning", k=2), rtol=1e-5)
    np.testing.assert_allclose(affinity(D2, bandwidth="self_tuning", k=7), affinity(D2, bandwidth="self_tuning", k=2))


def test_alpha_decay_hand_numbers():
    got = affinity(D2, kernel="alpha_decay", bandwidth="self_tuning", k=1, decay=2.0)  # sigma 1, 1, 2
    want = _full(np.exp(-1), (np.exp(-9) + np.exp(-9 / 4)) / 2, (np.exp(-4) + np.exp(-1)) / 2)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert not np.allclose(got, _full(np.exp(-1), np.exp(-9), np.exp(-4)), rtol=1e-5)


@pytest.mark.parametrize("kernel", ["gaussian", "alpha_decay"])
@pytest.mark.parametrize("bandwidth", ["median", "self_tuning"])
@pytest.mark.parametrize("size", [0.0, 1e-8, 1.0, 1e4])
@pytest.mark.parametrize("decay", [1.0, 40.0])
def test_finite_symmetric_and_scale_invariant(kernel, bandwidth, size, decay):
    x = _points(9)
    x = x.at[:4].set(x[0])

    def of(a):
        return affinity(squared_distances(a), kernel=kernel, bandwidth=bandwidth, decay=decay, k=3)

    value, grad = of(size * x), jax.grad(lambda a: jnp.sum(of(a) ** 2))(size * x)
    assert np.isfinite(value).all()
    assert np.isfinite(grad).all()
    np.testing.assert_allclose(value, value.T, rtol=1e-6)
    np.testing.assert_allclose(np.diag(value), 1)
    # Equal rows among others differ by float32 rounding of the products, which the floor of the bandwidth makes harmless;
    # decay = 1 sees the square root of that.
    close = dict(rtol=0, atol=0.03 if decay < 2 else 2e-3)
    np.testing.assert_allclose(value[:4, :4], 1, **close)
    if size:
        np.testing.assert_allclose(value, of(x), **close)
        assert not np.allclose(value, 1, **close)
        assert not np.allclose(value, np.eye(9), **close)
    else:
        np.testing.assert_array_equal(value, 1)


def test_mostly_equal_rows_have_a_floored_bandwidth():
    x = jnp.ones((6, 2)).at[5].set(3.0)
    value = affinity(squared_distances(x))
    np.testing.assert_allclose(value[:5, :5], 1, rtol=1e-5)
    np.testing.assert_allclose(value[5, :5], 0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(bandwidth="self_tuning", k=3),
        dict(median_diagonal=True),
        dict(kernel="alpha_decay", decay=4.0),
        dict(bandwidth="self_tuning", k=50),
    ],
)
def test_masked_equals_removed(options):
    x, keep = _points(8), np.array([0, 2, 3, 6, 7])
    mask = jnp.asarray(np.isin(np.arange(8), keep))
    d2 = squared_distances(x)
    dirty = jnp.where(mask[:, None] & mask[None], d2, jnp.nan)
    got, grad = affinity(dirty, mask=mask, **options), jax.grad(lambda a: jnp.sum(affinity(a, mask=mask, **options)))(dirty)
    want = affinity(d2[np.ix_(keep, keep)], **options)
    np.testing.assert_allclose(np.asarray(got)[np.ix_(keep, keep)], want, rtol=1e-5)
    assert np.all(np.asarray(got)[~np.asarray(mask)] == 0)
    assert np.isfinite(grad).all()
    assert not np.allclose(np.asarray(affinity(d2, **options))[np.ix_(keep, keep)], want, rtol=1e-5)


def test_batch_equals_one_by_one_and_bandwidth_has_no_gradient():
    d2 = jnp.stack([D2, 4 * D2 + squared_distances(_points(3))])
    np.testing.assert_allclose(affinity(d2)[1], affinity(d2[1]), rtol=1e-6)
    grad = jax.grad(lambda a: affinity(a)[0, 1])(D2)
    np.testing.assert_allclose(grad, np.zeros((3, 3)) + np.exp(-1 / 8) * -1 / 8 * (np.arange(9).reshape(3, 3) == 1), atol=1e-6)


def test_one_point():
    np.testing.assert_array_equal(affinity(jnp.zeros((1, 1))), 1)
    np.testing.assert_array_equal(affinity(jnp.zeros((1, 1)), bandwidth="self_tuning"), 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(kernel="gausian"), 'Did you mean "gaussian"'),
        (dict(bandwidth="medain"), 'Did you mean "median"'),
        (dict(bandwidth=0.0), "bandwidth: got 0.0; wanted a finite number above 0"),
        (dict(scale=-1.0), "scale: got -1.0"),
        (dict(k=0), "k: got 0"),
        (dict(decay=0.0), "decay: got 0.0"),
        (dict(mask=jnp.ones(2, bool)), "mask: got shape (2,)"),
    ],
)
def test_bad_input_says_what_to_do(arguments, words):
    with pytest.raises(ValueError) as error:
        affinity(D2, **arguments)
    assert words in str(error.value)
    with pytest.raises(ValueError, match="sq_distances: got shape"):
        affinity(jnp.ones((2, 3)))
