"""Faces in the style of scikit-learn: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import baselines, checks, evaluation
from gera_jax import config as config_lib
from gera_jax.data import Table
from gera_jax.embedding import HeatGeodesicEmbedding
from gera_jax.training import TrainResult, train

__all__ = ["CLOSED_FORMS", "Aligner", "HeatGeodesicEmbedding"]

CLOSED_FORMS = {"procrustes": baselines.Procrustes, "ridge_cca": baselines.RidgeCCA, "asif": baselines.ASIF,
                "auto": baselines.CotrainedHeads}


class Aligner:
    """Learns a joint space of two embedding sets from a few pairs and any number of unpaired rows.

    Args:
      method: a closed form ("auto" = the recommended recipe, "procrustes", "ridge_cca", "asif"), or a config: its name
        ("gera", "contrastive:start=random"),
        its file, or a ConfigDict. The config's own `data` source is replaced by the arrays given to `fit`.
      workdir: folder of the run, so that it can be resumed and embedded with later; None keeps it in memory.
      validation: share of the pairs held out to choose the best step (trained methods only).
      overrides: dotted config field -> value as text.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(60, 8)); y = x @ rng.normal(size=(8, 6))
    >>> aligner = Aligner("ridge_cca").fit(x[:40], y[:40])
    >>> aligner.transform_x(x[40:]).shape[0], aligner.score(x[40:], y[40:])["mean/R@10"] > 0.9
    (20, True)
    """

    def __init__(self, method: Any = "gera", *, workdir: str | Path | None = None, validation: float = 0.15,
                 overrides: Mapping[str, str] | None = None):
        checks.require(0 <= validation < 1, "validation", got=validation, wanted="a share in [0, 1)")
        self.method, self.workdir, self.validation, self.overrides = method, workdir, validation, dict(overrides or {})
        self._closed_form: Any = None
        self.result: TrainResult | None = None

    def fit(self, x_pairs: Any, y_pairs: Any, x_unpaired: Any = None, y_unpaired: Any = None) -> Aligner:
        """Learn from pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows [n, dx], [m, dy]."""
        x_pairs, y_pairs = np.asarray(x_pairs), np.asarray(y_pairs)
        checks.require(len(x_pairs) == len(y_pairs), "y_pairs", got=f"{len(y_pairs)} rows beside {len(x_pairs)} of x_pairs",
                       wanted="as many rows", remedy="Rows without a partner go to x_unpaired, y_unpaired.")
        if isinstance(self.method, str) and self.method in CLOSED_FORMS:
            self._center = [_center(paired, unpaired) for paired, unpaired in ((x_pairs, x_unpaired), (y_pairs, y_unpaired))]
            self._closed_form = CLOSED_FORMS[self.method]().fit(
                *map(_prepare, (x_pairs, y_pairs), self._center),
                *(rows if rows is None else _prepare(rows, center)
                  for rows, center in zip((x_unpaired, y_unpaired), self._center, strict=True)))
            return self
        config = config_lib.load(self.method, self.overrides)
        names = (config.data.x.name, config.data.y.name)
        tables = tuple(_table(name, paired, unpaired) for name, paired, unpaired in
                       zip(names, (x_pairs, y_pairs), (x_unpaired, y_unpaired), strict=True))
        config.data.update(source="arrays", pairs=0)
        config.data.split.update(by="ratio", test=0, val=int(self.validation * len(x_pairs)))
        self._names = names
        self.result = train(config, self.workdir, tables=tables)
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows of the joint space for raw rows of the first modality."""
        return self._transform(0, x)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows of the joint space for raw rows of the second modality."""
        return self._transform(1, y)

    def score(self, x: Any, y: Any) -> dict[str, float]:
        """Retrieval both ways and FOSCTTM of matching rows [n, dx], [n, dy]."""
        zx, zy = self.transform_x(x), self.transform_y(y)
        return {**evaluation.retrieval_metrics(zx, zy), "foscttm": float(evaluation.foscttm(zx, zy))}

    def _transform(self, side: int, rows: Any) -> np.ndarray:
        rows = np.asarray(rows)
        if self._closed_form is not None:
            transform = (self._closed_form.transform_x, self._closed_form.transform_y)[side]
            return transform(_prepare(rows, self._center[side]))
        checks.require(self.result is not None, "Aligner", got="transform before fit", wanted="a fitted aligner",
                       remedy="Call .fit(x_pairs, y_pairs) first.")
        name = self._names[side]
        return self.result.project(name, self.result.experiment.data.preprocessors[name](rows))


def _table(name: str, paired: np.ndarray, unpaired: Any) -> Table:
    rows, ids = [paired], [f"pair-{i}" for i in range(len(paired))]
    if unpaired is not None and len(unpaired):
        rows.append(np.asarray(unpaired))
        ids += [f"{name}-{i}" for i in range(len(unpaired))]
    return Table(rows=np.concatenate(rows), ids=np.asarray(ids), name=name)


def _center(paired: np.ndarray, unpaired: Any) -> np.ndarray:
    rows = paired if unpaired is None or not len(unpaired) else np.concatenate([paired, np.asarray(unpaired)])
    return np.mean(rows, axis=0, dtype=np.float64)


def _prepare(rows: np.ndarray, center: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64) - center
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
