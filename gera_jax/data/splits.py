"""Which items train, validate and test: at random, by lists of ids, or by whole groups; pure functions of a seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gera_jax.checks import require
from gera_jax.data.formats.base import read_ids_file
from gera_jax.data.ids import some_ids
from gera_jax.data.tables import Table

# One stream of random numbers for each decision, so that a change of one leaves the others as they were.
SPLIT_STREAM, PAIR_STREAM = 1, 2
MOST = dict(val=300, test=500)  # items that a part has at most where nobody asks for more
SHARE = dict(val=10, test=4)
Size = int | float | str | None


class Split(NamedTuple):
    """Positions (int64, sorted) of the items of each part; no item is in two of them."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def split_at_random(n: int, *, val: Size = None, test: Size = None, seed: int = 0) -> Split:
    """Draw `test` of n items, then `val` of what is left, by the sizes of `part_sizes`; the rest trains.

    >>> [len(part) for part in split_at_random(100, val=10, test=0.2)]
    [70, 10, 20]
    """
    n_val, n_test = part_sizes(n, val, test)
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(n)
    return _split(order[n_test + n_val :], order[n_test : n_test + n_val], order[:n_test])


def split_by_ids(ids: np.ndarray, *, val_ids: Sequence, test_ids: Sequence) -> Split:
    """The items whose id is in `val_ids` validate, those in `test_ids` test, the others train.

    >>> split_by_ids(np.array(["a", "b", "c", "d"]), val_ids=["c"], test_ids=["a"]).train.tolist()
    [1, 3]
    """
    lists = {"val": np.asarray(val_ids), "test": np.asarray(test_ids)}
    both = np.intersect1d(*(part.astype(str) for part in lists.values()))
    got, remedy = f"{len(both)} ids in both ({some_ids(both)})", "Remove them from one of the lists."
    require(len(both) == 0, "split.val_ids and test_ids", got=got, wanted="no id in two parts", remedy=remedy)
    inside = {}
    for part, wanted in lists.items():
        inside[part] = np.isin(ids.astype(str), wanted.astype(str))
        require(
            len(wanted) == 0 or inside[part].any(),
            f"split.{part}_ids",
            got=f"{len(wanted)} ids ({some_ids(wanted)}), none of which is an item's",
            wanted=f"ids like {some_ids(ids)}",
            remedy="Write the ids as they are in the tables.",
        )
    train = ~(inside["val"] | inside["test"])
    got = f"every one of {len(ids)} items in val_ids or test_ids"
    require(train.any(), "split", got=got, wanted="at least one item to train on")
    return _split(*(np.flatnonzero(part) for part in (train, inside["val"], inside["test"])))


def split_by_group(groups: np.ndarray, *, val: Size = None, test: Size = None, seed: int = 0) -> Split:
    """As `split_at_random`, but all items of a group (look-alikes, one speaker, one patient) stay on one side.

    Groups come in random order and are taken where they still fit, so a part may stay a little under its size when all
    groups are large.

    >>> split = split_by_group(np.repeat(np.arange(20), 5), val=10, test=10)
    >>> [len(part) for part in split], set(split.train // 5) & set(split.test // 5)
    ([80, 10, 10], set())
    """
    n_val, n_test = part_sizes(len(groups), val, test)
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    part_of_group = np.zeros(len(counts), np.int8)
    free = {2: n_test, 1: n_val}
    order = np.random.default_rng([seed, SPLIT_STREAM]).permutation(len(counts))
    for part in (2, 1):
        for group in order:
            if free[part] == 0:
                break
            if part_of_group[group] == 0 and counts[group] <= free[part]:
                part_of_group[group] = part
                free[part] -= int(counts[group])
    side = part_of_group[number]
    for part, name, size in ((2, "test", n_test), (1, "val", n_val)):
        got = f"{size} rows, but the smallest of {len(counts)} groups has {counts.min()}"
        wanted, remedy = "a part that a whole group fits into", 'Raise it, choose a finer split.group_key, or split by "random".'
        require(size == 0 or (side == part).any(), f"split.{name}", got=got, wanted=wanted, remedy=remedy)
    return _split(*(np.flatnonzero(side == part) for part in (0, 1, 2)))


def nested_order(n: int, *, seed: int = 0) -> np.ndarray:
    """A permutation of n training items: its first 100 are the known pairs of pairs=100, its first 300 those of pairs=300.

    >>> sorted(nested_order(4).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, PAIR_STREAM]).permutation(n)


def read_ids(source: str | Path | Iterable | None, name: str) -> np.ndarray:
    """Ids from a file (.txt one a line, .json list, .npy), or a list of them as it is."""
    if source is None or (isinstance(source, str | Path) and not str(source)):
        return np.zeros(0, str)
    if not isinstance(source, str | Path):
        require(isinstance(source, Iterable), name, got=repr(source), wanted="a list of ids, or a file of them")
        return np.asarray(list(source), dtype=str)
    path = Path(source)
    require(path.suffix in (".txt", ".json", ".npy"), name, got=f'"{path.name}"', wanted="a .txt, .json or .npy file of ids")
    found = list(read_ids_file(path, name))
    got, wanted = f"{path.name} with something else", "a list of ids: strings or whole numbers"
    require(all(isinstance(i, str | int | np.integer) and not isinstance(i, bool) for i in found), name, got=got, wanted=wanted)
    return np.asarray([text for text in (str(i).strip() for i in found) if text], dtype=str)


def size_by_rule(part: str, n: int) -> int:
    """Items of `n` that validate (part "val": a tenth, at most 300) or test (a quarter, at most 500), and at least 2.

    >>> size_by_rule("val", 90), size_by_rule("test", 20_000)
    (9, 500)
    """
    return max(2, min(MOST[part], n // SHARE[part]))


def size_by_share(share: float, n: int) -> int:
    """A share of `n` items, rounded down as `size_by_rule` does, and at least 1.

    >>> size_by_share(0.25, 30), size_by_share(0.29, 100), size_by_share(0.01, 30)
    (7, 29, 1)
    """
    return max(1, int(share * n + 1e-9))


def part_sizes(n: int, val: Size = None, test: Size = None) -> tuple[int, int]:
    """Items of validation and test of `n` in all: numbers, shares, or None ("auto") for a tenth and a quarter of them.

    By that rule at most 300 items validate and at most 500 test, and at least 2.

    >>> part_sizes(100, 10, 0.2), part_sizes(90), part_sizes(20_000)
    ((10, 20), (9, 22), (300, 500))
    """
    sizes, auto = [], [size in (None, "auto") for size in (val, test)]
    for name, size, by_rule in zip(("val", "test"), (val, test), auto, strict=True):
        if by_rule:
            sizes.append(size_by_rule(name, n))
            continue
        fine = isinstance(size, int | float | np.integer | np.floating) and not isinstance(size, bool) and size >= 0
        whole = fine and (isinstance(size, int | np.integer) or float(size).is_integer())
        wanted = 'a number of items, a share below 1, or None ("auto"): as many as there are items for'
        require(fine and (whole or size < 1), f"split.{name}", got=repr(size), wanted=wanted)
        sizes.append(int(size) if whole else size_by_share(float(size), n))
    wanted = f"val + test below {n}, so that pairs are left to train on"
    remedy = "Give more pairs." if all(auto) else "Lower them, or leave them out: they are then as large as there is room for."
    require(sum(sizes) < n, "split", got=f"val={sizes[0]} and test={sizes[1]} of {n} paired items", wanted=wanted, remedy=remedy)
    return sizes[0], sizes[1]


def group_labels(key: str, tables: Sequence[Table], groups: Sequence[np.ndarray], items: np.ndarray) -> np.ndarray:
    """Group of each item by a field of the tables' meta, as a whole number; an item without a label is a group of its own."""
    fields = sorted({word for table in tables if table.meta for word in table.meta[0]})
    require(
        bool(key), "split.group_key", got="nothing", wanted="a field of the tables' meta", remedy='Name it, or split by "random".'
    )
    labels: dict[int, str] = {}
    for table, codes in zip(tables, groups, strict=True):
        for row, item in zip(table.meta or [{}] * len(table), codes.tolist(), strict=True):
            if key not in row:
                continue
            label = str(row[key])
            first = labels.setdefault(item, label)
            got, wanted = f'item {items[item]} in groups "{first}" and "{label}"', "one group an item"
            remedy = "Give all rows of an item the same group."
            require(first == label, f"split.group_key {key}", got=got, wanted=wanted, remedy=remedy)
    wanted, remedy = f"a field of the rows' meta: {fields or 'none'}", 'Store meta with the rows, or split by "random" or "ids".'
    require(len(labels) > 0, "split.group_key", got=f'"{key}"', wanted=wanted, remedy=remedy)
    number = {label: i for i, label in enumerate(sorted(set(labels.values())))}
    return np.array([number[labels[i]] if i in labels else len(number) + i for i in range(len(items))])


def _split(train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Split:
    return Split(*(np.sort(part).astype(np.int64) for part in (train, val, test)))
