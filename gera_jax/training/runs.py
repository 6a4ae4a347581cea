"""The folder of a run: what it was made from, and finding its parameters again."""

from __future__ import annotations

import contextlib
import dataclasses
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
from gera_jax.config.configdict import ConfigDict
from gera_jax.training.checkpoints import newest, saved_steps
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
        if files.read_json(workdir / HEADER)["files"][CONFIG] != files.file_digest(workdir / CONFIG):
            return
    lines = config_lib.differences(old, json.loads(config_lib.to_json(config))) if isinstance(old, dict) else []
    checks.require(
        not lines,
        "workdir",
        got=f"{workdir}, which holds a run of another config ({'; '.join(lines[:6])})",
        wanted="an empty folder or one of the same config",
        remedy="Choose another --workdir.",
    )


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
    checks.require(
        not changed,
        "workdir",
        got=f"{workdir}, which holds a run on other rows of {', '.join(changed)}",
        wanted="an empty folder or one of the same data",
        remedy="Choose another folder, or put the old data back.",
    )


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
    seals = {name: files.file_digest(workdir / name) for name in (CONFIG, PREPROCESS)}
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
            if files.file_digest(workdir / name) != seal:
                files.damaged(workdir / name, "its digest does not fit its content")
        return info, files.load_npz(workdir / PREPROCESS)
    except files.DamagedError as error:
        raise files.DamagedError(error.name, got=error.got, wanted=error.wanted, remedy=AGAIN) from error


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run, read from its folder: enough to project new rows without the training data."""

    workdir: Path
    config: ConfigDict
    info: dict[str, Any]
    task: Task
    model: Any
    params: Any
    step: int
    state: Any
    arrays: dict[str, np.ndarray]

    @property
    def best_is_start(self) -> bool:
        """Whether the best step is the start, random or closed form: no step of training was better on the validation rows."""
        return self.step == 0

    def embed(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Raw rows [n, d] of modality `name` to unit rows [n, dim] of the joint space."""
        return self.task.embedder(self.model, self.info, self.arrays)(self.params, name, rows)

    def evaluate(self, split: str = "test", *, tables: tuple | None = None) -> dict[str, float]:
        """Metrics of the best parameters on a split of the run's data; `tables` where their source is "arrays".

        Raises:
          InputError: the data are not what they were in training: another split might hold rows that were trained on.
        """
        data = self.task.load(self.config, tables=tables)
        changed = _changed(self.info, getattr(data, "fingerprints", {}))
        checks.require(
            not changed,
            "data",
            got=f"other rows of {', '.join(changed)} than {self.workdir} was trained on",
            wanted="the same",
            remedy="Put the old data back, or train again in another folder.",
        )
        return self.task.evaluator(self.model, data)(self.params, split)


def load_run(workdir: str | Path) -> Run:
    """Read the best parameters of the run in `workdir`, on any number of devices; it only reads, also beside a run that trains.

    Raises:
      InputError: the folder holds no run, no whole checkpoint, or a file that is not what was written.
    """
    from gera_jax.training import tasks
    from gera_jax.training.experiment import initial_state
    from gera_jax.training.optimizers import build_optimizer

    workdir = Path(workdir).absolute()
    folder = workdir / CHECKPOINTS
    checks.require(
        (workdir / HEADER).is_file(),
        "workdir",
        got=f"{workdir} without {HEADER}",
        wanted="the folder of a run",
        remedy=AGAIN if saved_steps(folder) else "gera-jax train --workdir writes one.",
    )
    info, arrays = read_header(workdir)
    config = config_lib.load(workdir / CONFIG)
    task = tasks.find(config.task)
    model = task.model(config, info)
    optimizer = build_optimizer(config.optimizer.to_dict(), 1)
    abstract = jax.eval_shape(lambda: initial_state(config, model.init(jax.random.key(0)), optimizer, info["queue"]))
    damaged: list[str] = []
    found = newest(folder, abstract, damaged=lambda step, error: damaged.append(f"step {step}: {error.name} is {error.got}"))
    told = "; ".join(damaged)
    checks.require(
        found is not None,
        "workdir",
        got=f"{workdir} without a whole checkpoint ({told or 'there is none'})",
        wanted="a run that has saved",
        remedy="Put back a copy, or run the command that made the run again." if damaged else "Train it first.",
    )
    if damaged:
        logger.warning("%s: the checkpoint of step %d is used, as a newer one is damaged (%s)", workdir, found.step, told)
    return Run(workdir, config, info, task, model, found.state.best, found.loop["best_step"], found.state, arrays)
