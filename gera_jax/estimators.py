"""Faces in the style of scikit-learn: arrays in, arrays out."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import baselines, checks, evaluation
from gera_jax import config as config_lib
from gera_jax.baselines.store import from_arrays, to_arrays
from gera_jax.data import Preprocessor, Table
from gera_jax.embedding import HeatGeodesicEmbedding
from gera_jax.training import TrainResult, load_run, train

__all__ = ["CLOSED_FORMS", "Aligner", "HeatGeodesicEmbedding", "method_names"]

CLOSED_FORMS = {  # method name -> class of gera_jax.baselines
    name: getattr(baselines, kind)
    for name, kind in dict(
        procrustes="Procrustes", ridge_cca="RidgeCCA", asif="ASIF", kernel_cca="KernelCCA", csa="CSA",
        wasserstein_procrustes="WassersteinProcrustes", sue="SUE", auto="CotrainedHeads").items()
    if hasattr(baselines, kind)
}
PLAIN_INPUTS = {f"data.preprocess.{side}.filter.strength": "0.0" for side in ("x", "y")}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {  # method name -> config with its arguments, and further fields
    "contrastive_linear": ("contrastive:start=random", PLAIN_INPUTS),
    "contrastive_mlp": ("contrastive:start=random", {**PLAIN_INPUTS, "model.head": "residual_mlp"}),
}


def method_names() -> list[str]:
    """Every name that `Aligner` takes: closed forms, variants and configs.

    >>> "ridge_cca" in method_names(), "gera" in method_names()
    (True, True)
    """
    return [*CLOSED_FORMS, *VARIANTS, *config_lib.names()]


class Aligner:
    """Learns a joint space of two embedding sets from a few pairs and any number of unpaired rows.

    Args:
      method: a name of `method_names()` (a closed form, "auto" being the recommended recipe, or a config, as in
        "contrastive:start=random"), a config's file, or a ConfigDict. The config's own `data` source is replaced by the
        arrays given to `fit`.
      workdir: folder of the run, so that it can be resumed and embedded with later; None keeps it in memory.
      validation: share of the pairs held out to choose the best step (trained methods only); fewer than 2 are not held out.
      overrides: dotted config field -> value as text (trained methods only).
      settings: arguments of the closed form (closed forms only).
      preprocess: options of `data.Preprocessor` for each side before a closed form, such as dict(x=dict(standardize=True)).

    Raises:
      InputError: an unknown method or setting, or an option that the method has no use for.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(60, 8)); y = x @ rng.normal(size=(8, 6))
    >>> aligner = Aligner("ridge_cca").fit(x[:40], y[:40])
    >>> aligner.transform_x(x[40:]).shape[0], aligner.score(x[40:], y[40:])["mean/R@10"] > 0.9
    (20, True)
    """

    names: tuple[str, str] = ("x", "y")

    def __init__(self, method: Any = "gera", *, workdir: str | Path | None = None, validation: float = 0.15,
                 overrides: Mapping[str, str] | None = None, settings: Mapping[str, Any] | None = None,
                 preprocess: Mapping[str, Mapping[str, Any]] | None = None):
        checks.require(0 <= validation < 1, "validation", got=validation, wanted="a share in [0, 1)")
        if isinstance(method, str) and Path(method.partition(":")[0]).suffix not in (".py", ".json"):
            checks.require_known(method.partition(":")[0], method_names(), "method")
        self.method, self.workdir, self.validation, self.overrides = method, workdir, validation, dict(overrides or {})
        self.settings, self.preprocess = dict(settings or {}), dict(preprocess or {})
        self._check_options()
        self._model: Any = None
        self._preprocessors: list[Preprocessor] = []
        self._run: Any = None
        self.result: TrainResult | None = None

    def _check_options(self) -> None:
        """Refuse options that the method has no use for, and settings that a closed form does not have."""
        closed = isinstance(self.method, str) and self.method in CLOSED_FORMS
        unused = dict(overrides=self.overrides) if closed else dict(settings=self.settings, preprocess=self.preprocess)
        for name, value in unused.items():
            checks.require(not value, name, got=f"{value} beside {'a closed form' if closed else 'a trained method'}",
                           wanted=f"none: {name} are of {'trained methods' if closed else 'closed forms'}",
                           remedy="Use settings." if closed else 'Use overrides, or arguments of the config: "gera:pairs=100".')
        if closed:
            for name in self.settings:
                checks.require_known(name, inspect.signature(CLOSED_FORMS[self.method]).parameters, f"setting of {self.method}")

    def fit(self, x_pairs: Any, y_pairs: Any, x_unpaired: Any = None, y_unpaired: Any = None) -> Aligner:
        """Learn from pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows [n, dx], [m, dy]."""
        x_pairs, y_pairs = np.asarray(x_pairs), np.asarray(y_pairs)
        checks.require(len(x_pairs) == len(y_pairs), "y_pairs", got=f"{len(y_pairs)} rows beside {len(x_pairs)} of x_pairs",
                       wanted="as many rows", remedy="Rows without a partner go to x_unpaired, y_unpaired.")
        checks.require(len(x_pairs) >= 2, "x_pairs", got=f"{len(x_pairs)} pairs", wanted="at least 2 pairs")
        if isinstance(self.method, str) and self.method in CLOSED_FORMS:
            return self._fit_closed_form((x_pairs, y_pairs), (x_unpaired, y_unpaired))
        spec, fields = VARIANTS.get(self.method, (self.method, {})) if isinstance(self.method, str) else (self.method, {})
        config = config_lib.load(spec, {**fields, **self.overrides})
        names = (config.data.x.name, config.data.y.name)
        tables = tuple(_table(name, paired, unpaired) for name, paired, unpaired in
                       zip(names, (x_pairs, y_pairs), (x_unpaired, y_unpaired), strict=True))
        config.data.update(source="arrays", pairs=0)
        held = int(self.validation * len(x_pairs))
        config.data.split.update(by="ratio", test=0, val=held if held > 1 else 0)  # nothing can be ranked among one
        self.names = names
        self.result = train(config, self.workdir, tables=tables)
        return self

    def _fit_closed_form(self, pairs: tuple[np.ndarray, np.ndarray], unpaired: tuple[Any, Any]) -> Aligner:
        rows, cut = [], [len(paired) for paired in pairs]
        self._preprocessors = []
        for side, paired, extra in zip(("x", "y"), pairs, unpaired, strict=True):
            whole = paired if extra is None or not len(extra) else np.concatenate([paired, np.asarray(extra)])
            checks.require(bool(np.any(whole != whole[:1])), side, got=f"{len(whole)} rows that are all equal",
                           wanted="rows that differ", remedy="Is the right array or column given?")
            whole = whole if whole.dtype.kind == "f" else whole.astype(np.float32)
            self._preprocessors.append(Preprocessor(**self.preprocess.get(side, {}), name=side).fit(whole))
            rows.append(self._preprocessors[-1](whole, row_numbers=np.arange(len(whole))))
        (x, y), (p, q) = rows, cut
        self._model = CLOSED_FORMS[self.method](**self.settings).fit(x[:p], y[:q], x[p:], y[q:])
        return self

    def save(self, folder: str | Path) -> Path:
        """Write a fitted closed form to a folder; a trained method is saved by its `workdir`.

        Raises:
          InputError: nothing is fitted, or the folder holds another model.
        """
        folder = Path(folder)
        checks.require(self._model is not None, "Aligner.save", got="no fitted closed form", wanted="a call after fit",
                       remedy="A trained method is saved as it trains: give workdir.")
        target = folder / "aligner.npz"
        checks.require(not target.exists() and not (folder / "run.json").exists(), "folder", got=f"{folder}, which holds a model",
                       wanted="an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"model/{key}": value for key, value in to_arrays(self._model).items()}
        for side, preprocessor in zip("xy", self._preprocessors, strict=True):
            arrays |= {f"{side}/{key}": value for key, value in preprocessor.to_arrays().items()}
        header = dict(method=self.method, settings=self.settings, preprocess=self.preprocess, names=list(self.names))
        np.savez(target, header=np.array(json.dumps(header)), **arrays)
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Aligner:
        """The aligner of a folder: of `save`, or of a training run.

        Raises:
          InputError: the folder holds neither.
        """
        path = Path(folder) / "aligner.npz"
        if not path.is_file():
            run = load_run(folder)
            made = cls(run.config)
            made._run, made.names = run, tuple(run.info["names"][:2])
            return made
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(str(arrays["header"]))
        made = cls(header["method"], settings=header["settings"], preprocess=header["preprocess"])
        made.names = tuple(header["names"])

        def part(word: str) -> dict[str, np.ndarray]:
            return {key.removeprefix(f"{word}/"): value for key, value in arrays.items() if key.startswith(f"{word}/")}

        made._model = from_arrays(part("model"))
        made._preprocessors = [Preprocessor.from_arrays(part(side)) for side in "xy"]
        return made

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows of the joint space for raw rows of the first modality."""
        return self._transform(0, x)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows of the joint space for raw rows of the second modality."""
        return self._transform(1, y)

    def embed(self, name: str, rows: Any) -> np.ndarray:
        """Unit rows (float32) of the joint space for raw rows of the modality of that name."""
        checks.require_known(name, self.names, "modality")
        return np.asarray(self._transform(self.names.index(name), rows), np.float32)

    def score(self, x: Any, y: Any) -> dict[str, float]:
        """Retrieval both ways and FOSCTTM of matching rows [n, dx], [n, dy]."""
        zx, zy = self.transform_x(x), self.transform_y(y)
        return {**evaluation.retrieval_metrics(zx, zy), "foscttm": float(evaluation.foscttm(zx, zy))}

    def _transform(self, side: int, rows: Any) -> np.ndarray:
        rows = np.asarray(rows)
        if self._model is not None:
            transform = (self._model.transform_x, self._model.transform_y)[side]
            return transform(self._preprocessors[side](rows))
        name = self.names[side]
        if self._run is not None:
            return self._run.embed(name, rows)
        checks.require(self.result is not None, "Aligner", got="transform before fit", wanted="a fitted aligner",
                       remedy="Call .fit(x_pairs, y_pairs) first.")
        return self.result.project(name, self.result.experiment.data.preprocessors[name](rows))


def _table(name: str, paired: np.ndarray, unpaired: Any) -> Table:
    rows, ids = [paired], [f"pair-{i}" for i in range(len(paired))]
    if unpaired is not None and len(unpaired):
        rows.append(np.asarray(unpaired))
        ids += [f"{name}-{i}" for i in range(len(unpaired))]
    return Table(rows=np.concatenate(rows), ids=np.asarray(ids), name=name)
