"""The oracle of the transport alignment against numbers by hand, with companions that must fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles.ot_alignment import ot_alignment, plan


def test_plan_of_two_by_two_by_hand():
    got = plan(np.array([[0.9, 0.1], [0.2, 0.4]]), 0.5, 50)  # odds e^((.9 + .4 - .1 - .2) / (2 * .5)) = e
    odds = math.e / (1 + math.e)
    assert got[0, 0] == pytest.approx(odds / 2)
    assert got.sum(0) == pytest.approx([0.5, 0.5])
    assert plan(np.array([[0.9, 0.1], [0.2, 0.4]]), 0.25, 50)[0, 0] != pytest.approx(odds / 2)


def test_value_by_hand():
    eye, flat = np.eye(2), np.ones((2, 2))
    odds = math.exp(1 / 0.5) / (1 + math.exp(1 / 0.5))  # cosines 1 and 0, epsilon 0.5
    entropy = -(odds * math.log(odds) + (1 - odds) * math.log(1 - odds))
    want = math.log(2) - entropy  # KL(plan || flat)
    teachers = dict(x_teacher=eye, y_teacher=eye, teacher_epsilon=0.5)
    assert ot_alignment(flat, flat, **teachers) == pytest.approx(want)
    assert ot_alignment(eye, eye, epsilon=0.5, **teachers) == pytest.approx(0.0, abs=1e-12)
    assert ot_alignment(eye, eye, epsilon=0.4, **teachers) > 1e-3  # companion: another width is another plan
