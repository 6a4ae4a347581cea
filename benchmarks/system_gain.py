"""What each system's own terms add: the full system, the same without them, and contrastive learning alone, on one split.

    python -m benchmarks.system_gain --output benchmarks/results/system_gain.jsonl          # runs what the file does not hold yet
    python -m benchmarks.system_gain --output benchmarks/results/system_gain.jsonl --table
    python -m benchmarks.system_gain --output benchmarks/results/system_gain.jsonl --start random --sets clipart

A seed is a split, a draw of pairs and an initialisation. Where a system has several settings, each seed's is chosen by mean R@10
on the validation rows; the test rows are looked at once, with that one. Differences are paired over the seeds.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks import _sweep as sweep
from gera_jax import config, training

SETS = {name: sweep.SETS[name] for name in ("clipart", "emoji", "molecule")}
PAIRS = (100, 300, 1000)
SEEDS = range(5)
CELL = ("source", "pairs", "seed", "setting")
METRICS = ("mean/R@1", "mean/R@10", "foscttm")
# system -> (settings of the whole, the same without its own terms); a setting is a config and its arguments
CONTRASTIVE = "contrastive"
SYSTEMS = {
    "structure": (("structure", "structure:structure=4", "structure:structure=100"), CONTRASTIVE),
    "gentle_clip": (("gentle_clip", "gentle_clip:density=0.1,mmd=1"), "gentle_clip:views=0,sets=0"),
    "m2mix": (("m2mix", "m2mix:mix=0.2"), "m2mix:mix=0"),
    "m3mix": (("m3mix", "m3mix:mix=0.05,within=0.2,across=0.4"), "m2mix:mix=0"),  # the same heads, batch and start
    "sspc": (("sspc", "sspc:structure=0.1"), "sspc:structure=0"),
}


def started(setting: str, start: str) -> str:
    """The setting from another start than the configs' own."""
    return setting if start == "ridge_cca" else f"{setting}{',' if ':' in setting else ':'}start={start}"


def run(source: str, pairs: int, seed: int, setting: str, among: str = "") -> dict:
    """Train and test one setting; `among` names the two of three modalities that it is chosen and judged by, as "image-text/"."""
    name, _, arguments = setting.partition(":")
    c = config.load(f"{name}:{arguments}{',' if arguments else ''}source={source},pairs={pairs},seed={seed}")
    c.data.split.update(seed=seed, **SETS[source.removesuffix("3")])
    c.evals.metric = among + c.evals.metric
    with c.unlocked():  # a term that weighs nothing need not be computed
        for term in [t for t, spec in c.losses.items() if isinstance(spec.weight, float | int) and spec.weight == 0]:
            del c.losses[term]
    if not any(key.startswith("queue.") for spec in c.losses.values() for key in spec.inputs.values()):
        c.buffers.update(length=0, of=[])
    result = training.train(c)
    found = result.evaluate("test")
    return dict(
        source=source,
        pairs=pairs,
        seed=seed,
        setting=setting,
        best_step=result.best_step,
        seconds=round(result.seconds, 2),
        val=result.best_metric,
        test={m: found[among + m] for m in METRICS},
    )


def grid(args: argparse.Namespace) -> list[tuple]:
    """Default settings first; the alternatives that validation chooses among come last."""
    settings = [CONTRASTIVE, *(SYSTEMS[name][1] for name in args.systems)]
    for name in args.systems:
        settings += SYSTEMS[name][0] if args.alternatives else SYSTEMS[name][0][:1]
    return [
        (source, pairs, seed, started(setting, args.start))
        for setting in dict.fromkeys(settings)
        for source in args.sets
        for pairs in args.pairs
        for seed in SEEDS
    ]


def table(rows: list[dict], start: str) -> str:
    found = {(r["source"], r["pairs"], r["seed"], r["setting"]): r for r in rows}
    lines = [
        "| system | set | pairs | contrastive | system | start kept | minus twin: R@10 | R@1 | FOSCTTM "
        "| minus contrastive: R@10 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    base_setting = started(CONTRASTIVE, start)
    for name, (settings, twin_setting) in SYSTEMS.items():
        whole, without = [started(s, start) for s in settings], started(twin_setting, start)
        for source in SETS:
            for pairs in PAIRS:
                cells = [{s: found.get((source, pairs, seed, s)) for s in (base_setting, without, *whole)} for seed in SEEDS]
                if not all(cell[s] for cell in cells for s in (base_setting, without, whole[0])):
                    continue
                known = [s for s in whole if all(cell[s] for cell in cells)]
                chosen = [max((cell[s] for s in known), key=lambda row: row["val"]) for cell in cells]
                full = [row["test"] for row in chosen]
                twin = [cell[without]["test"] for cell in cells]
                base = [cell[base_setting]["test"] for cell in cells]
                level = [f"{100 * np.mean([t['mean/R@10'] for t in part]):.1f}" for part in (base, full)]
                level.append(f"{sum(row['best_step'] == 0 for row in chosen)} of {len(chosen)}")
                gains = [
                    sweep.interval([a[m] - b[m] for a, b in zip(full, twin, strict=True)])
                    for m in ("mean/R@10", "mean/R@1", "foscttm")
                ]
                gains.append(sweep.interval([a["mean/R@10"] - b["mean/R@10"] for a, b in zip(full, base, strict=True)]))
                lines.append(f"| {name} | {source} | {pairs} | {' | '.join([*level, *gains])} |")
    return "\n".join(lines)


def main() -> None:
    parser = sweep.parser()
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--alternatives", action="store_true", help="every setting, not the default one alone")
    parser.add_argument("--start", default="ridge_cca", choices=("ridge_cca", "random"))
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--pairs", nargs="*", type=int, default=list(PAIRS))
    args = parser.parse_args()
    if args.table:
        print(table(sweep.read(args.output), args.start))
        return
    sweep.run_missing(args.output, CELL, grid(args), run, args.part)


if __name__ == "__main__":
    main()
