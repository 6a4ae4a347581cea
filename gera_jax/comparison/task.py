"""What a comparison is about: pairs and how each seed cuts them, the same for every method."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, require_known, whole
from gera_jax.config.schema import SPLITS, UNPAIRED
from gera_jax.data import Pairs, load_pairs
from gera_jax.data.alignment import AlignmentData, prepare
from gera_jax.data.load import command, look_commands
from gera_jax.data.splits import size_by_rule, size_by_share
from gera_jax.solvers.several_tables import weigh_tables

COUNTS = (20, 50, 100, 200, 500, 1000, 2000)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """The pairs of a comparison and the rule by which a seed cuts them.

    Args:
      pairs: all of them.
      split: "random", or "group": look-alikes stay together.
      unpaired: what is given of training items beside the known pairs, see `Pairs.head`.
      val, test: items that select and that are reported on, or a share of all; None = by the one rule of `Pairs.split`; 0 = none,
        where nothing is chosen or nothing reported.
      group_key: the field of the meta that look-alikes share.

    Raises:
      InputError: whatever is wrong with them, in words.

    >>> data = Task(load_pairs("emoji"), val=150, test=400).data(100, seed=0)
    >>> len(data.pairs), len(data.val), len(data.test), len(data.unpaired["text"])
    (100, 150, 400, 498)
    """

    pairs: Pairs
    split: str = "random"
    unpaired: str = "independent"
    val: int | None = None
    test: int | None = None
    group_key: str = ""

    def __post_init__(self) -> None:
        if self.split not in ("random", "group", "grouped"):
            fail("split", got=f'"{self.split}"', wanted='"random" or "group"')
        require_known(self.unpaired, UNPAIRED, "unpaired")
        count = len(np.unique(self.pairs.item_of))
        sizes = {name: _size(size, name, count) for name, size in (("val", self.val), ("test", self.test))}
        require(
            all(n == 0 or n >= 2 for n in sizes.values()) and sum(sizes.values()) + 2 <= count,
            "pairs",
            got=f"{count} items with both rows, of which {sizes['val']} validate and {sizes['test']} test",
            wanted="at least 2 to validate, 2 to test and 2 to train on",
            remedy="Give more pairs, or other val and test.",
        )
        key = self.group_key or self.pairs.group_key
        for name, value in dict(split=SPLITS[self.split], group_key=key, **sizes).items():
            object.__setattr__(self, name, value)

    def parts(self, count: int, seed: int) -> tuple[Pairs, Pairs, Pairs]:
        """The first `count` known pairs of the split of `seed` (0 = all of its training pairs), and what validates and tests."""
        rule = dict(val=self.val, test=self.test, by=self.split, group_key=self.group_key)
        train, val, test = self.pairs.split(**rule, seed=seed)
        return train.head(count or None, self.unpaired), val, test

    def data(self, count: int, seed: int) -> AlignmentData:
        """The `parts` with their rows preprocessed."""
        made = prepare(*self.parts(count, seed), preprocess=self.pairs.preprocess, seed=seed, source=self.source)
        return weigh_tables(made)

    @property
    def source(self) -> str:
        """The name of the bundled set, or "arrays"."""
        return self.pairs.bundled or "arrays"

    @functools.cached_property
    def fingerprints(self) -> list[str]:
        """Hash of the content of each table."""
        return list(self.pairs.fingerprints)

    def counts(self, asked: Sequence[int], seeds: Sequence[int]) -> tuple[int, ...]:
        """The pair counts to look at: those asked for, else the usual ones that there are pairs for (own data: and all).

        Raises:
          InputError: a count below 2, or above the training pairs that every seed has.
        """
        differ = self.split == "group" or self.pairs.captions  # else every seed trains on as many pairs
        most = min(len(self.parts(0, seed)[0]) for seed in (seeds if differ else seeds[:1]))
        require(
            most >= 2,
            "pairs",
            got=f"{most} training pairs beside validation and test",
            wanted="at least 2 pairs",
            remedy="Give more pairs, or lower --val and --test.",
        )
        if not asked:
            usual = [count for count in COUNTS if count <= most]
            return tuple(usual if self.pairs.bundled else sorted({*usual, most}))
        counts = sorted({whole(count, "pairs", least=2) for count in asked})
        for count in counts:
            require(
                count <= most,
                "pairs",
                got=count,
                wanted=f"at most {most}, the pairs that train (validation and test take {self.val} and {self.test} items)",
                remedy="Lower it, or --val and --test.",
            )
        return tuple(counts)

    @property
    def flags(self) -> str:
        """The command-line flags that name the data."""
        return command(self.pairs.source)

    @property
    def look(self) -> tuple[str, ...]:
        """Commands that show what the data are."""
        return look_commands(self.pairs.source)

    @property
    def options(self) -> str:
        """The command-line flags of the split and the regime, beside `flags`."""
        return f"{self.split_flags} --unpaired {self.unpaired} --val {self.val} --test {self.test}".strip()

    @property
    def split_flags(self) -> str:
        """The command-line flags of a split that is not the usual one."""
        if self.split == "random":
            return ""
        return command(["--split", self.split, *(["--group-key", self.group_key] if self.group_key else [])])

    def describe(self) -> dict[str, Any]:
        """Split, regime and gallery sizes, for people and for the key of the cache."""
        rule = {name: getattr(self, name) for name in ("split", "unpaired", "val", "test", "group_key")}
        return dict(source=self.source, **rule)


def _size(size: Any, name: str, count: int) -> int:
    """Items of a part: a number, a share of all, or None for the one rule."""
    if size is None:
        return size_by_rule(name, count)
    return max(2, size_by_share(size, count)) if isinstance(size, float) and 0 < size < 1 else whole(size, name)


def make_task(
    data: Any = None,
    *,
    split: str = "random",
    unpaired: str = "independent",
    val: int | None = None,
    test: int | None = None,
    group_key: str = "",
    **source: Any,
) -> Task:
    """A task from `Pairs`, a bundled set's name, or the arguments of `load_pairs`, and the fields of a `Task`."""
    if data is not None:
        named = [name for name, value in source.items() if value is not None and value is not False]
        require(not named, "data", got=f"both data and own tables ({', '.join(named)})", wanted="data, or own x and y")
        source = dict(x=data)
    return Task(load_pairs(**source), split, unpaired, val, test, group_key)
