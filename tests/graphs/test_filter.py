"""The filter against a slow loop written from its formula."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.graphs import diffusion_filter


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _rows(n, seed=0):
    return _unit(np.random.default_rng(seed).normal(size=(n, 5))).astype(np.float32)


def _slow(x, pool, k, tau, b, excluded=None):
    out = []
    for i, row in enumerate(x.astype(np.float64)):
        cosines = [float(row @ p) / np.linalg.norm(row) / np.linalg.norm(p) for p in pool.astype(np.float64)]
        if excluded is not None and excluded[i] >= 0:
            cosines[excluded[i]] = -np.inf
        nearest = sorted(range(len(pool)), key=lambda j: -cosines[j])[:k]
        weights = np.array([np.exp((cosines[j] - 1) / tau) for j in nearest])
        weights /= weights.sum()
        out.append(_unit((1 - b) * row + b * sum(w * pool[j] for w, j in zip(weights, nearest, strict=True))))
    return np.array(out)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("temperature", [0.1, 0.3])
def test_equals_the_loop_for_new_rows(strength, temperature):
    x, pool = _rows(13), _rows(30, seed=1)
    got = diffusion_filter(x, pool, k=4, temperature=temperature, strength=strength, block_size=5)
    want = _slow(x, pool, 4, temperature, strength)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert got.dtype == np.float32
    if strength:
        for wrong in (x, _slow(x, pool, 5, temperature, strength), _slow(x, pool, 4, 2 * temperature, strength), 2 * want):
            assert not np.allclose(got, wrong, atol=1e-5)


def test_a_row_of_the_pool_may_leave_itself_out():
    pool = _rows(20)
    own = np.arange(20)
    own[5] = -1
    got = diffusion_filter(pool, pool, k=3, exclude_self=own)
    np.testing.assert_allclose(got, _slow(pool, pool, 3, 0.1, 0.5, own), atol=1e-5)
    assert not np.allclose(got, _slow(pool, pool, 3, 0.1, 0.5), atol=1e-5)
    assert not np.allclose(got[5], diffusion_filter(pool, pool, k=3, exclude_self=np.arange(20))[5], atol=1e-5)


def test_a_tiny_temperature_is_the_nearest_row_and_zero_rows_stay_finite():
    x, pool = _rows(6), _rows(9, seed=3)
    got = diffusion_filter(x, pool, k=3, temperature=1e-6, strength=1.0)
    np.testing.assert_allclose(got, pool[np.argmax(x @ pool.T, axis=1)], atol=1e-5)
    assert np.isfinite(diffusion_filter(np.zeros((2, 5)), pool, k=3)).all()
    np.testing.assert_array_equal(diffusion_filter(np.zeros((2, 5)), pool, k=3, strength=0.0), 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(temperature=0.0), "temperature: got 0.0; wanted a number above 0"),
        (dict(strength=1.5), "strength: got 1.5; wanted a number from 0 to 1"),
        (dict(k=10), "k: got 10; wanted 1 to 9"),
    ],
)
def test_bad_input_says_what_to_do(arguments, words):
    with pytest.raises(ValueError) as error:
        diffusion_filter(_rows(3), _rows(9), **arguments)
    assert words in str(error.value)
