"""Known pairs given as a list of ids beside two tables, instead of by equal ids."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.data.tables import Table, check_unique, first_ids


class PairedTables(NamedTuple):
    """Two tables whose ids are equal where a pair is known, and whether an item has several rows."""

    x: Table
    y: Table
    captions: bool


def read_pairs(source: str | Path | Sequence) -> np.ndarray:
    """Ids of known pairs, [p, 2] strings, from a `.csv` or `.tsv` of two columns or from rows of two ids.

    A first line `x,y`, `x_id,y_id` or the like is a heading where the word "id", "x" or "y" says so.

    Raises:
      InputError: no such file, or lines that are no two ids.

    >>> read_pairs([("a", 1), ("b", 2)]).tolist()
    [['a', '1'], ['b', '2']]
    """
    if isinstance(source, str | Path):
        path = Path(source)
        require(path.is_file(), "pairs", got=f"no file {path}", wanted="a .csv or .tsv file, two ids a line")
        require(path.suffix in (".csv", ".tsv"), "pairs", got=f'"{path.name}"', wanted="a .csv or .tsv file, two ids a line")
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [
                [cell.strip() for cell in line] for line in csv.reader(file, delimiter="," if path.suffix == ".csv" else "\t")
            ]
        lines = [line for line in lines if any(line)]
        if lines and _is_heading(lines[0]):
            lines = lines[1:]
    else:
        lines = [[str(cell) for cell in np.atleast_1d(np.asarray(line))] for line in source]
    wrong = [i for i, line in enumerate(lines) if len(line) != 2 or not all(line)]
    require(
        not wrong,
        "pairs",
        got=f"{len(wrong)} lines that are no two ids (first: {lines[wrong[0]] if wrong else ''})",
        wanted="two ids a line: one of x, one of y",
    )
    require(len(lines) >= 2, "pairs", got=f"{len(lines)} pairs", wanted="at least 2 pairs")
    return np.asarray(lines, dtype=str)


def _is_heading(line: list[str]) -> bool:
    words = [word.lower() for word in line]
    return all(word in ("x", "y", "id") or word.endswith(("_id", " id", "_ids")) for word in words)


def tables_with_pairs(x: Table, y: Table, pairs: np.ndarray) -> PairedTables:
    """The tables with new ids: rows of one known pair share one, every other row is alone.

    An id may be in several pairs where all of them meet in it (one picture, five captions).

    Args:
      x, y: tables of unique ids.
      pairs: [p, 2] ids, as `read_pairs` gives them.

    Raises:
      InputError: ids that no table has, a pair given twice, or chains of pairs (a-1, b-1, b-2) whose ends are not a pair.

    >>> x, y = Table(np.eye(3), ["a", "b", "c"], "image"), Table(np.eye(3), ["1", "2", "3"], "text")
    >>> made = tables_with_pairs(x, y, read_pairs([("c", "1"), ("a", "2")]))
    >>> made.x.ids.tolist(), made.y.ids.tolist()
    (['a = 2', 'image: b', 'c = 1'], ['c = 1', 'a = 2', 'text: 3'])
    """
    for table in (x, y):
        check_unique(table)
    rows = []
    numbers = [{str(i): row for row, i in enumerate(table.ids)} for table in (x, y)]
    headed = not any(i in number for i, number in zip(pairs[0].tolist(), numbers, strict=True))
    for column, (table, number) in enumerate(zip((x, y), numbers, strict=True)):
        plain_ids = "A table without stored ids has its row numbers, from 0, as ids." if table.ids.dtype.kind != "U" else ""
        missing = [i for i in dict.fromkeys(pairs[:, column].tolist()) if i not in number]
        require(
            not missing,
            "pairs",
            got=f"{len(missing)} ids that {table.name} does not have ({first_ids(missing, 10)})",
            wanted=f"ids like {', '.join(map(str, table.ids[:3]))}",
            remedy='Is the first line a heading? Call its columns "x_id,y_id".' if headed else plain_ids,
        )
        rows.append(np.array([number[i] for i in pairs[:, column]]))
    _, first, times = np.unique(rows[0] * len(y) + rows[1], return_index=True, return_counts=True)
    again = first[times > 1]
    require(
        len(again) == 0,
        "pairs",
        wanted="each pair once",
        remedy="Remove the repeats.",
        got=f"{len(again)} pairs given more than once (first: {', '.join(pairs[again[0]]) if len(again) else ''})",
    )
    often = [np.bincount(r, minlength=len(table))[r] > 1 for r, table in zip(rows, (x, y), strict=True)]
    chain = np.flatnonzero(often[0] & often[1])
    if len(chain):
        fail(
            "pairs",
            got=f"chains of pairs (first: {', '.join(pairs[chain[0]])}, both in other pairs too)",
            wanted="pairs of which one side is in no other pair",
            remedy="Give every item rows of its own, or leave out pairs until one side of each is unique.",
        )
    # the side that is in several pairs, or the first, names the item
    item = np.where(often[1], rows[1] + len(x), rows[0])
    names = [f"{a} = {b}" for a, b in pairs]
    named: dict[int, str] = {}
    for key, name in zip(item.tolist(), names, strict=True):
        named.setdefault(key, name)
    made = []
    for table, own in zip((x, y), rows, strict=True):
        ids = [f"{table.name}: {i}" for i in table.ids]
        for row, key in zip(own.tolist(), item.tolist(), strict=True):
            ids[row] = named[key]
        made.append(dataclasses.replace(table, ids=np.asarray(ids)))
    return PairedTables(made[0], made[1], captions=bool((often[0] | often[1]).any()))


def add_unpaired(table: Table, extra: Table | None, paired_rows: Any) -> Table:
    """`table` with the rows of `extra` behind it, of which none may be one of its paired rows.

    Any paired row may be held out for validation or test, so an unpaired row that is the same embedding is a leak.

    Raises:
      InputError: another width, an id that the table has, or a row equal to a paired one.
    """
    if extra is None:
        return table
    name = f"unpaired rows of {table.name}"
    require(
        extra.dim == table.dim,
        name,
        got=f"width {extra.dim}",
        wanted=f"{table.dim}, as in the table",
        remedy="Embed both with the same encoder.",
    )
    stored = all(t.ids.dtype.kind == "U" for t in (table, extra))
    if stored:
        shared = np.intersect1d(table.ids, extra.ids)
        require(
            len(shared) == 0,
            name,
            got=f"{len(shared)} ids that the table has too ({first_ids(shared)})",
            wanted="rows of other items: paired rows are held out to test on",
            remedy="Remove them from the unpaired rows.",
        )
    paired = {table.rows[i].tobytes() for i in np.unique(paired_rows)}
    extra_rows = np.asarray(extra.rows).astype(table.rows.dtype)
    same = [i for i, row in enumerate(extra_rows) if row.tobytes() in paired]
    require(
        not same,
        name,
        got=f"{len(same)} rows equal to a row of a known pair ({first_ids(extra.ids[same])})",
        wanted="rows of other items: paired rows are held out to test on",
        remedy="Remove them; if they are other items that look the same, put them into the table itself.",
    )
    meta = None if table.meta is None else [*table.meta, *([{}] * len(extra))]
    ids = np.concatenate([table.ids.astype(str), [f"{table.name} unpaired: {i}" for i in extra.ids]])
    return Table(np.concatenate([table.rows, extra_rows]), ids, table.name, meta)
