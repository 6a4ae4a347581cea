"""Distances and directions against exact arithmetic on the hard sets."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import ops
from gera_jax.graphs import affinity, geodesic_similarity
from gera_jax.ops import symmetric
from tests.hard_sets import exact_squares, hard_sets

NARROW = hard_sets()
WIDE = {name: rows for name, rows in hard_sets(d=12, seed=1).items() if rows.dtype == np.float32}
CLUSTERS = ("hard: clusters", "hard: offset, clusters", "hard: a small cluster", "hard: int64 clusters")
FORMS = {
    "of two": jax.jit(lambda a: ops.squared_distances(a, a)),
    "of one": jax.jit(ops.squared_distances),
    "symmetric": jax.jit(symmetric.self_squared_distances),
}


def close(got, want):
    """To float32's range: below its smallest numbers a processor may round to 0."""
    with np.errstate(over="ignore"):
        return np.allclose(got, want.astype(np.float32), rtol=2e-4, atol=1e-37)


@pytest.mark.parametrize("name", WIDE)
def test_distances_of_wide_rows(name):
    want = exact_squares(WIDE[name], WIDE[name])
    for form, distances in FORMS.items():
        assert close(distances(WIDE[name]), want), form


@pytest.mark.parametrize("name", [name for name in NARROW if name != "hard: scale 1e+200"])  # beyond float32
def test_distances_of_numpy_rows_in_any_dtype(name):
    """Eagerly, so that float64 and integers are seen, and shifted, before JAX makes them 32 bits wide."""
    rows = NARROW[name]
    if name.startswith(CLUSTERS) and rows.dtype.itemsize == 8:  # float32 does not hold these wherever they are shifted
        rows = (rows - rows[0]).astype(np.float32)
    assert close(ops.squared_distances(rows), exact_squares(rows, rows))
    assert close(ops.squared_distances(rows[:7], rows), exact_squares(rows[:7], rows))


def test_products_alone_fail():
    """The companions: the form of before, centred products, and distances that are a thousandth too long."""
    want = exact_squares(WIDE["plain float32"], WIDE["plain float32"])
    assert close(want, want) and not close(1.001 * want, want)
    for name in ("hard: clusters 10000 apart", "hard: an outlier at 1e+06", "hard: duplicates in far clusters"):
        rows = WIDE[name] - WIDE[name].mean(0)
        products = (rows**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * rows @ rows.T
        assert not close(np.maximum(products, 0), exact_squares(WIDE[name], WIDE[name])), name


def test_many_sets_at_once_and_a_mask():
    names = ("hard: clusters 10000 apart", "plain float32", "hard: duplicates in far clusters")
    stack = np.stack([WIDE[name] for name in names])
    got = ops.squared_distances(jnp.asarray(stack), jnp.asarray(stack[:1, :7]))
    mapped = jax.vmap(symmetric.self_squared_distances)(jnp.asarray(stack))
    for one, other, rows in zip(got, mapped, stack, strict=True):
        assert close(one, exact_squares(rows, stack[0, :7])) and close(other, exact_squares(rows, rows))
    mask = jnp.arange(len(stack[0])) % 5 != 0
    rows = np.where(mask[:, None], stack[0], np.nan)
    kept = np.flatnonzero(mask)
    got = np.asarray(symmetric.self_squared_distances(jnp.asarray(rows), mask))[np.ix_(kept, kept)]
    assert close(got, exact_squares(rows[kept], rows[kept]))


@pytest.mark.parametrize(
    "rows",
    [NARROW["plain float32"], WIDE["plain float32"], WIDE["hard: duplicates in far clusters"]],
    ids=["narrow", "wide", "repaired"],
)
def test_the_gradient_is_that_of_differences(rows):
    x = jnp.asarray(rows)
    weight = jnp.asarray(np.random.default_rng(4).random((len(x), len(x))), jnp.float32)
    want = jax.grad(lambda a: jnp.sum(weight * jnp.sum((a[:, None] - a[None]) ** 2, -1)))(x)
    for form in (ops.squared_distances, symmetric.self_squared_distances):
        got = jax.grad(lambda a, form=form: jnp.sum(weight * form(a)))(x)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * float(jnp.abs(want).max()))
        assert not np.allclose(got, 1.01 * want, rtol=1e-4, atol=1e-5 * float(jnp.abs(want).max()))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-13, 1.0, 1e18, 1e20, 1e30])
def test_directions_at_any_scale(scale):
    rows = np.random.default_rng(0).normal(size=(4, 5))
    x = jnp.asarray(rows * scale, jnp.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(ops.safe_normalize(x), unit, atol=1e-6)
    slope = jax.grad(lambda a: jnp.sum(ops.safe_normalize(a)[:, 0]))(x)
    want = (np.eye(5)[0] - unit[:, :1] * unit) / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(slope) * scale, want, atol=1e-5)
    arc = ops.slerp(x, jnp.roll(x, 1, axis=0), 0.5)
    middle = unit + np.roll(unit, 1, axis=0)
    np.testing.assert_allclose(arc, middle / np.linalg.norm(middle, axis=1, keepdims=True), atol=1e-5)
    with np.errstate(all="ignore"):  # the companion: lengths squared in float32
        squared = np.asarray(x) / np.sqrt(np.sum(np.asarray(x) ** 2, axis=1, keepdims=True))
    assert np.allclose(squared, unit, rtol=0, atol=3e-7) == (1e-15 < scale < 1e19)


def test_a_graph_does_not_depend_on_the_unit_nor_on_a_far_cluster():
    x = WIDE["plain float32"]
    near = affinity(ops.squared_distances(x), bandwidth="self_tuning", k=3, floor=1e-12)
    both = jnp.asarray(np.concatenate([x, x + np.float32(4096)]).astype(np.float32))
    whole = affinity(ops.squared_distances(both), bandwidth="self_tuning", k=3, floor=1e-12)
    np.testing.assert_allclose(whole[:32, :32], near, atol=2e-3)
    assert float(whole[:32, 32:].max()) == 0
    paths = geodesic_similarity(jnp.asarray(x), jnp.arange(4), k=3)
    for scale in (1e-30, 1e-20, 1e20):
        np.testing.assert_allclose(geodesic_similarity(jnp.asarray(x * np.float32(scale)), jnp.arange(4), k=3), paths, atol=1e-5)
