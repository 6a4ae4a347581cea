"""The field: every method under one name, with the settings that it may try, fitted on the same data by the same call."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from gera_jax import aligners, checks
from gera_jax import config as config_lib
from gera_jax.comparison.task import Task
from gera_jax.data import AlignmentData
from gera_jax.files import one_writer

Setting = Mapping[str, Any]


class Fitted(NamedTuple):
    """A fitted method, for rows of the task's tables by number."""

    scores: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows of x, rows of y) -> [n, m], higher = closer
    model: Any
    best_step: int | None = None  # of a trained method: the step that was kept, 0 = its start


class Method(Protocol):
    """One entry of the field.

    Attributes:
      name, label: for flags and for people.
      published: a method of others, against whose best the paired differences are taken.
      settings: in the order in which they are tried, the default first.
      goes_on_from: the file of a folder that `save` goes on with, where it was killed; "" = `save` writes one file, last.
    """

    name: str
    label: str
    published: bool
    settings: Sequence[Setting]
    needs_validation: ClassVar[bool]
    goes_on_from: ClassVar[str]

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted: ...

    def fingerprint(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """A closed form of `aligners.CLOSED_FORMS`; a setting is its arguments."""

    name: str
    label: str
    settings: tuple[Setting, ...] = ({},)
    published: bool = True
    needs_validation: ClassVar[bool] = False
    goes_on_from: ClassVar[str] = ""

    @property
    def available(self) -> bool:
        return self.name in aligners.CLOSED_FORMS

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted:
        """Fit on the known pairs and the unpaired rows of `data`."""
        del task, seed, workdir
        x, y = data.names[:2]
        paired = [data.features[name].take(data.pairs[:, side]) for side, name in enumerate((x, y))]
        unpaired = [data.features[name].take(data.unpaired[name]) for name in (x, y)]
        model = aligners.CLOSED_FORMS[self.name](**setting).fit(*paired, *unpaired)
        return Fitted(lambda i, j: model.similarity(data.features[x].take(i), data.features[y].take(j)), model)

    def fingerprint(self) -> str:
        """Hash of the source of the class and of what it builds on in its room: an edited method is measured anew."""
        found, new = set(), {c.__module__ for c in aligners.CLOSED_FORMS[self.name].__mro__}
        while new := {name for name in new if name.startswith("gera_jax.solvers.")} - found:
            found |= new
            new = {getattr(value, "__module__", None) or "" for name in new for value in vars(sys.modules[name]).values()}
        return _digest([inspect.getsource(sys.modules[name]) for name in sorted(found)])

    def save(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, folder: Path) -> aligners.Aligner:
        """Fit on the raw rows of all of `data` and write the folder."""
        del seed
        names = data.names[:2]
        # the caller's own numbers: float32 would cut the digits of rows that lie far from 0 before anything is centred
        paired = [data.tables[name].rows[data.pairs[:, side]] for side, name in enumerate(names)]
        unpaired = [data.tables[name].rows[data.unpaired[name]] for name in names]
        aligner = aligners.Aligner(
            self.name,
            settings=setting,
            preprocess={side: task.pairs.preprocess.get(name, {}) for side, name in zip("xy", names, strict=True)},
        )
        aligner.fit(*paired, *unpaired)
        aligner.names = tuple(names)
        with one_writer(folder):
            aligner.save(folder)
        return aligner


@dataclasses.dataclass(frozen=True)
class Trained:
    """A config, or a variant of one in `aligners.VARIANTS`.

    A setting's plain keys are arguments of the config (`start`), its dotted keys and `total_steps` are fields.
    """

    name: str
    label: str
    settings: tuple[Setting, ...] = ({},)
    published: bool = True
    needs_validation: ClassVar[bool] = True
    goes_on_from: ClassVar[str] = "run.json"

    @property
    def available(self) -> bool:
        return self._spec[0].partition(":")[0] in config_lib.names()

    @property
    def _spec(self) -> tuple[str, Mapping[str, str]]:
        return aligners.VARIANTS.get(self.name, (self.name, {}))

    def load(self, task: Task, pairs: int, seed: int, setting: Setting) -> Any:
        """The config on the task's data: its own model, losses and preprocessing, the task's pairs, split and regime."""
        spec, fields = self._spec
        config, _, given = spec.partition(":")
        is_field = {key: "." in key or key in config_lib.DURATIONS for key in setting}
        arguments = [given] if given else []
        arguments += [f"{key}={value}" for key, value in setting.items() if not is_field[key]]
        arguments += [f"pairs={pairs}", f"seed={seed}"]
        arguments += [f"source={task.source}"] if task.pairs.bundled else ["x=own", "y=own"]
        made = config_lib.load(
            f"{config}:{','.join(arguments)}", {**fields, **{key: str(value) for key, value in setting.items() if is_field[key]}}
        )
        made.data.split.update(by=task.split, val=task.val, test=task.test, group_key=task.group_key, seed=seed)
        made.data.unpaired, made.data.captions, made.tensorboard = task.unpaired, task.pairs.captions, "off"
        if not task.pairs.bundled:
            made.data.source = "arrays"
            for side in ("x", "y"):
                made.data[side].path = ""
        return made

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted:
        """Train on the known pairs and unpaired rows of `data`; the best step is the best on its validation rows."""
        from gera_jax import training

        config = self.load(task, len(data.pairs), seed, setting)
        if workdir is None:
            config.log_every_steps = 0  # nobody reads it, and the gradients of every term are half of a short run
        names = (config.data.x.name, config.data.y.name)
        result = training.train(config, workdir, tables=None if task.pairs.bundled else task.pairs)
        features = result.experiment.data.features

        def project(name: str, rows: np.ndarray) -> np.ndarray:
            return np.asarray(result.project(name, features[name].take(rows)), np.float64)

        return Fitted(lambda i, j: project(names[0], i) @ project(names[1], j).T, result, result.best_step)

    def save(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, folder: Path) -> aligners.Aligner:
        """Train on all of `data` in the folder."""
        self.fit(task, data, setting, seed=seed, workdir=folder)
        return aligners.Aligner.load(folder)

    def fingerprint(self) -> str:
        """Hash of the config as the variant changes it, and of the source of its losses and of the rooms of a run."""
        from gera_jax import data, graphs, losses, models, ops, solvers, training, transport

        spec, fields = self._spec
        config = config_lib.load(spec, fields)
        used = {inspect.getsource(inspect.getmodule(getattr(losses, term["fn"]))) for term in config.losses.values()}
        rooms = [
            path.read_text()
            for room in (solvers, data, graphs, models, ops, training, transport)
            for path in sorted(Path(room.__file__).parent.glob("*.py"))
        ]
        return _digest([config_lib.to_json(config), *sorted(used), *rooms])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


_RANDOM_STEPS = ({}, {"total_steps": 80}, {"optimizer.lr": 1e-3}, {"optimizer.lr": 3e-4})

# A method's own default first, then what is known to help it, so that a small budget is not unkind to it.
FIELD: tuple[ClosedForm | Trained, ...] = (
    ClosedForm("procrustes", "Procrustes", ({}, dict(dim=20), dict(dim=50), dict(dim=100))),
    ClosedForm("ridge_cca", "ridge CCA", ({}, *(dict(regularization=r) for r in (0.3, 1.0, 10.0)))),
    ClosedForm("asif", "ASIF", ({}, *(dict(power=p) for p in (4.0, 2.0, 16.0)))),
    ClosedForm("kernel_cca", "kernel CCA", ({}, dict(landmarks=1000), dict(width=0.5), dict(regularization=0.3))),
    ClosedForm("csa", "CSA", ({}, dict(dim=20), dict(dim=50), dict(regularization=0.3))),
    ClosedForm(
        "wasserstein_procrustes", "Wasserstein Procrustes", ({}, dict(pair_mass=5.0), dict(dim=50, pair_mass=5.0), dict(dim=20))
    ),
    ClosedForm("sue", "SUE", ({}, dict(components=60, dim=16), dict(components=100, dim=32), dict(residual=False))),
    Trained("contrastive_linear", "contrastive, linear heads", ({}, dict(start="ridge_cca"), *_RANDOM_STEPS[1:3])),
    Trained("contrastive_mlp", "contrastive, residual MLP heads", _RANDOM_STEPS),
    Trained("fusemix", "FuseMix", ({}, dict(start="ridge_cca"), dict(head="linear"), {"total_steps": 100})),
    Trained(
        "sotalign", "SOTAlign", ({}, dict(teacher_ridge=3.0), dict(teacher_ridge=1.0), dict(teacher_ridge=3.0, transport=0.1))
    ),
    Trained("structure", "STRUCTURE", ({}, dict(structure=100.0), dict(start="random"), dict(rows="all"))),
    Trained("gentle_clip", "Gentle-CLIP", ({}, dict(sets=3.0), dict(sets=0.3), dict(start="random"))),
    Trained("m3mix", "m3-Mix", ({}, dict(head="linear"), dict(within=0.2, across=0.4), {"optimizer.lr": 1e-3})),
    Trained("sspc", "SSPC", ({}, dict(structure=0.1), dict(structure=0.01), dict(link="exp"))),
    Trained("contrastive", "contrastive on smoothed inputs", published=False),
    Trained("gera", "GeRA", ({}, dict(geometry=3.0), dict(start="random"), dict(geometry=0.3)), published=False),
    ClosedForm("auto", "auto", published=False),
)


def methods() -> dict[str, ClosedForm | Trained]:
    """The methods that this version has, by name.

    >>> list(methods())[:3]
    ['procrustes', 'ridge_cca', 'asif']
    """
    return {method.name: method for method in FIELD if method.available}


def find(names: Sequence[str] = ()) -> list[ClosedForm | Trained]:
    """The methods of these names, or all.

    Raises:
      InputError: a name that is no method's, with the nearest known one.

    >>> find(["ridge_ca"])
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: method: got "ridge_ca"; wanted a known name. Did you mean "ridge_cca" or "gera"?
    """
    known = methods()
    for name in names:
        checks.require_known(name, known, "method")
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())
