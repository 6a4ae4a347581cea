"""What guessing scores, against every order of a small gallery; and that nothing at chance is recommended, by any door."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import gera_jax
from gera_jax import reports
from gera_jax.cli import main
from gera_jax.comparison.statistics import Chance, independent_items
from gera_jax.data import Pairs, Table
from gera_jax.training.evaluate import guessing

METHODS = ("procrustes", "ridge_cca")


def by_every_order(queries, candidates, k):
    """Mean of R@k over all orders of the candidates, as a slow loop."""
    orders = list(itertools.permutations(range(len(candidates))))
    hits = sum(any(candidates[j] == query for j in order[:k]) for query in queries for order in orders)
    return hits / (len(queries) * len(orders))


def pairs_of(x_groups, y_groups):
    tables = (Table(np.eye(len(items)), items, name) for name, items in (("x", x_groups), ("y", y_groups)))
    return Pairs.from_tables(tables, captions=True)


@pytest.mark.parametrize(("x", "y"), [([0, 1, 2], [2, 0, 1]), ([5, 7], [5, 5, 7, 7, 7, 7]), ([0, 0, 1, 2], [2, 1, 1, 0, 0])])
def test_guessing_is_the_mean_over_every_order(x, y):
    found = guessing(pairs_of(x, y))
    for k in (1, 5):
        wanted = (by_every_order(x, y, k) + by_every_order(y, x, k)) / 2
        assert found[f"mean/R@{k}"] == pytest.approx(wanted, abs=1e-12)
    if len(set(y)) < len(y):  # what was told before
        assert abs(found["mean/R@1"] - (1 / len(x) + 1 / len(y)) / 2) > 0.05
    assert found["mean/R@10"] == 1.0 and found["foscttm"] == 0.5


def scores_by_luck(rng, items, hubs):
    """R@10 and FOSCTTM both ways of scores that know nothing, with hubs; counted in a plain way."""
    scores = rng.normal(size=(items, items)) + hubs * rng.normal(size=items) + hubs * rng.normal(size=items)[:, None]
    own = np.diagonal(scores)
    above = (scores > own[:, None]).sum(1), (scores > own).sum(0)
    return np.mean([a < 10 for a in above]), np.mean([a / (items - 1) for a in above])


@pytest.mark.parametrize("items", [12, 100])
@pytest.mark.parametrize("hubs", [0.0, 2.0])
def test_luck_does_not_reach_what_is_recommended(items, hubs):
    rng = np.random.default_rng(items)
    found = [scores_by_luck(rng, items, hubs) for _ in range(1500)]
    recall, closer = Chance.of("mean/R@10", min(1, 10 / items), items), Chance.of("foscttm", 0.5, items)
    assert np.mean([recall.beaten_by(r) or closer.beaten_by(f) for r, f in found]) <= 0.008
    assert np.mean([r > recall.mean or f < closer.mean for r, f in found]) > 0.3  # the companion: chance alone is often passed


def test_many_seeds_are_no_more_items_than_there_are():
    assert independent_items(25, 1, 100) == 25
    assert independent_items(25, 10**6, 100) == pytest.approx(100, abs=0.01)
    assert independent_items(25, 50, 0) == 25  # not known of how many


def items(count, seed=0, copies=1, noise=0.3):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 5))
    x = hidden @ rng.normal(size=(5, 10)) + noise * rng.normal(size=(count, 10))
    y = np.repeat(hidden, copies, 0) @ rng.normal(size=(5, 8)) + noise * rng.normal(size=(count * copies, 8))
    return x, y


def compared(x, y, pairs=None, **options):
    options = {**dict(methods=METHODS, seeds=3, budget=1, jobs=1), **options}
    return gera_jax.compare(x=x, y=y, pairs=pairs, **options)


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_pairs_are_never_recommended_and_right_ones_are(seed):
    x, y = items(120, seed)
    wrong = np.random.default_rng(seed).permutation(120)
    assert compared(x, y).recommended
    found = compared(x, y[wrong])
    assert found.recommended == "" and found.more_pairs() == [] and found.info["train"] == ""
    assert "No method is better than chance, so none is recommended" in found.reason
    assert "(guessing 33.3%, by luck up to" in found.reason and "FOSCTTM 0.5" in found.reason.replace("0.4", "0.5")
    assert found.to_dict()["recommended"] is None and found.to_dict()["reason"] == found.reason


def test_several_captions_of_an_item_count_as_one_item():
    x, y = items(60, copies=5)
    listed = np.array([(i, 5 * i + c) for i in range(60) for c in range(5)])
    found = compared(x, y, listed)
    assert found.recommended and found.info["data"]["items"] == 15 and found.info["data"]["gallery"] == dict(x=15, y=75)
    chance = found.to_dict()["chance"][str(found.counts[-1])]["mean/R@1"]["mean"]
    assert chance == pytest.approx(1 / 15)  # of 75 captions 5 are right; of 15 pictures 1
    wrong = listed.copy()
    wrong[:, 0] = np.random.default_rng(0).permutation(60)[wrong[:, 0]]
    assert compared(x, y, wrong).recommended == ""


def test_where_every_recall_is_full_the_order_decides():
    x, y = items(36, noise=0.1)
    found = compared(x, y, seeds=4, counts=(20,))
    assert found.info["test"] == [9, 9] and found.chance(20, "mean/R@10").mean == 1.0  # nobody can miss
    assert found.recommended
    assert compared(x, y[::-1], seeds=4, counts=(20,)).recommended == ""


def test_every_door_says_that_nothing_is_better_than_chance(tmp_path, capsys):
    x, y = items(80)
    np.save(tmp_path / "my x.npy", x)
    np.save(tmp_path / "y.npy", np.random.default_rng(3).permutation(y))
    out = tmp_path / "out"
    command = [
        "compare",
        "--x",
        f"{tmp_path}/my x.npy",
        "--y",
        f"{tmp_path}/y.npy",
        "--methods",
        "procrustes,ridge_cca",
        "--seeds",
        "2",
        "--budget",
        "1",
        "--jobs",
        "1",
        "--output",
        str(out),
    ]
    assert main(command) == 0
    text, errors = capsys.readouterr()
    assert "What to do" not in text and "gera-jax fit" not in text
    assert f"Look: gera-jax data show '{tmp_path}/my x.npy'; gera-jax data show {tmp_path}/y.npy" in text
    first, second, third, split, fourth, *_ = errors.splitlines()
    assert first == "paired by position: x and y have no ids, so row i of one is taken for the partner of row i of the other"
    assert second == "80 rows of x, 80 rows of y: 80 items have rows of both, found by position"
    assert third == "pairs: 52 train, 8 validate, 20 test; without a partner train 0 rows of x, 0 rows of y"
    assert split == "random split of 80 items by seed 0: 8 validate, 20 test"
    assert fourth.startswith(
        "test gallery: 20 rows of x, 20 rows of y of 20 items; chance: R@1 5%, R@5 25%, R@10 50%, FOSCTTM 0.5"
    )
    page, told = (out / "report.html").read_text(), json.loads((out / "results.json").read_text())
    assert "gera-jax fit" not in page and "←</th>" not in page and "none is recommended" in page
    assert told["recommended"] is None and told["reason"] and told["info"]["data"]["paired_by"] == "position"
    assert main([*command, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["recommended"] is None and again["info"]["data"] == told["info"]["data"]
    found = compared(x, y, seeds=2, counts=(20, 50))
    assert reports.text(found).count("Guessing scores") == 2 and "gera-jax fit" in reports.text(found)
