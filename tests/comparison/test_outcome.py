"""What follows from cells: the recommendation, its reason, and a comparison from its own results.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from gera_jax.checks import InputError
from gera_jax.comparison.outcome import Comparison, Interval, recommend
from gera_jax.comparison.sweep import Cell
from gera_jax.comparison.task import METRIC
from gera_jax.evaluation.split import split_metrics

CHANCE = {"mean/R@1": 0.02, "mean/R@10": 0.2, "foscttm": 0.5}


def comparison(validation, *, metric="mean/R@10", recall=None):
    """method -> validation scores of the seeds, at 20 pairs."""
    seeds = tuple(range(len(next(iter(validation.values())))))
    cells = []
    for method, scores in validation.items():
        score = (recall or {}).get(method, 0.6)
        metrics = {"mean/R@1": score / 3, "mean/R@10": score, "foscttm": 0.1 if score > 0.3 else 0.5}
        cells += [
            Cell(method, 20, seed, value, metrics=metrics, chance=CHANCE, items=50, cpu_seconds=1.0)
            for seed, value in enumerate(scores)
        ]
    labels = {method: method.upper() for method in validation}
    return Comparison(("x", "y"), labels, frozenset({"ridge"}), (20,), seeds, cells, 50, metric)


def oracle(auto, other, others):
    """Whether the lead is clear, by scipy's own paired interval at the level of all others at once."""
    interval = stats.ttest_rel(other, auto).confidence_interval(1 - 0.05 / others)
    return "other" if interval.low > 0 else "auto"


def test_the_default_stays_unless_another_is_better_beyond_the_interval():
    rng, chosen = np.random.default_rng(0), []
    for lead in np.linspace(0, 0.08, 41):
        auto = 0.5 + 0.02 * rng.normal(size=4)
        other = auto + lead + 0.02 * rng.normal(size=4)
        scores = dict(auto=auto, other=other, third=auto - 0.3, fourth=auto - 0.2)
        right = oracle(auto, other, 3) if other.mean() > auto.mean() else "auto"
        assert recommend(scores) == right
        chosen.append(right)
    assert {"auto", "other"} == set(chosen)  # both happen, so neither constant answer passes


def test_the_interval_is_of_paired_differences():
    """Seeds differ by far more than the methods do: an interval of each method alone would never be clear."""
    level = np.array([0.2, 0.5, 0.8])
    scores = dict(auto=level, other=level + [0.05, 0.051, 0.049])
    assert recommend(scores) == "other"
    assert Interval.of(scores["auto"]).half > 0.5  # the companion that a rule of unpaired intervals would go by


def test_many_others_need_a_larger_lead():
    auto = np.array([0.50, 0.50, 0.50, 0.50])
    other = auto + [0.01, 0.03, 0.02, 0.04]
    assert recommend(dict(auto=auto, other=other)) == "other"
    crowd = {f"m{i}": auto - 0.1 for i in range(16)}
    assert recommend(dict(auto=auto, other=other, **crowd)) == "auto"


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        (dict(auto=[0.1], other=[0.9]), "auto"),  # one seed has no interval
        (dict(other=[0.1], third=[0.2]), "third"),  # no default: the best mean
        (dict(auto=[0.5, 0.5], other=[float("nan"), 0.9]), "auto"),
        (dict(auto=[0.5, 0.5, 0.5]), "auto"),
        ({}, ""),
    ],
)
def test_edges_of_the_rule(scores, chosen):
    assert recommend(scores) == chosen


def test_a_falling_metric_is_turned_before_the_rule():
    scores = dict(auto=[0.30, 0.31, 0.30], other=[0.10, 0.11, 0.10])
    assert comparison(scores, metric="foscttm").recommended == "other"
    assert comparison(scores).recommended == "auto"


def scored(places):
    """Metrics of rows whose partners are at these places, both ways."""
    n = len(places)
    scores = np.zeros((n, n))
    for row, place in enumerate(places):
        scores[row, (row + np.arange(1, n)) % n] = np.where(np.arange(1, n) < place, 1, -1)
    return split_metrics(scores)


def test_a_full_recall_does_not_choose():
    """Ten hits of 300 rows are full for both; the one that ranks fewer partners first has the higher R@10 with every seed."""
    rng = np.random.default_rng(0)
    found = {"auto": [], "other": []}
    for _ in range(3):
        found["auto"].append(scored(rng.permutation(np.repeat([1, 12], [294, 6]))))
        found["other"].append(scored(rng.permutation(np.repeat([1, 3], [180, 120]))))

    def by(metric):
        return comparison({name: [seed[metric] for seed in seeds] for name, seeds in found.items()}, metric=metric).recommended

    assert min(seed["mean/R@10"] for seeds in found.values() for seed in seeds) > 0.97
    assert by("mean/R@10") == "other"  # companion: what chose before
    assert by(METRIC) == by("mean/R@1") == "auto"


def test_why_says_what_the_rule_did():
    near = comparison(dict(auto=[0.5, 0.6, 0.5], ridge=[0.6, 0.5, 0.55]))
    assert near.recommended == "auto" and near.best(20) == "ridge"
    assert near.why == "AUTO is the default; RIDGE is better on the validation rows, but not beyond a 95 % interval over seeds."
    far = comparison(dict(auto=[0.50, 0.51, 0.50], ridge=[0.80, 0.81, 0.80]))
    assert far.recommended == "ridge" and far.why.startswith("On the validation rows RIDGE is better than AUTO beyond a 95 %")
    assert "best mean mean/R@10" in comparison(dict(ridge=[0.5, 0.6])).why
    assert "one seed cannot say more" in comparison(dict(auto=[0.5], ridge=[0.6])).why


def test_a_default_at_chance_gives_way_to_one_that_is_not():
    scores = dict(auto=[0.2, 0.6, 0.4], ridge=[0.5, 0.55, 0.5])
    assert comparison(scores, recall=dict(auto=0.2)).recommended == "ridge"
    lost = comparison(scores, recall=dict(auto=0.2, ridge=0.2))
    assert lost.recommended == "" and lost.why.startswith("No method is better than chance")


def test_a_comparison_comes_back_from_its_results():
    found = comparison(dict(auto=[0.5, 0.6, 0.5], ridge=[0.6, 0.5, 0.55]))
    again = Comparison.from_dict(json.loads(json.dumps(found.to_dict())))
    assert json.dumps(again.to_dict()) == json.dumps(found.to_dict()) and again.recommended == found.recommended
    assert found.to_dict()["labels"] == {"auto": "AUTO", "ridge": "RIDGE"}


def test_a_name_that_is_not_there_is_refused_and_not_nan():
    found = comparison(dict(auto=[0.5, 0.6], ridge=[0.4, 0.5]))
    assert found.mean("auto", 20, "foscttm").mean == pytest.approx(0.1)
    for asked, words in (
        (("aut", 20, "foscttm"), 'method: got "aut"; wanted a known name. Did you mean "auto"'),
        (("auto", 21, "foscttm"), "pairs: got 21; wanted a count of the comparison: 20"),
        (("auto", 20, "R@10"), 'metric: got "R@10"; wanted a known name. Did you mean "mean/R@10"'),
    ):
        with pytest.raises(InputError) as error:
            found.mean(*asked)
        assert str(error.value).startswith(words)
