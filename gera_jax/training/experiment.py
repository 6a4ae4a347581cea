"""From a config to everything that a run needs, checked before a minute is spent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from gera_jax import baselines, checks
from gera_jax import config as config_lib
from gera_jax.data import AlignmentData, Sampler, build_data
from gera_jax.models import TwoTower
from gera_jax.objectives import Term, build_terms, describe_terms
from gera_jax.training.neighbours import neighbour_table
from gera_jax.training.optimizers import build_optimizer
from gera_jax.training.parallel import Parallel
from gera_jax.training.step import TrainState, make_context, make_steps

STARTS = {
    "ridge_cca": baselines.RidgeCCA,
    "procrustes": baselines.Procrustes,
    "random": None,
}
MAX_START_PAIRS = 20_000  # a linear map is known long before; the solvers hold several float64 copies of their rows


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run that can start: `init_state()`, then `train_step(state, batch(step))` for each step."""

    config: ConfigDict
    data: AlignmentData
    model: TwoTower
    terms: list[Term]
    sampler: Sampler
    parallel: Parallel
    total_steps: int
    train_step: Callable
    diagnose: Callable
    init_state: Callable[[], TrainState]
    summary: str

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step: a pure function of (seed, step)."""
        return self.sampler.batch(step)


def build(config: ConfigDict, *, tables: tuple | None = None, cache_dir: Path | None = None) -> Experiment:
    """Check a config, load its data and build the run.

    Args:
      config: see `gera_jax.config.base`.
      tables: two `gera_jax.data.Table`s when `data.source` is "arrays".
      cache_dir: where neighbour tables are kept by the hash of what they were made from.

    Raises:
      InputError: for anything in the config or the data that cannot work.
    """
    check_config(config)
    data = build_data(config.data.to_dict(), tables=tables)
    parallel = Parallel.choose(config.parallel)
    neighbours = {name: neighbour_table(data, name, graph, seed=config.seed, cache_dir=cache_dir)
                  for name, graph in config.graphs.items()}
    sampler = Sampler(data, seed=config.seed, batch_size=config.batch.pairs, anchors=config.batch.anchors,
                      neighbours=neighbours, unpaired=config.batch.unpaired, shards=parallel.shards,
                      local_shards=parallel.local_shards)
    total_steps = duration(config, pairs=len(data.pairs))
    widths = {name: data.features[name].dim for name in data.names}
    model = build_model(config, widths)
    optimizer = build_optimizer(config.optimizer.to_dict(), total_steps)

    first = sampler.batch(0)
    example = {name: value[0] for name, value in first.items()}
    padded = parallel.shards > 1 or not first["mask"].all()  # one device that is full needs no mask in its losses
    known = available_inputs(config, data.names, padded=padded)
    terms = build_terms(config.losses.to_dict(), known, total_steps=total_steps)
    shapes = jax.eval_shape(lambda batch: make_context(model, model.init(jax.random.key(0)), batch, wanted=known), example)
    summary = describe_terms(terms, shapes)
    step, diagnose = make_steps(model, terms, optimizer, seed=config.seed, ema=config.optimizer.ema)

    def init_state() -> TrainState:
        params = start(config, model, data)
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt=optimizer.init(params),
                          ema=params if config.optimizer.ema else (), best=params, buffers={})

    return Experiment(config, data, model, terms, sampler, parallel, total_steps, parallel.wrap(step),
                      parallel.wrap(diagnose), init_state, summary)


def check_config(config: ConfigDict) -> None:
    """Everything about a config that shows without its data."""
    config_lib.require_fields(config.to_dict())
    duration(config, pairs=1)
    checks.require_known(config.model.init, STARTS, "model.init")
    checks.require_known(config.tensorboard, ("auto", "on", "off"), "tensorboard")
    names = (config.data.x.name, config.data.y.name)
    for name, graph in config.graphs.items():
        checks.require_known(name, names, "modality of graphs")
        for field in graph:
            checks.require_known(field, config_lib.graph(""), f"field of graphs.{name}")
    for block, least in ((config.batch, dict(pairs=1, anchors=0, unpaired=0)), (config.evals, dict(every_steps=1, patience=0)),
                         (config.checkpoint, dict(every_steps=1, latest=1, best=1)), (config, dict(log_every_steps=1))):
        for field, minimum in least.items():
            checks.require(block[field] >= minimum, field, got=block[field], wanted=f"at least {minimum}")
    checks.require(config.optimizer.lr > 0, "optimizer.lr", got=config.optimizer.lr, wanted="above 0")
    build_terms(config.losses.to_dict(), available_inputs(config, names), total_steps=1)


def available_inputs(config: Mapping, names: tuple[str, str], *, padded: bool = False) -> set[str]:
    """Keys that a term's inputs may name under this config."""
    known = {"logit_scale"} | ({"mask"} if padded else set()) | ({"groups"} if config["data"]["captions"] else set())
    for name in names:
        known |= {f"features.{name}", f"z.{name}"}
        if name in config["graphs"] and config["batch"]["anchors"]:
            known |= {f"neighbours.{name}", f"z.neighbours.{name}"}
        if config["batch"]["unpaired"]:
            known |= {f"unpaired.{name}", f"z.unpaired.{name}"}
    return known


def duration(config: Mapping, *, pairs: int) -> int:
    """Steps of the run, from the one duration that is set."""
    given = {name: config[name] for name in config_lib.DURATIONS if config[name]}
    checks.require(len(given) == 1, "duration", got=given or "none", wanted=f"exactly one of {config_lib.DURATIONS}",
                   remedy="Set the others to 0.")
    (name, value), = given.items()
    checks.require(value > 0, name, got=value, wanted="above 0")
    batch = min(config["batch"]["pairs"], pairs)
    per_epoch = max(1, pairs // batch)
    return {"total_steps": lambda: value, "total_epochs": lambda: int(value * per_epoch),
            "total_examples": lambda: -(-value // batch)}[name]()


def build_model(config: Mapping, widths: Mapping[str, int]) -> TwoTower:
    """The model of a config's `model` block over features of the given widths."""
    block = config["model"]
    return TwoTower(widths, head=block["head"], dim=block["dim"], temperature=block["temperature"],
                    learn_temperature=block["learn_temperature"], head_options=dict(block["options"]))


def start(config: Mapping, model: TwoTower, data: AlignmentData) -> dict[str, Any]:
    """Initial parameters: random, with the affine parts at a closed-form solution on the known pairs where one is asked for.

    With few pairs the closed form is far better than anything that gradients reach from a random start.
    """
    params = model.init(jax.random.key(config["seed"]))
    solver = STARTS[config["model"]["init"]]
    if solver is None:
        return params
    x_name, y_name = data.names
    pairs = data.pairs[:MAX_START_PAIRS]
    fitted = solver(**config["model"]["init_options"]).fit(
        data.features[x_name].take(pairs[:, 0]), data.features[y_name].take(pairs[:, 1]))
    params = model.start_at(params, x_name, fitted.x_weights, fitted.x_offset)
    return model.start_at(params, y_name, fitted.y_weights, fitted.y_offset)
