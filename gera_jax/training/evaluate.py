"""How good a joint space is, on rows that training has not seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gera_jax import checks, evaluation
from gera_jax.data import AlignmentData
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


def split_rows(data: AlignmentData, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of each modality in `split` ("val" | "test")."""
    checks.require_known(split, ("val", "test"), "split")
    pairs = getattr(data, split)
    checks.require(len(pairs) > 1, f"data.split.{split}", got=f"{len(pairs)} pairs", wanted="at least 2 to rank among")
    return np.unique(pairs[:, 0]), np.unique(pairs[:, 1])


def alignment_metrics(data: AlignmentData, project: Callable[[str, np.ndarray], np.ndarray], split: str, *,
                      full: bool = True) -> dict[str, float]:
    """Retrieval both ways, FOSCTTM and the share of neighbourhoods kept, on one split.

    Args:
      project: (modality name, features) -> unit rows of the joint space.
      full: with FOSCTTM and neighbourhoods; training looks at retrieval alone.
    """
    rows = dict(zip(data.names, split_rows(data, split), strict=True))
    features = {name: data.features[name].take(rows[name]) for name in data.names}
    z = {name: np.asarray(project(name, features[name]), np.float32) for name in data.names}
    groups = {name: data.groups[name][rows[name]] for name in data.names}
    (x, y), (x_groups, y_groups) = z.values(), groups.values()
    metrics = evaluation.retrieval_metrics(x, y, x_groups=x_groups, y_groups=y_groups, names=data.names)
    if full:
        metrics["foscttm"] = evaluation.foscttm(x, y, x_groups=x_groups, y_groups=y_groups)
        for name in data.names:
            raw = np.asarray(data.tables[name].rows[rows[name]], np.float32)
            k = min(10, len(raw) - 1)
            metrics[f"neighbours_kept/{name}"] = evaluation.mutual_knn(raw - raw.mean(0), z[name], k=k)
    return {name: float(value) for name, value in metrics.items()}
