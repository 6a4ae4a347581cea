"""The whole comparison: check, sweep, choose, write the table, the JSON and the page."""

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
from gera_jax.comparison import field as field_lib
from gera_jax.comparison import scoring, selection
from gera_jax.comparison.compare_report import write_compare_report
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.sweep import Cell, cores, sweep
from gera_jax.comparison.task import Task
from gera_jax.files import DamagedError, one_writer, read_json, write_json
from gera_jax.training.overview import overview, overview_text
from gera_jax.writers import duration

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
      progress: what is compared, then a line for each cell, on the error stream.

    Raises:
      InputError: whatever is wrong with the arguments, the data or the folder, before the first fit.
    """
    began = time.monotonic()
    seeds, budget = checks.whole(seeds, "seeds", least=1), checks.whole(budget, "budget", least=1)
    jobs = cores() if jobs is None else checks.whole(jobs, "jobs", least=1)
    field = field_lib.find(methods)
    for name in ("val", "test"):
        checks.require(getattr(task, name) >= 2, name, got=getattr(task, name), wanted="at least 2 items")
    numbers = tuple(range(seeds))
    with checks.refusing("counts", got=counts, wanted="numbers of known pairs"):
        asked = tuple(counts)
    counts = task.counts(asked, numbers)
    data = task.data(counts[-1], 0)
    scoring.require_metric(metric, data.names[:2])
    folder = None if output is None else Path(output)
    seen = overview(data)
    if progress:
        print(
            overview_text(seen),
            f"known pairs: {', '.join(f'{c:,}' for c in counts)}; {len(field)} methods, {seeds} seeds, {jobs} processes",
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
    show = Progress(field, counts, numbers, jobs) if progress else None
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
            data=seen,
            fingerprints=task.fingerprints,
            look=task.look,
            test=list(seen["gallery"].values()),
            pool={name: len(rows) for name, rows in data.pool.items()},
            rule=selection.rule(budget, metric),
            budget=budget,
            versions={name: metadata.version(name) for name in PACKAGES},
            seconds=round(time.monotonic() - began, 1),
            jobs=jobs,
            command=compare_command(task, methods, asked, seeds=seeds, budget=budget, metric=metric),
        )
        found.info["train"] = train_command(task, found)
        if folder is not None:
            write_json(folder / "results.json", found.to_dict())
            write_compare_report(folder / "report.html", found)
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


def compare_command(task: Task, methods: Sequence[str], counts: Sequence[int], *, seeds: int, budget: int, metric: str) -> str:
    """The command that makes the comparison again; what is as always is left out, but not how many validate and test."""
    words = ["gera-jax compare", task.flags, task.options, f"--seeds {seeds} --budget {budget}"]
    words += [f"--methods {','.join(methods)}"] if methods else []
    words += [f"--counts {','.join(map(str, counts))}"] if counts else []
    words += [f"--metric {metric}"] if metric != selection.METRIC else []
    return " ".join(words)


def train_command(task: Task, found: Comparison) -> str:
    """The command that fits the recommended method, with the setting that most seeds chose, on every pair there is."""
    if not found.recommended:
        return ""
    chosen = [json.dumps(dict(cell.setting), sort_keys=True) for cell in found.at(found.recommended, found.counts[-1])]
    setting: Mapping[str, Any] = json.loads(max(chosen, key=chosen.count))
    words = [f"--set {shlex.quote(f'{key}={value}')}" for key, value in setting.items()]
    words += [task.flags, task.split_flags] if field_lib.methods()[found.recommended].needs_validation else [task.flags]
    return " ".join(["gera-jax fit", f"--method {found.recommended}", *filter(None, words), "--output winner"])


class Progress:
    """One line a cell and, where the stream is a terminal, the table of what is there so far."""

    def __init__(self, field: Sequence[Any], counts: Sequence[int], seeds: Sequence[int], jobs: int, stream: Any = None):
        self.labels = {m.name: m.label for m in field}
        self.counts, self.seeds, self.jobs = counts, seeds, jobs
        self.stream = sys.stderr if stream is None else stream
        self.began, self.new, self.drawn = time.monotonic(), 0, 0
        self.scores: dict[tuple[str, int], list[float]] = {}
        self.costs: dict[tuple[str, int], list[float]] = {}

    def __call__(self, cell: Cell, done: int, total: int) -> None:
        self.new += 1
        self.scores.setdefault((cell.method, cell.pairs), []).append(cell.validation)
        self.costs.setdefault((cell.method, cell.pairs), []).append(sum(trial[2] for trial in cell.trials))
        spent = time.monotonic() - self.began
        left = self.left(spent, done)
        words = (
            f"failed: {cell.error}" if cell.error else f"validation {100 * cell.validation:.1f}, {cell.cpu_seconds:.1f} s a fit"
        )
        where = f"{self.labels[cell.method]}, {cell.pairs} pairs, seed {cell.seed}"
        line = f"[{done}/{total}] {where}: {words}   {duration(spent)} spent, {duration(left)} left"
        if not self.stream.isatty():
            print(line, file=self.stream, flush=True)
            return
        table = [line, *self.table()]
        print(
            (f"\x1b[{self.drawn}A" if self.drawn else "") + "\n".join(f"\x1b[2K{text}" for text in table),
            file=self.stream,
            flush=True,
        )
        self.drawn = len(table)

    def left(self, spent: float, done: int) -> float:
        """Seconds that the cells behind the first `done` will take: each as its method took so far, at its count where known."""
        seen = sum(map(sum, self.costs.values()))
        if not seen:
            return 0.0

        def expected(method: str, count: int) -> float:
            alike = self.costs.get((method, count)) or [c for (m, _), costs in self.costs.items() for c in costs if m == method]
            return sum(alike) / len(alike) if alike else seen / self.new

        order = [(method, count) for _ in self.seeds for count in self.counts for method in self.labels]
        return spent / seen * sum(expected(*cell) for cell in order[done:])

    def table(self) -> list[str]:
        """Validation scores so far, methods x pair counts, with the number of seeds where some are missing."""
        wide = max(map(len, self.labels.values())) + 1
        lines = [" " * wide + "".join(f"{f'{count:,}':>11}" for count in self.counts)]
        for name, label in self.labels.items():
            cells = []
            for count in self.counts:
                scores = self.scores.get((name, count), [])
                mean = f"{100 * sum(scores) / len(scores):.1f}" if scores else "."
                cells.append(mean if len(scores) in (0, len(self.seeds)) else f"{mean} ({len(scores)})")
            lines.append(label.ljust(wide) + "".join(f"{cell:>11}" for cell in cells))
        return lines


def format_comparison(found: Comparison) -> str:
    """The comparison as text: a block for each number of pairs, in per cent, with the difference from the best baseline."""
    lines = []
    for count in found.counts:
        reference = found.reference(count)
        differences = {d.method: d.values for d in found.differences(count)}
        lines.append(f"{count:,} pairs   R@1   R@10  FOSCTTM  CSLS R@10   R@10 minus {found.labels.get(reference, '-')}   CPU s")
        for name, label in found.labels.items():
            cells = found.at(name, count)
            if not cells:
                lines.append(f"  {label:<34} failed")
                continue
            number = {key: found.mean(name, count, key) for key in ("mean/R@1", "mean/R@10", "foscttm", "csls/mean/R@10")}
            values = "  ".join(_percent(number[key], key != "foscttm") for key in number)
            minus = _points(differences[name]["mean/R@10"]) if name in differences else "reference" if name == reference else ""
            mark = " *" if found.kept_start(name, count) else ""
            lines.append(f"  {label + mark:<34} {values}  {minus:<16} {sum(c.cpu_seconds for c in cells) / len(cells):6.1f}")
        chances = [chance for key in ("mean/R@1", "mean/R@10", "foscttm") if (chance := found.chance(count, key))]
        if len(chances) == 3:
            r1, r10, foscttm = (chance.mean for chance in chances)
            lines.append(f"  {'guessing':<34} {100 * r1:5.1f}  {100 * r10:5.1f}  {foscttm:.3f}")
        lines += [f"  * {found.start_note(name, count)}" for name in found.labels if found.kept_start(name, count)]
        lines.append("")
    top = found.recommended
    if top:
        lines.append(f"recommended by the validation rows at {found.counts[-1]:,} pairs: {found.labels[top]}")
        for pairs, expected in found.more_pairs():
            if pairs > found.counts[-1]:
                at = expected["mean/R@1"]
                more = f"with {pairs - found.counts[-1]:,} more pairs its R@1 would be"
                lines.append(f"{more} {at.run_low:.2f} to {at.run_high:.2f} ({at.mean:.2f})")
        lines.append(found.info.get("train", ""))
    else:
        lines.append(found.reason)
    return "\n".join(lines)


def _percent(value: Any, percent: bool = True) -> str:
    return f"{100 * value.mean:5.1f}" if percent else f"{value.mean:.3f}"


def _points(value: Any) -> str:
    return f"{100 * value.mean:+.1f} ± {100 * value.half:.1f}"
