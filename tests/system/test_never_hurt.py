"""The benchmark of bad rows: what each condition does to the rows, and the verdict of a cell."""

from __future__ import annotations

import numpy as np

from benchmarks import never_hurt


def rows(n=400, p=50):
    rng = np.random.default_rng(0)
    made = {
        f"{side}{part}": rng.normal(size=(size, 20)) for side in "xy" for part, size in (("", n), ("_pairs", p), ("_test", 9))
    }
    return made | {"names": ("speech", "text")}


def test_foreign_rows_are_the_share_that_is_asked_for():
    clean = rows()
    found = never_hurt.with_foreign(clean, np.random.default_rng(0), "alien", 0.9, "x")
    own = (found["x"][:, None, 0] == clean["x"][None, :, 0]).any(axis=1)
    assert (own.sum(), len(found["x"]), len(found["y"])) == (300, 3000, 300)
    length = np.linalg.norm(found["x"], axis=1)
    np.testing.assert_allclose(length[~own].mean(), np.linalg.norm(clean["x_pairs"], axis=1).mean(), rtol=0.02)
    assert len(clean["x"]) == 400  # the rows that were given stay


def test_conditions_change_what_they_name():
    clean, rng = rows(), np.random.default_rng(0)
    wrong = never_hurt.CONDITIONS["wrong pairs 30 %"](clean, rng)
    assert (wrong["y_pairs"] != clean["y_pairs"]).any(axis=1).sum() == 15
    spoilt = never_hurt.CONDITIONS["outliers"](clean, rng)
    assert np.array_equal(spoilt["x_test"], clean["x_test"]) and 0 < (spoilt["x"] != clean["x"]).any(axis=1).mean() < 0.05
    assert never_hurt.CONDITIONS["width 16"](clean, rng)["y_test"].shape == (9, 16)
    assert [len(never_hurt.CONDITIONS[name](clean, rng)["y"]) for name in ("none", "pool of 200", "own rows")] == [0, 200, 400]
    assert never_hurt.asked("none", "molecule", 5) and not never_hurt.asked("outliers", "emoji", 5)
    assert never_hurt.asked("pool of 5,000", "molecule_large", 200) and not never_hurt.asked("none", "molecule_large", 200)


def test_the_verdict_is_the_intervals():
    gains = {"none": (1.0, 1.1, 0.9), "outliers": (-2.0, -2.1, -1.9), "width 16": (-3.0, 3.0, 0.0)}
    found = [
        {"condition": condition, "set": "emoji", "pairs": 50, "seed": seed, "method": method, "R@10": value, "R@1": value}
        | {"foreign_share": [0.0, 0.0]}
        for condition, of in gains.items()
        for seed, gain in enumerate(of)
        for method, value in (("ridge_cca", 9.0), ("kernel_cca", 10.0), ("auto", 10.0 + gain))
    ]
    text = never_hurt.table(found)
    assert [line.split(" | ")[8] for line in text.splitlines()[2:5]] == ["holds", "hurts", "open"]
    assert "3 cells: 1 holds, 1 open, 1 hurts" in text
