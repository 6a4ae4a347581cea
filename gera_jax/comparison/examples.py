"""A few test queries and what a method finds for them, in words, so that a score can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.comparison import scoring
from gera_jax.data import catalog
from gera_jax.data.alignment import AlignmentData
from gera_jax.evaluation.split import DIGITS

QUERIES, FOUND = 5, 3
FIELDS = ("caption", "text", "title", "name", "label")  # of the meta of own tables
LONGEST = 120


def draw(data: AlignmentData, scores: Callable[[np.ndarray, np.ndarray], np.ndarray], *, seed: int) -> list[dict[str, Any]]:
    """Queries of y drawn at random from the test rows, and the rows of x that have the highest scores.

    Args:
      data: with test rows.
      scores: (row numbers of x, row numbers of y) -> [n, m], higher is closer.
      seed: of the draw.

    Returns:
      for each query `query`, `truth` and `found` in words, `rank` of its best partner (1 = the first found), and `right`: which
      of the rows found are its partners.
    """
    x, y = scoring.held_out(data, "test")
    y = np.sort(np.random.default_rng(seed).permutation(y)[:QUERIES])
    partner = data.groups[data.names[0]][x][:, None] == data.groups[data.names[1]][y][None]
    table, drawn = np.round(np.asarray(scores(x, y)[:], np.float64), DIGITS), []
    for column, row in enumerate(y):
        of, right = table[:, column], partner[:, column]
        best = np.flatnonzero(right)[np.argmax(of[right])]
        order = np.argsort(-of, kind="stable")[:FOUND]
        drawn.append(
            dict(
                query=words(data, 1, row),
                truth=words(data, 0, x[best]),
                rank=1 + int(np.sum(~right & (of > of[best]))),
                found=[words(data, 0, x[i]) for i in order],
                right=[bool(right[i]) for i in order],
            )
        )
    return drawn


def words(data: AlignmentData, side: int, row: int) -> str:
    """What a row is: its caption where its table has one, else its id."""
    name = data.names[side]
    source, meta = data.report.get("source", ""), data.meta[name]
    known: Sequence[str] = (catalog.info(source).captions[name],) if source in catalog.names() else FIELDS
    fields: Mapping[str, Any] = meta[row] if meta is not None else {}
    text = next((str(fields[field]) for field in known if fields.get(field)), str(data.tables[name].ids[row]))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
