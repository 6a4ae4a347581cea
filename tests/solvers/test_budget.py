"""Budgets of `auto`: what is left out, in which order, and that it is said."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from gera_jax.aligners.aligner import Aligner
from gera_jax.checks import InputError
from gera_jax.solvers import CotrainedHeads
from gera_jax.solvers.auto.budget import Plan, within

WHOLE = Plan(("plain", "narrow", "trained"), 4000, (20_000, 10_000), (1024, 768), 512, False)


@pytest.mark.parametrize("name", ["seconds", "memory"])
def test_less_is_left_out_the_larger_the_budget(name):
    costs = [dataclasses.replace(WHOLE, unpaired=(n, n)) for n in (0, 5_000, 20_000)]
    assert getattr(costs[0], name) < getattr(costs[1], name) < getattr(costs[2], name)
    used = []
    for share in (0.2, 0.8, 0.9, 1.0, 2.0):
        limit = {"seconds": None, "memory": None, name: share * getattr(WHOLE, name)}
        plan, words = within(WHOLE, **limit)
        assert plan.fits(**limit) and bool(words) == (share < 1)  # what is left fits, and only what must go is gone
        used.append((len(plan.views), plan.unpaired))
    assert used == sorted(used) and used[0] < used[2] < used[3] == used[4] == (3, (20_000, 10_000))


def test_the_order_in_which_parts_go():
    plan, words = within(WHOLE, 0.95 * WHOLE.seconds, None)
    assert plan.views == WHOLE.views and "unpaired rows" in words[0] and plan.unpaired[0] > plan.unpaired[1]
    without = dataclasses.replace(WHOLE, unpaired=(0, 0), views=("plain", "narrow"))
    plan, words = within(WHOLE, 1.01 * without.seconds, None)
    assert plan.views == ("plain", "narrow") and words[0] == "the view trained"
    alone = dataclasses.replace(without, views=("plain",))
    assert within(WHOLE, 1.01 * alone.seconds, None)[0].views == ("plain",)


@pytest.mark.parametrize(
    ("limit", "words"), [(dict(seconds=0.5), "seconds: got 0.5; wanted at least"), (dict(memory=1e-6), "GiB")]
)
def test_too_little_for_ridge_cca_says_what_it_takes(limit, words):
    rows = np.random.default_rng(0).normal(size=(300, 20))
    with pytest.raises(InputError, match="what ridge CCA of 100 pairs takes") as error:
        Aligner("auto", settings=limit).fit(rows[:100], rows[:100], rows[100:200], rows[200:])
    assert words in str(error.value)
    needed = float(str(error.value).split("at least ")[1].split(",")[0].split(" ")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CotrainedHeads(**dict.fromkeys(limit, needed)).fit(rows[:100], rows[:100], rows[100:200], rows[200:])
    assert "plain" in model.views_used  # companion: what it says is enough


def test_a_fit_within_a_budget():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 8))
    y = x @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    plan = Plan(("plain", "narrow"), 120, (350, 330), (8, 8), 512, True)
    half = dataclasses.replace(plan, unpaired=(175, 165)).memory
    with pytest.warns(UserWarning, match=r"memory=.*: auto leaves out [0-9]+ and [0-9]+ of 350 and 330 unpaired rows\."):
        model = CotrainedHeads(memory=half).fit(x[:120], y[:120], x[120:470], y[470:800])
    assert 120 < model.pool_rows[0] < 300 and model.left_out
    assert np.mean(model.similarity(x[800:], y[800:]).argmax(axis=1) == np.arange(100)) > 0.9
    whole = CotrainedHeads(seconds=1e6, memory=1e3).fit(x[:120], y[:120], x[120:470], y[470:800])  # companion
    assert whole.pool_rows == (470, 450) and whole.left_out == []


@pytest.mark.parametrize("options", [dict(seconds=0), dict(memory=-1), dict(seconds="1h")])
def test_bad_budgets_are_refused(options):
    (name,) = options
    with pytest.raises(InputError, match=f"{name}: got .*wanted a number > 0"):
        CotrainedHeads(**options)
