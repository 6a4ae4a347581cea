"""The chance of each metric against counting all orders, and against random scores through the metric itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError

X, Y = [0, 1, 1], [0, 0, 1, 0, 1]


def by_counting(x_groups, y_groups, k):
    """Means over all orders of the candidates, one query after the other."""
    found = {"R@": 0.0, "mean_rank": 0.0, "MRR": 0.0}
    for query in x_groups:
        orders = list(itertools.permutations(range(len(y_groups))))
        for order in orders:
            place = 1 + min(i for i, j in enumerate(order) if y_groups[j] == query)
            share = 1 / len(orders) / len(x_groups)
            found["R@"] += share * (place <= k)
            found["mean_rank"] += share * place
            found["MRR"] += share / place
    return found


@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_counting_all_orders(k):
    got = evaluation.chance_level(x_groups=X, y_groups=Y, ks=(k,))
    for way, args in (("x_to_y", (X, Y)), ("y_to_x", (Y, X))):
        want = by_counting(*args, k)
        assert got[f"{way}/R@{k}"] == pytest.approx(want["R@"], abs=1e-12)
        assert got[f"{way}/mean_rank"] == pytest.approx(want["mean_rank"], abs=1e-12)
        assert got[f"{way}/MRR"] == pytest.approx(want["MRR"], abs=1e-12)
    assert got[f"mean/R@{k}"] == (got[f"x_to_y/R@{k}"] + got[f"y_to_x/R@{k}"]) / 2
    assert got["x_to_y/R@1" if k == 1 else f"x_to_y/R@{k}"] != pytest.approx(k / len(Y), abs=1e-3)  # k / m is for one right row


def test_equals_the_metrics_of_random_scores():
    """Captions: five right rows for a picture, one for a caption."""
    pictures, captions = np.arange(30), np.repeat(np.arange(30), 5)
    want = evaluation.chance_level(x_groups=pictures, y_groups=captions)
    rng = np.random.default_rng(0)
    runs = [
        evaluation.retrieval_metrics_from_scores(rng.normal(size=(30, 150)), x_groups=pictures, y_groups=captions)
        for _ in range(60)
    ]
    for key in runs[0]:
        values = np.array([run[key] for run in runs])
        assert abs(values.mean() - want[key]) < 4 * values.std() / np.sqrt(60) + (1.5 if "median" in key else 1e-9), key
    assert want["x_to_y/R@10"] > 4 * 10 / 150 and want["y_to_x/R@10"] == pytest.approx(10 / 30)
    assert set(want) - set(runs[0]) == {"foscttm"} and want["foscttm"] == 0.5


@pytest.mark.parametrize("n", [1, 7, 400])
def test_one_right_row(n):
    got = evaluation.chance_level(n, ks=(1, 10))
    assert got["x_to_y/R@10"] == pytest.approx(min(1, 10 / n)) and got["mean/mean_rank"] == got["mean/median_rank"] == (n + 1) / 2
    assert got["mean/MRR"] == pytest.approx(np.mean(1 / np.arange(1, n + 1)))


def test_faults():
    with pytest.raises(InputError, match="rows: got None; wanted a whole number"):
        evaluation.chance_level()
    with pytest.raises(InputError, match="y_groups: got None"):
        evaluation.chance_level(x_groups=[0, 1])
