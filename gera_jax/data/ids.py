"""Ids and items: one id a row, exact; which rows of several tables belong together, and whether tables can meet."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import fail, require

if TYPE_CHECKING:
    from gera_jax.data.tables import Table

MOST_BYTES = 2**31  # NumPy gives every string the room of the longest
NAME_THEM = (
    "Store ids in both files, or say where they are (--x-ids, --y-ids, ids_key=); or list the pairs in a file of two "
    "ids a line (--pairs)."
)


def first_ids(ids: Any, count: int = 3) -> str:
    """The first ids in words.

    >>> first_ids(["id7", "id9", "id12", "id14"])
    'first: id7, id9, id12, ...'
    """
    return f"first: {some_ids(ids, count)}"


def some_ids(ids: Any, count: int = 3) -> str:
    """A few ids in words.

    >>> some_ids(["id7", "id9"]), some_ids([1, 2, 3], 2)
    ('id7, id9', '1, 2, ...')
    """
    return ", ".join(str(i) for i in ids[:count]) + (", ..." if len(ids) > count else "")


def check_ids(name: str, ids: Any, n: int) -> np.ndarray:
    """`ids` as an [n] array of strings, int64 or uint64, every one exact, or `InputError` that names the rows.

    Whole numbers beyond 64 bits become strings, bytes are read as UTF-8.

    >>> check_ids("image", [1, 2**64 - 1], 2).dtype, check_ids("image", [b"a", b"b"], 2).tolist()
    (dtype('uint64'), ['a', 'b'])
    """
    wanted = "a list of ids in the order of the rows"
    require(not isinstance(ids, str | bytes | set | frozenset), f"{name} ids", got=f"a {type(ids).__name__}", wanted=wanted)
    # NumPy turns whole numbers below and above 2^63 into rounded floats, so lists are looked at one by one
    array = ids if isinstance(ids, np.ndarray) or hasattr(ids, "__array__") else _object_array(list(ids))
    array = np.asarray(array)
    remedy = "Write one id for each row, in the order of the rows."
    require(array.shape == (n,), f"{name} ids", got=f"shape {array.shape}", wanted=f"one id a row, ({n},)", remedy=remedy)
    if array.dtype.kind == "f":
        _require_each(name, np.isfinite(array), "without an id")
    if array.dtype.kind not in "Uiu":
        array = _exact(name, array.astype(object) if array.dtype.kind in "OST" else array)
    if array.dtype.kind == "U":
        _require_each(name, array != "", "with an empty id")
    return array


def _object_array(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _require_each(name: str, fine: np.ndarray, what: str) -> None:
    rows = np.flatnonzero(~fine)
    count = f"{len(rows)} row{'s' if len(rows) != 1 else ''}"
    got = f"{count} {what} ({first_ids([f'row {row}' for row in rows])})"
    require(not len(rows), f"{name} ids", got=got, wanted="one id a row", remedy="Give each row an id, or leave those rows out.")


def _exact(name: str, ids: np.ndarray) -> np.ndarray:
    """An array of objects as strings or whole numbers."""
    remedy = "Save them with np.array(ids, dtype=str)."
    require(ids.dtype.kind == "O", f"{name} ids", got=f"dtype {ids.dtype.name}", wanted="strings or whole numbers", remedy=remedy)
    values = ids.tolist()
    _require_each(name, np.array([not _is_missing(value) for value in values]), "without an id")
    words = [isinstance(value, str | bytes) for value in values]
    numbers = [isinstance(value, int | np.integer) and not isinstance(value, bool) for value in values]
    if all(numbers):
        return _whole_numbers([int(value) for value in values])
    if not all(words):
        if any(words):
            fail(f"{name} ids", got="strings and numbers together", wanted="one kind", remedy="Make every id a string.")
        kinds = sorted({np.asarray(value).dtype.name if isinstance(value, float) else type(value).__name__ for value in values})
        remedy = "Save them with np.array(ids, dtype=str)."
        fail(f"{name} ids", got=f"dtype {', '.join(kinds)}", wanted="strings or whole numbers", remedy=remedy)
    try:
        text = [value.decode() if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError as error:
        remedy = "Decode them first: np.char.decode(ids, encoding)."
        fail(f"{name} ids", got=f"bytes that are no UTF-8 ({error})", wanted="strings or whole numbers", remedy=remedy)
    longest = max(map(len, text))
    wanted, remedy = "ids, not texts", "Name another column as the ids."
    require(4 * longest * len(text) <= MOST_BYTES, f"{name} ids", got=f"an id of {longest} letters", wanted=wanted, remedy=remedy)
    _require_each(name, np.array([not value.endswith("\0") for value in text]), "with a zero byte at the end of its id")
    return np.array(text, dtype=str)


def _is_missing(value: Any) -> bool:
    """None, NaN, and what pandas has in their place."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)


def _whole_numbers(values: list[int]) -> np.ndarray:
    low, high = min(values), max(values)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.array(values, dtype)
    return np.array([str(value) for value in values])


def kind(table: Table) -> str:
    """What a table's ids are, in words."""
    return "strings" if table.ids.dtype.kind == "U" else "numbers"


def check_can_meet(tables: Sequence[Table]) -> None:
    """Raise `InputError` unless ids of the tables can be compared and some item is in more than one of them.

    Rows are paired by position only where no table has ids, and then each has as many rows.
    """
    numbered = [table for table in tables if table.numbered]
    if numbered and len(numbered) < len(tables):
        other = next(table for table in tables if not table.numbered)
        got = f"{numbered[0].name} without ids, {other.name} with ids ({first_ids(other.ids)})"
        fail("ids", got=got, wanted="ids in all tables or in none", remedy=NAME_THEM)
    if numbered:
        counts = {table.numbered_of for table in tables}
        got = " and ".join(f"{table.name} of {table.numbered_of} rows" for table in tables) + ", all without ids"
        wanted, remedy = "ids; rows are paired by their position only where there are as many of each", NAME_THEM
        require(len(counts) == 1, "ids", got=got, wanted=wanted, remedy=remedy)
        return
    if len({kind(table) for table in tables}) > 1:
        texts = [set(table.ids.astype(str).tolist()) for table in tables]
        meet = len(set.intersection(*texts))
        fail(
            "ids",
            got=", ".join(f"{table.name} {kind(table)} ({first_ids(table.ids)})" for table in tables)
            + f"; {meet} would meet as strings",
            wanted="one kind on both sides" if len(tables) == 2 else "one kind in all tables",
            remedy="Write both as strings: ids.astype(str)." if meet else NAME_THEM,
        )


def check_meets(tables: Sequence[Table], codes: Sequence[np.ndarray]) -> None:
    """Raise `InputError` where a table shares no item with any other; `codes` are the items of each table's rows."""
    for table, own in zip(tables, codes, strict=True):
        others = [other for other in codes if other is not own]
        if others and not np.isin(own, np.concatenate(others)).any():
            rest = [other for other in tables if other is not table]
            texts = {str(i) for other in rest for i in other.ids.tolist()}
            where = "on both sides" if len(tables) == 2 else f"of {table.name} in {' or '.join(other.name for other in rest)}"
            fail(
                "pairs",
                got=f"0 ids {where} ({'; '.join(f'{each.name} {first_ids(each.ids)}' for each in tables)}"
                f"{_almost(table, texts)})",
                wanted="at least 1",
                remedy=f"Write the same id for the same item in {'both' if len(tables) == 2 else 'all'} files, name another "
                "column (--x-ids, --y-ids, ids_key=), or list the pairs in a file of two ids a line (--pairs).",
            )


def _almost(table: Table, others: set[str]) -> str:
    """A word on ids that differ in a way that often happens."""
    changes = {
        "without folders and endings": lambda i: i.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or i,
        "in one form of Unicode": lambda i: unicodedata.normalize("NFKC", i),
        "in small letters": str.lower,
        "without blanks around them": str.strip,
        "without leading zeros": lambda i: i.lstrip("0"),
    }
    for words, change in changes.items():
        mine = {change(str(i)) for i in table.ids.tolist()}
        meet = len(mine & {change(i) for i in others})
        if meet:
            return f"; {words} {meet} would meet"
    return ""


def number_items(labels: Sequence[np.ndarray]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Item number of each row of each table, and the label of each item; rows of equal labels are one item.

    Items are numbered in the order of their labels, not of the rows: a file in another order gives the same numbers.

    >>> groups, items = number_items((np.array(["b", "a"]), np.array(["c", "b"])))
    >>> [group.tolist() for group in groups], items.tolist()
    ([[1, 0], [2, 1]], ['a', 'b', 'c'])
    """
    kinds = {own.dtype.kind for own in labels}
    # int64 beside uint64: NumPy makes them float64, where numbers above 2^53 become one; row numbers may stand beside words, as
    # unpaired rows get words
    exact = str if "U" in kinds and len(kinds) > 1 else object if len(kinds) > 1 else None
    together = np.concatenate([own.astype(exact) if exact else own for own in labels])
    items, codes = np.unique(together, return_inverse=True)
    ends = np.cumsum([len(own) for own in labels])[:-1]
    return tuple(np.split(codes.astype(np.int64).ravel(), ends)), items


def outer_join(groups: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of any number of tables beside each other by item: [t, M] row numbers (int64), -1 where a table lacks the item.

    Every row of every table is in at least one tuple, and every row of a table meets every row of the others of the same item.
    Tuples come in the order of the first table's rows (then the second's, ...), behind them those that the first table lacks.

    Args:
      groups: the item number of each row, for each of M tables.

    >>> outer_join([np.array([3, 7]), np.array([7]), np.array([9, 3])]).tolist()
    [[0, -1, 1], [1, 0, -1], [-1, -1, 0]]
    """
    tuples, items = np.arange(len(groups[0]), dtype=np.int64)[:, None], groups[0]
    largest = max(int(group.max(initial=0)) for group in groups)
    for group in groups[1:]:
        order = np.argsort(group, kind="stable")
        counts = np.bincount(group, minlength=largest + 1)
        starts = np.cumsum(counts) - counts
        repeats = np.maximum(counts[items], 1)  # a tuple that this table lacks stays, once
        left = np.repeat(np.arange(len(tuples)), repeats)
        # position of each tuple among those that its own left tuple became
        within = np.arange(len(left)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        found = counts[items[left]] > 0
        right = np.where(found, order[np.minimum(starts[items[left]] + within, len(group) - 1)], -1)
        new = np.flatnonzero(~np.isin(group, items))
        below = np.full((len(new), tuples.shape[1]), -1, np.int64)
        tuples = np.concatenate([np.column_stack([tuples[left], right]), np.column_stack([below, new])])
        items = np.concatenate([items[left], group[new]])
    return tuples


def duplicate_rows(ids: np.ndarray) -> np.ndarray:
    """Rows [r] whose id came before; memory O(n)."""
    _, first = np.unique(ids, return_index=True)
    again = np.ones(len(ids), bool)
    again[first] = False
    return np.flatnonzero(again)


def check_unique(table: Table) -> None:
    """Raise `InputError` when an id comes twice."""
    again = duplicate_rows(table.ids)
    if len(again):
        got = f"{len(again)} repeated rows ({first_ids(table.ids[again])}), the first in row {again[0]}"
        fail(f"{table.name} ids", got=got, wanted="each id once", remedy=SEVERAL)


SEVERAL = (
    "Remove the repeats; or, where one item has several rows, say so: captions=True (--captions; data.captions=True in a config)."
)
