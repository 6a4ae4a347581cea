"""The folder of a run: what it was made from, and finding its parameters again."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gera_jax import checks, files
from gera_jax import config as config_lib
from gera_jax.config.files import ConfigDict
from gera_jax.evaluation.split import cosines
from gera_jax.training.checkpoints import newest, saved_steps, to_host
from gera_jax.training.experiment import find_task, initial_state
from gera_jax.training.task import Task

logger = logging.getLogger("gera_jax")

PACKAGES = ("gera_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
HEADER, CONFIG, PREPROCESS, CHECKPOINTS = "run.json", "config.json", "preprocess.npz", "checkpoints"
AGAIN = "Run the command that made the run again: it writes the file anew and goes on from the newest checkpoint."


def require_same_config(workdir: Path, config: ConfigDict) -> None:
    """Refuse a folder that holds a run of another config; the message lists what differs."""
    try:
        old = json.loads((workdir / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):  # not there, or damaged: then the checkpoints know
        return
    with contextlib.suppress(FileNotFoundError, files.DamagedError):
        if files.read_json(workdir / HEADER)["files"][CONFIG] != files.file_seal(workdir / CONFIG):
            return
    lines = config_lib.differences(old, json.loads(config_lib.to_json(config))) if isinstance(old, dict) else []
    got, remedy = f"{workdir}, which holds a run of another config ({'; '.join(lines[:6])})", "Choose another --workdir."
    checks.require(not lines, "workdir", got=got, wanted="an empty folder or one of the same config", remedy=remedy)


def made_of(experiment: Any) -> dict[str, str]:
    """Name -> digest of all that decides what a run computes: its config and the rows of its tables."""
    rows = {f"rows of {name}": value for name, value in experiment.info.get("fingerprints", {}).items()}
    return {"config": files.digest(config_lib.to_json(experiment.config).encode()), **rows}


def _changed(info: Mapping[str, Any], fingerprints: Mapping[str, str]) -> list[str]:
    """Names of the tables that are not what they were when `info` was written."""
    old = info.get("fingerprints", {})
    return sorted(name for name in {*old, *fingerprints} if old.get(name) != fingerprints.get(name))


def require_same_data(workdir: Path, experiment: Any) -> None:
    """Refuse a folder whose run had other data, even where the config names the same files; the message says which."""
    try:
        info = files.read_json(workdir / HEADER)
    except (FileNotFoundError, files.DamagedError):  # then the checkpoints know
        return
    changed = _changed(info, experiment.info.get("fingerprints", {}))
    got, wanted = f"{workdir}, which holds a run on other rows of {', '.join(changed)}", "an empty folder or one of the same data"
    checks.require(not changed, "workdir", got=got, wanted=wanted, remedy="Choose another folder, or put the old data back.")


def write_header(workdir: Path, experiment: Any) -> None:
    """preprocess.npz, config.json, and last run.json: versions, data fingerprints, counts, and the digests of the other two.

    Written once for each run; where one of the three is damaged or missing, all are written again, as this very run builds them.
    """
    try:
        read_header(workdir)
        return
    except FileNotFoundError:
        reason = f"{workdir / HEADER} is missing"
    except files.DamagedError as error:
        reason = f"{error.name} is {error.got}"
    if saved_steps(workdir / CHECKPOINTS):
        logger.warning("%s: %s, %s and %s are written anew, from this config and these data", reason, PREPROCESS, CONFIG, HEADER)
    files.save_npz(workdir / PREPROCESS, experiment.problem.arrays)
    files.write_text(workdir / CONFIG, config_lib.to_json(experiment.config))
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "(not installed)"
    seals = {name: files.file_seal(workdir / name) for name in (CONFIG, PREPROCESS)}
    files.write_json(workdir / HEADER, dict(versions=versions, **experiment.info, files=seals))


def read_header(workdir: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What run.json tells, and the arrays of preprocess.npz; config.json is as it was written.

    Raises:
      DamagedError: a file is missing or not what was written.
      FileNotFoundError: there is no run.json.
    """
    try:
        info = files.read_json(workdir / HEADER)
        for name, seal in info.pop("files").items():
            if not (workdir / name).is_file():
                files.damaged(workdir / name, "it is missing")
            if files.file_seal(workdir / name) != seal:
                files.damaged(workdir / name, "its digest does not fit its content")
        return info, files.load_npz(workdir / PREPROCESS)
    except files.DamagedError as error:
        raise files.DamagedError(error.name, got=error.got, wanted=error.wanted, remedy=AGAIN) from error


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained model: enough to project new rows without the training data.

    Args:
      config, info: of the run; `info` is `Problem.info`, plain JSON.
      arrays: the fitted preprocessing, `Problem.arrays`.
      params: the best parameters, NumPy arrays.
      step: the step that they are of, 0 = the start.
    """

    config: ConfigDict
    info: dict[str, Any]
    arrays: dict[str, np.ndarray]
    params: Any
    step: int

    @classmethod
    def of(cls, result: Any) -> Model:
        """The best parameters of a `TrainResult`."""
        problem = result.experiment.problem
        params = jax.tree.map(to_host, result.params)
        return cls(result.experiment.config, result.experiment.info, problem.arrays, params, result.best_step)

    @functools.cached_property
    def task(self) -> Task:
        """The kind of run."""
        return find_task(self.config.task)

    @functools.cached_property
    def model(self) -> Any:
        """The task's model."""
        return self.task.model(self.config, self.info)

    @functools.cached_property
    def _embedder(self) -> Any:
        return self.task.embedder(self.model, self.info, self.arrays)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the modalities."""
        return tuple(self.info["names"])

    @property
    def widths(self) -> tuple[int, ...]:
        """Of raw rows of each modality."""
        return tuple(self.info["raw_widths"][name] for name in self.names)

    @property
    def parts(self) -> tuple[list[int], ...]:
        """Widths of the tables of each modality that stand side by side."""
        return self._of_tables("parts")

    @property
    def weights(self) -> tuple[list[float], ...]:
        """Weights of these tables."""
        return self._of_tables("weights")

    def _of_tables(self, word: str) -> tuple[list[Any], ...]:
        heads = [self.arrays.get(f"{name}/header") for name in self.names]  # of a grounding run there are none
        return tuple([] if head is None else json.loads(str(head[()]))["options"][word] for head in heads)

    @property
    def best_step(self) -> int:
        """The step whose parameters these are."""
        return self.step

    def transform(self, side: int, rows: np.ndarray) -> np.ndarray:
        """Raw rows [n, d] of a modality, by its number, to unit rows [n, dim] of the joint space.

        Raises:
          RunError: they are no numbers, as the training ended in NaN.
        """
        z = self.embed(self.names[side], rows) if len(rows) else np.zeros((0, self.config.model.dim), np.float32)
        if not np.isfinite(z).all():
            raise checks.RunError(
                f"the training ended in NaN: its rows of {self.names[side]} are no numbers. Lower optimizer.lr and train again."
            )
        return z

    def similarity(self, x: np.ndarray, y: np.ndarray, sides: tuple[int, int] = (0, 1)) -> np.ndarray:
        """Cosines [n, m] of raw rows of two modalities."""
        return cosines(self.transform(sides[0], x), self.transform(sides[1], y))

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays for `numpy.savez`; no pickle."""
        head = dict(config=self.config.to_dict(), info=self.info, step=self.step)
        leaves = {f"params/{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(self.params))}
        return {"head": np.array(json.dumps(head)), **{f"data/{key}": value for key, value in self.arrays.items()}, **leaves}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Model:
        """The model that `to_arrays` wrote, to the last bit."""
        head = json.loads(str(np.asarray(arrays["head"])[()]))
        data = {key.removeprefix("data/"): np.asarray(arrays[key]) for key in arrays if key.startswith("data/")}
        made = cls(config_lib.load(head["config"]), head["info"], data, None, head["step"])
        abstract = jax.eval_shape(lambda: made.model.init(jax.random.key(0)))
        leaves, tree = jax.tree.flatten(abstract)
        found = [np.asarray(arrays[f"params/{i}"]) for i in range(len(leaves))]
        for leaf, wanted in zip(found, leaves, strict=True):
            same = (leaf.shape, leaf.dtype) == (wanted.shape, wanted.dtype)
            checks.require(same, "model", got=f"parameters {leaf.dtype}{list(leaf.shape)}", wanted=str(wanted))
        return dataclasses.replace(made, params=jax.tree.unflatten(tree, found))

    def __reduce__(self) -> tuple:
        return Model.from_arrays, (self.to_arrays(),)

    @property
    def best_is_start(self) -> bool:
        """Whether the best step is the start, random or closed form: no step of training was better on the validation rows."""
        return self.step == 0

    def embed(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Raw rows [n, d] of modality `name` to unit rows [n, dim] of the joint space."""
        return self._embedder(self.params, name, rows)


@dataclasses.dataclass(frozen=True)
class Run(Model):
    """A finished (or interrupted) run, read from its folder."""

    workdir: Path
    state: Any

    def evaluate(self, split: str = "test", *, tables: tuple | None = None) -> dict[str, float]:
        """Metrics of the best parameters on a split of the run's data; `tables` where their source is "arrays".

        Raises:
          InputError: the data are not what they were in training: another split might hold rows that were trained on.
        """
        data = self.task.load(self.config, tables=tables)
        changed = _changed(self.info, getattr(data, "fingerprints", {}))
        got, wanted = f"other rows of {', '.join(changed)} than {self.workdir} was trained on", "the same"
        remedy = "Put the old data back, or train again in another folder."
        checks.require(not changed, "data", got=got, wanted=wanted, remedy=remedy)
        return self.task.evaluator(self.model, data)(self.params, split)


def load_run(workdir: str | Path) -> Run:
    """Read the best parameters of the run in `workdir`, on any number of devices; it only reads, also beside a run that trains.

    Raises:
      InputError: the folder holds no run, no whole checkpoint, or a file that is not what was written.
    """
    from gera_jax.training.terms import build_optimizer

    workdir = Path(workdir).absolute()
    folder = workdir / CHECKPOINTS
    wanted, remedy = "the folder of a run", AGAIN if saved_steps(folder) else "gera-jax train --workdir writes one."
    checks.require((workdir / HEADER).is_file(), "workdir", got=f"{workdir} without {HEADER}", wanted=wanted, remedy=remedy)
    info, arrays = read_header(workdir)
    config = config_lib.load(workdir / CONFIG)
    task = find_task(config.task)
    model = task.model(config, info)
    optimizer = build_optimizer(config.optimizer.to_dict(), 1)
    abstract = jax.eval_shape(lambda: initial_state(config, model.init(jax.random.key(0)), optimizer, info["queue"]))
    damaged: list[str] = []
    found = newest(folder, abstract, damaged=lambda step, error: damaged.append(f"step {step}: {error.name} is {error.got}"))
    told = "; ".join(damaged)
    got, wanted = f"{workdir} without a whole checkpoint ({told or 'there is none'})", "a run that has saved"
    remedy = "Put back a copy, or run the command that made the run again." if damaged else "Train it first."
    checks.require(found is not None, "workdir", got=got, wanted=wanted, remedy=remedy)
    if damaged:
        logger.warning("%s: the checkpoint of step %d is used, as a newer one is damaged (%s)", workdir, found.step, told)
    return Run(config, info, arrays, found.state.best, found.loop["best_step"], workdir, found.state)
