"""The recipe with and without its trained view against the rest of the field, where pairs are many.

    python -m benchmarks.trained_heads --output benchmarks/results/trained_heads.jsonl --file LARGE.npz    # runs what is missing
    python -m benchmarks.trained_heads --output benchmarks/results/trained_heads.jsonl --table --seeds 0 1 2

A seed is a split, a draw of pairs and a gallery: 1,000 items of the large molecule file (those left over are unpaired rows, of
other items on each side), or the test items of a bundled set. Every method has its default setting. `--from-pairs 0` lets the
trained view join at every count, to choose the count from which it does. CPU seconds of one thread, compiling included.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks._sweep import interval, read
from benchmarks.recipe_gain import large_rows, metrics, rows_of
from gera_jax.aligners.aligner import Aligner
from gera_jax.solvers.auto import recipe

WITHOUT = "auto, no trained view"
METHODS = {
    "auto": ("auto", {}),
    WITHOUT: ("auto", dict(views=tuple(name for name in recipe.VIEWS if name != "trained"))),
    "MLP": ("contrastive_mlp", {}),
    "FuseMix": ("fusemix", {}),
    "ridge CCA": ("ridge_cca", {}),
    "kernel CCA": ("kernel_cca", {}),
}
ITEMS, GALLERY = 20_000, 1000


def run(source: str, pairs: int, seed: int, method: str, file: Path | None) -> dict:
    if source == "large":
        rows = large_rows(file, pairs, (ITEMS - GALLERY - pairs) // 2, seed)
    else:
        rows = rows_of(source, pairs, seed)
    name, settings = METHODS[method]
    began = time.process_time()
    model = Aligner(name, settings=settings, seed=seed).fit(rows["x_pairs"], rows["y_pairs"], rows["x"], rows["y"])
    seconds = time.process_time() - began
    found = metrics(model.transform_x(rows["x_test"]) @ model.transform_y(rows["y_test"]).T)
    return dict(set=source, pairs=pairs, seed=seed, method=method, seconds=round(seconds, 1), **found)


def table(rows: list[dict]) -> str:
    """R@1 and R@10 of every method, and what `auto` has over each, over the seeds that both have."""
    lines = ["| set | pairs | method | seeds | R@1 | R@10 | auto - method: R@1 | R@10 | CPU s |", "|---" * 9 + "|"]
    cells: dict[tuple, dict[int, dict]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["pairs"], row["method"]), {})[row["seed"]] = row
    for name, pairs in sorted({key[:2] for key in cells}):
        own = cells.get((name, pairs, "auto"), {})
        for method in METHODS:
            found = cells.get((name, pairs, method), {})
            if not found:
                continue
            mean = {key: np.mean([row[key] for row in found.values()]) for key in ("R@1", "R@10", "seconds")}
            both = sorted(set(own) & set(found))
            gains = ["", ""]
            if method != "auto" and len(both) > 1:
                gains = [interval([own[s][key] - found[s][key] for s in both], unit=1) for key in ("R@1", "R@10")]
            lines.append(
                f"| {name} | {pairs:,} | {method} | {len(found)} | {mean['R@1']:.1f} | {mean['R@10']:.1f} | "
                f"{gains[0]} | {gains[1]} | {mean['seconds']:.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--file", type=Path, help="the large molecule file, for the set `large`")
    parser.add_argument("--sets", nargs="+", default=["large"])
    parser.add_argument("--counts", nargs="+", type=int, default=[500, 2000, 6000, 15000])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--from-pairs", type=int, help="the count from which the trained view joins")
    parser.add_argument("--table", action="store_true", help="print the table of what the file holds, run nothing")
    args = parser.parse_args()
    if args.table:
        print(table([row for row in read(args.output) if row["seed"] in args.seeds]))
        return
    if "large" in args.sets and not args.file:
        parser.error("the set `large` needs --file")
    if args.from_pairs is not None:
        recipe.FROM_PAIRS["trained"] = args.from_pairs
    done = {tuple(row[key] for key in ("set", "pairs", "seed", "method")) for row in read(args.output)}
    grid = [(s, p, seed, m) for seed in args.seeds for s in args.sets for p in args.counts for m in args.methods]
    with args.output.open("a") as file:
        for cell in (cell for cell in grid if cell not in done):
            row = run(*cell, args.file)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(row, flush=True)


if __name__ == "__main__":
    main()
