"""Codes against the published numbers, the K slices written out, and the closed form of their limit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.transport import multi_assignment
from tests.contracts.tools import matches
from tests.oracles import anchors as oracle
from tests.oracles.test_anchors import COLD_SCALED, WARM, WARM_SCALED, S
from tests.oracles.tools import check

SCORES = np.random.default_rng(0).uniform(-1, 1, size=(8, 6))
MASK = np.array([True, True, False, True, True, True, False, True])


def codes(scores, **options):
    return multi_assignment(jnp.asarray(scores, "float32"), **options).codes


def test_published_numbers():
    check(codes(S, assignments=2, epsilon=0.5), WARM, 5, rescaled=WARM_SCALED, cold=codes(S, assignments=2))
    check(codes(S, assignments=2, epsilon=0.5, rescale=True), WARM_SCALED, 5, raw=WARM, cold=COLD_SCALED)
    check(codes(S, assignments=2, rescale=True), COLD_SCALED, 5, warm=WARM_SCALED)


@pytest.mark.parametrize(
    "options",
    [
        dict(assignments=3),
        dict(assignments=2, epsilon=0.3, low=0.1, high=0.9, iterations=7),
        dict(assignments=5, delta=0.0, rescale=True),
        dict(assignments=1, mask=MASK),
    ],
)
def test_two_slices_equal_all_slices(options):
    with jax.enable_x64(True):
        got = multi_assignment(jnp.asarray(SCORES), **options).codes
        assert got.dtype == jnp.float64
    want = oracle.multi_assignment(SCORES, **options)
    assert matches(got, want, 1e-10)
    assert matches(codes(SCORES, **options), want, 3e-5)
    assert not matches(got, oracle.multi_assignment(SCORES, **{**options, "iterations": 6}), 1e-5)
    assert not matches(got, np.full_like(want, want.mean()), 1e-2)


def test_the_limit_is_the_closed_form():
    options = dict(assignments=2, epsilon=0.3)
    want = oracle.multi_assignment_limit(SCORES, **options)
    with jax.enable_x64(True):
        found = multi_assignment(jnp.asarray(SCORES), iterations=400, delta=0.0, **options)
        early = multi_assignment(jnp.asarray(SCORES), iterations=3, delta=0.0, **options)
    assert matches(found.codes, want, 1e-9)
    assert float(found.row_error) < 1e-9 and float(found.column_error) < 1e-9
    assert not matches(early.codes, want, 1e-3)
    assert not matches(found.codes, oracle.multi_assignment_limit(SCORES, low=0.0, **options), 1e-2)


def test_errors_are_those_of_the_marginals():
    """From the slices written out: use of each cell over all slices, and load of each anchor."""
    options = dict(assignments=2, epsilon=0.1, iterations=3)
    with jax.enable_x64(True):
        found = multi_assignment(jnp.asarray(SCORES), **options)
    a = np.exp(np.multiply.outer([0.25, 0.25, 0.25, 0.25, 1, 1], SCORES) / 0.1)
    a /= a.sum()
    for _ in range(3):
        a *= (8 / 6) / (a.sum(1, keepdims=True) + 1e-5)
        a /= a.sum(0) + 1e-5
        a /= a.sum(2, keepdims=True) + 1e-5
    a /= a.sum(2, keepdims=True)
    assert matches(found.codes, a[-2:].sum(0), 1e-9)
    assert matches(found.row_error, np.abs(a.sum(0) - 1).max(), 1e-9) and float(found.row_error) > 1e-3
    assert matches(found.column_error, np.abs(a[-1].sum(0) / (8 / 6) - 1).max(), 1e-9) and float(found.column_error) > 1e-3
    assert not matches(found.row_error, found.column_error, 1e-2)
    assert matches(np.asarray(found.codes).sum(1), np.full(8, 2.0), 1e-9)


def test_masked_rows_take_no_part():
    dirty = np.where(MASK[:, None], SCORES, np.nan)
    dirty[2] = 1e30
    found = multi_assignment(jnp.asarray(dirty, "float32"), assignments=3, mask=jnp.asarray(MASK))
    want = multi_assignment(jnp.asarray(SCORES[MASK], "float32"), assignments=3)
    assert matches(found.codes[MASK], want.codes, 1e-5) and not np.any(found.codes[~MASK])
    assert matches(found.column_error, want.column_error, 1e-3)
    assert not matches(codes(SCORES, assignments=3)[MASK], want.codes, 1e-2)
    nothing = multi_assignment(jnp.asarray(dirty, "float32"), assignments=3, mask=jnp.zeros(8, bool), rescale=True)
    assert not np.any(nothing.codes) and nothing.row_error == 0 and nothing.column_error == 0


@pytest.mark.parametrize("mask", [None, MASK])
def test_shards_share_one_balance(mask):
    options = dict(assignments=3, epsilon=0.2)
    whole = multi_assignment(jnp.asarray(SCORES, "float32"), mask=None if mask is None else jnp.asarray(mask), **options)
    rows = jnp.asarray(SCORES, "float32").reshape(4, 2, 6)
    masks = None if mask is None else jnp.asarray(mask).reshape(4, 2)
    run = jax.vmap(lambda s, m: multi_assignment(s, mask=m, axis_name="i", **options), axis_name="i")
    found = run(rows, masks)
    assert matches(found.codes.reshape(8, 6), whole.codes, 1e-5)
    assert all(matches(found.column_error[i], whole.column_error, 1e-3) for i in range(4))
    alone = jax.vmap(lambda s, m: multi_assignment(s, mask=m, **options))(rows, masks)
    assert not matches(alone.codes.reshape(8, 6), whole.codes, 1e-2)


def test_cold_and_equal_scores():
    cold = multi_assignment(jnp.asarray(SCORES, "float32"), assignments=3, epsilon=1e-4, rescale=True).codes
    assert np.isfinite(cold).all() and cold.min() == 0 and cold.max() == 1
    same = jnp.full((4, 6), 0.3)
    assert matches(multi_assignment(same, assignments=3, iterations=100, delta=0.0).codes, np.full((4, 6), 0.5), 1e-5)
    assert not np.any(multi_assignment(same, assignments=3, rescale=True).codes)  # rounding is not scaled up
    one = multi_assignment(jnp.asarray(SCORES[:1], "bfloat16"), assignments=3)
    assert one.codes.dtype == jnp.float32 and np.isfinite(one.codes).all()


def test_codes_are_constants():
    grad = jax.grad(lambda s: jnp.sum(multi_assignment(s, assignments=3).codes ** 2))(jnp.asarray(SCORES, "float32"))
    assert not np.any(grad)


def test_memory_does_not_grow_with_slices():
    """2 b K numbers at a time, not b K^2: 32 of the latter make the difference at K = 64."""
    shape = jax.ShapeDtypeStruct((512, 64), "float32")
    compiled = jax.jit(lambda s: multi_assignment(s, assignments=32)).lower(shape).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 512 * 64 * 16

    def slices(s):
        return jnp.sort(jnp.exp(s[None] * jnp.linspace(0.25, 1, 64)[:, None, None]), axis=0).sum(0)

    assert jax.jit(slices).lower(shape).compile().memory_analysis().temp_size_in_bytes > 4 * 512 * 64 * 16


@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        (np.zeros(4), dict(assignments=1), r"scores: got shape \(4,\); wanted \[rows, anchors\]"),
        (SCORES, dict(assignments=7), "assignments: got 7 of 6 anchors; wanted 1 to 5. Half of the anchors is usual"),
        (SCORES, dict(assignments=0), "assignments: got 0 of 6 anchors; wanted 1 to 5"),
        (SCORES, dict(assignments=2, epsilon=0.0), "epsilon: got 0; wanted above 0"),
        (SCORES, dict(assignments=2, epsilon=float("nan")), "epsilon: got nan; wanted a finite number"),
        (SCORES, dict(assignments=2, low=1.0), "high: got 1 beside low 1; wanted high above low"),
        (SCORES, dict(assignments=2, delta=-1.0), "delta: got -1; wanted at least 0"),
        (SCORES, dict(assignments=2, iterations=0), "iterations: got 0; wanted at least 1"),
        (SCORES, dict(assignments=2, mask=np.ones(5, bool)), r"mask: got shape \(5,\) of bool; wanted bool of shape \(8,\)"),
    ],
)
def test_bad_input(scores, options, words):
    with pytest.raises(ValueError, match=words):
        multi_assignment(jnp.asarray(scores, "float32"), **options)


@pytest.mark.parametrize("rescale", [False, True])
def test_a_broken_score_is_no_code(rescale):
    scores = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    scores[1, 2] = np.nan
    assert np.isnan(multi_assignment(jnp.asarray(scores), assignments=2, rescale=rescale).codes).any()
