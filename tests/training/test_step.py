"""What a report tells of each term is its own, and costs one look at each."""

import pytest

from gera_jax.training.experiment import build
from gera_jax.training.terms import Term
from tests.training.helpers import small_config

NAMES = ("gera", "m3mix")


def config_of(name, **changes):
    return small_config(name, parallel="jit", **changes)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_of_a_term_is_that_of_a_run_on_it_alone(name):
    whole = build(config_of(name))
    told = whole.diagnose(whole.init_state(), whole.batch(0))
    terms = list(whole.config.losses)
    assert len(terms) > 1
    alone = {}
    for term in terms:
        c = config_of(name)
        c.losses = {term: c.losses[term].to_dict()}
        run = build(c)
        alone[term] = float(run.train_step(run.init_state(), run.batch(0))[1]["grad_norm"])
        assert float(told[f"grad_norm/{term}"]) == pytest.approx(alone[term], rel=1e-4), term
    assert len({round(value, 6) for value in alone.values()}) == len(terms)  # companion: no two would pass for each other


@pytest.mark.parametrize("name", NAMES)
def test_a_report_traces_each_term_once(name, monkeypatch):
    run, called = build(config_of(name)), []
    call = Term.__call__
    monkeypatch.setattr(Term, "__call__", lambda self, *args, **named: called.append(self.name) or call(self, *args, **named))
    run.diagnose(run.init_state(), run.batch(0))
    assert sorted(called) == sorted(run.config.losses)
    run.train_step(run.init_state(), run.batch(0))
    assert sorted(called) == sorted([*run.config.losses] * 2)  # companion: the count sees a further look
