"""What heat-geodesic stress adds to its contrastive-only twin, as the embedding of MLPs and as GeRA's geometric term.

    python -m benchmarks.heat_gain --output benchmarks/results/heat_gain.jsonl          # runs what the file does not hold yet
    python -m benchmarks.heat_gain --output benchmarks/results/heat_gain.jsonl --table

Clip art, 100 pairs. A seed is a split, a draw of pairs and an initialisation. The weights are those of the configs;
the best step of each run is chosen on its validation rows.
"""

from __future__ import annotations

import numpy as np

from benchmarks import _sweep as sweep
from benchmarks._sweep import SETS
from gera_jax import config, training

# Arm -> config, the field of its weight and the weight.
ARMS = {
    "MLPs, stress": ("heat_geodesic:source=clipart", "stress", 4.0),
    "GeRA with heat, CCA start": ("configs/ablations/gera_heat.py:source=clipart", "geometry", 1.0),
    "GeRA with heat, random start": ("configs/ablations/gera_heat.py:source=clipart,start=random", "geometry", 1.0),
}
SEEDS = range(5)
METRICS = ("mean/R@10", "mean/R@1", "foscttm", "neighbours_kept/image", "neighbours_kept/text")


def run(arm: str, seed: int, weight: float) -> dict:
    name, field, _ = ARMS[arm]
    c = config.load(f"{name},pairs=100,{field}={weight},seed={seed}")
    c.data.split.update(seed=seed, **SETS["clipart"])
    if weight == 0:
        for term in [term for term in c.losses if term != "contrastive"]:
            del c.losses[term]
        c.batch.anchors = 0
    result = training.train(c)
    return dict(
        arm=arm,
        seed=seed,
        weight=weight,
        best_step=result.best_step,
        seconds=round(result.seconds, 1),
        val=result.best_metric,
        test={m: result.evaluate("test")[m] for m in METRICS},
    )


def table(rows: list[dict]) -> str:
    lines = ["| arm | twin R@10 | R@10 | R@1 | FOSCTTM | neighbours kept, image | text |", "|---|---|---|---|---|---|---|"]
    found = {(row["arm"], row["seed"], row["weight"]): row["test"] for row in rows}
    for arm, (_, _, weight) in ARMS.items():
        if all((arm, seed, w) in found for seed in SEEDS for w in (0.0, weight)):
            gains = [sweep.interval([found[arm, s, weight][m] - found[arm, s, 0.0][m] for s in SEEDS]) for m in METRICS]
            twin = 100 * np.mean([found[arm, s, 0.0]["mean/R@10"] for s in SEEDS])
            lines.append(f"| {arm} | {twin:.1f} | " + " | ".join(gains) + " |")
    return "\n".join(lines)


def main() -> None:
    args = sweep.parser().parse_args()
    if args.table:
        print(table(sweep.read(args.output)))
        return
    cells = [(arm, seed, weight) for seed in SEEDS for arm in ARMS for weight in (0.0, ARMS[arm][2])]
    sweep.run_missing(args.output, ("arm", "seed", "weight"), cells, run, args.part)


if __name__ == "__main__":
    main()
