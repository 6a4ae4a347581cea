"""What a comparison is about: two tables and their known pairs, cut anew by each seed, the same for every method."""

from __future__ import annotations

import copy
import dataclasses
import functools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, whole
from gera_jax.data import AlignmentData, Table, as_rows, build_data, catalog, join, load_table
from gera_jax.data.blocks import complete
from gera_jax.data.features import fingerprint
from gera_jax.data.formats import ROW_NUMBERS
from gera_jax.data.pair_lists import add_unpaired, read_pairs, tables_with_pairs

COUNTS = (20, 50, 100, 200, 500, 1000, 2000)
SIDES = ("x", "y", "x_unpaired", "y_unpaired")  # own embeddings; the ids of each are given as <side>_ids
PLACEHOLDERS = {
    "x": "X.npy",
    "y": "Y.npy",
    "pairs": "PAIRS.csv",
    "x-unpaired": "X_UNPAIRED.npy",
    "y-unpaired": "Y_UNPAIRED.npy",
    "x-ids": "X_IDS.txt",
    "y-ids": "Y_IDS.txt",
    "x-unpaired-ids": "X_UNPAIRED_IDS.txt",
    "y-unpaired-ids": "Y_UNPAIRED_IDS.txt",
}
MOST_TEST, MOST_VAL = 500, 300


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """The data of a comparison.

    Args:
      block: a `data` block without `pairs`; `split.seed` is set by each cell.
      tables: (x, y) in memory, rows of one item with equal ids; None for a bundled set.
      flags: the command-line flags that name these data, for commands in reports.
      look: commands that show what these data are.
    """

    block: dict[str, Any]
    tables: tuple[Table, Table] | None = None
    flags: str = ""
    look: tuple[str, ...] = ()

    def data(self, pairs: int, seed: int) -> AlignmentData:
        """The first `pairs` known pairs of the split of `seed` (0 = all of its training pairs)."""
        block = copy.deepcopy(self.block)
        block["pairs"], block["split"]["seed"] = pairs, seed
        return build_data(block, tables=self.tables)

    @functools.cached_property
    def fingerprints(self) -> list[str]:
        """Hash of the content of each table."""
        return [fingerprint(table) for table in self.tables or catalog.load(self.block["source"])]

    def counts(self, asked: Sequence[int], seeds: Sequence[int]) -> tuple[int, ...]:
        """The pair counts to look at: those asked for, else the usual ones that there are pairs for (own data: and all).

        Raises:
          InputError: a count below 2, or above the training pairs that every seed has.
        """
        differ = self.block["split"]["by"] == "group" or self.block["captions"]  # else every seed trains on as many pairs
        most = min(len(self.data(0, seed).pairs) for seed in (seeds if differ else seeds[:1]))
        require(
            most >= 2,
            "pairs",
            got=f"{most} training pairs beside validation and test",
            wanted="at least 2 pairs",
            remedy="Give more pairs, or lower --val and --test.",
        )
        if not asked:
            usual = [count for count in COUNTS if count <= most]
            return tuple(usual if self.tables is None else sorted({*usual, most}))
        counts = sorted({whole(count, "pairs", least=2) for count in asked})
        for count in counts:
            require(
                count <= most,
                "pairs",
                got=count,
                wanted=f"at most {most}, the pairs that train (validation and test take "
                f"{self.block['split']['val']} and {self.block['split']['test']} items)",
                remedy="Lower it, or --val and --test.",
            )
        return tuple(counts)

    @property
    def options(self) -> str:
        """The command-line flags of the split and the regime, beside `flags`."""
        split = self.describe()
        return f"{self.split_flags} --unpaired {split['unpaired']} --val {split['val']} --test {split['test']}".strip()

    @property
    def split_flags(self) -> str:
        """The command-line flags of a split that is not the usual one."""
        if self.describe()["split"] == "random":
            return ""
        return f"--split {self.describe()['split']} --group-key {self.block['split']['group_key']}"

    def describe(self) -> dict[str, Any]:
        """Split, regime and gallery sizes, for people and for the key of the cache."""
        split = self.block["split"]
        return dict(
            source=self.block["source"],
            split=dict(ratio="random").get(split["by"], "grouped" if split["by"] == "group" else split["by"]),
            unpaired=self.block["unpaired"],
            val=split["val"],
            test=split["test"],
        )


def make_task(
    data: str | Mapping | None = None,
    *,
    x: Any = None,
    y: Any = None,
    pairs: Any = None,
    x_unpaired: Any = None,
    y_unpaired: Any = None,
    x_ids: Any = None,
    y_ids: Any = None,
    x_unpaired_ids: Any = None,
    y_unpaired_ids: Any = None,
    split: str = "random",
    unpaired: str = "independent",
    val: int | None = None,
    test: int | None = None,
    group_key: str = "",
) -> Task:
    """A task from a bundled set's name, a `data` block, or own tables.

    Args:
      data: name of a bundled set, or a `data` block.
      x, y: own embeddings: a file (`FILE` or `FILE:KEY`, a text or a `Path`), a `Table`, or rows of any kind that
        `data.as_rows` takes.
      pairs: ids of known pairs (a .csv of two columns or [p, 2]); None = rows of equal ids are pairs.
      x_unpaired, y_unpaired: further rows without a partner.
      x_ids, y_ids, x_unpaired_ids, y_unpaired_ids: the id of each row: a list of them; of a file also the name of its column or
        array of ids, or a file of ids. None = the ids that a file has; without any, rows are known by their number.
      split: "random" or "grouped" (look-alikes stay together; needs meta).
      unpaired: "independent", "same_set" or "none", as in a `data` block.
      val, test: items that select and that are reported on; default a tenth (at most 300) and a quarter (at most 500);
        0 = none, where nothing is chosen or nothing reported.

    Raises:
      InputError: whatever is wrong with them, in words.
    """
    cuts = dict(random="ratio", grouped="group")
    if split not in cuts:
        fail("split", got=f'"{split}"', wanted='"random" or "grouped"')
    require((x is None) == (y is None), "x, y", got="one of them", wanted="both, or neither and data=NAME")
    require(
        (data is None) != (x is None),
        "data",
        got="both data and own tables" if x is not None else "nothing",
        wanted="data=NAME of a bundled set, or own x and y",
    )
    val, test = (size if size is None else whole(size, name) for name, size in (("val", val), ("test", test)))
    ids = dict(zip(SIDES, (x_ids, y_ids, x_unpaired_ids, y_unpaired_ids), strict=True))
    rows = dict(zip(SIDES, (x, y, x_unpaired, y_unpaired), strict=True))
    for side in SIDES:
        require(ids[side] is None or rows[side] is not None, f"{side}_ids", got="ids without rows", wanted=f"{side} with them")
    if x is None:
        for name, value in (("pairs", pairs), ("x_unpaired", x_unpaired), ("y_unpaired", y_unpaired)):
            require(value is None, name, got="a list beside a bundled set", wanted="own x and y with it")
        block = dict(data) if isinstance(data, Mapping) else dict(source=data)
        tables = None
        flags = f"--data {block.get('source')}"
        look = (f"gera-jax data show {block.get('source')}",)
        loaded = None
        if block.get("source") not in ("files", "arrays"):
            block = complete(block)
            require(
                block["source"] in catalog.names(),
                "data",
                got=f'"{block["source"]}"',
                wanted=f"one of {', '.join(catalog.names())}",
            )
            loaded = catalog.load(block["source"])
            require(
                len(loaded) == 2, "data", got=f'"{block["source"]}" of {len(loaded)} modalities', wanted="a set of two modalities"
            )
            count = len(np.unique(join(*loaded).pairs[:, 0]))
        else:
            fail("data", got=f'source="{block["source"]}"', wanted="own tables as x and y")
    else:
        tables, captions = own_tables(rows, ids, pairs)
        block = dict(captions=captions, source="arrays")
        given = {"x": x, "y": y, "pairs": pairs, "x-unpaired": x_unpaired, "y-unpaired": y_unpaired}
        given |= {f"{side.replace('_', '-')}-ids": value for side, value in ids.items()}
        flags = " ".join(f"--{name} {_file_word(name, value)}" for name, value in given.items() if value is not None)
        look = tuple(_look(rows[side], ids[side]) for side in ("x", "y") if isinstance(rows[side], str | Path))
        block = complete(block, tables)
        joined = join(*tables, captions=captions).pairs
        count = len(np.unique(tables[0].ids[joined[:, 0]])) if len(joined) else 0
        require(
            count >= 2,
            "pairs",
            got=f"{count} items with both rows",
            wanted="at least 2 pairs",
            remedy="Rows of equal ids are pairs; or list their ids with pairs=FILE.csv.",
        )
    for table in tables or loaded:
        require_variation(table)
    block["split"].update(
        by=cuts[split],
        val=max(2, min(MOST_VAL, count // 10)) if val is None else val,
        test=max(2, min(MOST_TEST, count // 4)) if test is None else test,
    )
    if group_key:
        block["split"]["group_key"] = group_key
    block["unpaired"] = unpaired
    held = [block["split"][name] for name in ("val", "test")]
    require(
        all(n == 0 or n >= 2 for n in held) and sum(held) + 2 <= count,
        "pairs",
        got=f"{count} pairs of which {held[0]} validate and {held[1]} test",
        wanted="at least 2 to validate, 2 to test and 2 to train on",
        remedy="Give more pairs, or other val and test.",
    )
    return Task(block, tables, flags, look)


def _file_word(name: str, value: Any) -> str:
    """A file as a word of a command; of what is in memory, a name that the user is to save it under."""
    return shlex.quote(str(value)) if isinstance(value, str | Path) else PLACEHOLDERS[name]


def _look(source: str | Path, ids: Any) -> str:
    named = f" --ids {shlex.quote(str(ids))}" if isinstance(ids, str | Path) else ""
    return f"gera-jax data show {shlex.quote(str(source))}{named}"


def own_tables(rows: Mapping[str, Any], ids: Mapping[str, Any], pairs: Any = None) -> tuple[tuple[Table, Table], bool]:
    """Own tables with equal ids in known pairs, and whether an item has several rows."""
    x, y, *extra = (None if rows[side] is None else as_table(rows[side], side, ids[side]) for side in SIDES)
    captions = False
    if pairs is not None:
        made = tables_with_pairs(x, y, read_pairs(pairs))
        x, y, captions = made.x, made.y, made.captions
    joined = join(x, y, captions=captions).pairs
    return (add_unpaired(x, extra[0], joined[:, 0]), add_unpaired(y, extra[1], joined[:, 1])), captions


def as_table(source: Any, name: str, ids: Any = None) -> Table:
    """A table from a file, a table, a frame or rows, under a modality's name; `ids` as in `make_task`."""
    from gera_jax.config import path_and_key

    column = str(ids) if isinstance(ids, str | Path) else ""
    ids_key = column if ids is None or column else ROW_NUMBERS  # a list of ids replaces whatever the source has
    has_columns = isinstance(source, str | Path) or hasattr(source, "columns")
    require(has_columns or not column, f"{name}_ids", got=f'"{column}" for rows in memory', wanted="a list of ids, one a row")
    if isinstance(source, str | Path):
        path, key = path_and_key(str(source))
        table = load_table(path, key=key, ids_key=ids_key, name=name)
    elif isinstance(source, Table):
        table = source if source.name != "table" else dataclasses.replace(source, name=name)
    elif has_columns:
        table = Table.from_frame(source, ids_key=ids_key, name=name)
    else:
        table = Table(as_rows(source, name), name=name)
    return table if ids is None or column else Table(table.rows, ids, table.name, table.meta)


def require_variation(table: Table) -> None:
    """Refuse a table whose rows are all equal: no method can tell its items apart."""
    first = np.asarray(table.rows[:1])
    step = 16_384
    varied = any(bool(np.any(np.asarray(table.rows[i : i + step]) != first)) for i in range(0, len(table), step))
    require(
        varied,
        table.name,
        got=f"{len(table)} rows of width {table.dim} that are all equal",
        wanted="rows that differ",
        remedy="Is the right array or column given?",
    )
