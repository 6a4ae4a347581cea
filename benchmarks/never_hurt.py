"""`auto` minus the best of ridge CCA and kernel CCA where the rows are bad: foreign, missing, wrongly paired, odd in length.

    python -m benchmarks.never_hurt --output benchmarks/results/never_hurt.jsonl           # runs what is missing
    python -m benchmarks.never_hurt --output benchmarks/results/never_hurt.jsonl --table
    python -m benchmarks.never_hurt --alarms          # clean sets on which rows are taken for foreign ones: 4 minutes

One line of JSON a condition, set, number of pairs, seed and method. A seed is a split, a draw of pairs and a draw of what is
spoilt. All methods get the same rows, and none has a setting. "Best" is the one of the two with the higher mean over the seeds.

Foreign rows are unpaired rows that no item of the set has. Those of another *domain* are of the same encoder: clip art beside
emoji, half-second pieces of recordings beside spoken names. *Alien* ones are of another encoder, brought to the width by a random
map with orthonormal rows or columns and to the mean length of the own rows. Shares are of a side's unpaired rows, of which 300
are its own.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks._sweep import LARGE, SETS, interval, possible, read
from benchmarks.recipe_gain import metrics
from gera_jax import solvers
from gera_jax.comparison.outcome import Interval
from gera_jax.comparison.task import make_task
from gera_jax.data import catalog
from gera_jax.solvers.auto import recipe
from gera_jax.solvers.auto.trust import trust

Rows = dict[str, np.ndarray]


class AllRows(solvers.CotrainedHeads):
    """`auto` that takes every unpaired row for its own."""

    def fit(self, *rows: np.ndarray) -> AllRows:
        with mock.patch.object(recipe, "trusted", lambda x_pairs, y_pairs, x, y: (x, y, (0.0, 0.0))):
            return super().fit(*rows)


METHODS = {"ridge_cca": solvers.RidgeCCA, "kernel_cca": solvers.KernelCCA, "auto": solvers.CotrainedHeads}
MORE = {"auto, all rows": AllRows}  # run where it is asked for
OWN = 300  # own rows of a side beside foreign ones
MARGIN = 0.5  # points of R@10 that `auto` may lose
POOLS = "molecule_large"  # the set of the two sizes of pool
DOMAIN = {  # file and array of rows by the same encoder
    "image": ("clipart_image_text.npz", "image"),
    "text": ("clipart_image_text.npz", "text"),
    "speech": ("phrase_grounding.npz", "clips"),
}


def rows_of(source: str, pairs: int, seed: int, split: str = "random") -> Rows:
    """Preprocessed rows of a seed, and its preprocessor for rows of another domain.

    Unpaired rows are of different items; the large molecule set has too few for that, so there they are of the same ones.
    """
    unpaired = "same_set" if source == POOLS else "independent"
    task = make_task(source, split=split, unpaired=unpaired, **SETS.get(source, LARGE))
    data, out = task.data(pairs, seed), {}
    for column, (side, name) in enumerate(zip("xy", data.names, strict=True)):
        take = data.features[name].take
        out |= {f"{side}_pairs": take(data.pairs[:, column]), side: take(data.unpaired[name])}
        out |= {f"{side}_test": take(data.test.rows[:, column]), f"{side}_prepare": data.features[name].preprocessor}
    return out | {"names": data.names}


def foreign_rows(rows: Rows, side: str, kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows of another domain or of another encoder, in the space of one side."""
    name = rows["names"]["xy".index(side)]
    if kind == "domain":
        file, array = DOMAIN[name]
        with np.load(catalog.FILES / file) as found:
            other = found[array].reshape(-1, found[array].shape[-1]).astype(np.float32)
        return rows[f"{side}_prepare"](other[rng.choice(len(other), count, replace=False)])
    with np.load(catalog.FILES / "molecule_name.npz") as found:
        other = found["molecule"].astype(np.float32)
    other = other[rng.choice(len(other), count, replace=False)]
    own, (a, b) = rows[f"{side}_pairs"], (other.shape[1], rows[f"{side}_pairs"].shape[1])
    square = np.linalg.qr(rng.normal(size=(max(a, b), min(a, b))))[0]
    other = other @ (square if a > b else square.T)
    return (other * np.linalg.norm(own, axis=1).mean() / np.linalg.norm(other, axis=1).mean()).astype(np.float32)


def with_foreign(rows: Rows, rng: np.random.Generator, kind: str, share: float, sides: str) -> Rows:
    out = dict(rows)
    for side in "xy":
        own = rng.permutation(rows[side])[:OWN]
        count = round(len(own) * share / (1 - share)) if side in sides else 0
        mixed = np.concatenate([own, foreign_rows(rows, side, kind, count, rng)]) if count else own
        out[side] = mixed[rng.permutation(len(mixed))]
    return out


def fewer(rows: Rows, rng: np.random.Generator, count: int) -> Rows:
    return {**rows, **{side: rng.permutation(rows[side])[:count] for side in "xy"}}


def wrong_pairs(rows: Rows, rng: np.random.Generator, share: float) -> Rows:
    p = len(rows["x_pairs"])
    wrong, y = rng.choice(p, max(2, round(share * p)), replace=False), rows["y_pairs"].copy()
    y[wrong] = y[np.roll(wrong, 1)]
    return {**rows, "y_pairs": y}


def scaled(rows: Rows, rng: np.random.Generator, factor: Callable[[int], np.ndarray]) -> Rows:
    """All rows of the training, or of everything, times a factor a row."""
    return {k: v * factor(len(v))[:, None].astype(np.float32) if isinstance(v, np.ndarray) else v for k, v in rows.items()}


def lengths(rows: Rows, rng: np.random.Generator) -> Rows:
    return scaled(rows, rng, lambda n: rng.lognormal(size=n))


def outliers(rows: Rows, rng: np.random.Generator) -> Rows:
    """One training row in fifty thirty times as long."""
    train = {k: v for k, v in rows.items() if isinstance(v, np.ndarray) and not k.endswith("test")}
    return {**rows, **scaled(train, rng, lambda n: np.where(rng.random(n) < 0.02, 30.0, 1.0))}


def narrow(rows: Rows, rng: np.random.Generator, width: int = 16) -> Rows:
    """The first principal directions of the training rows."""
    out = dict(rows)
    for side in "xy":
        train = np.concatenate([rows[f"{side}_pairs"], rows[side]])
        kept = np.linalg.svd(train - train.mean(axis=0), full_matrices=False)[2][:width].T
        out |= {key: rows[key] @ kept for key in (side, f"{side}_pairs", f"{side}_test")}
    return out


CONDITIONS: dict[str, Callable[[Rows, np.random.Generator], Rows]] = {
    "own rows": lambda rows, rng: rows,
    "none": partial(fewer, count=0),
    "pool of 200": partial(fewer, count=200),
    "pool of 5,000": partial(fewer, count=5000),
    "alien 50 % both": partial(with_foreign, kind="alien", share=0.5, sides="xy"),
    "alien 90 % both": partial(with_foreign, kind="alien", share=0.9, sides="xy"),
    "alien 90 % x": partial(with_foreign, kind="alien", share=0.9, sides="x"),
    "alien 90 % y": partial(with_foreign, kind="alien", share=0.9, sides="y"),
    "domain 50 % both": partial(with_foreign, kind="domain", share=0.5, sides="xy"),
    "domain 90 % both": partial(with_foreign, kind="domain", share=0.9, sides="xy"),
    "domain 90 % x": partial(with_foreign, kind="domain", share=0.9, sides="x"),
    "domain 90 % y": partial(with_foreign, kind="domain", share=0.9, sides="y"),
    "wrong pairs 10 %": partial(wrong_pairs, share=0.1),
    "wrong pairs 30 %": partial(wrong_pairs, share=0.3),
    "outliers": outliers,
    "log-normal lengths": lengths,
    "width 16": narrow,
    "grouped split": lambda rows, rng: rows,
}


def asked(condition: str, source: str, pairs: int) -> bool:
    """Very few pairs are asked of clean rows alone, foreign rows of the emoji, and large pools of the large set."""
    if source == POOLS:
        return condition.startswith("pool")
    if condition == "pool of 5,000" or (condition.startswith(("alien", "domain")) and not source.startswith("emoji")):
        return False
    return possible(source, pairs) and (pairs >= 20 or condition in ("own rows", "none"))


def cells(args: argparse.Namespace) -> list[tuple]:
    """(condition, set, pairs, seed)."""
    return [
        (condition, source, pairs, seed)
        for seed in args.seeds
        for source in args.sets
        for pairs in args.pairs
        for condition in args.conditions
        if asked(condition, source, pairs)
    ]


def run(args: argparse.Namespace) -> None:
    names = ("condition", "set", "pairs", "seed", "method")
    done = {tuple(row[name] for name in names) for row in read(args.output)}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("a") as file:
        for cell in cells(args):
            missing = [method for method in args.methods if (*cell, method) not in done]
            if not missing:
                continue
            condition, source, pairs, seed = cell
            rows = rows_of(source, pairs, seed, "group" if condition == "grouped split" else "random")
            rows = CONDITIONS[condition](rows, np.random.default_rng(seed))
            for method in missing:
                began = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # outliers and foreign rows are what this is about
                    model = (METHODS | MORE)[method]().fit(*(rows[key] for key in ("x_pairs", "y_pairs", "x", "y")))
                row = dict(zip(names, (*cell, method), strict=True)) | metrics(model.similarity(rows["x_test"], rows["y_test"]))
                row["seconds"] = round(time.process_time() - began, 2)
                if hasattr(model, "foreign_share"):
                    row["foreign_share"] = [round(value, 3) for value in model.foreign_share]
                file.write(json.dumps(row) + "\n")
                file.flush()
                print(row, flush=True)


def table(rows: list[dict]) -> str:
    """`auto` minus the best of the others, whether the interval is above -MARGIN, and the same with all rows where it was run."""
    found: dict[tuple, dict[str, dict[int, dict]]] = {}
    for row in rows:
        cell = found.setdefault((row["condition"], row["set"], row["pairs"]), {})
        cell.setdefault(row["method"], {})[row["seed"]] = row
    lines = [
        "| condition | set | pairs | ridge CCA | kernel CCA | auto | auto - best: R@10 | R@1 | | with all rows: R@10 | foreign |",
        "|---" * 11 + "|",
    ]
    words, order, [*others, own], [more] = [], list(CONDITIONS), METHODS, MORE
    for (condition, source, pairs), cell in sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])):
        if set(METHODS) - set(cell):
            continue
        seeds = sorted(set.intersection(*(set(cell[method]) for method in METHODS)))
        mean = {method: np.mean([cell[method][seed]["R@10"] for seed in seeds]) for method in METHODS}
        best = max(others, key=mean.__getitem__)

        def gains(method: str, metric: str, cell: dict = cell, best: str = best, seeds: list = seeds) -> list[float]:
            return [cell[method][seed][metric] - cell[best][seed][metric] for seed in seeds]

        gain = Interval.of(gains(own, "R@10"))
        low, high = gain.mean - gain.half, gain.mean + gain.half
        words.append("holds" if low > -MARGIN else "hurts" if high < -MARGIN else "open")
        shares = np.mean([cell[own][seed]["foreign_share"] for seed in seeds], axis=0)
        texts = [condition, source, str(pairs), *(f"{mean[method]:.1f}" for method in METHODS)]
        texts += [interval(gains(own, metric), unit=1) for metric in ("R@10", "R@1")] + [words[-1]]
        texts.append(interval(gains(more, "R@10"), unit=1) if set(seeds) <= set(cell.get(more, ())) else "")
        texts.append(", ".join(f"{share:.0%}" for share in shares) if shares.any() else "")
        lines.append(f"| {' | '.join(texts)} |")
    counted = ", ".join(f"{words.count(word)} {word}" for word in ("holds", "open", "hurts"))
    return "\n".join([*lines, "", f"{len(words)} cells: {counted} (holds = the 95 % interval lies above -{MARGIN})."])


def alarms(seeds: Sequence[int]) -> str:
    """How often rows of a clean set are taken for foreign ones, by number of pairs; where not, `auto` uses all rows."""
    found: dict[int, list[bool]] = {}
    for source in SETS:
        for pairs in (5, 10, 20, 50, 100, 200, 500, 1000):
            for seed in seeds if possible(source, pairs) else ():
                for split in ("random", "group"):
                    rows = rows_of(source, pairs, seed, split)
                    wide = [(rows[f"{side}_pairs"].astype(float), rows[side].astype(float)) for side in "xy"]
                    found.setdefault(pairs, []).extend(trust(*side).foreign > 0 for side in wide)
    return "\n".join(
        ["| pairs | sides | alarms |", "|---" * 3 + "|", *(f"| {p} | {len(a)} | {sum(a)} |" for p, a in sorted(found.items()))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/never_hurt.jsonl"))
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=list(CONDITIONS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=[*METHODS, *MORE])
    parser.add_argument("--sets", nargs="+", default=["emoji_speech", "emoji_speech_image"], choices=[*SETS, POOLS])
    parser.add_argument("--pairs", nargs="+", type=int, default=[2, 5, 10, 50, 200])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--table", action="store_true", help="print the table of what the file holds, run nothing")
    parser.add_argument("--alarms", action="store_true", help="count false alarms on clean sets, no fit")
    args = parser.parse_args()
    if args.alarms:
        print(alarms(args.seeds))
        return
    if args.table:
        print(table([row for row in read(args.output) if row["seed"] in args.seeds]))
        return
    run(args)


if __name__ == "__main__":
    main()
