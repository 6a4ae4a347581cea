"""What a run may be about: the seam between the one loop and a kind of data, batch and model; and the tasks that there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from gera_jax.config.files import ConfigDict
from gera_jax.data import Pairs
from gera_jax.training.processes import Parallel
from gera_jax.training.terms import Rows

Array = jax.Array
Batch = Mapping[str, Array]


class BatchSampler(Protocol):
    """Batches as a pure function of the step; the seed is fixed when it is made."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every example comes at least once."""
        ...

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Fresh arrays [local shards, ...]: one global batch, the same whatever the number of shards, cut in order."""
        ...


class Evaluate(Protocol):
    """Metrics of parameters on one split."""

    def __call__(self, params: Any, split: str, *, full: bool = True) -> dict[str, float]: ...


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task on its data: all that a run needs of it.

    Args:
      data: the task's own; the loop only hands it on (`TrainResult.experiment.data`).
      model: anything with `init(key) -> params`, a pytree of arrays.
      sampler: gives the batches.
      examples: what an epoch goes through (pairs, videos, ...).
      batch_size: examples of a global batch, at most `examples`.
      masked: names of the inputs of which a batch may hold rows that do not exist (padding, or an item without them). Only
        for these are masks wired, so that a full device pays nothing.
      start: () -> the initial params, a function of the config's seed and the data alone.
      project: (params, input name, prepared rows [n, d]) -> rows of the joint space; compiled once.
      evaluate: see `Evaluate`; raises `InputError` for a split that is not in `splits`.
      splits: those of "val" and "test" that hold enough to be measured.
      info: JSON, with `names` (the inputs that `project` knows): what `Task.model` and `Task.embedder` need again, and what
        people want to read in run.json.
      arrays: fitted preprocessing; written to preprocess.npz.
    """

    data: Any
    model: Any
    sampler: BatchSampler
    examples: int
    batch_size: int
    masked: Collection[str]
    start: Callable[[], Any]
    project: Callable[[Any, str, np.ndarray], np.ndarray]
    evaluate: Evaluate
    splits: Collection[str]
    info: dict[str, Any]
    arrays: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Preflight:
    """What a task knows from a config and the headers of its files, without reading a row.

    Args:
      tables: name -> shape, for people.
      model: the model over the widths that the headers give.
      examples, batch_size: as in `Problem`; at most what the headers allow.
      batch: shapes of one shard of a batch.
    """

    tables: dict[str, tuple[int, ...]]
    model: Any
    examples: int
    batch_size: int
    batch: dict[str, jax.ShapeDtypeStruct]


class Task(Protocol):
    """A kind of run, chosen by `config.task`. It holds no state: what it makes of a config and data is a `Problem`.

    A new task is one file with these methods and a line in `experiment.TASKS`; the loop, the step, checkpoints, parallelism, the
    optimiser, terms and their schedules are shared, and know of the task only what stands here. They read these fields of a
    config: `task`, `seed`, `losses`, `buffers`, `optimizer`, the durations, `evals`, `checkpoint`, `log_every_steps`,
    `tensorboard` and `parallel`; all others (`data`, `model`, `batch`, ...) are the task's own.

    Order of calls in a run: `check`, `inputs` (terms are checked against it), `load`, `open`, `Problem.start`; then for each
    step, inside the compiled function, `context` and the terms; every `log_every_steps` `diagnose`; every
    `evals.every_steps` `Problem.evaluate`. A finished folder is read with `model` and `embedder`; `gera-jax evaluate` adds
    `load` and `evaluator`; `gera-jax check` calls `check`, `inputs` and `preflight`.
    """

    def check(self, config: ConfigDict) -> None:
        """Raise `InputError` for all that is wrong with the task's own blocks (`data`, `model`, `batch`, ...) and shows
        without data, unknown fields included (`config.require_fields`). Durations, optimizer, evals, checkpoint, buffers and
        losses are checked by the caller."""
        ...

    def inputs(self, config: ConfigDict, *, masked: Collection[str]) -> dict[str, Rows]:
        """Every key that `context` may be asked for under this config -> what is known of its rows.

        Args:
          masked: `Problem.masked`; for keys of other inputs `Rows.mask` is "" and no mask is wired.
        """
        ...

    def load(self, config: ConfigDict, *, tables: tuple | Pairs | None) -> Any:
        """The data of the `data` block, validated; `tables` where its source is "arrays"."""
        ...

    def open(self, config: ConfigDict, data: Any, *, parallel: Parallel, cache_dir: Path | None) -> Problem:
        """Model, sampler (for `parallel.shards`, of which `parallel.local_shards` are made here), start and measures."""
        ...

    def model(self, config: ConfigDict, info: Mapping[str, Any]) -> Any:
        """`Problem.model` again, from `Problem.info` as read back from JSON."""
        ...

    def context(
        self,
        config: ConfigDict,
        model: Any,
        params: Any,
        batch: Batch,
        *,
        wanted: Collection[str],
        key: Array | None = None,
        axis_name: str | None = None,
    ) -> dict[str, Array]:
        """The arrays of the keys in `wanted` (at least; keys it does not know are not its own) from one shard of a batch.

        Pure and traceable: it runs under jit, pmap, shard_map and `eval_shape`. Rows that several keys share are to be
        computed once.

        Args:
          key: the step's randomness, a function of (seed, step) alone and so the same on every device; None while measuring
            (no dropout). Draws that must not depend on the number of devices fold in a row's global position
            (`ops.collectives.row_offset`), others may fold in `lax.axis_index(axis_name)`.
          axis_name: mapped axis of the devices, or None.
        """
        ...

    def diagnose(self, model: Any, params: Any, batch: Batch, *, axis_name: str | None = None) -> dict[str, Array]:
        """Scalars on the state of the space, over the global batch: the same on every device. Traceable."""
        ...

    def projector(self, model: Any) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        """`Problem.project` of a model."""
        ...

    def evaluator(self, model: Any, data: Any) -> Evaluate:
        """`Problem.evaluate` of a model and data."""
        ...

    def embedder(
        self, model: Any, info: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Callable[[Any, str, np.ndarray], np.ndarray]:
        """(params, input name, raw rows) -> rows of the joint space, from `Problem.info` and `Problem.arrays` alone."""
        ...

    def preflight(self, config: ConfigDict, *, tables: tuple | Pairs | None = None) -> Preflight:
        """Shapes from the headers of the files, or of `tables` as in `load`."""
        ...
