"""From a config to everything that a run needs, checked before a minute is spent."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax.config.files import ConfigDict
from gera_jax.data import Pairs
from gera_jax.training.processes import Parallel
from gera_jax.training.step import TrainState, check_buffers, create_queues, make_steps, offer_queues, queue_inputs, queue_shapes
from gera_jax.training.task import Problem, Task
from gera_jax.training.terms import Term, build_optimizer, build_terms, describe_terms


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run that can start: `init_state()`, then `train_step(state, batch(step))` for each step."""

    config: ConfigDict
    task: Task
    problem: Problem
    terms: list[Term]
    parallel: Parallel
    total_steps: int
    train_step: Callable
    diagnose: Callable
    init_state: Callable[[], TrainState]
    info: dict[str, Any]
    summary: str

    @property
    def data(self) -> Any:
        """The task's data."""
        return self.problem.data

    @property
    def model(self) -> Any:
        """The task's model."""
        return self.problem.model

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The batch of a step: a pure function of (seed, step)."""
        return self.problem.sampler.batch(step)


def build(
    config: ConfigDict, *, tables: tuple | Pairs | None = None, data: Any = None, cache_dir: Path | None = None
) -> Experiment:
    """Check a config, load its data and build the run; the arguments are those of `training.train`."""
    task = check_config(config)
    parallel = Parallel.choose(config.parallel)
    data = task.load(config, tables=tables) if data is None else data
    problem = task.open(config, data, parallel=parallel, cache_dir=cache_dir)
    batch = {name: value[0] for name, value in problem.sampler.batch(0).items()}
    made = plan(
        config,
        task,
        problem.model,
        batch,
        masked=problem.masked,
        examples=problem.examples,
        batch_size=problem.batch_size,
        steps_per_epoch=problem.sampler.steps_per_epoch,
    )
    return Experiment(
        config,
        task,
        problem,
        made.terms,
        parallel,
        made.steps,
        parallel.wrap(made.train_step),
        parallel.wrap(made.diagnose),
        lambda: made.state(problem.start()),
        {**problem.info, "queue": made.queue},
        made.summary,
    )


class Plan(NamedTuple):
    """What follows from a config, a model and the shapes of a batch, without any row.

    Args:
      queue: shapes of the queues.
      state: params -> the state of step 0.
      summary: the terms and their arrays, for people.
    """

    steps: int
    terms: list[Term]
    queue: dict[str, list[int]]
    train_step: Callable
    diagnose: Callable
    state: Callable[[Any], TrainState]
    summary: str


def plan(
    config: ConfigDict,
    task: Task,
    model: Any,
    batch: Mapping[str, Any],
    *,
    masked: Collection[str] = (),
    examples: int,
    batch_size: int,
    steps_per_epoch: int,
) -> Plan:
    """The length of a run, its terms, its optimiser and its step, from the shapes of a shard of a batch."""
    steps = duration(config, examples=examples, batch_size=batch_size)
    optimizer = build_optimizer(config.optimizer.to_dict(), steps, steps_per_epoch=steps_per_epoch)
    inputs = task.inputs(config, masked=masked)
    with checks.refusing("model", got=dict(config.get("model", {})), wanted="a model that takes the batch"):
        shapes = jax.eval_shape(
            lambda rows: task.context(config, model, model.init(jax.random.key(0)), rows, wanted=inputs), dict(batch)
        )
    queue = queue_shapes(config.buffers, shapes, examples=examples)
    shapes = {**shapes, **jax.eval_shape(lambda: offer_queues(create_queues(queue)))}
    known = {**inputs, **queue_inputs(config.buffers)}
    terms = build_terms(config.losses.to_dict(), known, total_steps=steps, steps_per_epoch=steps_per_epoch)

    def state(params: Any) -> TrainState:
        return initial_state(config, params, optimizer, queue)

    step, diagnose = make_steps(config, task, model, terms, inputs, optimizer)
    return Plan(steps, terms, queue, step, diagnose, state, describe_terms(terms, shapes, total_steps=steps))


def preflight(config: ConfigDict, *, tables: Any = None) -> dict[str, Any]:
    """Tables, steps and terms of a config from the headers of its files: what `train` builds is built here too, on shapes alone.

    Returns:
      dict of `tables` (name -> shape), `steps`, `terms` (text).
    """
    task = check_config(config)
    found = task.preflight(config) if tables is None else task.preflight(config, tables=tables)
    per_epoch = -(-found.examples // found.batch_size)
    made = plan(
        config,
        task,
        found.model,
        found.batch,
        examples=found.examples,
        batch_size=found.batch_size,
        steps_per_epoch=per_epoch,
    )
    state = jax.eval_shape(lambda: made.state(found.model.init(jax.random.key(0))))
    with checks.refusing("config", got="a step that cannot be taken", wanted="losses and options that can be trained"):
        jax.eval_shape(made.train_step, state, dict(found.batch))
    return dict(tables={name: list(shape) for name, shape in found.tables.items()}, steps=made.steps, terms=made.summary)


def initial_state(config: ConfigDict, params: Any, optimizer: Any, queue: Mapping[str, list[int]]) -> TrainState:
    """The state of step 0."""
    average = params if config.optimizer.ema else ()
    start = jnp.zeros((), jnp.int32)
    return TrainState(start, params, optimizer.init(params), ema=average, best=params, buffers=create_queues(queue))


def check_config(config: ConfigDict) -> Task:
    """Everything about a config that shows without its data; returns its task."""
    task = find_task(config.get("task", "alignment"))
    task.check(config)
    duration(config, examples=1, batch_size=1)
    known = task.inputs(config, masked=())
    check_buffers(config.buffers, known)
    build_terms(config.losses.to_dict(), {**known, **queue_inputs(config.buffers)}, total_steps=1)
    return task


def duration(config: ConfigDict, *, examples: int, batch_size: int) -> int:
    """Steps of the run, from the one duration that is set."""
    given = {name: config[name] for name in config_lib.DURATIONS if config[name]}
    wanted = f"exactly one of {config_lib.DURATIONS}"
    checks.require(len(given) == 1, "duration", got=given or "none", wanted=wanted, remedy="Set the others to 0.")
    ((name, value),) = given.items()
    checks.require(value > 0, name, got=value, wanted="above 0")
    per_epoch = -(-examples // batch_size)  # as the sampler counts: every example comes at least once
    steps = {
        "total_steps": lambda: value,
        "total_epochs": lambda: int(value * per_epoch),
        "total_examples": lambda: -(-value // batch_size),
    }[name]()
    checks.require(steps < 2**31, name, got=f"{value}, which is {steps} steps", wanted="fewer than 2^31 steps")
    return steps


TASKS: dict[str, str | Task] = {  # name -> a task, or the "module:class" of one, loaded when it is asked for
    "alignment": "gera_jax.training.alignment:AlignmentTask",
    "grounding": "gera_jax.moments.task:GroundingTask",
}


def find_task(name: str) -> Task:
    """The task of a name."""
    checks.require_known(name, TASKS, "task")
    task = TASKS[name]
    return _load(task) if isinstance(task, str) else task


@functools.cache
def _load(path: str) -> Task:
    module, _, kind = path.partition(":")
    return getattr(importlib.import_module(module), kind)()
