"""Plans against plain matrix scaling; gradients against differences; the early stop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.transport import sinkhorn
from tests.contracts.tools import matches
from tests.oracles.test_transport import COLUMNS, ROWS, SCORES, X_MASK, Y_MASK
from tests.oracles.transport import sinkhorn as oracle

CASES = [
    dict(),
    dict(row_mass=ROWS, column_mass=COLUMNS, iterations=7),
    dict(x_mask=X_MASK, y_mask=Y_MASK, iterations=3),
    dict(x_mask=X_MASK, iterations=5),
]


def plan(scores=SCORES, **options):
    return np.exp(np.asarray(sinkhorn(jnp.asarray(scores), **options).log_plan))


@pytest.mark.parametrize("options", CASES)
def test_equals_matrix_scaling(options):
    with jax.enable_x64(True):
        got = sinkhorn(jnp.asarray(SCORES), epsilon=0.3, **options)
    want = oracle(SCORES, epsilon=0.3, **options)
    assert matches(np.exp(got.log_plan), want.plan, 1e-10)
    assert matches(got.row_error, want.row_error, 1e-9)
    assert matches(plan(SCORES.astype(np.float32), epsilon=0.3, **options), want.plan, 1e-4)
    potentials = np.asarray(got.f)[:, None] + np.asarray(got.g) + SCORES
    there = want.plan > 0
    assert matches(np.exp(potentials[there] / 0.3), want.plan[there], 1e-9)
    for wrong in (oracle(SCORES, epsilon=0.31, **options).plan, oracle(-SCORES, epsilon=0.3, **options).plan, 2 * want.plan):
        assert not matches(np.exp(got.log_plan), wrong, 1e-3)


def test_masked_is_removed_also_from_the_gradient():
    dirty = np.where(X_MASK[:, None] & Y_MASK, SCORES, np.nan)

    def value(scores, **masks):
        return jnp.sum(jnp.exp(sinkhorn(scores, epsilon=0.3, iterations=4, **masks).log_plan) ** 2)

    masks = dict(x_mask=jnp.asarray(X_MASK), y_mask=jnp.asarray(Y_MASK))
    got, grad = jax.value_and_grad(value)(jnp.asarray(dirty, "float32"), **masks)
    want, short = jax.value_and_grad(value)(jnp.asarray(SCORES[X_MASK][:, Y_MASK], "float32"))
    assert matches(got, want, 1e-5) and matches(grad[X_MASK][:, Y_MASK], short, 1e-4)
    assert not np.any(grad[~X_MASK]) and not np.any(grad[:, ~Y_MASK])
    none, flat = jax.value_and_grad(value)(jnp.asarray(dirty, "float32"), x_mask=jnp.zeros(4, bool))
    assert none == 0 and not np.any(flat)
    massless = dict(row_mass=jnp.asarray(ROWS * X_MASK / (ROWS @ X_MASK)), column_mass=jnp.asarray(COLUMNS))
    assert not np.any(plan(SCORES.astype(np.float32), epsilon=0.3, **massless)[~X_MASK])


def test_gradient_equals_central_differences():
    with jax.enable_x64(True):
        weight = jnp.asarray(np.random.default_rng(3).normal(size=SCORES.shape))

        def value(scores, epsilon):
            return jnp.sum(weight * jnp.exp(sinkhorn(scores, epsilon=epsilon, iterations=5).log_plan))

        grad, slope = jax.grad(value, argnums=(0, 1))(jnp.asarray(SCORES), 0.4)
        base, want = np.asarray(weight), np.zeros_like(SCORES)
        for index in np.ndindex(SCORES.shape):
            ends = []
            for sign in (1, -1):
                moved = SCORES.copy()
                moved[index] += sign * 1e-5
                ends.append(np.sum(base * oracle(moved, epsilon=0.4, iterations=5).plan))
            want[index] = (ends[0] - ends[1]) / 2e-5
    assert matches(grad, want, 1e-6) and not matches(grad, 0.9 * want, 1e-3)
    ends = [np.sum(base * oracle(SCORES, epsilon=0.4 + d, iterations=5).plan) for d in (1e-5, -1e-5)]
    assert matches(slope, (ends[0] - ends[1]) / 2e-5, 1e-6)


def test_tolerance_stops_early_and_is_a_constant():
    scores = jnp.asarray(SCORES, "float32")
    full = sinkhorn(scores, epsilon=0.3, iterations=500)
    early = sinkhorn(scores, epsilon=0.3, iterations=500, tolerance=1e-3)
    assert full.row_error < 1e-5 < early.row_error < 1e-3
    assert sinkhorn(scores, epsilon=0.02, iterations=3, tolerance=1e-9).row_error > 1e-9  # no more than it may
    assert matches(early.log_plan, full.log_plan, 1e-2)
    assert not np.any(jax.grad(lambda s: jnp.sum(sinkhorn(s, epsilon=0.3, tolerance=1e-3).log_plan))(scores))


def test_cold_scores_stay_finite():
    got = sinkhorn(jnp.asarray(100 * SCORES, "float32"), epsilon=1e-3, iterations=200)
    assert np.isfinite(got.log_plan).all() and np.isfinite(got.row_error)
    assert matches(np.exp(got.log_plan).sum(0), np.full(5, 0.2), 1e-3)
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.exp(100 * SCORES.astype(np.float32) / np.float32(1e-3))).all()


def test_columns_sum_up_at_any_epsilon():
    """Below the scores' rounding the plan is arbitrary, and says so in `row_error`; known numbers are refused."""
    scores = jnp.asarray(SCORES, "float32")
    for epsilon in (1e-2, 1e-5, 1e-8):
        got = jax.jit(lambda s, e=epsilon: sinkhorn(s, epsilon=e, iterations=300))(scores)
        plan = np.exp(np.asarray(got.log_plan, np.float64))
        assert np.abs(plan.sum(0) - 0.2).max() < 1e-6
        assert got.row_error == pytest.approx(np.abs(plan.sum(1) - 0.25).sum(), abs=1e-5)
        potentials = np.asarray(got.f)[:, None] + np.asarray(got.g) + SCORES
    assert np.abs(np.exp(potentials / epsilon).sum(0) - 0.2).max() > 1e-3  # the sum of three roundings
    with pytest.raises(ValueError, match="epsilon: got 1e-08; wanted at least .*, the rounding of these scores in float32"):
        sinkhorn(scores, epsilon=1e-8)


def in_logs(scores, epsilon, a, b, iterations):
    """The sweeps as log-sum-exps alone, by NumPy or JAX; a mass of 0 is a row of -inf."""
    xp = jnp if isinstance(scores, jax.Array) else np

    def lse(values, axis):
        top = jax.lax.stop_gradient(values.max(axis, keepdims=True)) if xp is jnp else values.max(axis, keepdims=True)
        return (xp.log(xp.exp(values - top).sum(axis, keepdims=True)) + top).squeeze(axis)

    u, v = xp.zeros_like(scores[:, 0]), xp.zeros_like(scores[0])
    for _ in range(iterations):
        u = xp.log(a) - lse(scores / epsilon + v[None, :], 1)
        v = xp.log(b) - lse(scores / epsilon + u[:, None], 0)
    return scores / epsilon + u[:, None] + v[None, :], u, v


HARD = {  # scores, epsilon: in range of a kernel at once, at times, and never
    "mild": (lambda rng: rng.uniform(-1, 1, (30, 20)), 0.1),
    "small epsilon": (lambda rng: rng.uniform(-1, 1, (30, 20)), 1e-3),
    "costs of 1e4": (lambda rng: -1e4 * rng.uniform(0, 1, (30, 20)), 20.0),
    "costs of 1e4, small epsilon": (lambda rng: -1e4 * rng.uniform(0, 1, (30, 20)), 0.1),
    "rows far apart": (lambda rng: rng.normal(size=(30, 20)) + 300 * rng.normal(size=(30, 1)) - 1e3 * rng.normal(size=20), 0.3),
    "one row far from all": (lambda rng: np.where(np.arange(30)[:, None] == 3, -500.0, 1.0) * rng.uniform(0, 1, (30, 20)), 0.5),
}


def hard(name):
    rng = np.random.default_rng(1)
    make, epsilon = HARD[name]
    a, b = rng.uniform(0.5, 2, 30) * np.geomspace(1e-3, 1, 30), rng.uniform(0.5, 2, 20)
    return make(rng), epsilon, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("iterations", [1, 2, 40])
@pytest.mark.parametrize("name", HARD)
def test_kernels_take_the_steps_of_log_sum_exps(name, iterations):
    """Step by step, before anything has converged; and the slope in scores and masses, which passes all steps."""
    scores, epsilon, a, b = hard(name)
    weight = np.random.default_rng(2).normal(size=scores.shape)
    with jax.enable_x64(True):

        def number(log_plan, f, g):
            return jnp.sum(weight * jnp.exp(log_plan)) + (jnp.vdot(weight[:, 0], f) + jnp.vdot(weight[0], g)) / 100

        def ours(s, a, b):
            found = sinkhorn(s, epsilon=epsilon, row_mass=a, column_mass=b, iterations=iterations)
            return number(found.log_plan, found.f, found.g), found.log_plan

        def theirs(s, a, b):
            log_plan, u, v = in_logs(s, epsilon, a, b, iterations)
            return number(log_plan, epsilon * u, epsilon * v)

        inputs = [jnp.asarray(v) for v in (scores, a, b)]
        (_, log_plan), slopes = jax.jit(jax.value_and_grad(ours, argnums=(0, 1, 2), has_aux=True))(*inputs)
        want = jax.jit(jax.grad(theirs, argnums=(0, 1, 2)))(*inputs)
    plan, later, other = (
        in_logs(scores, width, a, b, count)[0]
        for width, count in ((epsilon, iterations), (epsilon, iterations + 1), (1.001 * epsilon, iterations))
    )
    assert matches(log_plan, plan, 1e-11) and matches(np.exp(log_plan), np.exp(plan), 1e-8)
    assert not matches(log_plan, other, 1e-8)
    assert not matches(log_plan, later, 1e-8) or iterations == 40  # when it may have converged
    for got, slope in zip(slopes, want, strict=True):
        assert matches(got, slope, 1e-7) and not matches(1.001 * np.asarray(got), slope, 1e-7)


@pytest.mark.parametrize("name", [name for name in HARD if name != "small epsilon"])
def test_kernels_in_float32(name):
    """No further from float64 than log-sum-exps in float32 are."""
    scores, epsilon, a, b = hard(name)
    low = [v.astype(np.float32) for v in (scores, a, b)]
    want = np.exp(in_logs(*(np.float64(v) for v in (low[0], epsilon, *low[1:])), 40)[0])
    got = plan(low[0], epsilon=epsilon, row_mass=low[1], column_mass=low[2], iterations=40)
    logs = np.exp(in_logs(low[0], np.float32(epsilon), low[1], low[2], 40)[0])
    assert np.abs(got - want).sum() < 2 * np.abs(logs - want).sum() + 1e-5
    assert np.abs(got.sum(0) - low[2]).max() < 1e-6


@pytest.mark.parametrize("axis", [0, 1])
def test_nothing_fits_a_row_or_column(axis):
    """An error where it is known; traced, the others keep their plan and the missed mass is in the error."""
    there = np.arange(SCORES.shape[axis]) != 1
    scores = np.where(np.expand_dims(there, 1 - axis), SCORES, -np.inf).astype(np.float32)
    with pytest.raises(ValueError, match=f"scores: got -inf alone in {'row' if axis == 0 else 'column'} 1; wanted a cell"):
        sinkhorn(scores, epsilon=0.3)
    value = jax.jit(lambda s: sinkhorn(s, epsilon=0.3))
    got, mask = value(scores), {("x_mask", "y_mask")[axis]: jnp.asarray(there)}
    plan, short = np.exp(got.log_plan), np.exp(sinkhorn(jnp.asarray(SCORES, "float32"), epsilon=0.3, **mask).log_plan)
    assert not plan[~there].any() if axis == 0 else not plan[:, ~there].any()
    assert matches(plan / plan.sum(), short, 1e-4)
    assert got.row_error > 0.3 if axis == 0 else got.row_error > 0.1
    slope = jax.grad(lambda s: jnp.exp(sinkhorn(s, epsilon=0.3).log_plan)[0, 0])(jnp.asarray(scores))
    assert np.isfinite(slope).all()


def test_a_single_forbidden_cell():
    scores = SCORES.copy()
    scores[0, 1] = -np.inf
    want = oracle(np.where(np.isinf(scores), -60.0, scores), epsilon=0.3, iterations=100)
    assert matches(plan(scores.astype(np.float32), epsilon=0.3), want.plan, 1e-4)


def test_what_is_wrong_shows():
    broken = SCORES.astype(np.float32)
    broken[0, 0] = np.nan
    assert np.isnan(sinkhorn(broken, epsilon=0.3).log_plan).all()
    for mass in (ROWS * np.array([1, 1, 1, -1]), ROWS * np.array([1, np.nan, 1, 1])):
        with pytest.raises(ValueError, match="row_mass: got .*; wanted finite numbers of at least 0"):
            sinkhorn(SCORES, epsilon=0.3, row_mass=mass)
        assert np.isnan(jax.jit(lambda m: sinkhorn(SCORES.astype("f4"), epsilon=0.3, row_mass=m))(mass).row_error)
    with pytest.raises(ValueError, match="column_mass: got a total of 1; wanted the total 7 of row_mass"):
        sinkhorn(SCORES, epsilon=0.3, row_mass=ROWS / ROWS.sum() * 7)
    with pytest.raises(ValueError, match=r"scores: got \+inf"):
        sinkhorn(np.where(np.isnan(broken), np.inf, broken), epsilon=0.3)
    with pytest.raises(ValueError, match=r"scores: got shape \(0, 3\); wanted at least one row"):
        sinkhorn(np.zeros((0, 3)), epsilon=0.3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(epsilon=0.0), "epsilon: got 0; wanted a positive finite number"),
        (dict(epsilon=0.1, tolerance=-1.0), "tolerance: got -1; wanted at least 0"),
        (dict(epsilon=0.1, iterations=0), "iterations: got 0; wanted at least 1"),
        (dict(epsilon=0.1, row_mass=COLUMNS), r"row_mass: got shape \(5,\); wanted shape \(4,\)"),
        (dict(epsilon=0.1, y_mask=np.ones(5)), "y_mask: got dtype float32; wanted bool"),
    ],
)
def test_bad_input(options, words):
    with pytest.raises(ValueError, match=words):
        sinkhorn(jnp.asarray(SCORES, "float32"), **options)
