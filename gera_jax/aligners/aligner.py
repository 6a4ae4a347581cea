"""Faces in the style of scikit-learn: arrays in, arrays out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, evaluation, files, solvers
from gera_jax import config as config_lib
from gera_jax.data import Preprocessor, Table, as_rows, preprocessing
from gera_jax.embedding import HeatGeodesicEmbedding
from gera_jax.solvers.linear import as_pairs
from gera_jax.solvers.store import from_arrays, to_arrays
from gera_jax.training import TrainResult, load_run, train

__all__ = ["CLOSED_FORMS", "Aligner", "HeatGeodesicEmbedding", "method_names"]

CLOSED_FORMS = {  # method name -> class of gera_jax.solvers
    name: getattr(solvers, kind)
    for name, kind in dict(
        procrustes="Procrustes",
        ridge_cca="RidgeCCA",
        asif="ASIF",
        kernel_cca="KernelCCA",
        csa="CSA",
        wasserstein_procrustes="WassersteinProcrustes",
        sue="SUE",
        auto="CotrainedHeads",
    ).items()
    if hasattr(solvers, kind)
}
MODEL_FILE, FORM = "aligner.npz", 2  # the file of a saved closed form, and the number of its layout
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

    def __init__(
        self,
        method: Any = "gera",
        *,
        workdir: str | Path | None = None,
        validation: float = 0.15,
        overrides: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        preprocess: Mapping[str, Mapping[str, Any]] | None = None,
    ):
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

    def __repr__(self) -> str:
        given = {word: value for word in ("settings", "preprocess", "overrides") if (value := getattr(self, word))}
        return f"Aligner({', '.join([repr(self.method), *(f'{word}={value!r}' for word, value in given.items())])})"

    def _check_options(self) -> None:
        """Refuse options that the method has no use for, and settings that a closed form does not have."""
        closed = isinstance(self.method, str) and self.method in CLOSED_FORMS
        unused = dict(overrides=self.overrides) if closed else dict(settings=self.settings, preprocess=self.preprocess)
        for name, value in unused.items():
            checks.require(
                not value,
                name,
                got=f"{value} beside {'a closed form' if closed else 'a trained method'}",
                wanted=f"none: {name} are of {'trained methods' if closed else 'closed forms'}",
                remedy="Use settings." if closed else 'Use overrides, or arguments of the config: "gera:pairs=100".',
            )
        if closed:
            for name in self.settings:
                checks.require_known(name, inspect.signature(CLOSED_FORMS[self.method]).parameters, f"setting of {self.method}")
            CLOSED_FORMS[self.method](**self.settings)  # refuses now what it would refuse after the rows are read
            for side, options in self.preprocess.items():
                checks.require_known(side, ("x", "y"), "preprocess")
                for name in options:
                    checks.require_known(name, preprocessing.OPTIONS, f"field of preprocess.{side}")
                Preprocessor(**options, name=side)

    def fit(self, x_pairs: Any, y_pairs: Any, x_unpaired: Any = None, y_unpaired: Any = None) -> Aligner:
        """Learn from pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows [n, dx], [m, dy].

        Each is whatever `data.as_rows` reads: arrays, lists, tensors, pandas, polars or Arrow tables of numbers.

        Raises:
          InputError: whatever `data.as_rows` refuses, fewer than 2 pairs, row counts or widths that do not fit, or pairs that are
            all equal on one side; before anything is computed, in the words of these arguments.
          RunError: the training ended in NaN.
        """
        given = as_pairs(x_pairs, y_pairs, x_unpaired, y_unpaired, names=("x_unpaired", "y_unpaired"))
        if isinstance(self.method, str) and self.method in CLOSED_FORMS:
            return self._fit_closed_form(given[:2], given[2:])
        spec, fields = VARIANTS.get(self.method, (self.method, {})) if isinstance(self.method, str) else (self.method, {})
        config = config_lib.load(spec, {**fields, **self.overrides})
        names = (config.data.x.name, config.data.y.name)
        tables = tuple(_table(name, paired, unpaired) for name, paired, unpaired in zip(names, given[:2], given[2:], strict=True))
        config.data.update(source="arrays", pairs=0)
        held = int(self.validation * len(given[0]))
        config.data.split.update(by="ratio", test=0, val=held if held > 1 else 0)  # nothing can be ranked among one
        result = train(config, self.workdir, tables=tables)
        self.names, self.result, self._model, self._run = names, result, None, None
        for name, rows in zip(names, given, strict=False):
            self.embed(name, rows[:1])
        return self

    def _fit_closed_form(self, pairs: Sequence[np.ndarray], unpaired: Sequence[np.ndarray]) -> Aligner:
        rows, preprocessors = [], []
        for side, paired, extra in zip("xy", pairs, unpaired, strict=True):
            whole = np.concatenate([paired, extra])
            preprocessors.append(Preprocessor(**self.preprocess.get(side, {}), name=side).fit(whole))
            rows.append(preprocessors[-1](whole, row_numbers=np.arange(len(whole))))
        (x, y), p = rows, len(pairs[0])
        for made, name in ((x, "x_pairs"), (y, "y_pairs")):
            checks.require(
                bool(np.any(made[:p] != made[:1])),
                name,
                got="rows that preprocessing makes all equal",
                wanted="rows that differ in direction from the mean of all rows",
                remedy=f"Where lengths matter, give preprocess=dict({name[0]}=dict(l2=False)).",
            )
        self._model = CLOSED_FORMS[self.method](**self.settings).fit(x[:p], y[:p], x[p:], y[p:])
        self._preprocessors, self._run = preprocessors, None
        return self

    def save(self, folder: str | Path) -> Path:
        """Write a fitted closed form to a folder, whole or not at all; a trained method is saved by its `workdir`.

        Raises:
          InputError: nothing is fitted, the folder holds another model, or it is a file.
          RunError: no space is left; the folder is as it was.
        """
        folder = Path(folder)
        checks.require(
            self._model is not None,
            "Aligner.save",
            got="no fitted closed form",
            wanted="a call after fit",
            remedy="A trained method is saved as it trains: give workdir.",
        )
        checks.require(folder.is_dir() or not folder.exists(), "folder", got=f"{folder}, which is a file", wanted="a folder")
        target = folder / MODEL_FILE
        checks.require(
            not target.exists() and not (folder / "run.json").exists(),
            "folder",
            got=f"{folder}, which holds a model",
            wanted="an empty folder",
        )
        stored = dict(
            form=FORM,
            method=self.method,
            settings=self.settings,
            preprocess=self.preprocess,
            names=list(self.names),
            preprocessors=[made.to_arrays() for made in self._preprocessors],
            model=self._model,
        )
        with checks.disk_room(folder):
            folder.mkdir(parents=True, exist_ok=True)
            files.save_npz(target, to_arrays(stored))
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Aligner:
        """The aligner of a folder: of `save`, or of a training run.

        Raises:
          InputError: the folder holds neither, or a model that is damaged or of another version.
        """
        path = Path(folder) / MODEL_FILE
        if not path.is_file():
            run = load_run(folder)
            made = cls(run.config)
            made._run, made.names = run, tuple(run.info["names"][:2])
            return made
        stored = from_arrays(files.load_npz(path))
        checks.require(
            isinstance(stored, dict) and stored.get("form") == FORM,
            str(path),
            got="a model of another version",
            wanted="one of this version of gera_jax",
            remedy="Fit it again, or use the version that saved it.",
        )
        try:
            made = cls(stored["method"], settings=stored["settings"], preprocess=stored["preprocess"])
            made.names, made._model = tuple(stored["names"]), stored["model"]
            made._preprocessors = [Preprocessor.from_arrays(arrays) for arrays in stored["preprocessors"]]
            for side in (0, 1):
                made._transform(side, np.zeros((1, made._width(side))))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            checks.fail(
                str(path), got=f"a model that cannot be used ({error})", wanted="one that gera_jax saved", remedy="Fit it again."
            )
        return made

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the joint space for raw rows [n, dx] of the first modality, of whatever `data.as_rows` reads."""
        return self._transform(0, x)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the joint space for raw rows [m, dy] of the second modality."""
        return self._transform(1, y)

    def embed(self, name: str, rows: Any) -> np.ndarray:
        """Unit rows (float32) of the joint space for raw rows of the modality of that name."""
        checks.require_known(name, self.names, "modality")
        return np.asarray(self._transform(self.names.index(name), rows, name), np.float32)

    def score(self, x: Any, y: Any) -> dict[str, float]:
        """Retrieval both ways and FOSCTTM of matching rows [n, dx], [n, dy]."""
        zx, zy = self.transform_x(x), self.transform_y(y)
        checks.require(
            len(zx) == len(zy),
            "y",
            got=f"{len(zy)} rows beside {len(zx)} of x",
            wanted="as many rows",
            remedy="Row i of y must be the partner of row i.",
        )
        return {**evaluation.retrieval_metrics(zx, zy), "foscttm": float(evaluation.foscttm(zx, zy))}

    def _transform(self, side: int, rows: Any, called: str = "") -> np.ndarray:
        name = self.names[side]
        rows = as_rows(rows, called or "xy"[side], width=self._width(side), least=0)
        if self._model is not None:
            return (self._model.transform_x, self._model.transform_y)[side](self._preprocessors[side](rows))
        z = (
            self._run.embed(name, rows)
            if self._run is not None
            else self.result.project(name, self.result.experiment.data.preprocessors[name](rows))
        )
        if not np.isfinite(z).all():
            raise checks.RunError(
                f"the training of {self.method} ended in NaN: its rows of {name} are no numbers. "
                "Lower optimizer.lr and train again."
            )
        return z

    def _width(self, side: int) -> int:
        """Columns that raw rows of a side must have."""
        if self._model is not None:
            return self._preprocessors[side].width
        if self._run is not None:
            return self._run.info["raw_widths"][self.names[side]]
        checks.require(
            self.result is not None,
            "Aligner",
            got="transform before fit",
            wanted="a fitted aligner",
            remedy="Call .fit(x_pairs, y_pairs) first.",
        )
        return self.result.experiment.data.preprocessors[self.names[side]].width


def _table(name: str, paired: np.ndarray, unpaired: np.ndarray) -> Table:
    ids = [f"pair-{i}" for i in range(len(paired))] + [f"{name}-{i}" for i in range(len(unpaired))]
    return Table(rows=np.concatenate([paired, unpaired]), ids=np.asarray(ids), name=name)
