"""How an aligner of a method is made and fitted: by a class of one's own or of `solvers`, or by training a config.

Both kinds have the same small protocol: `check(settings)` refuses settings before any row is read, `fit(data, settings)` gives a
fitted model with `transform(side, rows)`, `similarity(x, y)`, `widths` and `best_step`, and `fingerprint()` tells edited methods.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.aligners.table_pairs import MOST, TablePairs, fit_rows
from gera_jax.data import Preprocessor
from gera_jax.data.alignment import AlignmentData
from gera_jax.data.preprocessing import FILTER, OPTIONS, Features

Settings = Mapping[str, Any]


class FittedModel(Protocol):
    """What `Kind.fit` gives: raw rows to the shared space."""

    @property
    def best_step(self) -> int | None:
        """Of a trained method: the step that was kept, 0 = its start."""
        ...

    @property
    def widths(self) -> Sequence[int]:
        """Of raw rows of each modality."""
        ...

    @property
    def parts(self) -> Sequence[Sequence[int]]:
        """Widths of the tables of each modality that stand side by side; empty of a modality of one table."""
        ...

    @property
    def weights(self) -> Sequence[Sequence[float]]:
        """Weights of these tables; empty where they are equal by rule."""
        ...

    def transform(self, side: int, rows: np.ndarray) -> np.ndarray: ...

    def similarity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray: ...


def path_of(target: Any) -> str:
    """ "module:name" of a class or function, or of an object's class; "" where no other process could import it."""
    target = target if inspect.isclass(target) or inspect.isfunction(target) else type(target)
    path = f"{target.__module__}:{target.__qualname__}"
    return "" if "<" in path or path.startswith("__main__:") else path


@dataclasses.dataclass(frozen=True)
class SolverModel:
    """A fitted object with its preprocessing in front."""

    model: Any
    preprocessors: tuple[Preprocessor, ...]
    best_step: int | None = None

    @property
    def has_space(self) -> bool:
        """Whether the method has a shared space, and not a similarity alone."""
        return hasattr(self.model, "transform_x")

    @property
    def widths(self) -> tuple[int, ...]:
        """Of raw rows of each modality."""
        return tuple(made.width for made in self.preprocessors)

    @property
    def parts(self) -> tuple[list[int], ...]:
        """Widths of the tables of each modality that stand side by side."""
        return tuple(made.options["parts"] for made in self.preprocessors)

    @property
    def weights(self) -> tuple[list[float], ...]:
        """Weights of these tables."""
        return tuple(made.options["weights"] for made in self.preprocessors)

    def transform(self, side: int, rows: np.ndarray) -> np.ndarray:
        """Raw rows to rows of the shared space."""
        transform = getattr(self.model, ("transform_x", "transform_y")[side], None)
        got, wanted = "no transform_x and transform_y", "a method with a shared space"
        remedy = "Its similarity(x, y) is all that it has."
        checks.require(transform is not None, type(self.model).__name__, got=got, wanted=wanted, remedy=remedy)
        assert transform is not None
        return np.asarray(transform(self.preprocessors[side](rows)))

    def similarity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[n, m] of raw rows; higher = closer."""
        if hasattr(self.model, "similarity"):
            return np.asarray(self.model.similarity(self.preprocessors[0](x), self.preprocessors[1](y)))
        from gera_jax.evaluation.split import cosines

        return cosines(self.transform(0, x), self.transform(1, y))


@dataclasses.dataclass(frozen=True)
class Solver:
    """A class, a factory or a ready object with `fit(x_pairs, y_pairs[, x, y])` and transforms or a similarity.

    Args:
      target: the object, or "module:name" of it. A setting is an argument of the class or factory, or a parameter that the
        object's `set_params` takes.
    """

    target: Any

    def make(self, settings: Settings) -> Any:
        """An object that is not fitted."""
        target = checks.named(self.target) if isinstance(self.target, str) else self.target
        if inspect.isclass(target) or not hasattr(target, "fit"):
            return target(**settings)
        made = copy.deepcopy(target)
        if settings:
            takes = hasattr(made, "set_params")
            checks.require(takes, "settings", got=dict(settings), wanted="none: the method is an object without set_params")
            made.set_params(**settings)
        return made

    def check(self, settings: Settings) -> None:
        """Refuse settings that the method does not have."""
        target = checks.named(self.target) if isinstance(self.target, str) else self.target
        wanted = "a name, a config, or an object with fit and transform_x, transform_y or similarity"
        checks.require(callable(target) or hasattr(target, "fit"), "method", got=f"a {type(target).__name__}", wanted=wanted)
        if inspect.isclass(target) or not hasattr(target, "fit"):
            _require_takes(target, settings)
        made = self.make(settings)
        fine = hasattr(made, "fit") and (hasattr(made, "similarity") or hasattr(made, "transform_x"))
        wanted = "an object with fit(x_pairs, y_pairs) and transform_x, transform_y or similarity"
        checks.require(fine, "method", got=f"a {type(made).__name__}", wanted=wanted)

    def fit(self, data: AlignmentData, settings: Settings, **of_training: Any) -> SolverModel:
        """Fit on the known pairs and the unpaired rows of `data`, as its preprocessors give them."""
        del of_training
        names = data.names[:2]
        require_two(data.names, getattr(self.target, "__name__", str(self.target).rpartition(":")[2]))
        paired = [data.features[name].take(data.pairs[:, side]) for side, name in enumerate(names)]
        unpaired = [data.features[name].take(data.unpaired[name]) for name in names]
        for rows, side in zip(paired, "xy", strict=True):
            got, wanted = "rows that preprocessing makes all equal", "rows that differ in direction from the mean of all rows"
            remedy = f"Where lengths matter, give preprocess=dict({side}=dict(l2=False))."
            checks.require(bool(np.any(rows != rows[:1])), f"{side}_pairs", got=got, wanted=wanted, remedy=remedy)
        model, made = self.make(settings), [data.preprocessors[name] for name in names]
        widths = [[table.dim for table in own.tables] or [own.dim] for own in made]
        if hasattr(model, "transform_x") and 1 < len(widths[0]) * len(widths[1]) <= MOST:
            weights = [own.options["weights"] or [1.0] * len(width) for own, width in zip(made, widths, strict=True)]
            model = TablePairs(lambda: self.make(settings), widths, weights).fit(paired, unpaired)
        else:
            fit_rows(model, paired, unpaired)
        return SolverModel(model, tuple(data.preprocessors[name] for name in names))

    def fingerprint(self) -> str:
        """Hash of the source of the class and of what it imports from beside it: an edited method is measured anew."""
        target = checks.named(self.target) if isinstance(self.target, str) else self.target
        kind = target if inspect.isclass(target) or inspect.isfunction(target) else type(target)
        found: set[str] = set()
        new = {c.__module__ for c in getattr(kind, "__mro__", (kind,))}
        rooms = ("gera_jax.solvers.", kind.__module__)
        while new := {name for name in new if name.startswith(rooms)} - found:
            found |= new
            new = {getattr(value, "__module__", None) or "" for name in new for value in vars(sys.modules[name]).values()}
        parts = []
        for name in sorted(found):
            try:
                parts.append(inspect.getsource(sys.modules[name]))
            except (OSError, TypeError):  # typed into a prompt: then by its name
                parts.append(name)
        held = repr(sorted(vars(target).items())) if kind is type(target) and hasattr(target, "__dict__") else ""
        return _digest([*parts, held])


def require_two(names: Sequence[str], method: str) -> None:
    """Refuse three modalities, which no closed form takes."""
    wanted, remedy = f"two, as {method} aligns two sets", "Leave one out, or take a method of three: sspc."
    checks.require(len(names) == 2, "modalities", got=f"{len(names)} ({', '.join(names)})", wanted=wanted, remedy=remedy)


def _require_takes(factory: Any, settings: Settings) -> None:
    """Refuse settings that a class or function does not take, or without which it cannot be called."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # of some builtin types nothing is known
        return
    name = getattr(factory, "__name__", "the method")
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        for word in settings:
            checks.require_known(word, signature.parameters, f"setting of {name}")
    with checks.refusing("settings", got=dict(settings), wanted=f"the arguments of {name}"):
        signature.bind(**settings)


@dataclasses.dataclass(frozen=True)
class Config:
    """A config that is trained.

    Args:
      spec: a name such as "gera:geometry=3", a file, or a ConfigDict.
      fields: dotted field -> text, before the settings. A setting with a dot, or named like a field of a config's top level
        (`total_steps`), is a field; any other is an argument of the config (`start`).
    """

    spec: Any
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def load(self, settings: Settings, *, seed: int = 0, names: Sequence[str] = ("x", "y"), pairs: int = 0) -> Any:
        """The config with the settings in it; it reads no file of data."""
        top = {key for key, value in config_lib.base().items() if not hasattr(value, "items")}
        fields = {key: str(value) for key, value in settings.items() if "." in key or key in top}
        arguments = {key: value for key, value in settings.items() if key not in fields}
        bundled = False
        if isinstance(self.spec, str | Path):
            word, given = config_lib.name_and_argument(str(self.spec))
            bundled = word in config_lib.names()
            known = {name for name, _ in config_lib.split_arguments(given)} | set(arguments)
            own = dict(dict.fromkeys(("x", "y", "w")[: len(names)], "own"), pairs=pairs, seed=seed) if bundled else {}
            arguments |= {key: value for key, value in own.items() if key not in known}
        else:
            got, wanted = f"{sorted(arguments)} beside a config in memory", "dotted fields"
            remedy = 'Give fields, such as settings={"optimizer.lr": 1e-4}.'
            checks.require(not arguments, "settings", got=got, wanted=wanted, remedy=remedy)
        spec = config_lib.with_arguments(str(self.spec), **arguments) if arguments else self.spec
        made = config_lib.load(spec, {**self.fields, **fields})
        if seed and not bundled and "seed" not in fields:
            made.seed = seed
        if "data" in made and "x" in made.data:
            made.data.source = "arrays"
            for side in config_lib.SLOTS:
                made.data[side].path = ""
        return made

    def check(self, settings: Settings) -> None:
        """Refuse settings that the config does not have."""
        self.load(settings)

    def fit(
        self,
        data: AlignmentData,
        settings: Settings,
        *,
        seed: int = 0,
        folder: Path | None = None,
        preprocess: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Train on the known pairs and unpaired rows of `data`; the best step is the best on its validation rows."""
        from gera_jax.training import train
        from gera_jax.training.runs import Model

        config = self.load(settings, seed=seed, names=data.names, pairs=len(data.pairs))
        names = config_lib.modalities(config)
        checks.require(
            len(names) == len(data.names), "config", got=f"one of {len(names)} modalities", wanted=f"one of {len(data.names)}"
        )
        config.data.pairs = 0  # all of those that are given
        if not any(len(rows) for rows in data.unpaired.values()):
            config.data.unpaired = "none"
        if folder is None:
            config.log_every_steps = 0  # nobody reads it, and the gradients of every term are half of a short run
        sides = config_lib.SLOTS[: len(names)]
        for side, name in zip(sides, data.names, strict=True):
            options = merged(
                config.data.preprocess[side].to_dict(), data.preprocessors[name].options, (preprocess or {}).get(side)
            )
            config.data.preprocess[side].update(options)
        options = {name: config.data.preprocess[side].to_dict() for side, name in zip(sides, data.names, strict=True)}
        own = _renamed(data, names, options, seed=config.data.split.seed or seed)
        return Model.of(train(config, folder, data=own))

    def fingerprint(self) -> str:
        """Hash of the config as the variant changes it, and of the source of its losses and of the rooms of a run."""
        from gera_jax import data, graphs, models, ops, solvers, training, transport
        from gera_jax.training.terms import find_loss

        config = config_lib.load(self.spec, dict(self.fields))
        used = {inspect.getsource(sys.modules[find_loss(term["fn"]).__module__]) for term in config.losses.values()}
        rooms = [
            path.read_text()
            for room in (solvers, data, graphs, models, ops, training, transport)
            for path in sorted(Path(room.__path__[0]).glob("*.py"))
        ]
        return _digest([config_lib.to_json(config), *sorted(used), *rooms])


Kind = Solver | Config


def merged(own: Mapping[str, Any], door: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Preprocessing of a config: what the caller gives, else what the config changes, else what the data recommend.

    >>> merged({**OPTIONS, "pca": 8}, {**OPTIONS, "pca": 3, "standardize": True}, None)["standardize"]
    True
    """
    chosen = {key: own[key] if own[key] != OPTIONS[key] else door[key] for key in OPTIONS if key != "filter"}
    chosen["filter"] = dict(own["filter"] if own["filter"]["strength"] else door["filter"])
    given = dict(given or {})
    if "filter" in given:
        given["filter"] = {**FILTER, **given["filter"]}
    return {**chosen, **given}


def _renamed(data: AlignmentData, names: Sequence[str], options: Mapping[str, Mapping[str, Any]], *, seed: int) -> AlignmentData:
    """`data` with the modalities called `names`, and prepared by `options` of each modality's old name."""
    train = data.train.named(names)
    val, test = (dataclasses.replace(part.named(names), tables=train.tables) for part in (data.val, data.test))
    preprocessors, features = {}, {}
    for old, table, pool in zip(data.names, train.tables, train.pool, strict=True):
        if options[old] == data.preprocessors[old].options and old == table.name:
            preprocessors[old], features[old] = data.preprocessors[old], data.features[old]
            continue
        made = Preprocessor(**options[old], name=table.name).fit(table.rows, pool, seed=seed)
        preprocessors[table.name], features[table.name] = made, Features(table, made)
    cut = hashlib.blake2b(digest_size=12)
    for rows in (train.rows, val.rows, *train.unpaired):
        cut.update(np.ascontiguousarray(rows, np.int64).tobytes())
    return AlignmentData(train, val, test, preprocessors, features, drawn=cut.hexdigest())


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()
