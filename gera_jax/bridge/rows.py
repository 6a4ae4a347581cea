"""What a bridge is estimated from: the index under the old model, some of its rows under the new one, and logged queries."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gera_jax.aligners.outputs import Predictor
from gera_jax.checks import require
from gera_jax.data import load_pairs
from gera_jax.data.ids import some_ids
from gera_jax.data.load import as_table, validate_table
from gera_jax.solvers.linear import unit_rows

LEAST = 10  # pairs
PARTS, NEARER, FAR, TINY = 5, 2.0, 3.0, 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The index [n, dx], the numbers [p] of its rows that were embedded again, those rows [p, dy], and queries [q, dy].

    >>> rng = np.random.default_rng(0); old, new = rng.normal(size=(50, 4)), rng.normal(size=(12, 6))
    >>> rows = Rows.read(old, new, old_ids=range(50), new_ids=range(30, 42))
    >>> rows.at[:3].tolist(), rows.new.shape, rows.queries.shape
    ([30, 31, 32], (12, 6), (0, 6))
    """

    old: np.ndarray
    at: np.ndarray
    new: np.ndarray
    queries: np.ndarray
    ids: np.ndarray  # [n] of the index

    @classmethod
    def read(cls, old: Any, new: Any, *, queries: Any = None, old_ids: Any = None, new_ids: Any = None) -> Rows:
        """From whatever `load_pairs` takes; rows of equal ids are one document.

        Raises:
          InputError: ids that the index lacks (listed), that come twice, or are of two kinds; NaN or zero rows; fewer than LEAST
            pairs; queries of another width.
        """
        pairs = load_pairs(old, new, x_ids=old_ids, y_ids=new_ids, names=("old", "new"))
        index, sample = pairs.tables
        strange = pairs.unpaired[1]
        require(
            not len(strange),
            "new ids",
            got=f"{len(strange)} of {len(sample)} that the index lacks (such as {some_ids(sample.ids[strange])})",
            wanted="rows of the index, embedded again",
            remedy="Leave those rows out; queries are given as queries.",
        )
        require(len(pairs) >= LEAST, "new", got=f"{len(pairs)} rows", wanted=f"at least {LEAST}", remedy="Embed more rows again.")
        for table in pairs.tables:
            validate_table(table)
        wide = sample.rows.shape[1]
        logged = np.zeros((0, wide), np.float32)
        if queries is not None:
            table = as_table(queries, "queries")
            validate_table(table, captions=True)
            wanted, remedy = f"width {wide}, that of the new model", "Give queries that the new model has embedded."
            require(table.dim == wide, "queries", got=f"width {table.dim}", wanted=wanted, remedy=remedy)
            logged = np.asarray(table.rows, np.float32)
        order = np.argsort(pairs.rows[:, 0])
        at, of_new = pairs.rows[order, 0], pairs.rows[order, 1]
        return cls(np.asarray(index.rows), at, np.asarray(sample.rows[of_new], np.float32), logged, index.ids)

    def __len__(self) -> int:
        return len(self.at)

    @property
    def pairs(self) -> np.ndarray:
        """[p, dx] the pairs' rows under the old model."""
        return np.asarray(self.old[self.at], np.float32)

    def take(self, index: Any) -> Rows:
        """The same with some of the pairs; the others are rows of the index like any."""
        return dataclasses.replace(self, at=self.at[index], new=self.new[index])

    def suspects(self) -> np.ndarray:
        """Numbers of the pairs that seem to be none: rows of another model, or of another document.

        Each pair is held out once, and the ridge regression of the others puts its document into the new space, less the mean.
        A pair is suspect where its own row lies hardly nearer to that place than usual rows do (less than NEARER of their
        deviations), and FAR median deviations below what the middle pair reaches.
        """
        x, y = self.pairs, self.new
        order = np.random.default_rng(0).permutation(len(self))
        z = np.empty(len(self))
        for held in np.array_split(order, PARTS):
            rest = np.setdiff1d(order, held)
            mean = y[rest].mean(axis=0, dtype=np.float64)
            near = unit_rows(Predictor.fit(x[rest], y[rest])(x[held]) - mean) @ unit_rows(y - mean).T
            z[held] = (near[np.arange(len(held)), held] - near.mean(axis=1)) / np.maximum(near.std(axis=1), TINY)
        middle = float(np.median(z))
        return np.flatnonzero(z < min(NEARER, middle - FAR * 1.4826 * float(np.median(np.abs(z - middle)))))

    def without_suspects(self, *, drop: bool = False) -> Rows:
        """Without the pairs that seem to be none, or `InputError` with their ids unless they may be dropped."""
        found = self.suspects()
        ids = some_ids(self.ids[self.at[found]], 10)
        require(
            drop or not len(found),
            "new",
            got=f"{len(found)} of {len(self)} rows that lie far from where the map of the others puts their documents ({ids})",
            wanted="rows of one model, each of the document that its id names",
            remedy="Embed them again, or leave them out with --drop-suspects.",
        )
        return self.take(np.delete(np.arange(len(self)), found))
