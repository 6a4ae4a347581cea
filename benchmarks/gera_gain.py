"""What the geometric term of GeRA adds to its contrastive-only twin: paired differences over seeds.

    python -m benchmarks.gera_gain --output benchmarks/results/gera_gain.jsonl        # runs what the file does not hold yet
    python -m benchmarks.gera_gain --output benchmarks/results/gera_gain.jsonl --table

A seed is a split, a draw of pairs and an initialisation. For each seed the weight is chosen among WEIGHTS (0 among them, or
the choice would not be the user's) by mean R@10 on the validation rows; the test rows are looked at once, with that weight.
`fixed 1` is the default weight with no choice at all.
"""

from __future__ import annotations

import numpy as np

from benchmarks import _sweep as sweep
from gera_jax import config, training

VARIANT_SETS = ("clipart", "emoji")
PAIRS = (100, 300, 1000)
STARTS = ("ridge_cca", "random")
WEIGHTS = (0.0, 1.0, 3.0)
SEEDS = range(5)
METRICS = ("mean/R@1", "mean/R@10", "foscttm")


def variants() -> dict[str, dict]:
    """Keyword arguments of the term; the default and the readings that the paper's reviewers could not tell apart."""
    return {
        "default": {},
        "row": dict(form="row"),
        "log_euclidean": dict(form="log_euclidean"),
        "batch": dict(form="batch"),
        "markov t=2": dict(operator="markov", t=2),
        "self_tuning": dict(bandwidth="self_tuning"),
        "knn 32": dict(knn=32),
    }


def run(source: str, pairs: int, start: str, seed: int, weight: float, variant: str) -> dict:
    c = config.load(f"gera:source={source},pairs={pairs},start={start},geometry={weight},seed={seed}")
    c.data.split.update(seed=seed, **sweep.SETS[source])
    options = dict(variants()[variant])
    knn, strength = options.pop("knn", None), options.pop("strength", None)
    for name, graph in c.graphs.items():
        graph.knn = knn or graph.knn
        with c.unlocked():
            c.losses[f"geometry_{name}"].kwargs.update(options)
        if options.get("form") == "batch":  # one operator over a draw of training rows instead of one for each anchor
            c.losses[f"geometry_{name}"].inputs.update(x=f"unpaired.{name}", z=f"z.unpaired.{name}")
            c.batch.update(anchors=0, unpaired=256)
    if strength is not None:
        for side in ("x", "y"):
            c.data.preprocess[side].filter.strength = strength
    if weight == 0:
        for name in c.graphs:
            del c.losses[f"geometry_{name}"]
        c.batch.anchors = 0
    result = training.train(c)
    return dict(
        source=source,
        pairs=pairs,
        start=start,
        seed=seed,
        weight=weight,
        variant=variant,
        best_step=result.best_step,
        seconds=round(result.seconds, 2),
        val=result.best_metric,
        test={name: value for name, value in result.evaluate("test").items() if name in METRICS},
    )


def grid(variant: str) -> list[tuple]:
    if variant != "default":  # only where the default does nothing, with the weight that needs no choice
        return [
            (source, 100, "ridge_cca", seed, weight, variant)
            for source in VARIANT_SETS
            for seed in SEEDS
            for weight in (1.0, 10.0)
        ]
    return [
        (source, pairs, start, seed, weight, variant)
        for source in sweep.SETS
        for pairs in PAIRS
        for start in STARTS
        for seed in SEEDS
        for weight in WEIGHTS
    ]


def table(rows: list[dict], variant: str) -> str:
    lines = [
        "| set | pairs | start | twin R@10 | chosen weight: R@10 | R@1 | FOSCTTM | fixed 1: R@10 | FOSCTTM |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for source in sweep.SETS:
        for pairs in PAIRS:
            for start in STARTS:
                cell = {
                    (r["seed"], r["weight"]): r
                    for r in rows
                    if (r["source"], r["pairs"], r["start"], r["variant"]) == (source, pairs, start, variant)
                }
                seeds = [s for s in SEEDS if all((s, w) in cell for w in WEIGHTS)]
                if len(seeds) < len(SEEDS):
                    continue
                chosen = {s: max(WEIGHTS, key=lambda w, s=s: cell[s, w]["val"]) for s in seeds}

                def text(metric: str, pick, seeds=seeds, cell=cell) -> str:
                    gains = [cell[s, pick(s)]["test"][metric] - cell[s, 0.0]["test"][metric] for s in seeds]
                    return sweep.interval(gains)

                twin = 100 * np.mean([cell[s, 0.0]["test"]["mean/R@10"] for s in seeds])
                values = [text(m, chosen.get) for m in ("mean/R@10", "mean/R@1", "foscttm")]
                values += [text(m, lambda s: 1.0) for m in ("mean/R@10", "foscttm")]
                lines.append(f"| {source} | {pairs} | {start} | {twin:.1f} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def variant_table(rows: list[dict]) -> str:
    """Each variant minus the default's twin, 100 pairs, ridge-CCA start."""
    cell = {
        (r["source"], r["variant"], r["seed"], r["weight"]): r["test"]
        for r in rows
        if r["pairs"] == 100 and r["start"] == "ridge_cca"
    }
    lines = ["| variant | set | weight | R@10 | R@1 | FOSCTTM |", "|---|---|---|---|---|---|"]
    for variant in variants():
        for source in VARIANT_SETS:
            for weight in (1.0, 10.0):
                if variant == "default" or not all((source, variant, seed, weight) in cell for seed in SEEDS):
                    continue
                pairs = [(cell[source, variant, s, weight], cell[source, "default", s, 0.0]) for s in SEEDS]
                found = {m: sweep.interval([a[m] - b[m] for a, b in pairs]) for m in METRICS}
                columns = [variant, source, f"{weight:g}", found["mean/R@10"], found["mean/R@1"], found["foscttm"]]
                lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def main() -> None:
    parser = sweep.parser()
    parser.add_argument("--variant", default="default", choices=list(variants()))
    args = parser.parse_args()
    if args.table:
        rows = sweep.read(args.output)
        print(table(rows, "default"), variant_table(rows), sep="\n\n")
        return
    names = ("source", "pairs", "start", "seed", "weight", "variant")
    sweep.run_missing(args.output, names, grid(args.variant), run, args.part)


if __name__ == "__main__":
    main()
