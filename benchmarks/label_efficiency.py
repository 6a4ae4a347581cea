"""Every method on every bundled set at every pair count; the tables of docs/results/label_efficiency.md.

    python -m benchmarks.label_efficiency             # all sets and methods; a day on two cores, and it goes on where it was
    python -m benchmarks.label_efficiency --sets clipart emoji --methods ridge_cca,auto --split group
    python -m benchmarks.label_efficiency --smoke     # two closed forms on one set, seconds
    python -m benchmarks.label_efficiency ... --rows benchmarks/results/label_efficiency_field.jsonl  # adds what it lacks
    python -m benchmarks.label_efficiency --table --rows benchmarks/results/label_efficiency_field.jsonl
    python -m benchmarks.label_efficiency --factor --seeds 10 --rows benchmarks/results/label_efficiency_field.jsonl

Each set has a folder with cells.jsonl, results.json and report.html. Settings are chosen on validation rows; a seed is a
split, a draw of pairs and a start. Ends with the table of all sets: R@10, the difference from the best published baseline, the
cells won, tied and lost, and the coverage of the learning curve with its largest count hidden. With `--rows` there is no page,
only the rows in the file; `--table` reads it and takes the best of the others on the *test* rows, which favours them, and
`--factor` says how many times the pairs another method, tuned ridge CCA, needs for the same R@10.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import gera_jax
from benchmarks._sweep import SETS, possible
from gera_jax.aligners.methods import compared as find
from gera_jax.api import use_compilation_cache
from gera_jax.comparison.outcome import POINTS, Comparison, Interval
from gera_jax.comparison.statistics import coverage, label_efficiency
from gera_jax.comparison.sweep import Cell, cores, sweep
from gera_jax.comparison.task import COUNTS, make_task

METRIC = "mean/R@10"  # by which the settings of all stored rows were chosen
GALLERY = 500  # test items of these sets, 400 of the smaller ones
SMOKE = dict(sets=["emoji_speech"], methods="ridge_cca,asif", pairs="20,50,100,200", seeds=2, budget=1)


def verdict(gain: Interval) -> str:
    """Won or lost where the interval excludes 0."""
    return "won" if gain.mean > gain.half else "lost" if gain.mean < -gain.half else "tied"


def outcome(found: Comparison, method: str) -> list[str]:
    """ "won", "tied" or "lost" of a method at each count against the best published baseline, by the interval of R@10."""
    words = []
    for count in found.counts:
        reference = found.reference(count)
        gain = next((d.values["mean/R@10"] for d in found.differences(count) if d.method == method), None)
        if gain is None:
            words.append("reference" if method == reference else "-")
        else:
            words.append(verdict(gain))
    return words


def table(results: dict[str, Comparison]) -> str:
    """R@10 in per cent, methods x counts for each set, and a last line of the reference of each count."""
    lines = []
    for name, found in results.items():
        lines += [
            f"### {name}",
            "",
            "| method | " + " | ".join(f"{c:,}" for c in found.counts) + " | CPU s |",
            "|---|" + "---|" * (len(found.counts) + 1),
        ]
        for method, label in found.labels.items():
            cells, seconds = [], []
            for count in found.counts:
                at, there = found.mean(method, count, "mean/R@10"), found.at(method, count)
                seconds += [cell.cpu_seconds for cell in there]
                gain = next((d.values["mean/R@10"] for d in found.differences(count) if d.method == method), None)
                text = f"{100 * at.mean:.1f}" if there else "-"
                cells.append(f"{text} ({100 * gain.mean:+.1f} ± {100 * gain.half:.1f})" if gain else text)
            lines.append(f"| {label} | " + " | ".join(cells) + f" | {sum(seconds) / max(len(seconds), 1):.1f} |")
        lines += [
            "",
            "Best published by the validation rows: "
            + ", ".join(f"{found.labels.get(found.reference(c), '-')} ({c:,})" for c in found.counts)
            + ".",
            "",
        ]
    return "\n".join(lines)


def summary(results: dict[str, Comparison], method: str) -> str:
    """Cells won, tied and lost by one method, and the learning curve's check over all sets and methods."""
    words = {name: outcome(found, method) for name, found in results.items()}
    lines = [f"| set | {method} |", "|---|---|", *(f"| {name} | {', '.join(w)} |" for name, w in words.items())]
    flat = [word for w in words.values() for word in w]
    counted = ", ".join(f"{flat.count(word)} {word}" for word in ("won", "tied", "lost"))
    lines.append(f"\n{method}: {counted} of {len(flat)} cells.")
    for key in ("mean/R@1", "mean/R@10"):
        hidden = [check for found in results.values() for check in found.hidden(key).values()]
        if hidden:
            of = coverage(hidden)
            lines.append(
                f"Learning curve of {key}, largest count hidden: {of['hidden']:.0f} curves, means inside {of['means']:.2f}, "
                f"single runs inside {of['runs']:.2f} (0.95 promised), off by {100 * of['error']:.1f} points, "
                f"bias {100 * of['bias']:+.1f}."
            )
    return "\n".join(lines)


def read_rows(file: Path) -> dict[tuple, dict]:
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {(row["set"], row["pairs"], row["method"], row["seed"]): row for row in rows}


def missing(rows: dict[tuple, dict], name: str, methods: Sequence[str], counts: Sequence[int], seed: int) -> tuple[int, ...]:
    """The counts of a set at which a row of some method of this seed is not there."""
    counts = [count for count in counts or COUNTS if possible(name, count)]
    return tuple(count for count in counts if any((name, count, method, seed) not in rows for method in methods))


def add_rows(file: Path, name: str, cells: Sequence[Cell]) -> None:
    """A line a cell; a cell that was there is replaced."""
    rows = read_rows(file)
    for cell in (cell for cell in cells if not cell.error):
        rows[name, cell.pairs, cell.method, cell.seed] = dict(
            set=name,
            pairs=cell.pairs,
            method=cell.method,
            seed=cell.seed,
            setting=cell.setting,
            validation=cell.validation,
            cpu_seconds=round(cell.cpu_seconds, 2),
            **{key: round(cell.metrics[key], 5) for key in POINTS},
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(rows[key]) + "\n" for key in sorted(rows)))


def run_missing(args: argparse.Namespace, methods: Sequence[str], counts: Sequence[int]) -> None:
    """Seed by seed, so that a sweep that is stopped has whole seeds; methods and counts that have a seed are not run again."""
    use_compilation_cache()
    for seed in range(args.seeds):
        for name in args.sets:
            rows = read_rows(args.rows)
            field = [m for m in find(methods) if missing(rows, name, [m.name], counts, seed)]
            lacking = missing(rows, name, [m.name for m in field], counts, seed)
            if not lacking:
                continue
            began = time.monotonic()
            task = make_task(name, split=args.split, unpaired=args.unpaired, **SETS[name])
            cells = args.output / f"{name}-{args.split}-{args.unpaired}" / "cells.jsonl"
            found = sweep(task, field, lacking, [seed], budget=args.budget, metric=METRIC, cells=cells, jobs=args.jobs or cores())
            add_rows(args.rows, name, found)
            print(f"seed {seed}, {name}, {len(field)} methods at {lacking}: {time.monotonic() - began:.0f} s", flush=True)
            failed = next((cell for cell in found if cell.error), None)
            if failed:
                raise SystemExit(f"{failed.method} at {failed.pairs} pairs failed: {failed.error}")
    print(f"{args.rows} holds every cell that was asked for.")


def field_table(rows: dict[tuple, dict], method: str, seeds: int, against: str = "") -> str:
    """R@10 of every method that has all seeds of a cell; what `method` has over the best other, or over `against`, in pairs."""
    values: dict[tuple, dict[str, list[float]]] = {}
    for (name, pairs, other, seed), row in sorted(rows.items()):
        if seed < seeds:
            values.setdefault((name, pairs), {}).setdefault(other, []).append(100 * row["mean/R@10"])
    cells = {
        key: whole
        for key, found in values.items()
        if {method, against or method} <= (whole := {m: v for m, v in found.items() if len(v) == seeds}).keys() and len(whole) > 1
    }
    others = sorted({m for found in cells.values() for m in found} - {method})
    known = gera_jax.comparison.methods()
    label = {name: known[name].label if name in known else name for name in (*others, method)}
    own = label[method]
    rival = label[against] if against else "best of the others"
    lines = [
        f"| set | pairs | {' | '.join(label[m] for m in others)} | {own} | {own} - {rival} | |",
        "|---" * (len(others) + 5) + "|",
    ]
    words, rivals, gains = [], [], {}
    for name in SETS:
        for pairs, found in sorted((pairs, found) for (of, pairs), found in cells.items() if of == name):
            mean = {m: float(np.mean(v)) for m, v in found.items()}
            best = against or max((m for m in found if m != method), key=mean.__getitem__)
            gain = Interval.of(np.subtract(found[method], found[best]))
            words.append(verdict(gain))
            rivals.append(label[best])
            gains.setdefault(pairs, []).append(gain.mean)
            numbers = [f"{mean[m]:.1f}" if m in mean else "" for m in (*others, method)]
            numbers += [f"{label[best]}: {gain.mean:+.1f} ± {gain.half:.1f}", words[-1]]
            lines.append(f"| {name} | {pairs} | {' | '.join(numbers)} |")
    counted = ", ".join(f"{words.count(word)} {word}" for word in ("won", "tied", "lost"))
    every = [gain for found in gains.values() for gain in found]
    return "\n".join(
        [
            *lines,
            "",
            f"{counted}; the higher mean in {sum(gain > 0 for gain in every)}.",
            "Mean difference: "
            + ", ".join(f"{pairs} pairs {np.mean(gain):+.1f}" for pairs, gain in sorted(gains.items()))
            + (f"; all cells {np.mean(every):+.1f}." if every else "."),
            "Best of the others: " + ", ".join(f"{rival} {n}" for rival, n in Counter(rivals).most_common()) + ".",
        ]
    )


def factor_table(rows: dict[tuple, dict], method: str, seeds: int, against: str) -> str:
    """Sets x counts: the pairs that `against` needs for the R@10 of `method`, over the pairs that `method` had."""
    lines, means = [], {}
    for name in SETS:
        counts = [c for c in COUNTS if all((name, c, m, s) in rows for m in (method, against) for s in range(seeds))]
        if len(counts) < 3:
            continue
        own, other = (
            np.array([[rows[name, count, m, seed]["mean/R@10"] for count in counts] for seed in range(seeds)])
            for m in (method, against)
        )
        cells = dict.fromkeys(COUNTS, "")
        for at in label_efficiency(counts, own, other, gallery=GALLERY):
            means.setdefault(at.pairs, []).append(at.factor)
            cells[at.pairs] = f"{'> ' if at.beyond else ''}{at.factor:.2f} ({at.low:.2f} to {at.high:.2f})"
        lines.append(f"| {name} | " + " | ".join(cells.values()) + " |")
    overall = [f"**{np.exp(np.mean(np.log(means[count]))):.2f}**" if count in means else "" for count in COUNTS]
    head = [f"| set | {' | '.join(f'{count:,}' for count in COUNTS)} |", "|---" * (len(COUNTS) + 1) + "|"]
    return "\n".join([*head, *lines, f"| geometric mean | {' | '.join(overall)} |"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--methods", default="", help="comma-separated; default: all")
    parser.add_argument("--pairs", default="", help="counts; default: 20 to 2000 as far as they go")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=4)
    parser.add_argument("--split", default="random")
    parser.add_argument("--unpaired", default="independent")
    parser.add_argument("--output", type=Path, default=Path("runs/label_efficiency"))
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--method", default="auto", help="whose cells are counted as won, tied and lost")
    parser.add_argument("--against", default="", help="with --table: the one method to compare with, not the best of the others")
    parser.add_argument("--rows", type=Path, help="JSON lines of one split, regime and budget: what is missing is run")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table of --rows")
    parser.add_argument("--factor", action="store_true", help="run nothing, print the label-efficiency factors of --rows")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.factor:
        if not args.rows:
            parser.error("--factor needs --rows")
        print(factor_table(read_rows(args.rows), args.method, args.seeds, args.against or "ridge_cca"))
        return
    if args.table:
        if not args.rows:
            parser.error("--table needs --rows")
        print(field_table(read_rows(args.rows), args.method, args.seeds, args.against))
        return
    if args.smoke:
        vars(args).update(SMOKE)
    methods, counts = [m for m in args.methods.split(",") if m], tuple(int(p) for p in args.pairs.split(",") if p)
    if args.rows:
        run_missing(args, methods, counts)
        return
    began = time.monotonic()
    results = {
        name: gera_jax.compare(
            name,
            methods=methods,
            counts=counts,
            seeds=args.seeds,
            budget=args.budget,
            split=args.split,
            unpaired=args.unpaired,
            jobs=args.jobs,
            progress=True,
            output=args.output / f"{name}-{args.split}-{args.unpaired}",
            **SETS[name],
        )
        for name in args.sets
    }
    first, *_ = results.values()
    shown = args.method if all(args.method in found.labels for found in results.values()) else next(iter(first.labels))
    print(table(results), summary(results, shown), sep="\n")
    print(f"\n{time.monotonic() - began:.0f} s, cells that were there before included for nothing")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "summary.json").write_text(json.dumps({name: outcome(found, shown) for name, found in results.items()}))


if __name__ == "__main__":
    main()
