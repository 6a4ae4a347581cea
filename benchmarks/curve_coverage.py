"""Is the learning curve's interval honest? Hide the last pair count of every set and method, predict it, count.

    python -m benchmarks.curve_coverage --input benchmarks/results/recipe_gain.jsonl
    python -m benchmarks.curve_coverage --input benchmarks/results/recipe_gain.jsonl --further 1  # from all but the last two
    python -m benchmarks.curve_coverage --input benchmarks/results/recipe_gain.jsonl --choice     # how ROUGHNESS was chosen

Reads the cells that benchmarks.recipe_gain wrote (seeds that have every count) and fits only the curves: seconds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks._sweep import SETS
from benchmarks.recipe_gain import METHODS, collect
from gera_jax.comparison.statistics import ROUGHNESS, Hidden, coverage, hide_last

METRICS = ("R@1", "R@10")
OFFERED = (0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25)
CHOSEN_ON = ("clipart", "emoji", "molecule")  # the sets that told ROUGHNESS; the other three check it
GROUPS = {
    "all sets and methods": lambda key: True,
    "sets that told roughness": lambda key: key[0] in CHOSEN_ON,
    "other sets": lambda key: key[0] not in CHOSEN_ON,
    "auto": lambda key: key[1] == "auto",
    "other methods": lambda key: key[1] != "auto",
}


def hidden(
    rows: list[dict], metric: str, seeds: int | None = None, roughness: float = ROUGHNESS, further: int = 0
) -> dict[tuple[str, str], Hidden]:
    """The check of every (set, method) that has at least 4 pair counts; `further` counts below the last are left out too."""
    cells, found = collect(rows, "field"), {}
    for source in SETS:
        for method in METHODS:
            counts = sorted(pairs for name, pairs, kind in cells if (name, kind) == (source, method))
            counts = [*counts[: -1 - further], *counts[-1:]]
            if len(counts) < 4:
                continue
            runs = [set(cells[source, pairs, method]) for pairs in counts]
            common = sorted(set.intersection(*runs))[:seeds]
            if common:
                values = [[cells[source, pairs, method][seed][metric] / 100 for pairs in counts] for seed in common]
                found[source, method] = hide_last(counts, values, gallery=SETS[source]["test"], roughness=roughness)
    return found


def choice_table(rows: list[dict]) -> str:
    """Coverage at each roughness, both metrics, with all seeds and with five: ROUGHNESS is the smallest that covers 95 %."""
    groups = list(GROUPS)[1:3]
    lines = ["| roughness | " + " | ".join(f"{label}: means | runs" for label in groups) + " |", "|---" * 5 + "|"]
    for roughness in OFFERED:
        checks = [pair for metric in METRICS for seeds in (None, 5) for pair in hidden(rows, metric, seeds, roughness).items()]
        found = [coverage([check for key, check in checks if GROUPS[label](key)]) for label in groups]
        shares = [f"{100 * c[of]:.1f} %" for c in found for of in ("means", "runs")]
        lines.append(f"| {roughness} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--seeds", type=int, help="use only this many seeds of each curve (default all)")
    parser.add_argument("--further", type=int, default=0, help="how many counts below the largest are hidden too")
    parser.add_argument("--choice", action="store_true", help="coverage at each roughness that was offered")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.input.read_text().splitlines()]
    if args.choice:
        print(choice_table(rows))
        return
    print("| metric | curves | number | means inside | runs inside | mean error | bias | mean width |")
    print("|---" * 8 + "|")
    for metric in METRICS:
        checks = hidden(rows, metric, args.seeds, further=args.further)
        for label, wanted in GROUPS.items():
            chosen = [check for key, check in checks.items() if wanted(key)]
            if chosen:
                c = coverage(chosen)
                print(
                    f"| {metric} | {label} | {c['hidden']} | {100 * c['means']:.0f} % | {100 * c['runs']:.0f} % | "
                    f"{100 * c['error']:.1f} | {100 * c['bias']:+.1f} | {100 * c['width']:.1f} |"
                )
    used = {row["seed"] for row in rows if row["group"] == "field"}
    print(f"\nSeeds used: {args.seeds or len(used)} at most.")


if __name__ == "__main__":
    main()
