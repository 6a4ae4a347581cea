"""Weights by the step: each kind against its formula, in words where it cannot be."""

import pytest

from gera_jax.checks import InputError
from gera_jax.training.terms import schedule


def values(spec, steps, total=100, **kwargs):
    weight = schedule(spec, name="weight", total_steps=total, **kwargs)
    return [pytest.approx(float(weight(step)), abs=1e-6) for step in steps]


def test_inverse_epoch_falls_with_whole_epochs():
    assert values(dict(kind="inverse_epoch"), (0, 6, 7, 13, 14, 70), steps_per_epoch=7) == [1, 1, 1 / 2, 1 / 2, 1 / 3, 1 / 11]
    assert values(dict(kind="inverse_epoch", start=3.0), (0, 7), steps_per_epoch=7) == [3, 1.5]
    assert values(dict(kind="inverse_epoch"), (7,), steps_per_epoch=8) != [1 / 2]


def test_step_is_nothing_before_and_all_after():
    assert values(dict(kind="step", steps=10, end=0.5), (0, 9, 10, 99)) == [0, 0, 0.5, 0.5]


@pytest.mark.parametrize("spec", [dict(warmup_percent=20), dict(warmup_percent=20.0), dict(warmup_steps=20)])
def test_warm_up_in_steps_or_in_percent_of_the_run(spec):
    assert values(spec, (0, 5, 20, 90)) == [0, 0.25, 1, 1]
    assert values(dict(warmup_percent=20), (20,), total=200) == [0.5]
    assert values(dict(kind="cosine", start=2.0, **spec), (10, 20, 60, 100)) == [1, 2, 1, 0]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (dict(kind="inverse_epok"), 'weight.kind: got "inverse_epok".*Did you mean "inverse_epoch"'),
        (dict(kind="step"), "weight.steps: got 0; wanted the step from which the weight is `end`"),
        (dict(warmup_percent=120), "weight.warmup_percent: got 120; wanted a percentage of the run, 0 to 100"),
        (dict(warmup_percent=5, warmup_steps=3), "weight.warmup_steps: got 3 beside warmup_percent=5; wanted one of the two"),
        (dict(warmup_stepz=3), 'field of weight: got "warmup_stepz".*Did you mean "warmup_steps"'),
        (dict(start=-1.0), "weight.start: got -1.0; wanted a number of at least 0"),
    ],
)
def test_faults_are_named(spec, words):
    with pytest.raises(InputError, match=words):
        schedule(spec, name="weight", total_steps=10)
