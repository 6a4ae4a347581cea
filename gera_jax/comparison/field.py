"""The field: every method under one name, with the settings that it may try, fitted on the same data by the same call."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from gera_jax import baselines, checks
from gera_jax import config as config_lib
from gera_jax.comparison.task import Task
from gera_jax.data import AlignmentData

Setting = Mapping[str, Any]


class Fitted(NamedTuple):
    """A fitted method, for rows of the task's tables by number."""

    scores: Callable[[np.ndarray, np.ndarray], np.ndarray]  # (rows of x, rows of y) -> [n, m], higher = closer
    model: Any


class Method(Protocol):
    """One entry of the field.

    Attributes:
      name, label: for flags and for people.
      published: a method of others, against whose best the paired differences are taken.
      settings: in the order in which they are tried, the default first.
    """

    name: str
    label: str
    published: bool
    settings: Sequence[Setting]

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted: ...

    def fingerprint(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class ClosedForm:
    """A class of `gera_jax.baselines`; a setting is its arguments."""

    name: str
    label: str
    factory: str
    settings: tuple[Setting, ...] = ({},)
    published: bool = True

    @property
    def available(self) -> bool:
        return hasattr(baselines, self.factory)

    def make(self, setting: Setting) -> Any:
        return getattr(baselines, self.factory)(**setting)

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted:
        """Fit on the known pairs and the unpaired rows of `data`."""
        del task, seed, workdir
        x, y = data.names[:2]
        paired = [data.features[name].take(data.pairs[:, side]) for side, name in enumerate((x, y))]
        unpaired = [data.features[name].take(data.unpaired[name]) for name in (x, y)]
        model = self.make(setting).fit(*paired, *unpaired)
        return Fitted(lambda i, j: model.similarity(data.features[x].take(i), data.features[y].take(j)), model)

    def fingerprint(self) -> str:
        """Hash of the source of the class and of those it builds on: an edited method is measured anew."""
        kin = [c for c in getattr(baselines, self.factory).__mro__ if c.__module__.startswith("gera_jax.")]
        modules = sorted({c.__module__ for c in kin})
        return _digest([inspect.getsource(sys.modules[module]) for module in modules])


@dataclasses.dataclass(frozen=True)
class Trained:
    """A config; a setting's plain keys are arguments of the config (`start`), its dotted keys are fields (`optimizer.lr`)."""

    name: str
    label: str
    config: str
    always: Setting = dataclasses.field(default_factory=dict)
    settings: tuple[Setting, ...] = ({},)
    published: bool = True

    @property
    def available(self) -> bool:
        return self.config in config_lib.names()

    def load(self, task: Task, pairs: int, seed: int, setting: Setting, *, pool: Mapping[str, int] | None = None) -> Any:
        """The config on the task's data: its own model, losses and preprocessing, the task's pairs, split and regime."""
        both = {**self.always, **setting}
        arguments = dict(pairs=pairs, seed=seed, **{key: value for key, value in both.items() if "." not in key})
        if task.tables is None:
            arguments["source"] = task.block["source"]
        config = config_lib.load(f"{self.config}:{','.join(f'{key}={value}' for key, value in arguments.items())}",
                                 {key: str(value) for key, value in both.items() if "." in key})
        config.data.split.update(**{**task.block["split"], "seed": seed})
        config.data.unpaired = task.block["unpaired"]
        config.data.captions = task.block["captions"]
        if task.tables is not None:
            config.data.source = "arrays"
        config.tensorboard = "off"
        for side, name in zip(("x", "y"), pool or (), strict=False):  # a PCA cannot have more directions than rows or columns
            config.data.preprocess[side].pca = min(config.data.preprocess[side].pca, pool[name])
        return config

    def fit(self, task: Task, data: AlignmentData, setting: Setting, *, seed: int, workdir: Path | None = None) -> Fitted:
        """Train on the known pairs and unpaired rows of `data`; the best step is the best on its validation rows."""
        from gera_jax import training

        most = {name: min(len(data.pool[name]), data.tables[name].dim) for name in data.names}
        config = self.load(task, len(data.pairs), seed, setting, pool=most)
        tables = None
        names = (config.data.x.name, config.data.y.name)
        if task.tables is not None:
            tables = tuple(dataclasses.replace(table, name=name) for table, name in zip(task.tables, names, strict=True))
        result = training.train(config, workdir, tables=tables)
        features = result.experiment.data.features
        def project(name: str, rows: np.ndarray) -> np.ndarray:
            return np.asarray(result.project(name, features[name].take(rows)), np.float64)

        return Fitted(lambda i, j: project(names[0], i) @ project(names[1], j).T, result)

    def fingerprint(self) -> str:
        """Hash of the config as the settings change it (the code of the training loop counts by the package's version)."""
        plain = config_lib.load(self.config)
        return _digest([config_lib.to_json(plain), json.dumps(dict(self.always), sort_keys=True)])


def _digest(parts: Sequence[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


PLAIN = {f"data.preprocess.{side}.filter.strength": 0.0 for side in ("x", "y")}  # inputs as published: no smoothing

FIELD: tuple[ClosedForm | Trained, ...] = (
    ClosedForm("procrustes", "Procrustes", "Procrustes", ({}, dict(dim=20), dict(dim=50), dict(dim=100))),
    ClosedForm("ridge_cca", "ridge CCA", "RidgeCCA", ({}, *(dict(regularization=r) for r in (0.3, 1.0, 10.0)))),
    ClosedForm("asif", "ASIF", "ASIF", ({}, *(dict(power=p) for p in (4.0, 2.0, 16.0)))),
    ClosedForm("kernel_cca", "kernel CCA", "KernelCCA",
               ({}, dict(landmarks=1000), dict(width=0.5), dict(regularization=0.3))),
    ClosedForm("csa", "CSA", "CSA"),
    ClosedForm("wasserstein_procrustes", "Wasserstein Procrustes", "WassersteinProcrustes",
               ({}, dict(pair_mass=5.0), dict(dim=50, pair_mass=5.0), dict(dim=20))),
    ClosedForm("sue", "SUE", "SUE", ({}, dict(components=60, dim=16), dict(components=100, dim=32), dict(residual=False))),
    Trained("contrastive_linear", "contrastive, linear heads", "contrastive", PLAIN,
            (dict(start="random"), {"start": "random", "total_steps": 80}, {"start": "random", "optimizer.lr": 1e-3},
             dict(start="ridge_cca"))),
    Trained("contrastive_mlp", "contrastive, residual MLP heads", "contrastive",
            {**PLAIN, "model.head": "residual_mlp", "start": "random"},
            ({}, {"total_steps": 80}, {"optimizer.lr": 1e-3}, {"optimizer.lr": 3e-4})),
    Trained("fusemix", "FuseMix", "fusemix"),
    Trained("sotalign", "SOTAlign", "sotalign"),
    Trained("structure", "STRUCTURE", "structure"),
    Trained("gentle_clip", "Gentle-CLIP", "gentle_clip"),
    Trained("m3mix", "m3-Mix", "m3mix"),
    Trained("sspc", "SSPC", "sspc"),
    Trained("contrastive", "contrastive on smoothed inputs", "contrastive", {}, ({},), published=False),
    Trained("gera", "GeRA", "gera", {}, ({}, dict(geometry=3.0), dict(start="random"), dict(geometry=0.3)), published=False),
    ClosedForm("auto", "auto", "CotrainedHeads", published=False),
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
