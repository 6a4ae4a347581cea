"""What the recommendation of `compare` loses against the best method of each cell, beside simpler rules.

    python -m benchmarks.recommendation --rows benchmarks/results/label_efficiency_field.jsonl

A cell is a set and a number of known pairs. Each of 20 draws takes some of a cell's seeds: the rules see the validation scores of
these, and R@10 is measured on the test rows of the other seeds. Runs nothing, reads the rows: a second.
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
    "best mean on the validation rows": lambda scores: recommend(scores, default=""),
}


def losses(rows: Mapping[tuple, Mapping], seeds: int, draws: int = 20) -> dict[str, float]:
    """Points of R@10 that each rule loses against the best method of a cell, mean over cells and draws."""
    cells: dict[tuple, dict[str, dict[int, Mapping]]] = {}
    for (name, pairs, method, seed), row in rows.items():
        cells.setdefault((name, pairs), {}).setdefault(method, {})[seed] = row
    rng, lost = np.random.default_rng(0), {rule: [] for rule in RULES}
    for found in cells.values():
        common = sorted(set.intersection(*map(set, found.values())))
        for _ in range(draws):
            seen = rng.choice(common, seeds, replace=False).tolist()
            others = [seed for seed in common if seed not in seen]
            test = {m: 100 * float(np.mean([at[seed]["mean/R@10"] for seed in others])) for m, at in found.items()}
            scores = {m: [at[seed]["validation"] for seed in seen] for m, at in found.items()}
            for rule, choose in RULES.items():
                lost[rule].append(max(test.values()) - test[choose(scores)])
    return {rule: float(np.mean(values)) for rule, values in lost.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 1], help="how many seeds the rules see")
    args = parser.parse_args()
    rows = read_rows(args.rows)
    found = [losses(rows, seeds) for seeds in args.seeds]
    print("| points of R@10 lost | " + " | ".join(f"seeds seen: {seeds}" for seeds in args.seeds) + " |")
    print("|---" * (1 + len(found)) + "|")
    for rule in RULES:
        print(f"| {rule} | " + " | ".join(f"{values[rule]:.2f}" for values in found) + " |")


if __name__ == "__main__":
    main()
