"""The loop: build, restore or start, step, look, save, and tell the outside."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import shlex
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import checks, files, writers
from gera_jax import config as config_lib
from gera_jax.config.files import ConfigDict
from gera_jax.data import Pairs
from gera_jax.training import processes, runs
from gera_jax.training.checkpoints import Checkpoints
from gera_jax.training.experiment import Experiment, build
from gera_jax.training.step import TrainState
from gera_jax.writers import JsonLinesWriter

SWITCH = {"on": True, "off": False, "auto": "auto"}


class WriterHook:
    """A hook that hands metrics on to a writer."""

    def __init__(self, writer: writers.Writer):
        self._writer = writer

    def __call__(self, step: int, state: Any, metrics: Mapping[str, float]) -> None:
        del state
        self._writer.write(step, metrics)

    def close(self) -> None:
        self._writer.close()


def progress_hook(config: ConfigDict) -> WriterHook | None:
    """A line on the error stream with the time left; None where the length of the run depends on its data."""
    given = {name: config[name] for name in config_lib.DURATIONS if config[name]}
    if list(given) != ["total_steps"]:
        return None
    return WriterHook(writers.ProgressWriter(config.total_steps, names=("loss", f"val/{config.evals.metric}")))


def tensorboard_hook(config: ConfigDict, workdir: str | Path) -> WriterHook | None:
    """Event files in `workdir/tensorboard`, as the config's `tensorboard` says."""
    writer = writers.tensorboard_writer(Path(workdir) / "tensorboard", SWITCH[config.tensorboard])
    return None if writer is None else WriterHook(writer)


logger = logging.getLogger("gera_jax")
Hook = Callable[[int, TrainState, dict[str, float]], None]


@dataclasses.dataclass
class TrainResult:
    """What a run ends with: the best parameters by validation, and how it got there."""

    experiment: Experiment
    state: TrainState
    params: Any
    best_step: int
    best_metric: float
    history: list[dict[str, float]]
    seconds: float

    @property
    def best_is_start(self) -> bool:
        """Whether the best step is the start, random or closed form: no step of training was better on the validation rows."""
        return self.best_step == 0

    @property
    def splits(self) -> list[str]:
        """Those of "val" and "test" that hold enough to be measured."""
        return list(self.experiment.problem.splits)

    @property
    def names(self) -> tuple[str, ...]:
        """What `project` and the folder know rows by."""
        return tuple(self.experiment.info["names"])

    @property
    def overview(self) -> dict[str, Any] | None:
        """What was trained on, in counts."""
        return self.experiment.info.get("overview")

    def __str__(self) -> str:
        start = " (its start: no step was better on the validation rows)" if self.best_is_start else ""
        return f"best step {self.best_step} of {self.experiment.total_steps}{start}, {self.seconds:.1f} s"

    def project(self, name: str, features: np.ndarray) -> np.ndarray:
        """Unit rows of the joint space for preprocessed features of modality `name`."""
        return self.experiment.problem.project(self.params, name, features)

    def evaluate(self, split: str = "test") -> dict[str, float]:
        """Metrics of the best parameters on a split."""
        return self.experiment.problem.evaluate(self.params, split)


def train(
    config: ConfigDict,
    workdir: str | Path | None = None,
    *,
    tables: tuple | Pairs | None = None,
    data: Any = None,
    hooks: Iterable[Hook] = (),
    cache_dir: str | Path | None = None,
) -> TrainResult:
    """Train what `config` says; the same call on the same `workdir` goes on where a killed run stopped, to the same bits.

    Args:
      config: see `gera_jax.config.base`.
      workdir: folder of the run (config, metrics, checkpoints); None keeps everything in memory.
      tables: the `gera_jax.data.Table`s when `config.data.source` is "arrays".
      data: the task's data, already loaded, in place of what the `data` block describes.
      hooks: called with (step, state, metrics) whenever metrics are logged.
      cache_dir: where neighbour tables are kept; default: a `cache` folder beside the run's files.

    Raises:
      InputError: for a config or data that cannot work, or a workdir of another config or of other data.
      RunError: when the run had to stop (a signal, a full disk, a loss that is not finite); the message says how to go on.
    """
    began = time.monotonic()
    workdir = None if workdir is None else Path(workdir).absolute()
    checkpoints, log = None, None

    def finish() -> str:
        if checkpoints is None:
            return "Nothing was saved by this process."
        checkpoints.wait()
        return f"Whole checkpoints: steps {checkpoints.steps} in {workdir}."

    with contextlib.ExitStack() as closing:
        closing.enter_context(processes.Watch(finish))
        owned = workdir if processes.is_first() else None  # the folder that this process writes to
        if owned is not None:
            closing.enter_context(files.one_writer(owned))
            runs.require_same_config(owned, config)
        cache = Path(cache_dir) if cache_dir else workdir and workdir / "cache"
        experiment = build(config, tables=tables, data=data, cache_dir=cache)
        logger.info("%s", experiment.summary)
        state = experiment.init_state()
        loop = dict(best_metric=-np.inf, best_step=0, stale=0, last_metric=-np.inf)
        if owned is not None:
            runs.require_same_data(owned, experiment)
            checkpoints = Checkpoints(
                owned / runs.CHECKPOINTS,
                latest=config.checkpoint.latest,
                best=config.checkpoint.best,
                made_of=runs.made_of(experiment),
            )
            closing.callback(checkpoints.close)
            found = checkpoints.restore(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state))
            if found is not None:
                state, loop = found.state, found.loop
                logger.info("going on at step %d of %d", found.step, experiment.total_steps)
            runs.write_header(owned, experiment)  # once the checkpoints are known to be of this run
            log = JsonLinesWriter(owned / "metrics.jsonl")
            closing.callback(log.close)
            log.truncate(-1 if found is None else found.step)  # steps after the checkpoint are run, and logged, again
        state, loop = processes.from_first(state), json.loads(processes.text_from_first(json.dumps(loop)))
        loop_state = _Loop(experiment, jax.tree.map(jnp.asarray, state), loop, checkpoints, log, tuple(hooks), workdir)
        with _Interrupt() as interrupt:
            loop_state.run(interrupt)
    result = TrainResult(
        experiment,
        loop_state.state,
        loop_state.state.best,
        loop_state.loop["best_step"],
        loop_state.loop["best_metric"],
        loop_state.history,
        time.monotonic() - began,
    )
    if result.best_is_start:
        logger.info("the best step is the start: no step of training was better on %s", config.evals.metric)
    return result


@dataclasses.dataclass
class _Loop:
    experiment: Experiment
    state: TrainState
    loop: dict[str, Any]
    checkpoints: Checkpoints | None
    log: JsonLinesWriter | None
    hooks: tuple[Hook, ...]
    workdir: Path | None
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    unread: list[tuple[int, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def run(self, interrupt: _Interrupt) -> None:
        config, total = self.experiment.config, self.experiment.total_steps
        if int(self.state.step) == 0:
            self.evaluate(0)
        for step in range(int(self.state.step), total):
            if self.stopped_early():
                self.save(step)  # the last checkpoint may be older than the best parameters
                break
            batch = self.experiment.batch(step)
            self.state, metrics = self.experiment.train_step(self.state, batch)
            self.unread.append((step, metrics))  # read later, so that the host does not wait for every step
            done = step + 1
            if config.log_every_steps and (done % config.log_every_steps == 0 or done == total):
                self.report(done, batch)
            if done % config.evals.every_steps == 0 or done == total:
                self.evaluate(done)
            if done % config.checkpoint.every_steps == 0 or done == total:
                self.save(done)
            if interrupt.requested:
                self.stop(done, interrupt.requested)

    def stopped_early(self) -> bool:
        patience = self.experiment.config.evals.patience
        return bool(patience) and self.loop["stale"] >= patience

    def report(self, done: int, batch: dict[str, np.ndarray]) -> None:
        self.require_finite()
        _, metrics = self.unread[-1]
        self.unread.clear()
        values = {**metrics, **self.experiment.diagnose(self.state, batch)}
        self.write(done, {name: float(value) for name, value in values.items()})

    def require_finite(self) -> None:
        """Every loss of every step so far is finite, or the run ends with the guilty term's name and its batch saved."""
        for step, metrics in self.unread:
            bad = sorted(name for name, value in metrics.items() if not np.isfinite(np.asarray(value)))
            if bad:
                terms = [name.removeprefix("loss/") for name in bad if name.startswith("loss/")]
                where = ""
                if self.workdir is not None:
                    path = self.workdir / f"not_finite_step_{step}{processes.suffix()}.npz"
                    files.save_npz(path, self.experiment.batch(step))
                    where = f" Its batch is in {path}."
                raise checks.RunError(
                    f"step {step}: {', '.join(terms) or bad[0]} is not finite.{where} The last checkpoint is whole. "
                    "Lower optimizer.lr or the weight of that term, or look for extreme rows in the data."
                )

    def evaluate(self, done: int) -> None:
        self.require_finite()
        params = self.state.ema if self.experiment.config.optimizer.ema else self.state.params
        problem = self.experiment.problem
        metrics = problem.evaluate(params, "val", full=False) if "val" in problem.splits else {}
        wanted = self.experiment.config.evals.metric
        if metrics:
            checks.require_known(wanted, metrics, "evals.metric")
        value = float(metrics.get(wanted, done))  # with no validation rows the newest parameters are the best
        better = value > self.loop["best_metric"]
        self.loop.update(last_metric=value, stale=0 if better else self.loop["stale"] + 1)
        if better:
            self.loop.update(best_metric=value, best_step=done)
            self.state = self.state._replace(best=params)
        self.write(done, {f"val/{name}": number for name, number in metrics.items()})

    def write(self, step: int, metrics: dict[str, float]) -> None:
        entry = {"step": step, **metrics}
        self.history.append(entry)
        if self.log is not None:
            self.log.write(step, metrics)
        for hook in self.hooks:
            hook(step, self.state, metrics)

    def save(self, done: int) -> None:
        if self.checkpoints is not None:
            self.require_finite()
            self.checkpoints.save(done, self.state, self.loop)

    def stop(self, done: int, name: str) -> None:
        if self.checkpoints is None or self.workdir is None:
            why = "the run has no workdir" if self.workdir is None else "the first process saves, and this is another"
            raise checks.RunError(f"{name}: stopped after step {done}; nothing was saved, as {why}.")
        self.save(done)
        self.checkpoints.wait()
        again = (
            f"Go on with: gera-jax train --config {shlex.quote(str(self.workdir / runs.CONFIG))} "
            f"--workdir {shlex.quote(str(self.workdir))}"
        )
        if self.experiment.config.data.get("source") == "arrays":  # a config does not hold them
            again = "Go on with the same command or call."
        raise checks.RunError(f"{name}: stopped after step {done} of {self.experiment.total_steps}, all saved. {again}")


class _Interrupt:
    """Remembers SIGTERM and SIGINT until the step is over; a second signal acts at once."""

    requested = ""

    def __enter__(self) -> _Interrupt:
        self._old = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not the main thread: then signals are the caller's business
                self._old[number] = signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: Any) -> None:
        del frame
        self.requested = signal.Signals(number).name
        signal.signal(number, self._old[number])

    def __exit__(self, *error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
