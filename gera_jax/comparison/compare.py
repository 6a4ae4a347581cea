"""A whole comparison: presets, checked arguments, an estimate of its time and a bar, and the results as JSON and as a page."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax._version import __version__
from gera_jax.aligners.methods import Method, compared, find
from gera_jax.checks import require, require_known
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.sweep import Cell, cores, sweep
from gera_jax.comparison.task import BUDGET, METRIC, Task, require_metric, rule
from gera_jax.config import schema
from gera_jax.files import DamagedError, one_writer, read_json, write_json
from gera_jax.training.evaluate import overview, overview_text
from gera_jax.writers import duration

# What is not given is taken from here; `source` goes to the task. Two seeds give an interval, three one that is worth something.
# The quickstart leaves Gentle-CLIP out, as one of its fits takes as long as one of each of the others together.
PRESETS: dict[str, dict[str, Any]] = {
    "": dict(seeds=5, budget=4),
    "quick": dict(methods=("auto", "ridge_cca", "kernel_cca", "csa", "contrastive"), seeds=3, budget=2),
    "quickstart": dict(
        methods=("auto", "ridge_cca", "contrastive", "gera", "structure", "m3mix", "sspc"), counts=(50, 200), seeds=2, budget=1
    ),
    "smoke": dict(methods=("auto", "ridge_cca", "procrustes"), counts=(50, 100), seeds=1, budget=1, source=dict(test=100)),
}


def fill(preset: str, rule: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rule of a comparison with what was not given (None, or nothing in it) from a preset, and the preset's source.

    >>> fill("quick", dict(methods=("asif",), counts=(), seeds=None, budget=None))
    ({'methods': ('asif',), 'counts': (), 'seeds': 3, 'budget': 2}, {})
    """
    require_known(preset, PRESETS, "preset")
    usual = PRESETS[preset]
    missing = {name for name, value in rule.items() if value is None or (hasattr(value, "__len__") and len(value) == 0)}
    return {name: usual.get(name, value) if name in missing else value for name, value in rule.items()}, usual.get("source", {})


def spread(counts: Sequence[int], most: int = 3) -> tuple[int, ...]:
    """At most so many of the counts, the first and the last among them.

    >>> spread((20, 50, 100, 200, 500, 1000)), spread((20, 50))
    ((20, 100, 1000), (20, 50))
    """
    last = len(counts) - 1
    chosen = range(len(counts)) if len(counts) <= most else (round(last * i / (most - 1) - 0.01) for i in range(most))
    return tuple(counts[i] for i in chosen)


def configured(config: Any, beside: Mapping[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The data and the rule of a comparison that a block or a file describes; nothing may be given beside it."""
    given = [name for name, value in beside.items() if value is not None and not (hasattr(value, "__len__") and len(value) == 0)]
    remedy = "Write them into the config's file."
    require(not given, "config", got=f"a config and {', '.join(given)}", wanted="one of them", remedy=remedy)
    block = {**schema.defaults(schema.COMPARISON), **config_lib.read(config).to_dict()}
    config_lib.require_fields(block, schema.COMPARISON, "comparison")
    rule = {name: block.pop(name) for name in ("methods", "counts", "seeds", "budget", "metric")}
    own = {name: value for name, value in block.items() if value}  # 0 stands for the rule
    return own.pop("data", None), own, {**rule, "counts": tuple(rule["counts"])}


# One fit, by needs_validation: of next to no rows, and of 2,000 to 5,000. It grows with the rows
# between them, and beyond them in proportion. The latter are means of benchmarks/results/label_efficiency_field.jsonl.
CPU_SECONDS = {False: (0.0, 1.5), True: (1.0, 5.0)}
FEW_ROWS, MANY_ROWS = 2_000, 5_000


class Progress:
    """A tqdm bar in CPU seconds, of which each cell has the share that its method took so far.

    Args:
      methods: the field; each has `name`, `label`, `settings` and `needs_validation`.
      counts, seeds: of the sweep.
      budget: settings that a method may try.
      rows: of the larger table.
      jobs: processes.
      stream: where the bar is drawn; None = the error stream.

    Call it with (cell, cells that are done, cells in all) for each cell that was measured.
    """

    def __init__(
        self,
        methods: Sequence[Any],
        counts: Sequence[int],
        seeds: Sequence[int],
        *,
        budget: int,
        rows: int = FEW_ROWS,
        jobs: int = 1,
        stream: TextIO | None = None,
    ):
        self.labels, self.jobs = {m.name: m.label for m in methods}, jobs
        self.order = [(m.name, count) for _ in seeds for count in counts for m in methods]
        self.prior = {m.name: _usual_seconds(m.needs_validation, rows) * min(budget, len(m.settings)) for m in methods}
        self.taken: dict[tuple[str, int], list[float]] = {}
        self.stream = sys.stderr if stream is None else stream
        self.bar: tqdm | None = None
        self.began = time.time()

    def estimate(self) -> str:
        """How long the sweep will take if nothing is remembered, from the size and the usual cost of its methods.

        >>> from types import SimpleNamespace
        >>> trained = SimpleNamespace(name="a", label="A", settings=({}, {"lr": 1}), needs_validation=True)
        >>> Progress([trained], (20, 50), (0, 1, 2), budget=2, jobs=2).estimate()
        '6 cells, about 30s in 2 processes (1m00s of CPU time)'
        """
        cpu = self.left(0)
        wall, processes = duration(cpu / self.jobs), "1 process" if self.jobs == 1 else f"{self.jobs} processes"
        return f"{len(self.order):,} cells, about {wall} in {processes} ({duration(cpu)} of CPU time)"

    def left(self, done: int) -> float:
        """CPU seconds of the cells behind the first `done`: as their method took so far, at their count where known."""
        spent = {name: [s for (m, _), values in self.taken.items() if m == name for s in values] for name in self.prior}
        usual = sum(self.prior[name] * len(values) for name, values in spent.items())
        speed = sum(map(sum, spent.values())) / usual if usual else 1.0  # of this machine, beside the one of the usual costs

        def expected(name: str, count: int) -> float:
            seen = self.taken.get((name, count)) or spent[name]
            return sum(seen) / len(seen) if seen else speed * self.prior[name]

        return sum(expected(*cell) for cell in self.order[done:])

    def __call__(self, cell: Cell, done: int, total: int) -> None:
        seconds = sum(trial[2] for trial in cell.trials)
        self.taken.setdefault((cell.method, cell.pairs), []).append(seconds)
        spent, left = sum(map(sum, self.taken.values())), self.left(done)
        if self.bar is None:
            form = "{desc} |{bar}| {elapsed} spent, about {remaining} left"
            self.bar = tqdm(total=spent + left, bar_format=form, file=self.stream, smoothing=0, mininterval=0, dynamic_ncols=True)
            self.bar.start_t = self.began  # processes that start and programs that compile count, too
        self.bar.total = max(spent + left, 1e-9)
        where = f"{self.labels[cell.method]}, {cell.pairs:,} pairs"
        self.bar.set_description_str(f"{done}/{total} cells, {duration(spent)} CPU, {where}", refresh=False)
        self.bar.update(spent - self.bar.n)
        if cell.error:
            self.bar.write(f"{where}, seed {cell.seed} failed: {cell.error}", file=self.stream)
        if done == total:
            self.bar.close()


MOST_SEEDS = 10_000
PACKAGES = ("jax", "flax", "optax", "numpy", "scipy")


def _usual_seconds(trained: bool, rows: int) -> float:
    least, usual = CPU_SECONDS[trained]
    return (least + (usual - least) * min(1.0, rows / FEW_ROWS)) * max(1.0, rows / MANY_ROWS)


def run_compare(
    task: Task,
    *,
    methods: Sequence[str] = (),
    counts: Sequence[int] = (),
    seeds: int = 5,
    budget: int = BUDGET,
    metric: str = METRIC,
    output: str | os.PathLike | None = None,
    jobs: int | None = None,
    progress: bool = False,
    preset: str = "",
) -> Comparison:
    """Methods x pair counts x seeds on one task; see `gera_jax.compare`, which fills in what is not given.

    A folder `output` gets cells.jsonl, by which a killed sweep goes on, results.json and report.html. `preset` names what the
    rest was taken from: the report then says how to compare all methods.
    """
    began = time.monotonic()
    seeds, budget = checks.whole(seeds, "seeds", least=1, most=MOST_SEEDS), checks.whole(budget, "budget", least=1)
    jobs = cores() if jobs is None else checks.whole(jobs, "jobs", least=1)
    field = compared(methods)
    for name in ("val", "test"):
        checks.require(getattr(task, name) >= 2, name, got=getattr(task, name), wanted="at least 2 items")
    sets = len(task.pairs.names)
    checks.require(sets == 2, "data", got=f"{sets} modalities", wanted="a set of two modalities", remedy="Leave one out.")
    numbers = tuple(range(seeds))
    with checks.refusing("counts", got=counts, wanted="numbers of known pairs"):
        asked = tuple(counts)
    counts = task.counts(asked, numbers)
    data = task.data(counts[-1], 0)
    require_metric(metric, data.names[:2])
    folder = None if output is None else checks.place(output, "output")
    seen = overview(data.train, data.val, data.test)
    show = Progress(field, counts, numbers, budget=budget, rows=max(seen["rows"].values()), jobs=jobs) if progress else None
    if show:
        known = f"known pairs: {', '.join(f'{c:,}' for c in counts)}; {len(field)} methods, {seeds} seeds"
        print(overview_text(seen), known, show.estimate(), sep="\n", file=sys.stderr, flush=True)
    with _written(folder, task):
        cells = sweep(
            task,
            field,
            counts,
            numbers,
            budget=budget,
            metric=metric,
            cells=folder and folder / "cells.jsonl",
            jobs=jobs,
            on_cell=show,
        )
        found = Comparison(
            names=tuple(data.names[:2]),
            labels={m.name: m.label for m in field},
            published=frozenset(m.name for m in field if m.published),
            counts=counts,
            seeds=numbers,
            cells=cells,
            gallery=max(seen["gallery"].values()),
            metric=metric,
            meet=seen["meet"],
        )
        found.info.update(
            task.describe(),
            flags=task.flags,
            preset=preset,
            data=seen,
            fingerprints=task.fingerprints,
            look=task.look,
            test=list(seen["gallery"].values()),
            pool={name: len(rows) for name, rows in data.pool.items()},
            rule=rule(budget, metric),
            budget=budget,
            versions={"gera_jax": __version__, **{name: metadata.version(name) for name in PACKAGES}},
            seconds=round(time.monotonic() - began, 1),
            jobs=jobs,
            command=compare_command(task, field if methods else (), asked, seeds=seeds, budget=budget, metric=metric),
        )
        found.info["train"] = train_command(task, found, {m.name: m for m in field})
        if folder is not None:
            write_json(folder / "results.json", found.to_dict())
            found.report(folder / "report.html")
            found.info["report"] = str(folder / "report.html")
    return found


@contextlib.contextmanager
def _written(folder: Path | None, task: Task) -> Iterator[None]:
    """Hold a comparison's folder as its only writer; refuse one that holds a model, or a comparison of other data."""
    if folder is None:
        yield
        return
    model = [name for name in ("aligner.npz", "run.json") if (folder / name).exists()]
    wanted = "an empty folder or one of the same comparison"
    checks.require(not model, "output", got=f"{folder}, which holds a model", wanted=wanted, remedy="Choose another --output.")
    with checks.disk_room(folder), one_writer(folder):
        old = task.fingerprints
        if (folder / "results.json").is_file():
            with contextlib.suppress(DamagedError):  # it is written again from the cells
                old = read_json(folder / "results.json")["info"].get("fingerprints")
        got, wanted = f"{folder}, which holds a comparison of other data", "an empty folder or one of the same data"
        checks.require(old == task.fingerprints, "output", got=got, wanted=wanted, remedy="Choose another --output.")
        yield


def method_word(method: Method) -> str:
    """What the command line calls a method; "" where it has no word for it, such as for an object."""
    if not isinstance(getattr(method.kind, "target", ""), str):
        return ""
    for word in (method.name, getattr(method.kind, "spec", "")):  # a config's file goes by its stem in tables
        with contextlib.suppress(checks.InputError):
            if isinstance(word, str) and find(word).kind == method.kind:
                return word
    return ""


def compare_command(task: Task, methods: Sequence[Method], counts: Sequence[int], *, seeds: int, budget: int, metric: str) -> str:
    """The command that repeats the comparison. Options at their defaults are left out, but not the sizes of val and test."""
    words = ["gera-jax compare", task.flags, task.options, f"--seeds {seeds} --budget {budget}"]
    words += [f"--methods {shlex.quote(','.join(method_word(m) or m.name for m in methods))}"] if methods else []
    words += [f"--counts {','.join(map(str, counts))}"] if counts else []
    words += [f"--metric {metric}"] if metric != METRIC else []
    return " ".join(words)


def train_command(task: Task, found: Comparison, field: Mapping[str, Method]) -> str:
    """The command that fits the recommended method, with the setting that most seeds chose, on every pair there is.

    It is "" where nothing is recommended, and where the command line cannot name the method.
    """
    method = field.get(found.recommended)
    if method is None or not method_word(method):
        return ""
    chosen = [json.dumps(dict(cell.setting), sort_keys=True) for cell in found.at(found.recommended, found.counts[-1])]
    setting: Mapping[str, Any] = json.loads(max(chosen, key=chosen.count))
    words = [f"--set {shlex.quote(f'{key}={value}')}" for key, value in setting.items()]
    words += [task.flags, task.split_flags] if method.needs_validation else [task.flags]
    return " ".join(["gera-jax fit", f"--method {shlex.quote(method_word(method))}", *filter(None, words), "--output winner"])
