"""The nearest rows of the other modality: which captions a picture has, which pictures a caption."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gera_jax.aligners.aligner import Aligner
from gera_jax.checks import require, require_known, whole
from gera_jax.data import Table, as_rows
from gera_jax.data.ids import some_ids
from gera_jax.data.load import as_table
from gera_jax.solvers.auto.search import nearest

BLOCK = 16_384  # rows of the gallery that are in the shared space at once


class Hit(NamedTuple):
    """A row of the gallery: its id, its score (higher = closer), and its words, where the gallery has some."""

    id: Any
    score: float
    words: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found: the id of each query, and its hits, the best first."""

    queries: list[Any]
    hits: list[list[Hit]]

    def __str__(self) -> str:
        lines = []
        for query, hits in zip(self.queries, self.hits, strict=True):
            lines.append(f"{query}")
            for hit in hits:
                words = "  ".join(f"{name}: {value}" for name, value in hit.words.items() if str(value) != str(hit.id))
                lines.append(f"  {hit.score:7.4f}  {hit.id}  {words}".rstrip())
        return "\n".join(lines)

    def to_dict(self) -> list[dict[str, Any]]:
        """Plain data for JSON."""
        plain = [[dict(id=_plain(hit.id), score=hit.score, words=hit.words) for hit in hits] for hits in self.hits]
        return [dict(query=_plain(query), hits=hits) for query, hits in zip(self.queries, plain, strict=True)]


def search(
    model: Aligner | str | Path,
    x: Any,
    y: Any,
    *,
    query: str = "x",
    rows: Sequence[Any] = (),
    top: int = 10,
    where: Mapping[str, Any] | None = None,
    x_ids: Any = None,
    y_ids: Any = None,
) -> Found:
    """The best rows of one modality for rows of the other, by the score of a fitted model.

    The gallery is brought into the shared space in blocks, so it may be a file that does not fit into memory.

    Args:
      model: a fitted aligner, or the folder of one.
      x, y: raw rows of the first and the second modality: whatever `load_pairs` takes.
      query: "x" looks for rows of y, "y" for rows of x.
      rows: ids of the queries; empty = all rows of their modality.
      top: hits of a query.
      where: field of the gallery's words -> value; other rows are left out.
      x_ids, y_ids: as in `load_pairs`.

    Raises:
      InputError: a model without a shared space, rows of another width than it was fitted on, an id or field that is not there,
        or no row of the gallery left.

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(60, 4))
    >>> x, y = z @ rng.normal(size=(4, 8)), z @ rng.normal(size=(4, 6))
    >>> aligner = Aligner("ridge_cca").fit(x[:40], y[:40])
    >>> found = search(aligner, x[40:], y, top=3)
    >>> len(found.queries), len(found.hits[0]), found.hits[0][0].score >= found.hits[0][1].score
    (20, 3, True)
    """
    require(query in ("x", "y"), "query", got=query, wanted='"x" or "y", the modality of the queries')
    top = whole(top, "top", least=1)
    aligner = model if isinstance(model, Aligner) else Aligner.load(model)
    sides = ("x", "y") if query == "x" else ("y", "x")
    given = {"x": (x, x_ids), "y": (y, y_ids)}
    of, gallery = (as_table(given[side][0], side, given[side][1]) for side in sides)
    of = of if not len(rows) else of.subset(_rows_of(of, rows))
    kept = np.arange(len(gallery)) if not where else _chosen(gallery, where)
    transform = {"x": aligner.transform_x, "y": aligner.transform_y}
    z = np.asarray(transform[sides[0]](as_rows(of.rows, sides[0])), np.float32)
    best = np.full((len(of), top), -np.inf, np.float32)
    at = np.full((len(of), top), -1, np.int64)
    for start in range(0, len(kept), BLOCK):
        numbers = kept[start : start + BLOCK]
        keys = np.asarray(transform[sides[1]](as_rows(gallery.rows[numbers], sides[1])), np.float32)
        index, scores = nearest(z, keys, min(top, len(numbers)))
        best, at = _merged((best, at), (scores, numbers[index]))
    hits = [
        [Hit(gallery.ids[row], float(score), dict(gallery.meta[row]) if gallery.meta else {}) for row, score in found if row >= 0]
        for found in (list(zip(*pair, strict=True)) for pair in zip(at, best, strict=True))
    ]
    return Found(list(of.ids), hits)


def _merged(old: tuple[np.ndarray, np.ndarray], new: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The best of both, best first; of equal scores the earlier row."""
    scores, rows = (np.concatenate(both, axis=1) for both in zip(old, new, strict=True))
    order = np.lexsort((rows, -scores), axis=1)[:, : old[0].shape[1]]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _rows_of(table: Table, ids: Sequence[Any]) -> np.ndarray:
    place = {str(item): row for row, item in enumerate(table.ids.tolist())}
    absent = [item for item in ids if str(item) not in place]
    remedy = f"There are {len(table):,} rows, such as {some_ids(table.ids)}."
    require(not absent, "rows", got=f"{some_ids(np.array(absent))}, which no row has", wanted="ids of the queries", remedy=remedy)
    return np.array([place[str(item)] for item in ids])


def _chosen(gallery: Table, where: Mapping[str, Any]) -> np.ndarray:
    """Rows of the gallery whose words are those asked for."""
    fields = {name for words in gallery.meta or () for name in words}
    for name in where:
        require_known(name, sorted(fields), "field of the gallery")
    rows = [i for i, words in enumerate(gallery.meta or ()) if all(str(words.get(name)) == str(v) for name, v in where.items())]
    got, wanted = f"no row with {', '.join(f'{name}={value}' for name, value in where.items())}", "values that some row has"
    require(len(rows) > 0, "where", got=got, wanted=wanted)
    return np.array(rows)


def _plain(item: Any) -> Any:
    return item.item() if isinstance(item, np.generic) else item
