"""Methods x sets x numbers of pairs x seeds: the recipe (`auto`) against the closed forms, its ablation, and larger pools.

    python -m benchmarks.recipe_gain --output benchmarks/results/recipe_gain.jsonl                  # runs what is missing
    python -m benchmarks.recipe_gain --output benchmarks/results/recipe_gain.jsonl --group ablation --seeds 0 1 2
    python -m benchmarks.recipe_gain --output benchmarks/results/recipe_gain.jsonl --group pool --file LARGE.npz
    python -m benchmarks.recipe_gain --output benchmarks/results/recipe_gain.jsonl --table

One line of JSON a cell, so a killed run goes on where it was. A seed is a split and a draw of pairs. A method with several
settings is tuned: the setting with the best mean R@10 on the validation rows is the one whose test figures are kept (the recipe
has one setting and no use for validation rows). Test galleries: 500 items, emoji 400; unpaired rows "independent". Rows of the
methods in FORMER are those of former recipes; nothing here runs them any more.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks._sweep import SETS, possible
from benchmarks.label_efficiency import verdict
from gera_jax import config, solvers
from gera_jax.comparison.outcome import Interval
from gera_jax.comparison.task import COUNTS
from gera_jax.data import Preprocessor, Table, build_data

SEEDS = range(15)
METRICS = ("R@1", "R@10", "F")
OWN = "auto"
FORMER = {
    "auto, no matching": "no matching below 100 pairs",
    "auto, likelihood": "hubness and expansion chosen by the likelihood of held-out pairs alone",
    "auto, cut": "256 input, 512 kernel and 192 canonical directions, a narrow kernel at every number of pairs",
    "recipe": "three views, equal weights, two rounds",
}
RIDGES, POWERS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0), (2.0, 4.0, 8.0)

METHODS: dict[str, list[Callable]] = {
    "Procrustes": [lambda d=d: solvers.Procrustes(dim=d) for d in (None, 20, 50, 100)],
    "ridge CCA, rule": [solvers.RidgeCCA],
    "ridge CCA, tuned": [lambda r=r: solvers.RidgeCCA(regularization=r) for r in RIDGES],
    "ASIF": [lambda p=p: solvers.ASIF(power=p) for p in POWERS],
    "CSA": [lambda d=d: solvers.RidgeCCA(dim=d, regularization=0.1) for d in (10, 20, 50, 100, 200)],
    "kernel CCA": [lambda w=w, r=r: solvers.KernelCCA(width=w, regularization=r) for w in (1.0, 0.5) for r in ("auto", 0.3)],
    "kernel CCA, 1000 landmarks": [
        lambda w=w, r=r: solvers.KernelCCA(width=w, regularization=r, landmarks=1000) for w in (1.0, 0.5) for r in ("auto", 0.3)
    ],
    "auto": [solvers.CotrainedHeads],
}


def recipe(**changes) -> list[Callable]:
    return [lambda: solvers.CotrainedHeads(**changes)]


ABLATION: dict[str, list[Callable]] = {
    "equal weights": recipe(shrink=math.inf),
    "no narrow kernel": recipe(views=("plain", "smoothed", "kernel")),
    "no wide kernel": recipe(views=("plain", "smoothed", "narrow")),
    "no smoothed view": recipe(views=("plain", "kernel", "narrow")),
    "no plain view": recipe(views=("smoothed", "kernel", "narrow")),
    "plain view alone": recipe(views=("plain",)),
    "no co-training": recipe(rounds=0),
    "two rounds": recipe(rounds=2),
    "256 directions of the input": recipe(dim=256),
    "shared space of 512": recipe(width=512),
    "shared space of 128": recipe(width=128),
    "no expansion": recipe(expansion=0.0),
    "no hubness": recipe(hubness=0.0),
    "hubness and expansion not chosen": recipe(hubness=0.25, expansion=0.15),
    "no geometry of unpaired rows": recipe(views=("plain", "kernel", "narrow"), rounds=0, expansion=0.0),
}


def metrics(scores: np.ndarray) -> dict[str, float]:
    """Per cent, both directions averaged; ties count half."""
    own, n = np.diag(scores), len(scores)
    ranks = [(s > own[:, None]).sum(1) + ((s == own[:, None]).sum(1) - 1) / 2 for s in (scores, scores.T)]
    mean = [np.mean([np.mean(r < k) for r in ranks]) for k in (1, 10)] + [np.mean(ranks) / (n - 1)]
    return {name: round(100 * float(value), 3) for name, value in zip(METRICS, mean, strict=True)}


def rows_of(source: str, pairs: int, seed: int) -> dict[str, np.ndarray]:
    block = config.embedding_pair(source, pairs=pairs)
    block.split.update(seed=seed, **SETS[source])
    data = build_data(block)
    out = {}
    for side, name in zip("xy", data.names, strict=True):
        take, column = data.features[name].take, "xy".index(side)
        out |= {
            f"{side}_pairs": take(data.pairs[:, column]),
            side: take(data.unpaired[name]),
            f"{side}_val": take(data.val.rows[:, column]),
            f"{side}_test": take(data.test.rows[:, column]),
        }
    return out


def measure(rows: dict[str, np.ndarray], settings: list[Callable]) -> dict:
    """Test figures of the setting that is best on the validation rows, and CPU seconds of one fit."""
    best = (-1.0, {}, 0.0)
    for make in settings:
        began = time.process_time()
        model = make().fit(rows["x_pairs"], rows["y_pairs"], rows["x"], rows["y"])
        seconds = time.process_time() - began
        value = metrics(model.similarity(rows["x_val"], rows["y_val"]))["R@10"] if len(settings) > 1 else 0.0
        if value > best[0]:
            best = (value, metrics(model.similarity(rows["x_test"], rows["y_test"])), seconds)
    return {**best[1], "seconds": round(best[2], 3)}


def large_items(items: int, pairs: int, unpaired: int, seed: int, regime: str = "independent") -> list[np.ndarray]:
    """Numbers of the paired items, of the unpaired rows of x and of y, and of 1,000 test items.

    The unpaired rows are of different items ("independent"), or of the same ones in another order ("same_set").
    """
    test, paired, rest = np.split(np.random.default_rng(seed).permutation(items), [1000, 1000 + pairs])
    of_y = {"independent": rest[unpaired : 2 * unpaired], "same_set": np.random.default_rng(seed).permutation(rest[:unpaired])}
    return [paired, rest[:unpaired], of_y[regime], test]


def large_rows(file: Path, pairs: int, unpaired: int, seed: int, regime: str = "independent") -> dict[str, np.ndarray]:
    """Preprocessed rows of `large_items` of the large molecule file."""
    with np.load(file, allow_pickle=False) as arrays:
        x, y = arrays["molecule"], arrays["text"]
    paired, of_x, of_y, test = large_items(len(x), pairs, unpaired, seed, regime)
    tables = (
        Table(x[np.r_[paired, of_x, test]], [*range(pairs), *range(-unpaired, 0), *range(10**6, 10**6 + 1000)], "molecule"),
        Table(
            y[np.r_[paired, of_y, test]], [*range(pairs), *range(10**7, 10**7 + unpaired), *range(10**6, 10**6 + 1000)], "text"
        ),
    )
    out = {}
    for table, side, standardize in zip(tables, "xy", (True, False), strict=True):
        n = pairs + unpaired
        features = Preprocessor(center=True, standardize=standardize).fit(table.rows, np.arange(n))(table.rows)
        out |= {f"{side}_pairs": features[:pairs], side: features[pairs:n], f"{side}_test": features[n:]}
    return out


def run_pool(args: argparse.Namespace, write: Callable[[dict], None], done: set) -> None:
    """20,000 items are too few for 10,000 rows of each modality beside pairs and test, unless they are of the same items."""
    with np.load(args.file, allow_pickle=False) as arrays:
        spare = len(arrays["molecule"]) - 1000
    for seed in args.seeds:
        for pairs in (100, 1000):
            for regime, most in (("independent", 9000), ("same_set", 10000)):
                most = min(most, (spare - pairs) // (2 if regime == "independent" else 1))
                for unpaired in sorted({min(size, most) for size in (100, 1000, most)}):
                    pool = f"{unpaired} {regime}"
                    for name, make in (("ridge CCA, rule", solvers.RidgeCCA), ("auto", solvers.CotrainedHeads)):
                        if ("pool", pool, pairs, seed, name) not in done:
                            found = measure(large_rows(args.file, pairs, unpaired, seed, regime), [make])
                            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                            write(dict(group="pool", set=pool, pairs=pairs, seed=seed, method=name, peak_mib=peak, **found))


def run_sets(args: argparse.Namespace, write: Callable[[dict], None], done: set) -> None:
    field = {"field": METHODS, "ablation": ABLATION}[args.group]
    for seed in args.seeds:
        for source in args.sets:
            for pairs in filter(lambda p, s=source: possible(s, p), args.pairs):
                names = [n for n in args.methods or field if (args.group, source, pairs, seed, n) not in done]
                rows = rows_of(source, pairs, seed) if names else {}
                for name in names:
                    write(dict(group=args.group, set=source, pairs=pairs, seed=seed, method=name, **measure(rows, field[name])))


def difference(a: dict[int, float], b: dict[int, float]) -> Interval:
    """Mean and half 95 % interval of a - b over the seeds that both have."""
    return Interval.of([a[s] - b[s] for s in sorted(set(a) & set(b))])


def collect(rows: list[dict], group: str) -> dict[tuple, dict[int, dict]]:
    cells: dict[tuple, dict[int, dict]] = {}
    for row in rows:
        if row["group"] == group:
            cells.setdefault((row["set"], row["pairs"], row["method"]), {})[row["seed"]] = row
    return cells


def values(cell: dict[int, dict], metric: str = "R@10") -> dict[int, float]:
    return {seed: row[metric] for seed, row in cell.items()}


def field_table(rows: list[dict]) -> list[str]:
    cells, others = collect(rows, "field"), [name for name in METHODS if name != OWN]
    lines = [
        f"| set | pairs | {' | '.join(others)} | auto R@10 | best other | auto - best: R@10 | R@1 | FOSCTTM | |",
        "|---" * (8 + len(others)) + "|",
    ]
    outcome, gains = {"won": 0, "tied": 0, "lost": 0}, {}
    for source in SETS:
        for pairs in COUNTS:
            own = cells.get((source, pairs, OWN))
            found = {name: cells[source, pairs, name] for name in others if (source, pairs, name) in cells}
            if not own or not found:
                continue
            mean = {name: np.mean(list(values(cell).values())) for name, cell in found.items()}
            best = max(mean, key=mean.__getitem__)
            gaps = {m: difference(values(own, m), values(found[best], m)) for m in METRICS[1::-1] + METRICS[2:]}
            word = verdict(gaps["R@10"])
            outcome[word] += 1
            gains.setdefault(pairs, []).append(gaps["R@10"].mean)
            numbers = [f"{mean[name]:.1f}" if name in mean else "" for name in others]
            numbers.append(f"{np.mean(list(values(own).values())):.1f}")
            texts = [f"{g:+.1f} ± {h:.1f}" for g, h in gaps.values()]
            lines.append(f"| {source} | {pairs} | {' | '.join(numbers)} | {best} | {' | '.join(texts)} | {word} |")
    cells_text = ", ".join(f"{n} {word}" for word, n in outcome.items())
    lines += [
        "",
        f'Cells: {cells_text}. "Best other" is picked on the test rows, which favours the others.',
        "",
        "| pairs | mean gain in R@10 over the best other |",
        "|---|---|",
    ]
    return lines + [f"| {pairs} | {np.mean(gain):+.2f} ({len(gain)} sets) |" for pairs, gain in sorted(gains.items())]


def ablation_table(rows: list[dict]) -> list[str]:
    whole, cells = collect(rows, "field"), collect(rows, "ablation")
    counts = sorted({pairs for _, pairs, _ in cells})
    lines = [
        "R@10 (FOSCTTM) of the variant minus the recipe, mean over sets; the interval is over seeds.",
        "",
        "| variant | " + " | ".join(f"p = {p}" for p in counts) + " |",
        "|---" * (1 + len(counts)) + "|",
    ]
    for name in ABLATION:
        texts = []
        for pairs in counts:
            pair = [
                (cells[s, pairs, name], whole[s, pairs, OWN])
                for s in SETS
                if (s, pairs, name) in cells and (s, pairs, OWN) in whole
            ]
            seeds = set.intersection(*(set(a) & set(b) for a, b in pair)) if pair else set()
            if len(seeds) < 2:
                texts.append("")
                continue
            mean = [
                {seed: float(np.mean([cell[i][seed][m] for cell in pair])) for seed in seeds}
                for m in ("R@10", "F")
                for i in (0, 1)
            ]
            (gap, half), (f_gap, _) = difference(*mean[:2]), difference(*mean[2:])
            texts.append(f"{gap:+.2f} ± {half:.2f} ({f_gap:+.2f})")
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return lines


def former_table(rows: list[dict], former: str) -> list[str]:
    """The recipe minus a former one, over the seeds that both have; the interval is over seeds."""
    cells = collect(rows, "field")
    lines = [
        f"Against the former recipe of {FORMER[former]}:",
        "",
        "| pairs | sets, seeds | auto - former: R@10 | R@1 | FOSCTTM |",
        "|---|---|---|---|---|",
    ]
    for pairs in COUNTS:
        both = [
            (cells[s, pairs, OWN], cells[s, pairs, former])
            for s in SETS
            if (s, pairs, OWN) in cells and (s, pairs, former) in cells
        ]
        seeds = sorted(set.intersection(*(set(a) & set(b) for a, b in both))) if both else []
        if seeds:
            mean = {
                m: [{seed: float(np.mean([pair[i][seed][m] for pair in both])) for seed in seeds} for i in (0, 1)]
                for m in ("R@10", "R@1", "F")
            }
            gaps = [difference(*mean[m]) for m in mean]
            lines.append(f"| {pairs} | {len(both)}, {len(seeds)} | {' | '.join(f'{g:+.2f} ± {h:.2f}' for g, h in gaps)} |")
    return lines


def pool_table(rows: list[dict]) -> list[str]:
    cells = collect(rows, "pool")
    lines = [
        "| pairs | unpaired rows a modality | of items | ridge CCA R@10 | auto R@1 | R@10 | FOSCTTM | fit, s | peak MiB |",
        "|---" * 9 + "|",
    ]
    pools = {pool: (regime, int(size)) for pool, size, regime in ((pool, *pool.split()) for pool, _, _ in cells)}
    for pool, pairs, name in sorted(cells, key=lambda key: (key[1], pools[key[0]])):
        if name == OWN and (pool, pairs, "ridge CCA, rule") in cells:
            cell, base = cells[pool, pairs, name].values(), cells[pool, pairs, "ridge CCA, rule"].values()
            mean = {m: np.mean([row[m] for row in cell]) for m in (*METRICS, "seconds", "peak_mib")}
            regime, unpaired = pools[pool]
            lines.append(
                f"| {pairs} | {unpaired} | {regime} | {np.mean([r['R@10'] for r in base]):.1f} | {mean['R@1']:.1f} | "
                f"{mean['R@10']:.1f} | {mean['F']:.2f} | {mean['seconds']:.1f} | {mean['peak_mib']:.0f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--group", choices=("field", "ablation", "pool"), default="field")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--pairs", nargs="+", type=int, default=list(COUNTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--file", type=Path, help="the large molecule file, for --group pool")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if args.group == "pool" and not args.file:
        parser.error("--group pool needs --file")
    rows = [json.loads(line) for line in args.output.read_text().splitlines()] if args.output.exists() else []
    if args.table:
        rows = [row for row in rows if row["seed"] in args.seeds]
        former = [line for name in FORMER for line in (*former_table(rows, name), "")]
        print("\n".join([*field_table(rows), "", *former, *ablation_table(rows), "", *pool_table(rows)]))
        return
    done = {tuple(row[name] for name in ("group", "set", "pairs", "seed", "method")) for row in rows}
    with args.output.open("a") as file:

        def write(row: dict) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(row, flush=True)

        (run_pool if args.group == "pool" else run_sets)(args, write, done)


if __name__ == "__main__":
    main()
