"""From a `data` block to everything that training needs: features, known pairs, unpaired rows, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.blocks import check_width, complete, inspect_data, open_tables, open_test_tables, sides
from gera_jax.data.features import Features, fingerprint, stack
from gera_jax.data.preprocessing import Preprocessor
from gera_jax.data.splits import Split, nested_order, read_ids, split_by_group, split_by_ids, split_by_ratio
from gera_jax.data.tables import Table, first_ids, number_items, outer_join
from gera_jax.data.validation import validate_table, validate_tuples

__all__ = ["AlignmentData", "build_data", "inspect_data"]


@dataclass(frozen=True, eq=False)
class AlignmentData:
    """Two or three modalities, cut into parts. Everywhere a row is named by its number in its modality's table.

    Args:
      names: the M modalities, x, y and where there is one w.
      tables: raw rows of each modality; own test files follow behind the training rows.
      features: preprocessed rows of each modality.
      pairs: [p, M] known training pairs (row of x, row of y, ...), -1 where an item of three modalities lacks one; those of
        fewer pairs are the first of these.
      pool: sorted training rows of each modality, paired and unpaired; all that anything is fitted on.
      unpaired: the rows of `pool` that are in no known pair.
      val, test: [v, M] and [t, M] pairs to select by and to report, likewise.
      groups: [n] item number of each row; rows of one item have the same in every modality.
      preprocessors: fitted on `pool`.
      report: counts and warnings, for people.
      fingerprints: hash of each modality's table.
      meta: words of each row of a modality, or None.
    """

    names: tuple[str, ...]
    tables: dict[str, Table]
    features: dict[str, Features]
    pairs: np.ndarray
    pool: dict[str, np.ndarray]
    unpaired: dict[str, np.ndarray]
    val: np.ndarray
    test: np.ndarray
    groups: dict[str, np.ndarray]
    preprocessors: dict[str, Preprocessor]
    report: dict[str, Any]
    fingerprints: dict[str, str]
    meta: dict[str, list[dict[str, Any]] | None]


def build_data(config: Mapping, *, tables: tuple[Table, ...] | None = None) -> AlignmentData:
    """Load, validate, join by id, split and preprocess what a `data` block describes.

    Items of validation and test are in no training pool: neither as pairs, nor unpaired, nor in any statistic. The same
    `split.seed` gives the same parts, and known pairs of which fewer are a prefix of more. Of three modalities an item may lack
    one: it is known by the two that it has.

    Args:
      config: the `data` block (`gera_jax.config.embedding_pair`); fields that are missing are filled in.
        `unpaired`: of training items outside of the known pairs, "independent" gives one row of each, of x, y (w, x, y, ...)
        in turn, "same_set" gives all rows of each, "none" nothing. `captions`: several rows may share an id; all
        rows of an item are on one side of the split, sizes of the split count items, and `pairs` counts pairs of rows.
      tables: (x, y) or (x, y, w) in memory, for `source="arrays"`.

    Raises:
      InputError: an unknown field or source, faults in the tables, ids that do not meet, parts that are too large, or more
        known pairs than there are.

    >>> data = build_data(dict(source="emoji", pairs=100, split=dict(val=150, test=400)))
    >>> data.pairs.shape, len(data.val), len(data.test), {name: len(rows) for name, rows in data.pool.items()}
    ((100, 2), 150, 400, {'image': 598, 'text': 598})
    """
    block = complete(config, tables)
    found = open_tables(block, tables)
    captions, warnings, by = block["captions"], [], paired_by(found)
    for table in found:
        warnings += validate_table(table, captions=captions).warnings
    items = _join(found, captions)
    warnings += validate_tuples(found, items.tuples).warnings
    own_test = open_test_tables(block)
    parts = _split_items(block["split"], found, items, own_test is not None, warnings)
    chosen = _choose_rows(block, items, parts)
    names, groups, test = tuple(table.name for table in found), items.codes, chosen.test
    if own_test is not None:
        found, groups, test = _append_test(block, found, own_test, groups, warnings)
    both = dict(zip(names, found, strict=True))
    pool, unpaired = dict(zip(names, chosen.pool, strict=True)), dict(zip(names, chosen.unpaired, strict=True))
    preprocessors = {}
    for side, name in zip(sides(block), names, strict=True):
        require(
            len(pool[name]) > 0,
            name,
            got="no training row",
            wanted="at least one",
            remedy="Raise data.pairs, lower split.val and split.test, or leave this modality out.",
        )
        options = block["preprocess"][side]
        preprocessors[name] = Preprocessor(**options, name=name).fit(both[name].rows, pool[name], seed=block["split"]["seed"])
    features = {name: Features(both[name], preprocessors[name]) for name in names}
    report: dict[str, Any] = dict(
        source=block["source"], paired_by=by, meet=len(items.paired), pairs=len(chosen.pairs), val=len(chosen.val), test=len(test)
    )
    for name in names:
        report.update(
            {
                f"{name}/rows": len(both[name]),
                f"{name}/pool": len(pool[name]),
                f"{name}/unpaired": len(unpaired[name]),
                f"{name}/width": both[name].dim,
                f"{name}/features": features[name].dim,
                f"{name}/explained_variance": preprocessors[name].explained_variance,
            }
        )
    report["warnings"] = warnings
    return AlignmentData(
        names=names,
        tables=both,
        features=features,
        pairs=chosen.pairs,
        pool=pool,
        unpaired=unpaired,
        val=chosen.val,
        test=test,
        groups=dict(zip(names, groups, strict=True)),
        preprocessors=preprocessors,
        report=report,
        fingerprints={name: fingerprint(table) for name, table in both.items()},
        meta={name: table.meta for name, table in both.items()},
    )


def paired_by(tables: Sequence[Table]) -> str:
    """How rows of `tables` find each other: by "id", or by "position" where the ids of all are row numbers."""
    return "position" if all(table.numbered for table in tables) else "id"


class _Items(NamedTuple):
    """Items of all tables: the item of each row, the ids by item number, rows beside each other, and who has what.

    Args:
      codes: item number of each row, for each table.
      ids: id of each item.
      tuples: [t, M] the outer join; those of at least two modalities are the pairs.
      of: [t] item of each tuple.
      has: [items, M] whether an item has a row of a modality.
    """

    codes: tuple[np.ndarray, ...]
    ids: np.ndarray
    tuples: np.ndarray
    of: np.ndarray
    has: np.ndarray

    @property
    def paired(self) -> np.ndarray:
        """Sorted items that at least two modalities have."""
        return np.flatnonzero(self.has.sum(1) >= 2)


class _Rows(NamedTuple):
    pairs: np.ndarray
    pool: tuple[np.ndarray, ...]
    unpaired: tuple[np.ndarray, ...]
    val: np.ndarray
    test: np.ndarray


def _join(tables: tuple[Table, ...], captions: bool) -> _Items:
    tuples = outer_join(tables, captions=captions)
    codes, ids = number_items(tables)
    has = np.stack([np.bincount(code, minlength=len(ids)) > 0 for code in codes], 1)
    of = np.max([np.where(rows >= 0, code[rows], -1) for code, rows in zip(codes, tuples.T, strict=True)], axis=0)
    return _Items(tuple(codes), ids, tuples, of, has)


def _split_items(split: Mapping, tables: tuple[Table, ...], items: _Items, own_test: bool, warnings: list[str]) -> np.ndarray:
    """Part of each item: 0 trains, 1 validates, 2 tests, 3 is left out (one-sided, but belongs to validation or test)."""
    sizes = dict(val=split["val"], test=0 if own_test else split["test"], seed=split["seed"])
    part = np.zeros(len(items.ids), np.int8)
    outside = np.setdiff1d(np.arange(len(items.ids)), items.paired)
    if split["by"] == "ratio":
        _mark(part, items.paired, split_by_ratio(len(items.paired), **sizes))
    elif split["by"] == "ids":
        val_ids = read_ids(split["val_ids"], "data.split.val_ids")
        test_ids = read_ids("" if own_test else split["test_ids"], "data.split.test_ids")
        require(
            len(val_ids) + len(test_ids) > 0,
            'data.split.by="ids"',
            got="no ids",
            wanted="split.val_ids and split.test_ids, files of ids",
        )
        text = items.ids[items.paired].astype(str)
        _mark(part, items.paired, split_by_ids(text, val_ids=val_ids, test_ids=test_ids))
        named = np.concatenate([val_ids, test_ids])
        missing = named[~np.isin(named, text)]
        if len(missing):
            warnings.append(f"data.split: {len(missing)} ids of the lists are no pair ({first_ids(missing)}).")
        part[outside[np.isin(items.ids[outside].astype(str), named)]] = 3
    else:
        labels = _group_labels(split["group_key"], tables, items)
        _mark(part, items.paired, split_by_group(labels[items.paired], **sizes))
        held = np.unique(labels[items.paired][part[items.paired] > 0])
        part[outside[np.isin(labels[outside], held)]] = 3
    return part


def _mark(part: np.ndarray, paired: np.ndarray, split: Split) -> None:
    part[paired[split.val]], part[paired[split.test]] = 1, 2


def _group_labels(key: str, tables: tuple[Table, ...], items: _Items) -> np.ndarray:
    """Group [items] of each item as a whole number; an item that no table has a label for is a group of its own."""
    require(
        bool(key),
        "data.split.group_key",
        got="nothing",
        wanted="a field of the tables' meta",
        remedy='Name it, or set split.by="ratio".',
    )
    labels: dict[int, str] = {}
    for table, codes in zip(tables, items.codes, strict=True):
        for row, item in zip(table.meta or [{}] * len(table), codes.tolist(), strict=True):
            if key not in row:
                continue
            label = str(row[key])
            require(
                labels.setdefault(item, label) == label,
                f"data.split.group_key {key}",
                got=f'item {items.ids[item]} in groups "{labels[item]}" and "{label}"',
                wanted="one group an item",
                remedy="Give all rows of an item the same group.",
            )
    fields = sorted({word for table in tables if table.meta for word in table.meta[0]})
    require(
        len(labels) > 0,
        "data.split.group_key",
        got=f'"{key}"',
        wanted=f"a field of the rows' meta: {fields or 'none'}",
        remedy='Store meta with the rows, or set split.by="ratio" or "ids".',
    )
    number = {label: i for i, label in enumerate(sorted(set(labels.values())))}
    return np.array([number[labels[i]] if i in labels else len(number) + i for i in range(len(items.ids))])


def _choose_rows(block: Mapping, items: _Items, part: np.ndarray) -> _Rows:
    """Known pairs, unpaired rows and the pairs of validation and test."""
    whole = (items.tuples >= 0).sum(1) >= 2
    pairs, pair_item = items.tuples[whole], items.of[whole]
    side = part[pair_item]
    train_items = items.paired[part[items.paired] == 0]
    rank = np.full(len(items.ids), -1, np.int64)
    rank[train_items[nested_order(len(train_items), seed=block["split"]["seed"])]] = np.arange(len(train_items))
    train = np.flatnonzero(side == 0)
    train = train[np.argsort(rank[pair_item[train]], kind="stable")]
    count = block["pairs"] or len(train)
    if count > len(train):
        held = [int((side == number).sum()) for number in (1, 2)]
        fail(
            "data.pairs",
            got=count,
            wanted=f"at most {len(train)}: there are {len(side)} pairs, of which {held[0]} validate and {held[1]} test",
            remedy=f"Set pairs={len(train)} or 0 (all), or lower split.val and split.test.",
        )
    known = train[:count]
    # Other training items go in turn to the modalities that they have: more known pairs only take rows away from each.
    free = rank.copy()
    free[np.unique(pair_item[known])] = -1
    turn = free % np.maximum(items.has.sum(1), 1)
    mine = items.has & (np.cumsum(items.has, axis=1) - 1 == turn[:, None])
    give = {"independent": mine, "same_set": items.has, "none": np.zeros_like(items.has)}[block["unpaired"]]
    give = give & (free >= 0)[:, None]
    alone = (items.has.sum(1) == 1) & (part == 0) & (block["unpaired"] != "none")
    pool, unpaired = [], []
    for column, codes in enumerate(items.codes):
        rows = np.flatnonzero(give[codes, column] | alone[codes])
        taken = pairs[known, column]
        unpaired.append(rows.astype(np.int64))
        pool.append(np.union1d(rows, taken[taken >= 0]).astype(np.int64))
    return _Rows(pairs[known], tuple(pool), tuple(unpaired), pairs[side == 1], pairs[side == 2])


def _append_test(
    block: Mapping, tables: tuple[Table, ...], own: tuple[Table, ...], groups: tuple[np.ndarray, ...], warnings: list[str]
) -> tuple[tuple[Table, ...], tuple[np.ndarray, ...], np.ndarray]:
    """Tables with the rows of the test files behind them, their item numbers, and the test pairs."""
    for side, table, test in zip(sides(block), tables, own, strict=True):
        check_width(f"data.test.{side}", test.dim, table.dim)
        warnings += [f"test files: {line}" for line in validate_table(test, captions=block["captions"]).warnings]
        if all(_is_row_numbers(t.ids) for t in (table, test)):
            warnings.append(f"test files: {table.name} has no stored ids, so rows that are also in training would not be seen.")
            continue
        shared = np.intersect1d(table.ids.astype(str), test.ids.astype(str))
        require(
            len(shared) == 0,
            f"data.test.{side}",
            got=f"{len(shared)} ids that are in the training file too ({first_ids(shared)})",
            wanted="items that training does not see",
            remedy="Remove them from one of the files.",
        )
    items = _join(own, block["captions"])
    validate_tuples(own, items.tuples)
    first = max(int(codes.max()) for codes in groups) + 1
    numbers = tuple(np.concatenate([old, new + first]) for old, new in zip(groups, items.codes, strict=True))
    pairs = items.tuples[(items.tuples >= 0).sum(1) >= 2]
    offsets = np.array([len(table) for table in tables])
    return tuple(stack(*two) for two in zip(tables, own, strict=True)), numbers, np.where(pairs >= 0, pairs + offsets, -1)


def _is_row_numbers(ids: np.ndarray) -> bool:
    return ids.dtype.kind in "iu" and bool(np.array_equal(ids, np.arange(len(ids))))
