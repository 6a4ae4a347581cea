"""Items: which rows of several tables belong together, by equal ids; the one join of this package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gera_jax.checks import fail
from gera_jax.data.ids import first_ids
from gera_jax.data.tables import Table


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
        fail(
            f"{table.name} ids",
            got=f"{len(again)} repeated rows ({first_ids(table.ids[again])}), the first in row {again[0]}",
            wanted="each id once",
            remedy=SEVERAL,
        )


SEVERAL = (
    "Remove the repeats; or, where one item has several rows, say so: captions=True (--captions; data.captions=True in a config)."
)
