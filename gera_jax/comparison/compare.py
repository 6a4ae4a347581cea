"""A whole comparison: its arguments are checked, its cells measured, and the results written as JSON and as a page."""

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
from typing import Any

from gera_jax import checks
from gera_jax._version import __version__
from gera_jax.aligners.methods import Method, compared, find
from gera_jax.comparison import scoring, selection
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.progress import Progress
from gera_jax.comparison.sweep import cores, sweep
from gera_jax.comparison.task import Task
from gera_jax.files import DamagedError, one_writer, read_json, write_json
from gera_jax.training.overview import overview, overview_text

PACKAGES = ("jax", "flax", "optax", "numpy", "scipy")


def run_compare(
    task: Task,
    *,
    methods: Sequence[str] = (),
    counts: Sequence[int] = (),
    seeds: int = 5,
    budget: int = selection.BUDGET,
    metric: str = selection.METRIC,
    output: str | os.PathLike | None = None,
    jobs: int | None = None,
    progress: bool = False,
    preset: str = "",
) -> Comparison:
    """Methods x pair counts x seeds on one task.

    Args:
      task: of `make_task`.
      methods: names of `methods()`; () = all.
      counts: numbers of known pairs; () = the usual ones that there are pairs for.
      seeds: how many; a seed is a split, a draw of pairs and a start.
      budget: settings that a method may try.
      metric: by which they are chosen, on validation rows.
      output: folder of `cells.jsonl` (a killed sweep goes on there), `results.json` and `report.html`; None = nothing is written.
      jobs: processes; None = one for each core.
      progress: what is compared, an estimate of the time, then a bar, on the error stream.
      preset: the name of what the rest was taken from; the report then says how to compare all methods.

    Raises:
      InputError: whatever is wrong with the arguments, the data or the folder, before the first fit.
    """
    began = time.monotonic()
    seeds, budget = checks.whole(seeds, "seeds", least=1), checks.whole(budget, "budget", least=1)
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
    scoring.require_metric(metric, data.names[:2])
    folder = None if output is None else Path(output)
    seen = overview(data)
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
            rule=selection.rule(budget, metric),
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
    checks.require(
        not model,
        "output",
        got=f"{folder}, which holds a model",
        wanted="an empty folder or one of the same comparison",
        remedy="Choose another --output.",
    )
    with checks.disk_room(folder), one_writer(folder):
        old = task.fingerprints
        if (folder / "results.json").is_file():
            with contextlib.suppress(DamagedError):  # it is written again from the cells
                old = read_json(folder / "results.json")["info"].get("fingerprints")
        checks.require(
            old == task.fingerprints,
            "output",
            got=f"{folder}, which holds a comparison of other data",
            wanted="an empty folder or one of the same data",
            remedy="Choose another --output.",
        )
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
    words += [f"--metric {metric}"] if metric != selection.METRIC else []
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
