"""What several tables of a modality are worth to `auto`: all side by side against the best single pair of them.

    python -m benchmarks.several_tables --views FOLDER --seeds 0 1 2 3 4     # adds the cells that the file lacks
    python -m benchmarks.several_tables --views FOLDER --controls            # and the controls, at 100 pairs
    python -m benchmarks.several_tables --table                             # the tables of docs/results/several_tables.md

FOLDER holds layers and second encoders of the bundled sets (clipart_lite0_stages.npz and its like), with the ids of these sets.

Arms (the last three with --controls), each with the same pairs, unpaired rows and test items:
  single      the best pair of one table a side, picked on the validation rows of each run
  first       the first table of each side, as bundled
  all, equal  every pair of tables, with equal weights
  all         with weights from held-out pairs (from 100 pairs on)
  halves      control: two random halves of the first table of x as two tables
  noise, other's rows     all and a poisoned table of x: noise, or the first table with its rows exchanged
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import gera_jax as gj
from benchmarks._sweep import SETS
from gera_jax.comparison.outcome import Interval
from gera_jax.comparison.task import Task
from gera_jax.data import Table
from gera_jax.solvers.several_tables import ENOUGH_PAIRS

ROWS = Path("benchmarks/results/several_tables.jsonl")
COUNTS = (20, 100, 500)
CONTROLS_AT = 100  # pairs
KEYS = ("mean/R@1", "mean/R@10", "foscttm")
FIELD = {  # set: the bundled set, then for each side the tables beside the bundled one: (file, array, layer), or a bundled set
    "clipart": (
        "clipart",
        [("clipart_lite0_stages", "s13", None), ("clipart_dinov2", "image", None)],
        [("clipart_text_mpnet_layers", "mean", -1)],
    ),
    "emoji": (
        "emoji",
        [("emoji_lite0_stages", "s13", None), ("emoji_dinov2s_layers", "cls", -1)],
        [("emoji_text_mpnet_layers", "mean", -1)],
    ),
    "emoji, two senses": ("emoji", [("emoji_speech", "speech", None)], [("emoji_text_mpnet_layers", "mean", -1)]),
}


def tables_of(name: str, views: Path) -> list[list[Table]]:
    """For each side the bundled table, then those beside it."""
    bundled, *sides = FIELD[name]
    found = []
    for first, more in zip(gj.load_pairs(bundled).tables, sides, strict=True):
        found.append([first])
        for file, key, layer in more:
            if file in SETS:
                found[-1].append(next(table for table in gj.load_pairs(file).tables if table.name == key))
                continue
            stored = np.load(views / f"{file}.npz")
            rows = stored[key] if layer is None else stored[key][:, layer]
            found[-1].append(Table(rows, stored["ids"], key))
    return found


def arms(tables: list[list[Table]], count: int, controls: bool) -> Iterator[tuple[str, list[Table], list[Table], list | None]]:
    """Name, tables of x, tables of y, and the weights of x where they are given."""
    xs, ys = tables
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            yield f"single {i} {j}", [x], [y], None
    rng = np.random.default_rng(0)
    yield "all, equal", xs, ys, [1.0] * len(xs)
    if count >= ENOUGH_PAIRS:
        yield "all", xs, ys, None
    if not controls:
        return
    order = rng.permutation(xs[0].dim)
    halves = [Table(xs[0].rows[:, np.sort(own)], xs[0].ids, "half") for own in np.array_split(order, 2)]
    yield "halves", halves, ys[:1], [1.0, 1.0]
    noise = Table(rng.normal(size=(len(xs[0]), 384)).astype(np.float32), xs[0].ids, "noise")
    other = Table(xs[0].rows[rng.permutation(len(xs[0]))], xs[0].ids, "other")
    yield "noise", [*xs, noise], ys, None
    yield "other's rows", [*xs, other], ys, None


def run(name: str, count: int, seed: int, views: Path, done: set[str], controls: bool) -> Iterator[dict]:
    tables = tables_of(name, views)
    for arm, xs, ys, weights in arms(tables, count, controls):
        if arm in done:
            continue
        pairs = gj.Pairs.from_arrays(xs, ys, names=("x", "y"))
        train, val, test = Task(pairs, **SETS[FIELD[name][0]]).parts(count, seed)
        options = (
            {}
            if weights is None
            else dict(x=dict(weights=weights), **({"y": dict(weights=[1.0] * len(ys))} if len(ys) > 1 else {}))
        )
        began = time.process_time()
        aligner = gj.Aligner("auto", preprocess=options).fit(train)
        seconds = time.process_time() - began
        score = aligner.score(test)
        yield dict(
            set=name,
            pairs=count,
            seed=seed,
            arm=arm,
            validation=round(float(aligner.score(val)), 5),
            **{key: round(score[key], 5) for key in KEYS},
            weights=[[round(w, 3) for w in own.options["weights"]] for own in aligner._model.preprocessors],
            cpu_seconds=round(seconds, 2),
        )


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(rows: list[dict], seeds: list[int], key: str = "mean/R@10") -> str:
    """Differences in points from the best single pair of tables, which validation rows pick."""
    by: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        if row["seed"] in seeds:
            by.setdefault((row["set"], row["pairs"], row["seed"]), {})[row["arm"]] = row
    heads = ["set", "pairs", "first tables", "best single pair", "all - first", "all, equal - single", "all - single"]
    heads += ["halves - first", "noise - all", "other's rows - all"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    gains: dict[int, list[float]] = {}
    for name in FIELD:
        for count in COUNTS:
            cells = [arms for (of, pairs, _), arms in sorted(by.items()) if (of, pairs) == (name, count)]
            cells = [arms for arms in cells if "all, equal" in arms and ("all" in arms or count < ENOUGH_PAIRS)]  # whole ones
            if not cells:
                continue
            for arms in cells:
                singles = [row for arm, row in arms.items() if arm.startswith("single ")]
                arms["single"], arms["first"] = max(singles, key=lambda row: row["validation"]), arms["single 0 0"]
                arms.setdefault("all", arms["all, equal"])  # below 100 pairs they are one

            def value(arm: str, cells: list[dict] = cells) -> np.ndarray:
                return np.array([100 * arms[arm][key] for arms in cells])

            def minus(a: str, b: str, value=value) -> str:
                gain = Interval.of(value(a) - value(b))
                return f"{gain.mean:+.1f} ± {gain.half:.1f}"

            gains.setdefault(count, []).append(float((value("all") - value("single")).mean()))
            pairs_of = [("all", "first"), ("all, equal", "single"), ("all", "single")]
            if all("other's rows" in arms for arms in cells):
                pairs_of += [("halves", "first"), ("noise", "all"), ("other's rows", "all")]
            numbers = [f"{value('first').mean():.1f}", f"{value('single').mean():.1f}", *(minus(a, b) for a, b in pairs_of)]
            lines.append(f"| {name} | {count} | {' | '.join([*numbers, '', '', ''][:8])} |")
    mean = ", ".join(f"{count} pairs {np.mean(own):+.1f}" for count, own in sorted(gains.items()))
    return "\n".join([*lines, "", f"All minus the best single pair, mean over sets: {mean}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=Path, help="the folder of further tables")
    parser.add_argument("--sets", nargs="+", default=list(FIELD), choices=list(FIELD))
    parser.add_argument("--pairs", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--controls", action="store_true", help=f"also halves and poisoned tables, at {CONTROLS_AT} pairs")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true", help="run nothing, print the tables of --rows")
    args = parser.parse_args()
    if args.table:
        for key in KEYS[1::-1]:
            print(f"{key.removeprefix('mean/')}, in points\n\n{table(read(args.rows), args.seeds, key)}\n")
        return
    if args.views is None:
        parser.error("--views FOLDER is needed to run")
    for seed in args.seeds:
        for name in args.sets:
            for count in args.pairs:
                cell = (name, count, seed)
                done = {row["arm"] for row in read(args.rows) if (row["set"], row["pairs"], row["seed"]) == cell}
                for row in run(*cell, args.views, done, args.controls and count == CONTROLS_AT):
                    with args.rows.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                print(*cell, flush=True)


if __name__ == "__main__":
    main()
