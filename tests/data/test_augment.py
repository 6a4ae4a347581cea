"""Draws are functions of (seed, step, name)."""

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import sampling

MIX = sampling.check_draw({"kind": "beta", "alpha": 2.0, "beta": 6.0}, "draws.mix")


def test_a_draw_is_a_function_of_seed_step_and_name():
    one = sampling.draw(MIX, seed=1, step=2, name="mix")
    assert one.dtype == np.float32 and one == sampling.draw(MIX, seed=1, step=2, name="mix")
    others = [
        sampling.draw(MIX, **{**dict(seed=1, step=2, name="mix"), **change})
        for change in (dict(seed=2), dict(step=3), dict(name="mux"))
    ]
    assert len({float(one), *map(float, others)}) == 4


def test_draws_have_the_mean_and_spread_of_their_distribution():
    values = np.array([sampling.draw(MIX, seed=0, step=step, name="mix") for step in range(2000)])
    assert abs(values.mean() - 0.25) < 0.015 and abs(values.var() - 2 * 6 / (64 * 9)) < 0.003
    flipped = sampling.check_draw({"alpha": 6.0, "beta": 2.0}, "draws.mix")
    assert np.mean([sampling.draw(flipped, seed=0, step=step, name="mix") for step in range(200)]) > 0.7


def test_partners_are_a_new_permutation_each_step():
    a, b = (sampling.partners(50, seed=0, step=step) for step in (0, 1))
    assert sorted(a) == sorted(b) == list(range(50)) and not (a == b).all() and not (a == np.arange(50)).all()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (dict(kind="bata"), 'draws.mix.kind: got "bata".*Did you mean "beta"'),
        (dict(alpah=1.0), 'field of draws.mix: got "alpah".*Did you mean "alpha"'),
        (dict(alpha=0.0), "draws.mix.alpha: got 0.0; wanted a number above 0"),
        (dict(alpha=np.inf), "draws.mix.alpha: got inf; wanted a number above 0"),
        (dict(beta="1"), "draws.mix.beta: got 1; wanted a number above 0"),
    ],
)
def test_faults_are_named(spec, words):
    with pytest.raises(InputError, match=words):
        sampling.check_draw(spec, "draws.mix")
