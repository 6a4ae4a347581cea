"""One fit for each pair of tables, and the sum of their scores: what a closed form is where a modality has several tables.

Late fusion keeps what each pair of encoders has in common; in one wide row a ridge would weigh their directions against each
other. How much it is worth: docs/results/several_tables.md.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.solvers.soft_cca import deviation

MOST = 16  # pairs of tables; more are too many fits, and one wide row is taken
LEAST_WEIGHT = 0.05  # a table below it is left out
SAMPLE = 4096  # rows from which the deviation of a pair's scores is estimated


def fit_rows(model: Any, paired: Sequence[np.ndarray], unpaired: Sequence[np.ndarray]) -> Any:
    """`model` fitted on pairs, and on unpaired rows where its `fit` takes them."""
    takes = [p for p in inspect.signature(model.fit).parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    model.fit(*paired, *(unpaired if len(takes) >= 4 or any(p.kind is p.VAR_POSITIONAL for p in takes) else ()))
    return model


class TablePairs:
    """A method fitted on each pair of a table of x and a table of y; the score is the weighted sum of theirs.

    Each score is divided by its deviation over the training rows. The weight of a pair is the product of its tables' weights. An
    item that a table lacks, a row of zeros there, trains no pair of that table and adds 0 to a score.

    Args:
      make: gives an object that is not fitted, with `fit` and `transform_x`, `transform_y`.
      widths: of the tables of x and of y in a row.
      weights: of the tables of x and of y.

    >>> from gera_jax.solvers import RidgeCCA
    >>> rng = np.random.default_rng(0); z = rng.normal(size=(60, 3))
    >>> x, y = z @ rng.normal(size=(3, 9)), z @ rng.normal(size=(3, 4))
    >>> model = TablePairs(RidgeCCA, ([5, 4], [4]), ([1.0, 1.0], [1.0])).fit([x[:40], y[:40]], [x[:0], y[:0]])
    >>> len(model.models), model.transform_x(x[40:]).shape
    (2, (20, 6))
    """

    def __init__(self, make: Callable[[], Any], widths: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]):
        self._starts = [[0, *np.cumsum(own).tolist()] for own in widths]
        kept = [[i for i, weight in enumerate(own) if weight >= LEAST_WEIGHT * max(own)] for own in weights]
        self.pairs = list(itertools.product(*kept))
        self.models = [make() for _ in self.pairs]
        self._shares = [float(np.sqrt(weights[0][i] * weights[1][j])) for i, j in self.pairs]

    def fit(self, paired: Sequence[np.ndarray], unpaired: Sequence[np.ndarray]) -> TablePairs:
        """Fit on pairs [p, dx], [p, dy] and unpaired rows [n, dx], [m, dy].

        Raises:
          InputError: fewer than 2 pairs have rows in two of the tables; and what the method raises.
        """
        for at, (pair, model) in enumerate(zip(self.pairs, self.models, strict=True)):
            cut = [self._cut(rows, side, pair[side]) for side, rows in enumerate(paired)]
            both = cut[0].any(axis=1) & cut[1].any(axis=1)
            got, wanted = f"{both.sum()} pairs in table {pair[0] + 1} of x and table {pair[1] + 1} of y", "at least 2"
            require(both.sum() >= 2, "pairs", got=got, wanted=wanted, remedy="Leave one of these tables out.")
            more = [self._cut(rows, side, pair[side]) for side, rows in enumerate(unpaired)]
            more = [rows[rows.any(axis=1)] for rows in more]
            fit_rows(model, [rows[both] for rows in cut], more)
            sample = [np.concatenate([rows[both], alone])[:SAMPLE] for rows, alone in zip(cut, more, strict=True)]
            self._shares[at] /= float(np.sqrt(deviation(model.transform_x(sample[0]), model.transform_y(sample[1]))))
        return self

    def transform_x(self, x: np.ndarray) -> np.ndarray:
        """Unit rows [n, r] of the shared space, those of all pairs side by side."""
        return self._transform(x, 0)

    def transform_y(self, y: np.ndarray) -> np.ndarray:
        """Unit rows [m, r] of the shared space."""
        return self._transform(y, 1)

    def _cut(self, rows: np.ndarray, side: int, table: int) -> np.ndarray:
        return rows[:, self._starts[side][table] : self._starts[side][table + 1]]

    def _transform(self, rows: np.ndarray, side: int) -> np.ndarray:
        found = []
        for pair, model, share in zip(self.pairs, self.models, self._shares, strict=True):
            cut = self._cut(rows, side, pair[side])
            z = (model.transform_y if side else model.transform_x)(cut)
            there = np.asarray(cut.any(axis=1))
            found.append(np.where(there[:, None], np.float32(share) * z, np.float32(0)))
        joined = np.concatenate(found, axis=1)
        length = np.linalg.norm(joined, axis=1, keepdims=True)
        return joined / np.where(length > 0, length, 1)
