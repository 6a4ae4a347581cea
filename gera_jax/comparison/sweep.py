"""Methods x pair counts x seeds, cell by cell, each kept as a sealed line of JSON: a killed sweep goes on where it was."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, workers
from gera_jax._version import __version__
from gera_jax.aligners.kinds import Settings
from gera_jax.aligners.methods import Method
from gera_jax.comparison.task import Task, Trial, choose, draw, measure, scores_of, trials, validation_metrics
from gera_jax.data.alignment import AlignmentData
from gera_jax.files import json_line, parse_json_line
from gera_jax.training.evaluate import guessing

logger = logging.getLogger("gera_jax")
PROTOCOL = 4  # raised whenever what a cell measures changes, so that older cells are measured anew
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")


def cores() -> int:
    """Cores that this process may use: as many processes as a sweep has by default."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Cell:
    """One method on one number of pairs of one seed.

    Args:
      validation: the chosen trial's score on the validation rows.
      setting: the chosen trial's.
      trials: [(setting, validation score, CPU seconds)] in the order tried.
      metrics: of the test rows, see `measure`.
      chance: what guessing scores on the same rows, see `training.evaluate.guessing`.
      items: how many items the test rows are of.
      best_step: the step whose parameters a trained method kept, 0 = those that it started from; None for closed forms.
      cpu_seconds: of the chosen trial's fit, over all threads.
      examples: a few test queries and what was found for them, in words, see `draw`.
      error: in words, where the method could not be fitted; then `metrics` is empty.
    """

    method: str
    pairs: int
    seed: int
    validation: float = math.nan
    setting: Settings = dataclasses.field(default_factory=dict)
    trials: Sequence[Any] = ()
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    chance: Mapping[str, float] = dataclasses.field(default_factory=dict)
    items: int = 0
    best_step: int | None = None
    cpu_seconds: float = math.nan
    examples: Sequence[Any] = ()
    error: str = ""


def cell_key(task: Task, method: Method, pairs: int, seed: int, *, budget: int, metric: str) -> str:
    """Hash of everything that a cell's numbers come from: data, split, method with its code or config, settings, rule."""
    content = dict(
        protocol=PROTOCOL,
        version=__version__,
        data=task.fingerprints,
        task=task.describe(),
        preprocess=task.pairs.preprocess,
        method=method.name,
        code=method.fingerprint(),
        settings=[dict(setting) for setting in trials(method.settings, budget)],
        pairs=pairs,
        seed=seed,
        metric=metric,
    )
    return hashlib.blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()


def run_cell(task: Task, data: AlignmentData, method: Method, seed: int, *, budget: int, metric: str) -> Cell:
    """Fit every setting that the budget allows, keep the best on the validation rows, and score it on the test rows once."""
    where = dict(method=method.name, pairs=len(data.pairs), seed=seed)
    tried, fitted = [], []
    try:
        for setting in trials(method.settings, budget):
            began = time.process_time()
            made = method.fit(data, setting, seed=seed)
            seconds = time.process_time() - began
            found = validation_metrics(data, scores_of(data, made))
            tried.append(Trial(dict(setting), found[metric], seconds))
            fitted.append(made)
        best = choose(tried, metric)
        scores = scores_of(data, fitted[best])
        return Cell(
            **where,
            validation=tried[best].score,
            setting=tried[best].setting,
            trials=tried,
            cpu_seconds=tried[best].cpu_seconds,
            metrics=measure(data, scores),
            chance=guessing(data.test),
            items=data.test.item_count,
            best_step=fitted[best].best_step,
            examples=draw(data.test, scores, seed=seed),
        )
    except (checks.InputError, checks.RunError, np.linalg.LinAlgError) as error:  # this method cannot work here; others can
        return Cell(**where, trials=tried, error=str(error))


class Store:
    """Cells in a file of sealed JSON lines, by key. A line that was altered is passed over and measured again.

    A kill may leave half a line at the end. It goes when the next cell is written, so the file ends as that of a whole sweep.
    """

    def __init__(self, path: Path | None):
        self.path, self.cells, self.half = path, {}, 0
        if path is None or not path.is_file():
            return
        *lines, last = path.read_bytes().split(b"\n")
        self.half, faulty = len(last), 0
        for line in lines:
            try:
                entry = parse_json_line(line)
                key = entry.pop("key")
                self.cells[key] = Cell(**entry)
            except (ValueError, TypeError, KeyError):  # TypeError, KeyError: sealed by a version with other fields
                faulty += 1
        if faulty:
            logger.warning("%s: %d of %d cells are damaged or of an older version, and do not count", path, faulty, len(lines))

    def add(self, key: str, cell: Cell) -> None:
        """Keep a cell, on disk before the next one begins."""
        self.cells[key] = cell
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            if self.half:
                file.truncate(file.tell() - self.half)
                self.half = 0
            file.write(json_line({"key": key, **dataclasses.asdict(cell)}).encode())
            file.flush()
            os.fsync(file.fileno())


def sweep(
    task: Task,
    field: Sequence[Method],
    counts: Sequence[int],
    seeds: Sequence[int],
    *,
    budget: int,
    metric: str,
    cells: Path | None = None,
    jobs: int = 1,
    on_cell: Callable[[Cell, int, int], None] | None = None,
) -> list[Cell]:
    """Every cell of the field, measured or remembered, in the order seed, count, method.

    Args:
      cells: the file that remembers; None forgets. Failed cells are tried again.
      jobs: processes, each with one thread, also where one cell is left: other threads would round otherwise, and a sweep that
        was killed is to end as one that was not. 1 runs here, with as many threads as this process has.
      on_cell: called with (cell, cells that are done, cells in all) for each cell that was measured now.

    A process that is killed is a cell that is tried once more, and then a failed one.
    """
    store = Store(cells)
    wanted = [(method, count, seed) for seed in seeds for count in counts for method in field]
    keys = [cell_key(task, *cell, budget=budget, metric=metric) for cell in wanted]
    remembered = {key for key in keys if key in store.cells and not store.cells[key].error}
    todo = [(key, cell) for key, cell in zip(keys, wanted, strict=True) if key not in remembered]
    done = len(wanted) - len(todo)
    for key, cell in _measured(task, todo, budget=budget, metric=metric, jobs=jobs):
        store.add(key, cell)
        done += 1
        if on_cell is not None:
            on_cell(cell, done, len(wanted))
    return [store.cells[key] for key in keys]


Job = tuple[str, tuple[Method, int, int]]


def _measured(task: Task, todo: Sequence[Job], *, budget: int, metric: str, jobs: int) -> Iterator[tuple[str, Cell]]:
    here = _Here(task, budget, metric)
    stays = [job for job in todo if jobs == 1 or not job[1][0].portable]
    for key, cell in stays:
        yield key, here.measure(*cell)
    todo = [job for job in todo if job not in stays]
    if not todo:
        return
    sent = [cell for _, cell in todo]
    with _one_thread_each(), contextlib.closing(workers.each(sent, _begin, task, budget, metric, processes=jobs)) as found:
        for number, cell in found:
            if isinstance(cell, workers.Lost):
                method, count, seed = sent[number]
                cell = Cell(method.name, count, seed, error=str(cell))
            yield todo[number][0], cell


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children inherit the environment: NumPy reads its threads there at import, and JAX where compiled programs are kept."""
    import jax

    new = dict.fromkeys(THREADS, "1")
    if jax.config.jax_compilation_cache_dir:
        new |= dict(
            JAX_COMPILATION_CACHE_DIR=jax.config.jax_compilation_cache_dir,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
            JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
        )
    old = {name: os.environ.get(name) for name in new}
    os.environ.update(new)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Here:
    """A task in its process. The prepared data of the last two counts are kept, because all methods of a count use the same."""

    def __init__(self, task: Task, budget: int, metric: str):
        self.task, self.options = task, dict(budget=budget, metric=metric)
        self.data = functools.lru_cache(maxsize=2)(task.data)

    def measure(self, method: Method, count: int, seed: int) -> Cell:
        try:
            data = self.data(count, seed)
        except checks.InputError as error:  # this seed's split cannot work; another's can
            return Cell(method.name, count, seed, error=str(error))
        return run_cell(self.task, data, method, seed, **self.options)

    def __call__(self, job: tuple[Method, int, int]) -> Cell:
        method, count, seed = job
        return self.measure(method, count, seed)


def _begin(task: Task, budget: int, metric: str, slot: int) -> _Here:
    if hasattr(os, "sched_setaffinity"):  # XLA has as many threads as its process has cores
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[slot % len(cores)]})
    return _Here(task, budget, metric)
