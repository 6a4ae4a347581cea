"""Splits: disjoint, complete, pure functions of the seed, and no group on two sides."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.splits import nested_order, read_ids, split_at_random, split_by_group, split_by_ids

GROUPS = np.random.default_rng(0).integers(0, 40, 300)


def leaks(split, groups):
    """Groups that are in two parts."""
    train, val, test = (set(groups[part].tolist()) for part in split)
    return (train & val) | (train & test) | (val & test)


@pytest.mark.parametrize(
    "split",
    [
        split_at_random(300, val=30, test=50),
        split_at_random(300, val=0.1, test=0.25),
        split_by_group(GROUPS, val=30, test=50),
        split_by_ids(np.arange(300), val_ids=range(30), test_ids=range(30, 80)),
    ],
    ids=["ratio", "share", "group", "ids"],
)
def test_parts_are_disjoint_sorted_and_complete(split):
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(300))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in split)


def test_sizes():
    assert [len(part) for part in split_at_random(300, val=0.1, test=50)] == [220, 30, 50]
    train, val, test = split_by_group(GROUPS, val=30, test=50)
    assert 22 <= len(val) <= 30 and 42 <= len(test) <= 50 and len(train) >= 220


def test_pure_function_of_the_seed():
    for split in (
        lambda s: split_at_random(300, val=30, test=50, seed=s),
        lambda s: split_by_group(GROUPS, val=30, test=50, seed=s),
    ):
        for a, b in zip(split(3), split(3), strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(split(3).test, split(4).test)


def test_the_test_part_does_not_depend_on_the_size_of_validation():
    np.testing.assert_array_equal(split_at_random(300, val=10, test=50).test, split_at_random(300, val=90, test=50).test)


@pytest.mark.parametrize("seed", range(5))
def test_groups_do_not_leak(seed):
    assert not leaks(split_by_group(GROUPS, val=30, test=50, seed=seed), GROUPS)
    assert leaks(split_at_random(300, val=30, test=50, seed=seed), GROUPS)  # the companion that must fail


def test_split_by_ids_takes_strings_and_numbers_alike():
    split = split_by_ids(np.array([10, 20, 30, 40]), val_ids=["30"], test_ids=[10, 99])
    assert [part.tolist() for part in split] == [[1, 3], [2], [0]]


def test_nested_order_is_a_permutation_by_seed():
    assert sorted(nested_order(50, seed=1)) == list(range(50))
    np.testing.assert_array_equal(nested_order(50, seed=1), nested_order(50, seed=1))
    assert not np.array_equal(nested_order(50, seed=1), nested_order(50, seed=2))
    assert not np.array_equal(nested_order(50), np.arange(50))


def test_read_ids(tmp_path):
    (tmp_path / "a.txt").write_text("cat\n\n dog \n", encoding="utf-8-sig")
    (tmp_path / "a.json").write_text(json.dumps([1, 2]))
    np.save(tmp_path / "a.npy", np.array(["x"]))
    assert read_ids(tmp_path / "a.txt", "ids").tolist() == ["cat", "dog"]
    assert read_ids(str(tmp_path / "a.json"), "ids").tolist() == ["1", "2"]
    assert read_ids(tmp_path / "a.npy", "ids").tolist() == ["x"]
    assert read_ids("", "ids").tolist() == [] and read_ids([3], "ids").tolist() == ["3"]
    (tmp_path / "a.csv").write_text("a")
    (tmp_path / "bad.json").write_text("{")
    for name, words in (("none.txt", "which is not there"), ("a.csv", "a .txt, .json or .npy"), ("bad.json", "which is no JSON")):
        with pytest.raises(InputError, match=words):
            read_ids(tmp_path / name, "data.split.val_ids")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: split_at_random(100, val=50, test=50), "val=50 and test=50 of 100 paired items; wanted val \\+ test below 100"),
        (lambda: split_at_random(100, val=-1, test=0), "val: got -1"),
        (lambda: split_at_random(100, val=1.5, test=0), "a share below 1"),
        (lambda: split_by_group(np.zeros(100), val=10, test=10), "the smallest of 1 groups has 100"),
        (lambda: split_by_ids(np.arange(3), val_ids=[1], test_ids=[1]), "1 ids in both"),
        (lambda: split_by_ids(np.arange(3), val_ids=["z"], test_ids=[]), "none of which is an item's"),
        (lambda: split_by_ids(np.arange(2), val_ids=[0], test_ids=[1]), "every one of 2 items"),
    ],
)
def test_errors_say_what_to_do(act, words):
    with pytest.raises(InputError, match=words):
        act()
