"""Contracts of types and units: groups of any integer type, what is no real number, rows in units far from 1."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from gera_jax.checks import InputError
from tests.contracts.cases import GROUPS, PLAIN, rows
from tests.contracts.tools import call, matches
from tests.oracles import density

X, Y = (jnp.asarray(v, "float32") for v in rows(0))
PAIR = jax.ShapeDtypeStruct(X.shape, "float32")
GROUPED = ("info_nce", "symmetric_info_nce", "sigmoid_contrastive")


@pytest.fixture(scope="module")
def wanted():
    return {name: getattr(losses, name)(X, Y, x_groups=GROUPS, y_groups=GROUPS) for name in GROUPED}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("make", [np.int8, np.uint8, np.uint32, np.int64, np.uint64, list], ids=lambda m: m.__name__)
def test_groups_of_any_integer_type(name, make, wanted):
    groups = GROUPS.tolist() if make is list else GROUPS.astype(make)
    loss = getattr(losses, name)
    assert loss(X, Y, x_groups=groups, y_groups=GROUPS) == wanted[name]
    assert loss(X, Y, x_groups=groups, y_groups=np.roll(GROUPS, 1)) != wanted[name]


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (GROUPS + np.array([0, 2**32] * 4), r"x_groups: got \[4294967297\] as int64; wanted numbers that int32 holds.*np.unique"),
        (GROUPS.astype(np.uint64) + 2**63, r"x_groups: got \[9223372036854775808\] as uint64"),
        (np.array(["a"] * 8), "x_groups: got dtype <U1; wanted integers.*np.unique"),
        (["a"] * 8, "x_groups: got dtype <U1; wanted integers"),
        (GROUPS * 1.0, "x_groups: got dtype float64; wanted integers"),
    ],
    ids=range(5),
)
def test_groups_that_would_merge_are_refused(name, groups, words):
    """Eagerly as when compiled: JAX would cut 64-bit numbers to 32 bits without a word."""
    with pytest.raises(InputError, match=words):
        jax.eval_shape(lambda x, y: getattr(losses, name)(x, y, x_groups=groups, y_groups=jnp.asarray(GROUPS)), PAIR, PAIR)


def test_traced_groups_need_a_type_that_holds_both():
    mixed = [jax.ShapeDtypeStruct((8,), dtype) for dtype in ("uint32", "int32")]
    with pytest.raises(InputError, match="y_groups: got uint32 beside int32; wanted integers of one type"):
        jax.eval_shape(lambda x, y, a, b: losses.info_nce(x, y, x_groups=a, y_groups=b), PAIR, PAIR, *mixed)


@pytest.mark.parametrize("case", PLAIN, ids=lambda c: c.name)
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_no_real_number_is_refused(case, side):
    """A cast would drop the imaginary part of a row."""
    x, y = case.data()
    shapes = [jax.ShapeDtypeStruct(v.shape, "complex64" if i == side else "float32") for i, v in enumerate((x, y))]
    needed = case.needs(x, y) if case.needs else {}
    with pytest.raises(InputError, match="got dtype complex64; wanted real numbers"):
        jax.eval_shape(lambda *v: call(case, *v, {k: jnp.asarray(a, "float32") for k, a in needed.items()}), *shapes)


def test_lists_of_weights_and_masks_are_named():
    with pytest.raises(InputError, match=r"weights: got a list; wanted an array of shape \(8,\). Pass np.asarray\(weights\)"):
        losses.info_nce(X, Y, weights=[1.0] * 8)
    with pytest.raises(InputError, match="x_mask: got a list"):
        losses.info_nce(X, Y, x_mask=[True] * 8)


def test_integer_rows_are_their_numbers():
    x, y = (np.round(9 * np.asarray(v)).astype(np.int8) for v in (X, Y))
    for name in ("info_nce", "mmd"):
        loss = getattr(losses, name)
        assert loss(x, y) == loss(x.astype(np.float32), y.astype(np.float32)) != loss(X, Y)


SETS = {"mean": ("mk_mmd", {}), "median": ("mk_mmd", dict(bandwidths="median")), "density": ("semantic_density", {})}


@pytest.mark.parametrize("name", SETS)
def test_sets_in_any_unit(name):
    """Bandwidths that come from the rows: the unit does not matter, and the density's value is per squared length."""
    function, options = SETS[name]
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(16, 4)) + 0.5
    want = getattr(density, function)(x, y, **options)
    run = jax.jit(jax.value_and_grad(partial(getattr(losses, function), **options)))
    slope = np.asarray(run(jnp.asarray(x, "float32"), jnp.asarray(y, "float32"))[1], np.float64)
    for power in (-16, -10, 10, 16) if function == "semantic_density" else (-30, -20, 18, 20, 30):
        value, gradient = run(*(jnp.asarray(10.0**power * v, "float32") for v in (x, y)))
        squared = 10.0 ** (2 * power) if function == "semantic_density" else 1.0
        assert matches(np.float64(value) * squared, want, 1e-4), power
        if abs(power) <= 10:
            assert matches(np.asarray(gradient, np.float64) * squared * 10.0**power, slope, 1e-3), power
    assert not matches(0.0, want, 1e-4)


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_lengths_in_any_unit(unit):
    rng = np.random.default_rng(0)
    x, y = (v.astype(np.float32) for v in (unit * rng.normal(size=(8, 4)), unit * (rng.normal(size=(16, 4)) + 0.5)))
    wide = [v.astype(np.float64) / unit for v in (x, y)]
    assert matches(losses.mmd(x, y, bandwidth=1.3 * unit), density.mmd(*wide, bandwidth=1.3), 1e-4)
    several = losses.mk_mmd(x, y, bandwidths=(0.5 * unit, 2.0 * unit))
    assert matches(several, density.mk_mmd(*wide, bandwidths=(0.5, 2.0)), 1e-4)
    assert not matches(several, density.mk_mmd(*wide, bandwidths=(0.5, 1.0)), 1e-4)
    assert matches(losses.mmd(x, y, bandwidth=1e-25 * unit if unit >= 1 else 1e-37), 1 / 8 + 1 / 16, 1e-5)  # nothing is near
