"""The learning curve on curves whose truth is known: recovered, covered as promised, and honest about a bend."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.comparison.learning_curve import LearningCurve, coverage, hide_last

COUNTS = np.array([20, 50, 100, 200, 500])


def curve(counts, a=-2.0, b=0.7, bend=0.0):
    u = np.log(np.asarray(counts) / 500)
    return a + 2 + b * u + bend * u**2


def share(logit):
    return 1 / (1 + np.exp(-logit))


def draws(rng, counts, *, seeds=5, between=0.1, within=0.08, **shape):
    return share(curve(counts, **shape) + between * rng.normal(size=(seeds, 1)) + within * rng.normal(size=(seeds, len(counts))))


def test_without_noise_the_curve_is_found():
    values = np.tile(share(curve(COUNTS)), (3, 1))
    at = LearningCurve.fit(COUNTS, values, gallery=10_000).predict(1000)
    assert at.mean == pytest.approx(share(curve([1000])[0]), abs=1e-3)
    assert at.low <= at.mean <= at.high and at.run_low <= at.low and at.run_high >= at.high


def test_95_per_cent_of_truths_lie_inside():
    """Bends drawn from the prior; the truth is the curve itself, and a run is one more draw of all noise."""
    rng = np.random.default_rng(0)
    inside, run_inside, trials = 0, 0, 400
    for _ in range(trials):
        bend = 0.06 * rng.normal()
        values = draws(rng, COUNTS, bend=bend)
        at = LearningCurve.fit(COUNTS, values, gallery=500).predict(1000)
        inside += at.low <= share(curve([1000], bend=bend)[0]) <= at.high
        run_inside += at.run_low <= draws(rng, [1000], seeds=1, bend=bend)[0, 0] <= at.run_high
    assert 0.92 < inside / trials <= 0.995
    assert 0.92 < run_inside / trials <= 0.995


def test_a_prior_without_a_bend_promises_too_much():
    """Companion: the same intervals with the bend ruled out miss far more often."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        bend = 0.12 * rng.choice([-1, 1])
        at = LearningCurve.fit(COUNTS, draws(rng, COUNTS, bend=bend, between=0.02, within=0.02), gallery=500, curvature=1e-6).predict(2000)
        inside += at.low <= share(curve([2000], bend=bend)[0]) <= at.high
    assert inside / 200 < 0.7


def test_further_away_is_less_certain():
    made = LearningCurve.fit(COUNTS, draws(np.random.default_rng(2), COUNTS), gallery=500)
    widths = [made.predict(p).high - made.predict(p).low for p in (500, 1000, 4000)]
    assert widths[0] < widths[1] < widths[2]


def test_one_seed_has_the_noise_of_its_gallery():
    values = share(curve(COUNTS))[None]
    small, large = (LearningCurve.fit(COUNTS, values, gallery=g).predict(500) for g in (100, 10_000))
    assert small.run_high - small.run_low > 4 * (large.run_high - large.run_low)


def test_zero_and_one_stay_finite():
    at = LearningCurve.fit([20, 50, 100], np.array([[0.0, 0.5, 1.0], [0.0, 0.4, 1.0]]), gallery=100).predict(200)
    assert all(0 <= value <= 1 for value in at[1:])


def test_hiding_the_last_count():
    rng = np.random.default_rng(3)
    hidden = [hide_last(COUNTS, draws(rng, COUNTS), gallery=500) for _ in range(60)]
    found = coverage(hidden)
    assert found["hidden"] == 60 and found["means"] > 0.85 and found["runs"] > 0.85
    assert abs(found["bias"]) < 0.02
    jump = share(curve(COUNTS) + np.r_[0, 0, 0, 0, 3.0])  # companion: a last count that nothing before it foretells
    broken = hide_last(COUNTS, np.tile(jump, (5, 1)) * rng.uniform(0.98, 1, size=(5, 1)), gallery=500)
    assert not broken.mean_inside and broken.runs_inside == 0
    assert hide_last(COUNTS[:3], np.full((2, 3), 0.5), gallery=10) is None


@pytest.mark.parametrize(("pairs", "values", "words"), [
    ([20], [[0.1]], "pairs: got [20]; wanted at least 2 different counts."),
    ([20, 20], [[0.1, 0.2]], "pairs: got [20, 20]; wanted at least 2 different counts."),
    ([20, 50], [[0.1, np.nan]], "values: got numbers that are not finite; wanted finite numbers."),
    ([20, 50], [[0.1]], "values: got shape (1, 1); wanted [seeds, 2]."),
])  # fmt: skip
def test_faults(pairs, values, words):
    with pytest.raises(InputError) as error:
        LearningCurve.fit(pairs, values, gallery=100)
    assert str(error.value) == words
