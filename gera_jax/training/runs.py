"""The folder of a run: what it was made from, and finding its parameters again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.training.checkpoints import Checkpoints
from gera_jax.training.task import Task

PACKAGES = ("gera_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def require_same_config(workdir: Path, config: ConfigDict) -> None:
    """Refuse a folder that holds a run of another config; the message lists what differs."""
    path = workdir / "config.json"
    if not path.is_file():
        return
    old, new = json.loads(path.read_text()), json.loads(config_lib.to_json(config))
    lines = config_lib.differences(old, new)
    checks.require(not lines, "workdir", got=f"{workdir}, which holds a run of another config ({'; '.join(lines[:6])})",
                   wanted="an empty folder or one of the same config", remedy="Choose another --workdir.")


def require_same_data(workdir: Path, info: Mapping[str, Any]) -> None:
    """Refuse a folder whose run had other data, even where the config names the same files; the message says which."""
    path = workdir / "run.json"
    if not path.is_file():
        return
    changed = _changed(json.loads(path.read_text()), info.get("fingerprints", {}))
    checks.require(not changed, "workdir", got=f"{workdir}, which holds a run on other rows of {', '.join(changed)}",
                   wanted="an empty folder or one of the same data", remedy="Choose another folder, or put the old data back.")


def _changed(info: Mapping[str, Any], fingerprints: Mapping[str, str]) -> list[str]:
    """Names of the tables that are not what they were when `info` was written."""
    old = info.get("fingerprints", {})
    return sorted(name for name in {*old, *fingerprints} if old.get(name) != fingerprints.get(name))


def write_header(workdir: Path, experiment: Any) -> None:
    """config.json, run.json (versions, data fingerprints, counts) and preprocess.npz; written once for each run."""
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() or (workdir / "run.json").is_file():
        return
    np.savez(workdir / "preprocess.npz", **experiment.problem.arrays)
    (workdir / "config.json").write_text(config_lib.to_json(experiment.config))
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "(not installed)"
    run = dict(versions=versions, **experiment.info)
    (workdir / "run.json").write_text(json.dumps(run, indent=2))  # last: its presence says that the header is whole


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
        checks.require(not changed, "data", got=f"other rows of {', '.join(changed)} than {self.workdir} was trained on",
                       wanted="the same", remedy="Put the old data back, or train again in another folder.")
        return self.task.evaluator(self.model, data)(self.params, split)


def load_run(workdir: str | Path) -> Run:
    """Read the best parameters of the run in `workdir`.

    Raises:
      InputError: if the folder holds no run, or no whole checkpoint.
    """
    from gera_jax.training import tasks
    from gera_jax.training.experiment import initial_state
    from gera_jax.training.optimizers import build_optimizer

    workdir = Path(workdir).absolute()
    checks.require((workdir / "run.json").is_file(), "workdir", got=f"{workdir} without run.json", wanted="the folder of a run",
                   remedy="gera-jax train --workdir writes one.")
    config = config_lib.load(workdir / "config.json")
    info = json.loads((workdir / "run.json").read_text())
    task = tasks.find(config.task)
    model = task.model(config, info)
    optimizer = build_optimizer(config.optimizer.to_dict(), 1)
    abstract = jax.eval_shape(lambda: initial_state(config, model.init(jax.random.key(0)), optimizer, info["queue"]))
    checkpoints = Checkpoints(workdir / "checkpoints", latest=config.checkpoint.latest, best=config.checkpoint.best)
    found = checkpoints.restore(abstract)
    checkpoints.close()
    checks.require(found is not None, "workdir", got=f"{workdir} without a whole checkpoint", wanted="a run that has saved",
                   remedy="Train it first.")
    _, state, loop = found
    with np.load(workdir / "preprocess.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    return Run(workdir, config, info, task, model, state.best, loop["best_step"], state, arrays)
