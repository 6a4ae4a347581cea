"""What a scaled matrix must satisfy, and plans known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles.tools import agrees, check
from tests.oracles.transport import sinkhorn

SCORES = np.random.default_rng(0).normal(size=(4, 5))
ROWS, COLUMNS = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.3, 0.1, 0.2, 0.25, 0.15])
X_MASK, Y_MASK = np.array([True, True, False, True]), np.array([True, False, True, True, True])


def test_two_by_two_in_closed_form():
    """Uniform masses: odds p / (1/2 - p) = exp((s11 + s22 - s12 - s21) / 2 eps)."""
    s, epsilon = np.array([[0.9, 0.1], [0.2, 0.4]]), 0.5
    odds = math.exp((s[0, 0] + s[1, 1] - s[0, 1] - s[1, 0]) / (2 * epsilon))
    p = 0.5 * odds / (1 + odds)
    want = np.array([[p, 0.5 - p], [0.5 - p, p]])
    got = sinkhorn(s, epsilon=epsilon)
    check(got.plan, want, 10, cost=want[::-1], epsilon=sinkhorn(s, epsilon=1.0).plan, independent=np.full((2, 2), 0.25))
    assert agrees(got.log_plan, np.log(want), 9)


@pytest.mark.parametrize(("a", "b"), [(None, None), (ROWS, COLUMNS)])
def test_optimality(a, b):
    """The marginals hold and epsilon log P - scores is a sum of a row and a column term: this is the maximiser."""
    got = sinkhorn(SCORES, epsilon=0.3, row_mass=a, column_mass=b, iterations=500)
    want_rows, want_columns = (np.full(4, 0.25), np.full(5, 0.2)) if a is None else (a, b)
    assert agrees(got.plan.sum(1), want_rows, 10) and agrees(got.plan.sum(0), want_columns, 12)
    assert got.row_error < 1e-10

    def interaction(m):
        return m - m.mean(0) - m.mean(1, keepdims=True) + m.mean()

    assert agrees(interaction(0.3 * got.log_plan), interaction(SCORES), 9)
    assert not agrees(interaction(-0.3 * got.log_plan), interaction(SCORES), 2)
    assert not agrees(interaction(got.log_plan), interaction(SCORES), 2)


def test_few_iterations_leave_an_error():
    errors = [sinkhorn(SCORES, epsilon=0.3, iterations=i).row_error for i in (1, 3, 10)]
    assert errors[0] > errors[1] > errors[2] > 1e-12
    plan = sinkhorn(SCORES, epsilon=0.3, iterations=1).plan
    assert agrees(plan.sum(0), np.full(5, 0.2), 12) and not agrees(plan.sum(1), np.full(4, 0.25), 3)


def test_large_epsilon_is_independent_and_small_is_a_matching():
    check(sinkhorn(SCORES, epsilon=1e6, row_mass=ROWS, column_mass=COLUMNS).plan, np.outer(ROWS, COLUMNS), 6)
    s = np.array([[0.9, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.6]])
    want = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]) / 3  # 2.2 in all; the rows' own best would take column 0 twice
    check(sinkhorn(s, epsilon=0.05, iterations=500).plan, want, 2, greedy=np.eye(3) / 3)


def test_masked_is_removed():
    s = SCORES.copy()
    want = sinkhorn(s[X_MASK][:, Y_MASK], epsilon=0.3)
    s[~X_MASK], s[:, ~Y_MASK] = np.nan, 1e30
    got = sinkhorn(s, epsilon=0.3, x_mask=X_MASK, y_mask=Y_MASK)
    assert np.array_equal(got.plan[X_MASK][:, Y_MASK], want.plan)
    assert not np.any(got.plan[~X_MASK]) and not np.any(got.plan[:, ~Y_MASK])
    assert not agrees(sinkhorn(SCORES, epsilon=0.3).plan[X_MASK][:, Y_MASK], want.plan, 3)
    assert not np.any(sinkhorn(s, epsilon=0.3, x_mask=np.zeros(4, bool)).plan)
