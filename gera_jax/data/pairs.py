"""Two or three sets of embeddings and what is known about which of their rows belong together."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require, require_known, whole
from gera_jax.config.schema import SPLITS, UNPAIRED
from gera_jax.data import catalog, splits
from gera_jax.data.ids import check_can_meet, check_meets, check_unique, first_ids, number_items, outer_join
from gera_jax.data.tables import Table, fingerprint


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Known pairs of two or three modalities, and the rows of each that have no partner. Of `load_pairs` or `from_arrays`.

    Everywhere a row is named by its number in its modality's table.

    Args:
      tables: raw rows of each of the M modalities, with their ids and meta.
      rows: [p, M] known pairs (row of x, row of y, ...), -1 where an item of three modalities lacks one.
      unpaired: sorted row numbers of each modality that are in no pair.
      groups: [n] item number of each row of each table; rows of equal numbers belong together.
      items: the id of each item, by its number.
      paired_by: how rows found each other: by "id", a "list" of pairs, or "position" where no table has ids.
      preprocess: what is recommended to do with the rows of a modality first, by its name; empty where nothing is.
      source: words of a command line that name these data.
      warnings: what is to be known about the data, in words.
      chosen: how this part was drawn from other pairs, in words; "" where it is all there is.

    >>> pairs = Pairs.from_arrays(np.eye(4)[:3], np.eye(5)[:3], x_unpaired=np.eye(4)[3:])
    >>> print(pairs)
    paired by position: x and y have no ids, so row i of one is taken for the partner of row i of the other
    4 rows of x, 3 rows of y: 3 items have rows of both, found by position
    3 pairs; without a partner 1 row of x, 0 rows of y
    >>> pairs.x.shape, pairs.y.shape, pairs.x_unpaired.shape
    ((3, 4), (3, 5), (1, 4))
    """

    tables: tuple[Table, ...]
    rows: np.ndarray
    unpaired: tuple[np.ndarray, ...]
    groups: tuple[np.ndarray, ...]
    items: np.ndarray
    paired_by: str = "id"
    preprocess: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    source: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    chosen: str = ""

    @classmethod
    def from_tables(cls, tables: Sequence[Table], labels: Sequence[np.ndarray] | None = None, *, captions: bool = False) -> Pairs:
        """Pair the rows of two or three tables by id, or by `labels` [n] of each: rows of equal labels belong together.

        Args:
          captions: an id may come many times, as with five captions of one picture; every row of an item then meets every other.

        Raises:
          InputError: ids of two kinds, that never meet, in one table only, or repeated without `captions`; tables without ids of
            unequal length; names that are equal.

        >>> x = Table(np.ones((3, 2)), ["a", "b", "c"], "image"); y = Table(np.ones((2, 5)), ["c", "a"], "text")
        >>> pairs = Pairs.from_tables((x, y))
        >>> pairs.rows.tolist(), [rows.tolist() for rows in pairs.unpaired]
        ([[0, 1], [2, 0]], [[1], []])
        """
        tables = tuple(tables)
        require(len(tables) in (2, 3), "tables", got=f"{len(tables)} tables", wanted="two or three")
        _require_own_names([table.name for table in tables])
        by = "list"
        if labels is None:
            check_can_meet(tables)
            by = "position" if all(table.numbered for table in tables) else "id"
            for table in () if captions else tables:
                check_unique(table)
            labels = [table.ids for table in tables]
        groups, items = number_items(labels)
        check_meets(tables, groups)
        tuples = outer_join(groups)
        present = tuples >= 0
        whole_rows = present.sum(1) >= 2
        alone = tuple(np.sort(tuples[~whole_rows & present[:, m], m]) for m in range(len(tables)))
        warnings = tuple(_alone_in_words(tables, m, rows) for m, rows in enumerate(alone) if len(rows))
        parts = {table.name: dict(parts=list(table.parts)) for table in tables if table.parts}
        return cls(tables, tuples[whole_rows], alone, groups, items, by, parts, warnings=warnings)

    @classmethod
    def from_arrays(cls, x: Any, y: Any, w: Any = None, *, names: Sequence[str] = ("x", "y", "w"), **options: Any) -> Pairs:
        """Pairs of rows in memory: row i of `x` belongs to row i of `y` (and `w`), unless ids or a list of pairs say otherwise.

        As `load_pairs`, without its look at every row: rows of zeros are taken, and unpaired rows that equal a paired one.

        Args:
          x, y, w: whatever `data.as_rows` takes, or `Table`s.
          names: of the modalities.
          **options: x_unpaired, y_unpaired, x_ids, y_ids, pairs, ... of `load_pairs`.

        >>> Pairs.from_arrays(np.eye(3), np.eye(3), x_ids=["a", "b", "c"], y_ids=["c", "b", "new"]).rows.tolist()
        [[1, 1], [2, 0]]
        """
        from gera_jax.data.load import load_pairs

        return load_pairs(x, y, w, names=names, look=False, **options)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return tuple(table.name for table in self.tables)

    @property
    def bundled(self) -> str:
        """The name of the bundled set that these are of, or ""."""
        return self.source[1] if self.source[:1] == ("--data",) else ""

    @property
    def group_key(self) -> str:
        """The field of the meta that look-alikes share in a bundled set, or ""."""
        return catalog.info(self.bundled).group_key if self.bundled else ""

    @property
    def pool(self) -> tuple[np.ndarray, ...]:
        """Sorted rows of each modality, paired and unpaired: all that anything is fitted on."""
        return tuple(np.union1d(rows, own[own >= 0]) for rows, own in zip(self.unpaired, self.rows.T, strict=True))

    @functools.cached_property
    def item_of(self) -> np.ndarray:
        """[p] item number of each pair."""
        return np.max([np.where(r >= 0, g[r], -1) for g, r in zip(self.groups, self.rows.T, strict=True)], axis=0, initial=-1)

    @property
    def item_count(self) -> int:
        """How many items the pairs are of."""
        return len(np.unique(self.item_of))

    @property
    def gallery(self) -> tuple[np.ndarray, ...]:
        """Sorted distinct rows of each modality that are in a pair."""
        return tuple(np.unique(own[own >= 0]) for own in self.rows.T)

    def couples(self) -> Iterator[tuple[tuple[int, int], list[np.ndarray], list[np.ndarray]]]:
        """Of each two modalities: their numbers, the sorted distinct rows of the pairs that have both, and the rows' items.

        Of three modalities, two that fewer than two pairs have are left out.
        """
        for a, b in itertools.combinations(range(len(self.tables)), 2):
            both = self.rows[(self.rows[:, [a, b]] >= 0).all(1)]
            if len(self.tables) == 2 or len(both) > 1:
                rows = [np.unique(both[:, side]) for side in (a, b)]
                yield (a, b), rows, [self.groups[side][own] for side, own in zip((a, b), rows, strict=True)]

    @functools.cached_property
    def has(self) -> np.ndarray:
        """[items, M] whether an item has a row of a modality."""
        return np.stack([np.bincount(group, minlength=len(self.items)) > 0 for group in self.groups], 1)

    @property
    def captions(self) -> bool:
        """Whether an item has several rows of one modality."""
        return any(len(np.unique(group)) < len(group) for group in self.groups)

    @functools.cached_property
    def fingerprints(self) -> tuple[str, ...]:
        """Hash of each modality's rows and of what they are paired by."""
        labels = [self.items[group] if self.paired_by == "list" else None for group in self.groups]
        return tuple(map(fingerprint, self.tables, labels))

    def paired(self, side: int) -> np.ndarray:
        """Raw rows [p, d] of a modality, pair by pair; NaN where an item of three modalities lacks one."""
        own, rows = self.rows[:, side], self.tables[side].rows
        found = np.asarray(rows[np.maximum(own, 0)])
        if (own < 0).any():
            found = found.astype(np.float32, copy=False) if found.dtype.kind != "f" else found.copy()
            found[own < 0] = np.nan
        return found

    def alone(self, side: int) -> np.ndarray:
        """Raw rows [u, d] of a modality that have no partner."""
        return np.asarray(self.tables[side].rows[self.unpaired[side]])

    x = property(lambda self: self.paired(0), doc="Raw rows [p, dx] of the pairs; `x[i]` belongs to `y[i]`.")
    y = property(lambda self: self.paired(1), doc="Raw rows [p, dy] of the pairs.")
    w = property(lambda self: self.paired(2), doc="Raw rows [p, dw] of the pairs, of three modalities.")
    x_unpaired = property(lambda self: self.alone(0), doc="Raw rows of x without a partner.")
    y_unpaired = property(lambda self: self.alone(1), doc="Raw rows of y without a partner.")
    w_unpaired = property(lambda self: self.alone(2), doc="Raw rows of w without a partner.")

    def named(self, names: Sequence[str]) -> Pairs:
        """The same pairs under other names of the modalities."""
        if self.names == tuple(names):
            return self
        _require_own_names(names)
        tables = tuple(dataclasses.replace(table, name=name) for table, name in zip(self.tables, names, strict=True))
        preprocess = {new: self.preprocess.get(old, {}) for old, new in zip(self.names, names, strict=True)}
        return self._kept(dataclasses.replace(self, tables=tables, preprocess=preprocess))

    def take(self, index: Any) -> Pairs:
        """The pairs at `index`, and no unpaired rows."""
        return self._part(self.rows[index], tuple(rows[:0] for rows in self.unpaired), self.chosen)

    def split(
        self, *, test: Any = None, val: Any = None, by: str = "random", group_key: str = "", seed: int = 0
    ) -> tuple[Pairs, ...]:
        """Parts that share no item: (train, test), or (train, val, test) where `val` is given.

        All rows of an item are in one part, and so is what has no partner but belongs to a held-out group. The same seed gives
        the same parts, and the test part does not depend on `val`. Training pairs come in a random order of the seed, so that
        `train.head(100)` is a part of `train.head(300)`.

        Args:
          test, val: a number of items, a share of them below 1, or None (of `val`: "auto") for the one rule: a quarter and at
            most 500 items test, a tenth and at most 300 validate, at least 2. With by="ids" lists of ids, or files of them.
          by: "random"; "group", where look-alikes stay in one part; or "ids".
          group_key: the field of the rows' meta that look-alikes share; bundled sets have one of their own.
          seed: which items are drawn.

        Raises:
          InputError: parts that leave nothing to train on, no such field of the meta, or ids that no item has.

        >>> from gera_jax.data import load_pairs
        >>> train, val, test = load_pairs("emoji").split(test=400, val="auto")
        >>> len(train), len(val), len(test)
        (1082, 164, 400)
        >>> print(test.describe()["chosen"])
        random split of 1,646 items by seed 0: 164 validate (a tenth, at most 300), 400 test
        """
        require(by in SPLITS, "split", got=f'"{by}"', wanted='"random", "group" or "ids"')
        seed = whole(seed, "seed")
        train, valid, tests, lonely, chosen, notes = self._cut(by, val, test, group_key, seed)
        item, none = self.item_of, tuple(rows[:0] for rows in self.unpaired)
        rank = np.full(len(self.items), -1, np.int64)
        rank[train[splits.nested_order(len(train), seed=seed)]] = np.arange(len(train))
        mine = np.flatnonzero(rank[item] >= 0)
        mine = mine[np.argsort(rank[item[mine]], kind="stable")]
        parts = [self._part(self.rows[mine], lonely, chosen, notes)]
        for held in (valid, tests):
            parts.append(self._part(self.rows[np.isin(item, held)], none, chosen))
        return (parts[0], parts[2]) if val is None else tuple(parts)

    def head(self, n: int | None = None, rest: str = "independent") -> Pairs:
        """The first `n` known pairs (None = all); rows of the other items have no partner any more.

        Args:
          rest: what becomes of the other items. "independent" keeps one row of each item, so that no two unpaired rows are
            partners; the modality alternates from item to item. "same_set" keeps all their rows. "none" drops them, and all
            other unpaired rows too.

        Raises:
          InputError: fewer pairs than `n`.

        >>> from gera_jax.data import load_pairs
        >>> few = load_pairs("emoji").split(test=400)[0].head(100)
        >>> len(few), [len(rows) for rows in few.unpaired]
        (100, [573, 573])
        """
        require_known(rest, UNPAIRED, "unpaired")
        n = len(self) if n is None else whole(n, "pairs")
        require(n <= len(self), "pairs", got=n, wanted=f"at most {len(self)}, the pairs that there are", remedy="Lower it.")
        item = self.item_of
        free = np.full(len(self.items), -1, np.int64)
        seen, first = np.unique(item, return_index=True)
        free[seen[np.argsort(first)]] = np.arange(len(seen))
        free[item[:n]] = -1
        # Other items go in turn to the modalities that they have: more known pairs only take rows away from each.
        turn = free % np.maximum(self.has.sum(1), 1)
        mine = self.has & (np.cumsum(self.has, axis=1) - 1 == turn[:, None])
        give = {"independent": mine, "same_set": self.has, "none": np.zeros_like(self.has)}[rest] & (free >= 0)[:, None]
        unpaired = [np.flatnonzero(give[group, m]) for m, group in enumerate(self.groups)]
        if rest != "none":
            unpaired = [np.union1d(new, old) for new, old in zip(unpaired, self.unpaired, strict=True)]
        return self._part(self.rows[:n], tuple(rows.astype(np.int64) for rows in unpaired), self.chosen)

    def describe(self) -> dict[str, Any]:
        """Counts as plain JSON: rows of each modality, how and how many items meet, pairs, rows without a partner, the split."""
        return dict(
            rows={table.name: len(table) for table in self.tables},
            paired_by=self.paired_by,
            meet=int((self.has.sum(1) >= 2).sum()),
            pairs=len(self),
            unpaired={name: len(rows) for name, rows in zip(self.names, self.unpaired, strict=True)},
            chosen=self.chosen,
        )

    def __str__(self) -> str:
        """The lines that every command prints first."""
        found = self.describe()
        lines = [*meeting(found), f"{len(self):,} pairs; without a partner {counted(found['unpaired'])}"]
        return "\n".join([*lines, self.chosen] if self.chosen else lines)

    def __repr__(self) -> str:
        return f"Pairs({' x '.join(self.names)}: {len(self):,} pairs, {counted(self.describe()['unpaired'])} without a partner)"

    def _part(self, rows: np.ndarray, unpaired: tuple[np.ndarray, ...], chosen: str, notes: tuple[str, ...] = ()) -> Pairs:
        return self._kept(dataclasses.replace(self, rows=rows, unpaired=unpaired, chosen=chosen, warnings=self.warnings + notes))

    def _kept(self, made: Pairs) -> Pairs:
        """`made` of the same tables, with what is known of these."""
        made.__dict__.update({name: self.__dict__[name] for name in ("has", "fingerprints") if name in self.__dict__})
        return made

    def _cut(self, by: str, val: Any, test: Any, group_key: str, seed: int) -> tuple[Any, ...]:
        """Items that train, validate and test, the unpaired rows that may train, what was chosen in words, and warnings."""
        paired, notes = np.unique(self.item_of), ()
        sizes = dict(val=0 if val is None else val, test=test)
        lonely = [group[rows] for group, rows in zip(self.groups, self.unpaired, strict=True)]
        stay = [np.ones(len(items), bool) for items in lonely]
        if by == "ids":
            lists = dict(val_ids=splits.read_ids(val, "split.val_ids"), test_ids=splits.read_ids(test, "split.test_ids"))
            require(sum(map(len, lists.values())) > 0, 'split by "ids"', got="no ids", wanted="ids that validate or test")
            text, named = self.items[paired].astype(str), np.concatenate(list(lists.values()))
            split, words = splits.split_by_ids(text, **lists), 'split by "ids"'
            missing = named[~np.isin(named, text)]
            notes = (f"split: {len(missing)} ids of the lists are no pair ({first_ids(missing)}).",) if len(missing) else ()
            stay = [~np.isin(self.items[items].astype(str), named) for items in lonely]
        elif by == "group":
            group_key = group_key or self.group_key
            labels = splits.group_labels(group_key, self.tables, self.groups, self.items)
            split = splits.split_by_group(labels[paired], **sizes, seed=seed)
            held = labels[paired[np.concatenate([split.val, split.test])]]
            stay, words = [~np.isin(labels[items], held) for items in lonely], f'split by "{group_key}"'
        else:
            split, words = splits.split_at_random(len(paired), **sizes, seed=seed), "random split"
        free = tuple(rows[keep] for rows, keep in zip(self.unpaired, stay, strict=True))
        return (
            *(paired[part] for part in split),
            free,
            _words(words, len(paired), split, {} if by == "ids" else sizes, seed),
            notes,
        )


def _require_own_names(names: Sequence[str]) -> None:
    twice = [name for name in names if list(names).count(name) > 1]
    got, wanted = f'"{"".join(twice[:1])}" twice', f"{'two' if len(names) == 2 else 'three'} names"
    require(not twice, "names of the modalities", got=got, wanted=wanted, remedy="Name each modality, such as image and text.")


def counted(counts: Mapping[str, int]) -> str:
    """Rows of each modality in words."""
    return ", ".join(f"{count:,} row{'s' if count != 1 else ''} of {name}" for name, count in counts.items())


def meeting(found: Mapping[str, Any]) -> list[str]:
    """How the rows of a description found each other; "paired by position" comes first where it was so."""
    names, by = list(found["rows"]), found["paired_by"]
    both = "both" if len(names) == 2 else "two or more"
    line = f"{counted(found['rows'])}: {found['meet']:,} items have rows of {both}, found by {by}"
    if by != "position":
        return [f"{line} of pairs" if by == "list" else line]
    taken = "row i of one is taken for the partner of row i of the other"
    return [f"paired by position: {' and '.join(names)} have no ids, so {taken}", line]


def _alone_in_words(tables: Sequence[Table], side: int, rows: np.ndarray) -> str:
    table = tables[side]
    others = " and no ".join(other.name for other in tables if other is not table)
    return (
        f"{table.name}: {len(rows)} of {len(table)} rows have no {others} ({first_ids(table.ids[rows])}); those rows are used as "
        "unpaired."
    )


def _words(start: str, n: int, split: splits.Split, sizes: Mapping[str, Any], seed: int) -> str:
    """What a split chose, and by which rule where nobody asked for a size."""
    rules = dict(val=f"a tenth, at most {splits.MOST['val']}", test=f"a quarter, at most {splits.MOST['test']}")
    said = []
    for part, does in (("val", "validate"), ("test", "test")):
        rule = f" ({rules[part]})" if sizes.get(part, 0) in (None, "auto") else ""
        said += [f"{len(getattr(split, part)):,} {does}{rule}"] * (len(getattr(split, part)) > 0)
    return f"{start} of {n:,} items{f' by seed {seed}' if sizes else ''}: {', '.join(said)}" if said else ""


def require_held_out(validation: Pairs, training: Pairs) -> None:
    """Refuse validation pairs of other tables, and rows that train too."""
    same = validation.tables is training.tables or validation.fingerprints == training.fingerprints
    remedy = "Cut both from one Pairs: train, val, _ = pairs.split(val=..., test=...)."
    require(same, "validation", got="pairs of other tables", wanted="pairs of the tables that are fitted on", remedy=remedy)
    shared = sum(len(np.intersect1d(rows, pool)) for rows, pool in zip(validation.rows.T, training.pool, strict=True))
    require(shared == 0, "validation", got=f"{shared} rows that are fitted on too", wanted="none of them", remedy=remedy)
