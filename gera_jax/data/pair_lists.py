"""Known pairs given as a list of ids beside two tables, instead of by equal ids."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts load when they are used

from gera_jax.checks import fail, require
from gera_jax.data.formats import open_source
from gera_jax.data.formats.arrow import ArrowSource, open_frame
from gera_jax.data.formats.base import read_text
from gera_jax.data.ids import check_ids, check_unique, first_ids
from gera_jax.data.tables import Table

WANTED = "a .csv, .tsv, .txt, .jsonl or .parquet file, two ids a line"
HEADING = re.compile(r"x|y|id|.*(_id|_ids| id|_name|_key|_file|_path)|image|text|caption|source|target", re.IGNORECASE)


def read_pairs(source: Any) -> np.ndarray:
    """Ids of known pairs, [p, 2] strings.

    A heading is still among them: whether the first line is one, `link` sees from the ids of the tables.

    Args:
      source: a file of two columns (`.csv`; `.tsv`, in which quotes are letters like any other; `.txt` with blanks or tabs;
        `.jsonl`, `.parquet`), rows of two ids, a frame of two columns, or a dictionary of an id to one id or to several.

    >>> read_pairs([("a", 1), (b"b", 2**63 + 1)]).tolist(), read_pairs({"a": ["1", "2"]}).tolist()
    ([['a', '1'], ['b', '9223372036854775809']], [['a', '1'], ['a', '2']])
    """
    lines = _lines(source)
    wrong = [i for i, line in enumerate(lines) if len(line) != 2 or not all(line)]
    got = f"{len(wrong)} lines that are no two ids (first: {lines[wrong[0]] if wrong else ''})"
    require(not wrong, "pairs", got=got, wanted="two ids a line: one of x, one of y")
    require(len(lines) >= 2, "pairs", got=f"{len(lines)} pairs", wanted="at least 2 pairs")
    return np.stack([check_ids("pairs", list(column), len(lines)).astype(str) for column in zip(*lines, strict=True)], axis=1)


def _lines(source: Any) -> list[list[str]]:
    if isinstance(source, str | Path):
        return _file_lines(Path(source))
    if isinstance(source, Mapping):
        source = [(key, partner) for key, partners in source.items() for partner in _several(partners)]
    elif hasattr(source, "columns") and not isinstance(source, np.ndarray):
        return _columns(open_frame(source, "pairs"))
    require(isinstance(source, Iterable), "pairs", got=f"a {type(source).__name__}", wanted="rows of two ids")
    return [[_word(cell) for cell in _several(line)] for line in source]


def _several(ids: Any) -> Iterable:
    """One id or several as a list; those of a set in order."""
    if isinstance(ids, set | frozenset):
        return sorted(ids, key=str)
    return ids if isinstance(ids, Sequence | np.ndarray) and not isinstance(ids, str | bytes) else [ids]


def _word(cell: Any) -> str:
    """An id as a string, exact."""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError as error:
            fail("pairs", got=f"bytes that are no UTF-8 ({error})", wanted="strings or whole numbers")
    whole = isinstance(cell, str | int | np.integer) and not isinstance(cell, bool)
    remedy = "Give numbers above 2^53 as whole numbers or strings: NumPy makes floats of a mixture."
    require(whole, "pairs", got=f"{cell!r}, a {type(cell).__name__}", wanted="strings or whole numbers", remedy=remedy)
    return str(cell)


def _file_lines(path: Path) -> list[list[str]]:
    require(path.is_file(), "pairs", got=f"no file {path}", wanted=WANTED)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".parquet"):
        source = open_source(path)
        assert isinstance(source, ArrowSource)
        return _columns(source)
    require(suffix in (".csv", ".tsv", ".txt"), "pairs", got=f'"{path.name}"', wanted=WANTED)
    lines = [line for line in read_text(path, "pairs").split("\n") if line.strip()]
    if suffix == ".csv":
        return _csv_lines(path, "\n".join(lines))
    return [line.split("\t") if "\t" in line or suffix == ".tsv" else line.split() for line in lines]


def _csv_lines(path: Path, text: str) -> list[list[str]]:
    limit = csv.field_size_limit(sys.maxsize)  # ids may be long; the limit is one for the whole process, so it is put back
    try:
        first = text.partition("\n")[0]
        delimiter = next((mark for mark in ",;\t" if len(next(csv.reader([first], delimiter=mark), [])) == 2), ",")
        lines = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error as error:
        remedy = 'Close every quote, write a quote inside of one as "", or save the list as .tsv, where quotes are letters.'
        fail("pairs", got=f'"{path.name}", which is no .csv ({error})', wanted="two ids a line", remedy=remedy)
    finally:
        csv.field_size_limit(limit)
    return [line for line in lines if any(cell.strip() for cell in line)]


def _columns(source: ArrowSource) -> list[list[str]]:
    names = source.schema.names
    require(len(names) == 2, "pairs", got=f"columns {', '.join(names)}", wanted="two columns: ids of x, ids of y")
    columns = [[_word("" if i is None else i) for i in source.ids(name, "")] for name in names]
    return [list(line) for line in zip(*columns, strict=True)]


class Linked(NamedTuple):
    """A label for each row of x and of y, equal where the rows belong together, and how many pairs nobody listed.

    Of rows that known pairs join into one item (a-1, b-1, b-2) every one of x meets every one of y: a-2 is implied.
    """

    x: np.ndarray
    y: np.ndarray
    implied: int = 0


def link(x: Table, y: Table, pairs: np.ndarray) -> Linked:
    """Labels of the rows: those that known pairs join share one, every other row is alone.

    An id may be in several pairs (one picture, five captions; a word with two translations that have other sources too): all
    rows that are joined, directly or by others, are one item.

    Args:
      x, y: tables of unique ids.
      pairs: [p, 2] ids, as `read_pairs` gives them; a first line such as `x_id,y_id` whose words are no ids is left out.

    >>> x, y = Table(np.eye(3), ["a", "b", "c"], "image"), Table(np.eye(3), ["1", "2", "3"], "text")
    >>> made = link(x, y, read_pairs([("c", "1"), ("a", "2")]))
    >>> made.x.tolist(), made.y.tolist()
    (['a = 2', 'image: b', 'c = 1'], ['c = 1', 'a = 2', 'text: 3'])
    """
    for table in (x, y):
        check_unique(table)
    numbers = [{str(i): row for row, i in enumerate(table.ids)} for table in (x, y)]
    # as written, else without the blanks around it
    pairs = np.array(
        [[i if i in number else i.strip() for i, number in zip(line, numbers, strict=True)] for line in pairs.tolist()], dtype=str
    )
    headed = not any(i in number for i, number in zip(pairs[0].tolist(), numbers, strict=True))
    if headed and all(HEADING.fullmatch(word) for word in pairs[0].tolist()):
        pairs, headed = pairs[1:], False
    require(len(pairs) >= 2, "pairs", got=f"{len(pairs)} pairs", wanted="at least 2 pairs")
    swapped = all(a not in numbers[0] and b not in numbers[1] and a in numbers[1] and b in numbers[0] for a, b in pairs.tolist())
    remedy = "Exchange the two columns."
    require(not swapped, "pairs", got=f"ids of {y.name} before those of {x.name}", wanted=f"ids of {x.name} first", remedy=remedy)
    rows = [
        _rows(table, number, pairs[:, column], headed) for column, (table, number) in enumerate(zip((x, y), numbers, strict=True))
    ]
    _, first, times = np.unique(rows[0] * len(y) + rows[1], return_index=True, return_counts=True)
    again = first[times > 1]
    got = f"{len(again)} pairs given more than once (first: {', '.join(pairs[again[0]]) if len(again) else ''})"
    require(len(again) == 0, "pairs", got=got, wanted="each pair once", remedy="Remove the repeats.")
    item = _items(len(x), len(y), rows)
    implied = _implied(item, rows, pairs)
    named: dict[int, str] = {}
    for key, (a, b) in zip(item[0][rows[0]].tolist(), pairs, strict=True):
        named.setdefault(key, f"{a} = {b}")
    made = []
    for table, own, items in zip((x, y), rows, item, strict=True):
        labels = [f"{table.name}: {i}" for i in table.ids]
        for row in np.unique(own).tolist():
            labels[row] = named[int(items[row])]
        made.append(np.asarray(labels))
    return Linked(*made, implied)


def _rows(table: Table, number: Mapping[str, int], ids: np.ndarray, headed: bool) -> np.ndarray:
    missing = [i for i in dict.fromkeys(ids.tolist()) if i not in number]
    plain = "A table without stored ids has its row numbers, from 0, as ids." if table.numbered else ""
    got = f"{len(missing)} ids that {table.name} does not have ({first_ids(missing, 10)})"
    wanted = f"ids like {', '.join(map(str, table.ids[:3]))}"
    remedy = 'Is the first line a heading? Call its columns "x_id,y_id".' if headed else plain
    require(not missing, "pairs", got=got, wanted=wanted, remedy=remedy)
    return np.array([number[i] for i in ids.tolist()])


def _items(n: int, m: int, rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Item number of each row of x and of y: rows are one item where known pairs lead from one to the other."""
    joined = scipy.sparse.coo_array((np.ones(len(rows[0]), bool), (rows[0], rows[1] + n)), shape=(n + m, n + m))
    labels = scipy.sparse.csgraph.connected_components(joined, directed=False)[1]
    return labels[:n], labels[n:]


def _implied(item: tuple[np.ndarray, np.ndarray], rows: list[np.ndarray], pairs: np.ndarray) -> int:
    """Pairs that are in an item and not in the list; more of them than were listed are a sign of wrong lines, and refused."""
    count = max(int(labels.max()) for labels in item) + 1
    used = [np.bincount(labels[np.unique(own)], minlength=count) for labels, own in zip(item, rows, strict=True)]
    made = used[0] * used[1] - np.bincount(item[0][rows[0]], minlength=count)
    worst = int(made.argmax())
    inside = pairs[item[0][rows[0]] == worst]
    require(
        made.sum() <= len(pairs),
        "pairs",
        got=f"{len(pairs)} pairs that imply {made.sum()} others (most: {used[0][worst]} x "
        f"{used[1][worst]} rows around {', '.join(inside[0])})",
        wanted="items of rows that belong together",
        remedy="Leave out pairs of which both ids are in many others.",
    )
    return int(made.sum())
