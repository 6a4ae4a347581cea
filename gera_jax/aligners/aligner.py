"""`Aligner`: one object for every method, in the protocol of scikit-learn."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, files
from gera_jax.aligners import folder as folders
from gera_jax.aligners.kinds import FittedModel, path_of
from gera_jax.aligners.methods import Method, find
from gera_jax.aligners.outputs import Predictors, Score, score_pairs
from gera_jax.config import to_json
from gera_jax.data import Pairs, Preprocessor, Table, as_rows, preprocessing
from gera_jax.data.alignment import prepare
from gera_jax.data.pairs import require_held_out
from gera_jax.data.side_by_side import is_several, joined_rows
from gera_jax.data.splits import size_by_share
from gera_jax.evaluation.split import MOST_ENTRIES, Cosines, scores_of
from gera_jax.solvers.linear import as_pairs
from gera_jax.solvers.several_tables import weigh_tables

PARAMETERS = ("method", "settings", "preprocess", "validation", "seed", "folder")
SIDES = ("x", "y", "w")


class Aligner:
    """Learns a shared space of two embedding sets from a few known pairs and any number of unpaired rows.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(60, 8)); y = x @ rng.normal(size=(8, 6))
    >>> aligner = Aligner("ridge_cca").fit(x[:40], y[:40])
    >>> aligner.transform_x(x[40:]).shape[0], aligner.score(x[40:], y[40:]) > 0.9
    (20, True)
    >>> bool(np.allclose(aligner.predict_y(x[40:]), y[40:], atol=1e-6))
    True

    Args:
      method: a name of `method_names()` ("auto" is the recommended recipe), a config with arguments ("gera:geometry=3"), the
        file or ConfigDict of one, "module:name" of a class, a class, or an object with `fit` and `transform_x`, `transform_y` or
        `similarity`.
      settings: arguments of the method, and of a trained one also dotted fields of its config ({"optimizer.lr": 1e-4}).
      preprocess: options of `data.Preprocessor` for each side, such as dict(x=dict(standardize=True)); what it leaves out is as
        the data recommend, and as a trained method's config says.
      validation: pairs that a trained method holds back to choose its best step: a number of items, a share of them, `Pairs` of
        the same tables, 0 = none, or None = a tenth, at most 300 and at least 2. Other methods hold nothing back.
      seed: of the rows that are held back and of a training; 0 leaves the seed of a config of one's own.
      folder: where the fitted model is saved; a training is run there, and the same call goes on where it was killed.

    Raises:
      InputError: an unknown method or setting; before any row is read.
    """

    names: tuple[str, ...] = ("x", "y")
    _model: FittedModel | None = None
    _predictors: Predictors | None = None  # of two modalities

    def __init__(
        self,
        method: Any = "auto",
        *,
        settings: Mapping[str, Any] | None = None,
        preprocess: Mapping[str, Mapping[str, Any]] | None = None,
        validation: Any = None,
        seed: int = 0,
        folder: str | Path | None = None,
    ):
        # `clone` of scikit-learn asks that arguments are stored as they are given, and that nothing else is
        self.method, self.settings, self.preprocess = method, settings, preprocess
        self.validation, self.seed, self.folder = validation, seed, folder
        self._check()

    def __repr__(self) -> str:
        given = {word: value for word in ("settings", "preprocess") if (value := getattr(self, word))}
        return f"Aligner({', '.join([repr(self.method), *(f'{word}={value!r}' for word, value in given.items())])})"

    def _check(self) -> Method:
        """The method, after everything that shows without rows has been refused."""
        for word in ("settings", "preprocess"):
            _require_names({} if (value := getattr(self, word)) is None else value, word)
        for side, options in (self.preprocess or {}).items():
            checks.require_known(side, SIDES[: len(self.names)], "preprocess")
            _require_names(options, side)
            for name in options:
                checks.require_known(name, preprocessing.OPTIONS, f"field of preprocess.{side}")
            Preprocessor(**options, name=side)
        if self.validation is not None and not isinstance(self.validation, Pairs):
            number = isinstance(self.validation, int | float | np.number) and not isinstance(self.validation, bool)
            fine = number and bool(self.validation >= 0 and (self.validation < 1 or float(self.validation).is_integer()))
            checks.require(fine, "validation", got=self.validation, wanted="a number of items, a share in [0, 1), or Pairs")
        checks.whole(self.seed, "seed")
        method = find(self.method)
        method.kind.check(self.settings or {})
        return method

    def fit(self, x_pairs: Any, y_pairs: Any = None, x_unpaired: Any = None, y_unpaired: Any = None) -> Aligner:
        """Learn from `Pairs`; or from pairs [p, dx], [p, dy] (row i belongs to row i) and unpaired rows [n, dx], [m, dy].

        Arrays are whatever `data.as_rows` reads: arrays, lists, tensors, pandas, polars or Arrow tables of numbers. Two `Table`s
        are paired by their ids.

        Raises:
          InputError: whatever `data.as_rows` refuses, fewer than 2 pairs, row counts or widths that do not fit, or pairs that are
            all equal on one side; before anything is computed, in the words of these arguments.
          RunError: the training ended in NaN.
        """
        method = self._check()
        pairs = _pairs(x_pairs, y_pairs, x_unpaired, y_unpaired)
        folder = None if self.folder is None else checks.place(self.folder, "folder")
        if folder is not None:
            folders.require_free(folder, but=folders.RUN_FILE if method.needs_validation else "")
        train, val = self._hold(pairs) if method.needs_validation else (pairs, pairs.take([]))
        own = {side: dict((self.preprocess or {}).get(side, {})) for side in SIDES[: len(pairs.names)]}
        options = {name: {**pairs.preprocess.get(name, {}), **own[side]} for side, name in zip(own, pairs.names, strict=True)}
        data = weigh_tables(prepare(train, val, pairs.take([]), preprocess=options, seed=self.seed))
        with checks.disk_room(folder):
            model = method.fit(data, self.settings or {}, seed=self.seed, folder=folder, preprocess=own)
        self._model, self.names, self.n_features_in_ = model, pairs.names, model.widths[0]
        self._predictors = Predictors(train.x, train.y) if len(pairs.names) == 2 else None
        self._try([np.asarray(table.rows[:1]) for table in pairs.tables])  # a training that ended in NaN is told now
        if folder is not None:
            with files.one_writer(folder):
                self._write(folder, None)
        return self

    def _hold(self, pairs: Pairs) -> tuple[Pairs, Pairs]:
        """The pairs that train, and those by which the best step is chosen."""
        if isinstance(self.validation, Pairs):
            require_held_out(self.validation, pairs)
            return pairs, self.validation
        count = pairs.item_count
        size = "auto" if self.validation is None else self.validation
        if isinstance(size, float) and 0 < size < 1:
            size = size_by_share(size, count)
        if (size != "auto" and size < 2) or count < 4:  # nothing can be ranked among one
            return pairs, pairs.take([])
        train, val, _ = pairs.split(val=size, test=0, seed=self.seed)
        return train, val

    def save(self, folder: str | Path, *, test: Pairs | None = None) -> Path:
        """Write the fitted model to a folder, whole or not at all.

        Args:
          test: held-out pairs of the files that it was fitted on; `evaluate` finds them again.

        Raises:
          InputError: nothing is fitted, the folder holds another model, or it is a file.
          RunError: no space is left; the folder is as it was.
        """
        self._fitted("Aligner.save", "a call after fit")
        folder = checks.place(folder, "folder")
        if self.folder is None or folder != Path(self.folder):
            folders.require_free(folder)
        return self._write(folder, test)

    def _write(self, folder: Path, test: Pairs | None) -> Path:
        stored = dict(
            method=self._stored_method(),
            settings=dict(self.settings or {}),
            preprocess={side: dict(options) for side, options in (self.preprocess or {}).items()},
            validation=self.validation if not isinstance(self.validation, Pairs) else len(self.validation),
            seed=self.seed,
            names=list(self.names),
            predictors=self._predictors,
            held={} if test is None else dict(test=folders.record(test)),
        )
        model: Any = self._model
        if hasattr(model, "workdir"):  # a run read from its folder: the parameters are what is saved
            from gera_jax.training.runs import Model

            model = Model(model.config, model.info, model.arrays, model.params, model.step)
        return folders.write(folder, stored, model)

    def _stored_method(self) -> Any:
        """The method in words that mean the same in another process, or the fields of a config."""
        if isinstance(self.method, Mapping) or hasattr(self.method, "to_dict"):
            return json.loads(to_json(self.method))
        method = find(self.method)
        target = getattr(method.kind, "target", "")
        return str(self.method) if isinstance(target, str) else path_of(target)

    @classmethod
    def load(cls, folder: str | Path) -> Aligner:
        """The aligner of a folder: of `save`, `fit`, or a training run.

        Raises:
          InputError: the folder holds neither, or a model that is damaged or of another version.
        """
        folder = checks.place(folder, "folder")
        folders.require_model(folder)
        made = cls.__new__(cls)
        made.method, made.settings, made.preprocess, made.validation, made.seed, made.folder = "auto", None, None, None, 0, None
        if not (folder / folders.MODEL_FILE).is_file():
            from gera_jax.training import load_run

            run = load_run(folder)
            made.method, made.names, made._model, made.n_features_in_ = run.config, run.names, run, run.widths[0]
            return made
        stored = folders.read(folder)
        try:
            for word in ("method", "settings", "preprocess", "validation", "seed"):
                setattr(made, word, stored[word])
            model = stored["model"]
            made.names, made._model, made._predictors = tuple(stored["names"]), model, stored["predictors"]
            made.n_features_in_ = model.widths[0]
            made._try([np.zeros((1, width)) for width in model.widths])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            got = f"a model that cannot be used ({error})"
            checks.fail(str(folder / folders.MODEL_FILE), got=got, wanted="one that gera_jax saved", remedy="Fit it again.")
        return made

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space for raw rows [n, dx] of the first modality, of whatever `data.as_rows` reads."""
        return self._transform(0, x)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, r] of the shared space for raw rows [m, dy] of the second modality."""
        return self._transform(1, y)

    def transform(self, X: Any, y: Any = None) -> Any:
        """`transform_x` of X; with y both transforms, as `sklearn.cross_decomposition` has it."""
        return self.transform_x(X) if y is None else (self.transform_x(X), self.transform_y(y))

    def embed(self, name: str, rows: Any) -> np.ndarray:
        """Unit rows (float32) of the shared space for raw rows of the modality of that name."""
        checks.require_known(name, self.names, "modality")
        return np.asarray(self._transform(self.names.index(name), rows, name), np.float32)

    @property
    def table_weights(self) -> dict[str, list[float]]:
        """Of each modality of several tables their weights, see `solvers.several_tables`; empty where they are equal by rule.

        >>> rng = np.random.default_rng(0); z = rng.normal(size=(200, 3))
        >>> tables, y = [z @ rng.normal(size=(3, 6)), rng.normal(size=(200, 6))], z @ rng.normal(size=(3, 4))
        >>> Aligner("ridge_cca").fit(tables, y).table_weights["x"][1] < 0.2
        True
        """
        return {name: list(own) for name, own in zip(self.names, self._fitted().weights, strict=True) if own}

    def similarity(self, x: Any, y: Any) -> np.ndarray:
        """Scores [n, m] of raw rows [n, dx] and [m, dy]; higher = closer."""
        return self._fitted().similarity(self._rows(0, x), self._rows(1, y))

    def predict_y(self, x: Any) -> np.ndarray:
        """Rows [n, dy] in y's own space for raw rows [n, dx]: what the partners of x would be like.

        A ridge regression of y on x, estimated from the training pairs, see `predict.Predictor`; it is the same for every method.

        Raises:
          InputError: the model is of three modalities, or of a folder of `gera-jax train`, which keeps no training pairs.
        """
        return self._predict(0, x)

    def predict_x(self, y: Any) -> np.ndarray:
        """Rows [m, dx] in x's own space for raw rows [m, dy]; see `predict_y`."""
        return self._predict(1, y)

    def predict(self, X: Any) -> np.ndarray:
        """`predict_y`."""
        return self.predict_y(X)

    def score(self, x: Any, y: Any = None) -> Score:
        """Retrieval both ways and FOSCTTM of held-out `Pairs`, or of matching rows [n, dx], [n, dy].

        Returns:
          the mean R@10 as a number, which is also a mapping of all metrics, with `.chance` and `.interval`. Of three modalities
          each two are measured on the pairs that have both, under "<a>-<b>/...", and the number is the mean.
        """
        if y is None:
            checks.require(isinstance(x, Pairs), "y", got="nothing", wanted="rows of y beside those of x, or Pairs alone")
            sets, wanted = len(x.names), len(self._fitted().widths)
            checks.require(sets == wanted, "pairs", got=f"{sets} modalities", wanted=f"{wanted}, as were fitted")
            return score_pairs(x, self.names, lambda a, b, *rows: self._scores(*map(self._rows, (a, b), rows), sides=(a, b)))
        x, y = self._rows(0, x), self._rows(1, y)
        remedy = "Row i of y must be the partner of row i."
        checks.require(len(x) == len(y), "y", got=f"{len(y)} rows beside {len(x)} of x", wanted="as many rows", remedy=remedy)
        return Score.of(self._scores(x, y), names=(self.names[0], self.names[1]))

    def _scores(self, x: np.ndarray, y: np.ndarray, sides: tuple[int, int] = (0, 1)) -> np.ndarray | Cosines:
        model = self._fitted()
        if sides != (0, 1):
            return scores_of(model.transform(sides[0], x), model.transform(sides[1], y))
        if len(x) * len(y) <= MOST_ENTRIES:
            return model.similarity(x, y)
        return Cosines(model.transform(0, x), model.transform(1, y))

    def _transform(self, side: int, rows: Any, called: str = "") -> np.ndarray:
        return self._fitted().transform(side, self._rows(side, rows, called))

    def _rows(self, side: int, rows: Any, called: str = "") -> np.ndarray:
        name, model = called or SIDES[side], self._fitted()
        return as_rows(joined_rows(rows, model.parts[side], name), name, width=model.widths[side], least=0)

    def _fitted(self, name: str = "Aligner", wanted: str = "a fitted aligner") -> FittedModel:
        if self._model is None:
            raise _not_fitted(name, wanted)
        return self._model

    def _predict(self, side: int, rows: Any) -> np.ndarray:
        rows = self._rows(side, rows)
        if self._predictors is None:
            got, wanted = "a model that keeps no training pairs", "one of Aligner.fit or `gera-jax fit`, of two modalities"
            remedy = "A folder of `gera-jax train` alone gives the shared space: transform_x, transform_y."
            checks.fail("predict", got=got, wanted=wanted, remedy=remedy)
        return self._predictors.maps[side](rows)

    def _try(self, rows: list[np.ndarray]) -> None:
        """Look at one row of each modality, so that a model that cannot be used is told now."""
        if getattr(self._model, "has_space", True):
            for side, row in enumerate(rows):
                self._transform(side, row)
        else:
            self.similarity(*rows)

    def __sklearn_is_fitted__(self) -> bool:
        return self._model is not None

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type="transformer",
            target_tags=TargetTags(required=True, two_d_labels=True, multi_output=True, single_output=False),
            transformer_tags=TransformerTags(),
            input_tags=InputTags(),
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments, as they were given."""
        del deep
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **params: Any) -> Aligner:
        """Change arguments; what is fitted stays until `fit`."""
        for name in params:
            checks.require_known(name, PARAMETERS, "argument of Aligner")
        old = self.get_params()
        self.__dict__.update(params)
        try:
            self._check()
        except checks.InputError:
            self.__dict__.update(old)
            raise
        return self


def _pairs(x: Any, y: Any, x_unpaired: Any, y_unpaired: Any) -> Pairs:
    """What `fit` was given, as `Pairs`."""
    if isinstance(x, Pairs):
        others = dict(y_pairs=y, x_unpaired=x_unpaired, y_unpaired=y_unpaired)
        beside = [name for name, rows in others.items() if rows is not None]
        checks.require(not beside, "fit", got=f"Pairs and {', '.join(beside)}", wanted="Pairs alone, which hold all of these")
        checks.require(len(x) >= 2, "pairs", got=f"{len(x)} pairs", wanted="at least 2 pairs")
        return x
    several = any(is_several(rows) or getattr(rows, "ndim", 0) == 3 for rows in (x, y))
    if several or (isinstance(x, Table) and isinstance(y, Table)):
        found = Pairs.from_arrays(x, y, x_unpaired=x_unpaired, y_unpaired=y_unpaired)
        checks.require(len(found) >= 2, "pairs", got=f"{len(found)} pairs", wanted="at least 2 pairs")
        return found
    checks.require(y is not None, "y_pairs", got="nothing", wanted="rows beside those of x_pairs, or Pairs alone")
    x, y, *more = as_pairs(x, y, x_unpaired, y_unpaired, names=("x_unpaired", "y_unpaired"))
    unpaired: dict[str, Any] = {name: rows for name, rows in zip(("x_unpaired", "y_unpaired"), more, strict=True) if len(rows)}
    return Pairs.from_arrays(x, y, **unpaired)


def _not_fitted(name: str, wanted: str) -> checks.InputError:
    """The error of a call before `fit`; where scikit-learn is in use, it is its `NotFittedError` as well."""
    kinds: tuple[type, ...] = (checks.InputError,)
    if sklearn := sys.modules.get("sklearn.exceptions"):
        kinds += (sklearn.NotFittedError,)
    own = dict(__reduce__=lambda error: (_not_fitted, (error.name, error.wanted)))  # no other process has this class
    kind = type("NotFittedError", kinds, own)
    return kind(name, got="no fit", wanted=wanted, remedy="Call .fit(x_pairs, y_pairs) first.")


def _require_names(value: Any, word: str) -> None:
    remedy = f"Give a dictionary: {word}=dict(...)."
    checks.require(isinstance(value, Mapping), word, got=repr(value), wanted="names with values", remedy=remedy)
