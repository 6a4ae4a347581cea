"""What the recommendation of `compare` loses against the best method of each cell, beside simpler rules.

    python -m benchmarks.recommendation --rows benchmarks/results/label_efficiency_field.jsonl

A cell is a set and a number of known pairs. Each of 20 draws takes some of a cell's seeds: the rules see the scores of these, and
what they lose is measured on the test rows of the other seeds. The rows hold one validation score, R@10; for other measures the
test rows of the seeds that are seen stand for validation rows, and the mean of R@1 and R@10 for the mean reciprocal rank, which
is not in the rows. Runs nothing, reads the rows: seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.label_efficiency import read_rows
from gera_jax.comparison.outcome import DEFAULT, recommend

RULES: dict[str, Callable[[Mapping[str, Sequence[float]]], str]] = {
    "`compare`": recommend,
    "`auto` everywhere": lambda _: DEFAULT,
    "best mean": lambda scores: recommend(scores, default=""),
}
MEASURES: dict[str, Callable[[Mapping[str, float]], float]] = {
    "R@10, validation rows": lambda row: row["validation"],
    "R@10": lambda row: row["mean/R@10"],
    "R@1": lambda row: row["mean/R@1"],
    "mean of both": lambda row: (row["mean/R@1"] + row["mean/R@10"]) / 2,
}
LOST = ("mean/R@10", "mean/R@1")


def losses(rows: Mapping[tuple, Mapping], seeds: int, measure: str, draws: int = 20) -> dict[tuple[str, str], float]:
    """Points of R@10 and of R@1 that each rule loses against the best method of a cell, mean over cells and draws."""
    cells: dict[tuple, dict[str, dict[int, Mapping]]] = {}
    for (name, pairs, method, seed), row in rows.items():
        cells.setdefault((name, pairs), {}).setdefault(method, {})[seed] = row
    rng = np.random.default_rng(0)
    lost: dict[tuple[str, str], list[float]] = {(rule, key): [] for rule in RULES for key in LOST}
    for found in cells.values():
        common = sorted(set.intersection(*map(set, found.values())))
        for _ in range(draws):
            seen = rng.choice(common, seeds, replace=False).tolist()
            others = [seed for seed in common if seed not in seen]
            scores = {m: [MEASURES[measure](at[seed]) for seed in seen] for m, at in found.items()}
            for key in LOST:
                test = {m: 100 * float(np.mean([at[seed][key] for seed in others])) for m, at in found.items()}
                for rule, choose in RULES.items():
                    lost[rule, key].append(max(test.values()) - test[choose(scores)])
    return {which: float(np.mean(values)) for which, values in lost.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 1], help="how many seeds the rules see")
    args = parser.parse_args()
    rows = read_rows(args.rows)
    print("| rule | it sees | " + " | ".join(f"seeds seen: {seeds}, points of R@10, R@1 lost" for seeds in args.seeds) + " |")
    print("|---" * (2 + len(args.seeds)) + "|")
    found = {measure: [losses(rows, seeds, measure) for seeds in args.seeds] for measure in MEASURES}
    for rule in RULES:
        for measure, values in found.items():
            lost = [", ".join(f"{own[rule, key]:.2f}" for key in LOST) for own in values]
            print(f"| {rule} | {measure} | " + " | ".join(lost) + " |")


if __name__ == "__main__":
    main()
