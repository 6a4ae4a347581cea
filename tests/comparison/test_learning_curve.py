"""The learning curve on curves whose truth is known: recovered, covered as promised, and honest about a bend."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import make_smoothing_spline

from gera_jax.checks import InputError
from gera_jax.comparison.statistics import CURVATURE, FURTHEST, LearningCurve, coverage, hide_last, label_efficiency

COUNTS = np.array([20, 50, 100, 200, 500])


def curve(counts, a=0.3, b=0.4, curvature=CURVATURE):
    u = np.log(np.asarray(counts) / 500)
    return a + b * u + curvature / 2 * u**2


def wandering(rng, counts, roughness=0.125, start=-0.9, steps=400):
    """-log(-log(value)) at `counts` of a line whose slope is a Brownian motion in log(pairs), by small steps from 20 to 4,000 pairs."""
    u = np.linspace(np.log(20), np.log(4000), steps)
    slope = 0.35 + roughness * np.sqrt(u[1] - u[0]) * np.cumsum(rng.normal(size=steps))
    return np.interp(np.log(counts), u, start + np.cumsum(slope) * (u[1] - u[0]))


def share(linked):
    return np.exp(-np.exp(-linked))


def draws(rng, linked, *, seeds=5, between=0.05, gallery=500):
    """Hits of a gallery, [seeds, counts]: many more of them change from draw to draw at .5 than at .02."""
    return rng.binomial(gallery, share(linked + between * rng.normal(size=(seeds, 1)))) / gallery


def test_a_power_law_is_found():
    """-log(value) = c pairs^-b: the mean far beyond the counts; a curve that is straight in the logit is not."""
    values = np.exp(-9.0 * COUNTS**-0.35)
    at = LearningCurve.fit(COUNTS, values[None], gallery=10**6, curvature=0).predict(20_000)
    assert at.mean == pytest.approx(np.exp(-9.0 * 20_000**-0.35), abs=1e-4)
    logistic = 1 / (1 + np.exp(-(0.7 * np.log(COUNTS / 500))))  # companion
    assert LearningCurve.fit(COUNTS, logistic[None], gallery=10**6, curvature=0).predict(20_000).mean < 1 / (1 + 40**-0.7) - 0.01


def test_without_noise_the_curve_is_found():
    values = np.tile(share(curve(COUNTS)), (3, 1))
    at = LearningCurve.fit(COUNTS, values, gallery=10_000).predict(1000)
    assert at.mean == pytest.approx(share(curve([1000])[0]), abs=1e-3)
    assert at.low <= at.mean <= at.high and at.run_low <= at.low and at.run_high >= at.high


@pytest.mark.parametrize("pairs", [10, 70, 200, 3000])
def test_it_is_the_smoothing_spline(pairs):
    """Oracle: the minimiser of sum w (y - f)^2 + lambda int f''^2, w = 1 / noise, lambda = 1 / roughness^2, straight outside."""
    values = draws(np.random.default_rng(5), wandering(np.random.default_rng(6), COUNTS))
    made = LearningCurve.fit(COUNTS, values, gallery=10_000, curvature=0)
    level = share(made.center)
    weights = made.seeds * 10_000 * level * np.log(level) ** 2 / (1 - level) / made.overdispersion

    def spline(strength):
        found = make_smoothing_spline(made.log_pairs, made.center, w=weights, lam=strength / made.roughness**2)
        u, ends = np.log(pairs), np.clip(np.log(pairs), made.log_pairs[0], made.log_pairs[-1])
        return share(found(ends) + (u - ends) * found.derivative()(ends))

    assert made.predict(pairs).mean == pytest.approx(spline(1.0), abs=1e-6)
    assert made.predict(pairs).mean != pytest.approx(spline(10.0), abs=1e-6)  # companion


@pytest.mark.parametrize("start", [-1.3, -0.7])
@pytest.mark.parametrize("seeds", [2, 5])
def test_95_per_cent_of_truths_lie_inside(start, seeds):
    """Curves drawn from the prior; the truth is the curve itself, and a run is one more draw of all noise."""
    rng = np.random.default_rng(0)
    inside, run_inside, trials = 0, 0, 400
    for _ in range(trials):
        truth = wandering(rng, [*COUNTS, 1000], start=start)
        at = LearningCurve.fit(COUNTS, draws(rng, truth[:-1], seeds=seeds), gallery=500).predict(1000)
        inside += at.low <= share(truth[-1]) <= at.high
        run_inside += at.run_low <= draws(rng, truth[-1:], seeds=1)[0, 0] <= at.run_high
    assert 0.92 < inside / trials <= 0.985
    assert 0.92 < run_inside / trials <= 0.985


@pytest.mark.parametrize("roughness", [0.0, 0.02])
def test_a_slope_that_hardly_wanders_promises_too_much(roughness):
    """Companion: more seeds do not take away the doubt of a bend, and a model without one misses far more often."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        truth = wandering(rng, [*COUNTS, 1000])
        at = LearningCurve.fit(COUNTS, draws(rng, truth[:-1], seeds=20, between=0.01), gallery=500, roughness=roughness)
        at = at.predict(1000)
        inside += at.low <= share(truth[-1]) <= at.high
    assert inside / 200 < 0.75


def test_many_seeds_leave_the_doubt_of_the_next_bend():
    few, many = (
        LearningCurve.fit(COUNTS, draws(np.random.default_rng(2), curve(COUNTS), seeds=seeds), gallery=500) for seeds in (5, 5000)
    )
    at_end, beyond = (many.predict(pairs).high - many.predict(pairs).low for pairs in (500, 1000))
    assert at_end < 0.1 * (few.predict(500).high - few.predict(500).low) and beyond > 0.05


def test_further_away_is_less_certain():
    made = LearningCurve.fit(COUNTS, draws(np.random.default_rng(2), curve(COUNTS)), gallery=500)
    widths = [made.predict(p).high - made.predict(p).low for p in (500, 1000, 4000)]
    assert widths[0] < widths[1] < widths[2]


def test_one_seed_has_the_noise_of_its_gallery():
    values = share(curve(COUNTS))[None]
    small, large = (LearningCurve.fit(COUNTS, values, gallery=g).predict(500) for g in (100, 10_000))
    assert small.run_high - small.run_low > 4 * (large.run_high - large.run_low)


def test_zero_and_one_stay_finite():
    at = LearningCurve.fit([20, 50, 100], np.array([[0.0, 0.5, 1.0], [0.0, 0.4, 1.0]]), gallery=100).predict(200)
    assert all(0 <= value <= 1 for value in at[1:])


def test_far_beyond_the_data_it_is_unsure_and_finite():
    at = LearningCurve.fit(COUNTS, draws(np.random.default_rng(4), curve(COUNTS)), gallery=500).predict(10**12)
    assert at.low < 0.6 and at.high > 0.99 and np.isfinite(at).all()


def test_hiding_the_last_count():
    rng = np.random.default_rng(3)
    hidden = [hide_last(COUNTS, draws(rng, curve(COUNTS)), gallery=500) for _ in range(60)]
    found = coverage(hidden)
    assert found["hidden"] == 60 and found["means"] > 0.85 and found["runs"] > 0.85
    assert abs(found["bias"]) < 0.02
    jump = share(curve(COUNTS) + np.r_[0, 0, 0, 0, 3.0])  # companion: a last count that nothing before it foretells
    broken = hide_last(COUNTS, np.tile(jump, (5, 1)) * rng.uniform(0.98, 1, size=(5, 1)), gallery=500)
    assert not broken.mean_inside and broken.runs_inside == 0
    assert hide_last(COUNTS[:3], np.full((2, 3), 0.5), gallery=10) is None


@pytest.mark.parametrize(
    ("pairs", "values", "words"),
    [
        ([20], [[0.1]], "pairs: got [20]; wanted at least 2 different counts."),
        ([20, 20], [[0.1, 0.2]], "pairs: got [20, 20]; wanted at least 2 different counts."),
        ([20, 50], [[0.1, np.nan]], "values: got numbers that are not finite; wanted finite numbers."),
        ([20, 50], [[0.1]], "values: got shape (1, 1); wanted [seeds, 2]."),
    ],
)
def test_faults(pairs, values, words):
    with pytest.raises(InputError) as error:
        LearningCurve.fit(pairs, values, gallery=100)
    assert str(error.value) == words


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (dict(pairs=0.5), "pairs: got 0.5; wanted at least 1."),
        (dict(pairs=10, confidence=1.0), "confidence: got 1.0; wanted a number in (0, 1)."),
    ],
)
def test_faults_of_a_prediction(asked, words):
    with pytest.raises(InputError) as error:
        LearningCurve.fit(COUNTS, np.full((2, 5), 0.5), gallery=100).predict(**asked)
    assert str(error.value) == words


def test_a_roughness_below_zero_is_refused():
    with pytest.raises(InputError, match="roughness: got -0.1; wanted a number >= 0."):
        LearningCurve.fit(COUNTS, np.full((2, 5), 0.5), gallery=100, roughness=-0.1)


def test_a_method_that_saves_half_of_the_pairs_is_worth_two():
    """The reference is the method at half as many pairs; all seeds share a curve of their own, and the truth is 2 everywhere."""
    rng = np.random.default_rng(0)
    own = np.stack([share(curve(COUNTS, a=a)) for a in rng.normal(0.3, 0.1, 4)])
    other = np.stack([share(curve(COUNTS / 2, a=a)) for a in np.random.default_rng(0).normal(0.3, 0.1, 4)])
    found = label_efficiency(COUNTS, own, other, gallery=100_000)
    assert [at.pairs for at in found] == COUNTS.tolist() and not any(at.beyond for at in found)
    np.testing.assert_allclose([at.factor for at in found], 2.0, rtol=1e-3)
    unpaired = label_efficiency(COUNTS, own, other[::-1], gallery=100_000)  # companion: another seed's curve has another level
    assert max(abs(at.high - at.low) for at in unpaired) > 0.5
    assert label_efficiency(COUNTS, other, own, gallery=100_000)[0].factor == pytest.approx(0.5, rel=1e-3)


def test_the_pairs_for_a_score_are_those_that_predict_it():
    made = LearningCurve.fit(COUNTS, draws(np.random.default_rng(5), curve(COUNTS)), gallery=500)
    for pairs in (15.0, 70.0, 500.0, 1900.0):
        assert made.pairs_for(made.predict(pairs).mean) == pytest.approx(pairs, rel=1e-6)
    assert made.pairs_for(0.0) == pytest.approx(1.0) and made.pairs_for(1.0) == pytest.approx(FURTHEST * 500)


def test_the_interval_of_a_factor_holds_as_often_as_it_says():
    rng, held = np.random.default_rng(1), []
    for _ in range(60):
        shift = 0.05 * rng.normal(size=(5, 1))  # of a seed's split, which both methods share
        values = rng.binomial(500, share(curve(COUNTS) + shift)) / 500
        reference = rng.binomial(500, share(curve(COUNTS / 1.5) + shift)) / 500
        held += [at.low <= 1.5 <= at.high for at in label_efficiency(COUNTS, values, reference, gallery=500)[1:4]]
    assert 0.85 < np.mean(held) < 1  # companion: an interval of any width would hold always


def test_a_score_that_the_reference_never_reaches_is_said_to_lie_beyond():
    flat = np.full((2, 5), 0.3) + 0.001 * np.arange(5)
    found = label_efficiency(COUNTS, flat + 0.4, flat, gallery=500)
    assert all(at.beyond for at in found) and found[-1].factor == pytest.approx(FURTHEST)
    assert np.isnan(label_efficiency(COUNTS, flat[:1], flat[:1], gallery=500)[0].low)  # one seed has no interval


def test_seeds_that_differ_are_refused():
    with pytest.raises(InputError, match=r"values: got shape \(2, 5\); wanted \(3, 5\), that of the reference"):
        label_efficiency(COUNTS, np.full((2, 5), 0.5), np.full((3, 5), 0.5), gallery=500)
