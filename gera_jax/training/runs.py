"""The folder of a run: what it was made from, and finding its parameters again."""

from __future__ import annotations

import dataclasses
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.data import Preprocessor
from gera_jax.models import TwoTower
from gera_jax.training.checkpoints import Checkpoints
from gera_jax.training.evaluate import projector

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


def write_header(workdir: Path, experiment: Any) -> None:
    """config.json, run.json (versions, data fingerprints, counts) and preprocess.npz; written once for each run."""
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() or (workdir / "run.json").is_file():
        return
    data = experiment.data
    arrays = {f"{name}/{key}": value for name in data.names for key, value in data.preprocessors[name].to_arrays().items()}
    np.savez(workdir / "preprocess.npz", **arrays)
    (workdir / "config.json").write_text(config_lib.to_json(experiment.config))
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "(not installed)"
    run = dict(versions=versions, fingerprints=dict(data.fingerprints), names=list(data.names),
               widths=dict(experiment.model.widths), pairs=len(data.pairs), val=len(data.val), test=len(data.test),
               pool={name: len(rows) for name, rows in data.pool.items()},
               raw_widths={name: int(data.tables[name].rows.shape[1]) for name in data.names})
    (workdir / "run.json").write_text(json.dumps(run, indent=2))  # last: its presence says that the header is whole


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run, read from its folder: enough to project new rows without the training data."""

    workdir: Path
    config: ConfigDict
    info: dict[str, Any]
    model: TwoTower
    params: Any
    step: int
    state: Any
    preprocessors: dict[str, Preprocessor]

    def embed(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Raw rows [n, d] of modality `name` to unit rows [n, dim] of the joint space."""
        checks.require_known(name, self.info["names"], "modality")
        wanted = self.info["raw_widths"][name]
        checks.require(rows.ndim == 2 and rows.shape[1] == wanted, f"rows of {name}", got=f"shape {list(rows.shape)}",
                       wanted=f"[n, {wanted}], as in training")
        return projector(self.model)(self.params, name, self.preprocessors[name](rows))


def load_run(workdir: str | Path) -> Run:
    """Read the best parameters of the run in `workdir`.

    Raises:
      InputError: if the folder holds no run, or no whole checkpoint.
    """
    from gera_jax.training.experiment import build_model
    from gera_jax.training.optimizers import build_optimizer
    from gera_jax.training.step import TrainState

    workdir = Path(workdir).absolute()
    checks.require((workdir / "run.json").is_file(), "workdir", got=f"{workdir} without run.json", wanted="the folder of a run",
                   remedy="gera-jax train --workdir writes one.")
    config = config_lib.load(workdir / "config.json")
    info = json.loads((workdir / "run.json").read_text())
    model = build_model(config, info["widths"])

    def abstract_state() -> TrainState:
        params = model.init(jax.random.key(0))
        optimizer = build_optimizer(config.optimizer.to_dict(), 1)
        return TrainState(step=np.zeros((), np.int32), params=params, opt=optimizer.init(params),
                          ema=params if config.optimizer.ema else (), best=params, buffers={})

    checkpoints = Checkpoints(workdir / "checkpoints", latest=config.checkpoint.latest, best=config.checkpoint.best)
    found = checkpoints.restore(jax.eval_shape(abstract_state))
    checkpoints.close()
    checks.require(found is not None, "workdir", got=f"{workdir} without a whole checkpoint", wanted="a run that has saved",
                   remedy="Train it first.")
    _, state, loop = found
    with np.load(workdir / "preprocess.npz", allow_pickle=False) as arrays:
        preprocessors = {
            name: Preprocessor.from_arrays({k.removeprefix(f"{name}/"): arrays[k] for k in arrays if k.startswith(f"{name}/")})
            for name in info["names"]}
    return Run(workdir, config, info, model, state.best, loop["best_step"], state, preprocessors)
