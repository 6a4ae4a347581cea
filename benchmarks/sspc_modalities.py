"""What speech as a third modality is worth to pictures and texts: SSPC on two and on three modalities of the emoji set.

    python -m benchmarks.sspc_modalities --output benchmarks/results/sspc_modalities.jsonl   # runs what it lacks
    python -m benchmarks.sspc_modalities --output benchmarks/results/sspc_modalities.jsonl --table

Both are judged by retrieval between pictures and texts, the step is chosen by that on the validation rows, and a seed has the
same items in both. The known items have all three modalities.
"""

from __future__ import annotations

import numpy as np

from benchmarks import _sweep as sweep
from benchmarks import system_gain

AMONG = {"emoji": "", "emoji3": "image-text/"}
STARTS = ("ridge_cca", "random")


def table(rows: list[dict]) -> str:
    found = {(r["source"], r["pairs"], r["seed"], r["setting"]): r["test"] for r in rows}
    lines = ["| start | pairs | two: R@10 | three: R@10 | difference: R@10 | R@1 | FOSCTTM |", "|---|---|---|---|---|---|---|"]
    for start in STARTS:
        setting = system_gain.started("sspc", start)
        for pairs in system_gain.PAIRS:
            two, three = ([found.get((source, pairs, seed, setting)) for seed in system_gain.SEEDS] for source in AMONG)
            if all(two) and all(three):
                levels = [f"{100 * np.mean([t['mean/R@10'] for t in part]):.1f}" for part in (two, three)]
                gains = [
                    sweep.interval([b[m] - a[m] for a, b in zip(two, three, strict=True)])
                    for m in ("mean/R@10", "mean/R@1", "foscttm")
                ]
                lines.append(f"| {start} | {pairs} | {' | '.join([*levels, *gains])} |")
    return "\n".join(lines)


def main() -> None:
    parser = sweep.parser()
    parser.add_argument("--pairs", nargs="*", type=int, default=list(system_gain.PAIRS))
    args = parser.parse_args()
    if args.table:
        print(table(sweep.read(args.output)))
        return
    cells = [
        (source, pairs, seed, system_gain.started("sspc", start))
        for start in STARTS
        for pairs in args.pairs
        for source in AMONG
        for seed in system_gain.SEEDS
    ]
    sweep.run_missing(
        args.output, system_gain.CELL, cells, lambda source, *cell: system_gain.run(source, *cell, among=AMONG[source]), args.part
    )


if __name__ == "__main__":
    main()
