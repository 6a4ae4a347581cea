"""Kernel sums in tiles: value and slopes are those of one tile, whatever the sizes, and memory does not grow with the pairs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from gera_jax.losses import kernel_sums
from tests.contracts.tools import matches

RTOL = 1e-11
CASES = [
    (losses.mmd, dict(bandwidth=0.7)),
    (losses.mmd, dict(bandwidth=0.7, estimator="unbiased")),
    (losses.mk_mmd, dict(bandwidths="mean")),
    (losses.mk_mmd, dict(bandwidths="released")),
]


def sets():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 3)), rng.normal(size=(17, 3)) + 0.5
    x[4] = x[9] = y[2]  # rows at one place, in tiles of their own
    masks = dict(x_mask=jnp.asarray(np.arange(13) % 4 != 3), y_mask=jnp.asarray(np.arange(17) % 5 != 1))
    return jnp.asarray(x), jnp.asarray(y), masks


def value_and_slopes(loss, options, tile, monkeypatch, *, masked):
    monkeypatch.setattr(kernel_sums, "TILE", tile)
    x, y, masks = sets()
    run = jax.value_and_grad(lambda x, y: loss(x, y, **options, **(masks if masked else {})), argnums=(0, 1))
    return jax.tree.leaves(jax.jit(run)(x, y))


@pytest.mark.parametrize(("loss", "options"), CASES)
def test_tiles_equal_one(loss, options, monkeypatch):
    """Tiles that divide neither 13 nor 17 rows, and one set in one tile with the other in two."""
    with jax.enable_x64(True):
        want = value_and_slopes(loss, options, 100, monkeypatch, masked=True)
        for tile in (5, 13):
            got = value_and_slopes(loss, options, tile, monkeypatch, masked=True)
            assert all(matches(a, b, RTOL) for a, b in zip(got, want, strict=True))
        other = value_and_slopes(loss, options, 13, monkeypatch, masked=False)
        assert not all(matches(a, b, RTOL) for a, b in zip(other, want, strict=True))


def test_every_pair_is_met_once(monkeypatch):
    """At a width that all rows share, the sums count pairs: n^2 within a set, n m between two."""
    flat = kernel_sums.Mixture((1.0,), 1.0)
    for tile in (4, 7, 100):
        monkeypatch.setattr(kernel_sums, "TILE", tile)
        x, y, one = jnp.zeros((13, 2)), jnp.zeros((17, 2)), jnp.ones(())
        within = kernel_sums.kernel_sum_within(flat, x, jnp.ones(13), one)
        between = kernel_sums.kernel_sum(flat, False, x, y, jnp.ones(13), jnp.ones(17), one, jnp.zeros((), jnp.int32))
        assert float(within) == 169 and float(between) == 221


def test_memory_does_not_grow_with_the_pairs():
    def planned(n):
        shape = jax.ShapeDtypeStruct((n, 8), jnp.float32)
        run = jax.jit(jax.value_and_grad(losses.mk_mmd, argnums=(0, 1)))
        return run.lower(shape, shape).compile().memory_analysis().temp_size_in_bytes

    assert planned(16_384) - planned(4_096) < 4 * 16_384 * 8 * 20  # rows and their slopes
    assert planned(16_384) < 4 * 16_384**2 / 16  # of one matrix
