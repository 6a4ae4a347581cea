"""How good a joint space is, on rows that training has not seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from gera_jax import checks, evaluation
from gera_jax.data.alignment import AlignmentData
from gera_jax.evaluation.split import over_pairs, scores_of, split_metrics
from gera_jax.models import TwoTower

BLOCK = 4096


def projector(model: TwoTower) -> Callable[[Any, str, np.ndarray], np.ndarray]:
    """`project(params, name, features [n, d]) -> z [n, dim]` in blocks; compiled once for each size of block."""
    compiled = jax.jit(lambda params, name, rows: model.project(params, name, rows), static_argnums=1)

    def project(params: Any, name: str, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros((0, model.dim), np.float32)
        blocks = [np.asarray(compiled(params, name, rows[i : i + BLOCK])) for i in range(0, len(rows), BLOCK)]
        return np.concatenate(blocks)

    return project


def metric_names(names: Sequence[str]) -> list[str]:
    """The metrics of `alignment_metrics(..., full=False)` that are better the higher they are; ranks are not.

    >>> metric_names(("image", "text"))[-3:]
    ['mean/R@1', 'mean/R@5', 'mean/R@10']
    """
    by_pair = {pair: split_metrics(np.eye(2), names=pair, full=False) for pair in itertools.combinations(names, 2)}
    found = over_pairs(by_pair) if len(names) > 2 else by_pair[tuple(names)]
    return [name for name in found if not name.endswith("_rank")]


def split_rows(data: AlignmentData, split: str) -> tuple[np.ndarray, ...]:
    """The distinct rows of each modality in `split` ("val" | "test")."""
    checks.require_known(split, ("val", "test"), "split")
    pairs = getattr(data, split)
    checks.require(len(pairs) > 1, f"data.split.{split}", got=f"{len(pairs)} pairs", wanted="at least 2 to rank among")
    return tuple(np.unique(rows[rows >= 0]) for rows in pairs.T)


def alignment_metrics(
    data: AlignmentData, project: Callable[[str, np.ndarray], np.ndarray], split: str, *, full: bool = True
) -> dict[str, float]:
    """Retrieval both ways, FOSCTTM and the share of neighbourhoods kept, on one split, by `evaluation.split`.

    Of three modalities each pair is measured on the items that have both, under "<a>-<b>/..."; a pair that fewer than two
    items have is left out. "mean/..." and "foscttm" are means over the pairs.

    Args:
      project: (modality name, features) -> unit rows of the joint space.
      full: with FOSCTTM and neighbourhoods; training looks at retrieval alone.
    """
    rows = dict(zip(data.names, split_rows(data, split), strict=True))
    z = {
        name: np.asarray(project(name, _features(data, name, index, anew=full)), np.float32)
        for name, index in rows.items()
        if len(index)
    }
    by_pair = {}
    for a, b in itertools.combinations(range(len(data.names)), 2):
        tuples = getattr(data, split)
        both = tuples[(tuples[:, a] >= 0) & (tuples[:, b] >= 0)]
        names = (data.names[a], data.names[b])
        if len(both) < 2:
            continue
        seen = [np.unique(both[:, side]) for side in (a, b)]
        x, y = (z[name][np.searchsorted(rows[name], index)] for name, index in zip(names, seen, strict=True))
        groups = {f"{side}_groups": data.groups[name][index] for side, name, index in zip("xy", names, seen, strict=True)}
        by_pair[names] = split_metrics(scores_of(x, y), **groups, names=names, full=full)
    metrics = over_pairs(by_pair) if len(data.names) > 2 else by_pair[data.names]
    if full:
        for name in z:
            raw = np.asarray(data.tables[name].rows[rows[name]], np.float32)
            k = min(10, len(raw) - 1)
            if k > 0:
                metrics[f"neighbours_kept/{name}"] = evaluation.mutual_knn(raw - raw.mean(0), z[name], k=k)
    return {name: float(value) for name, value in metrics.items()}


def _features(data: AlignmentData, name: str, rows: np.ndarray, *, anew: bool) -> np.ndarray:
    """Prepared rows: the kept ones, or `anew` as of rows that come alone, whose last digits may differ."""
    if not anew:
        return data.features[name].take(rows)
    return data.preprocessors[name](np.asarray(data.tables[name].rows[rows]))
