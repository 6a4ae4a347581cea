"""The shared sphere before and after fine-tuning: alignment, uniformity, the gap and calibration, with and without mixing.

    python -m benchmarks.mixing_gap --pairs 300 --split test --picture gap.png          # clipart, 5 seeds

`start` is the closed form that fine-tuning begins at; `end` are the last parameters of a run, not the best ones, so that what
training does to the sphere is seen even where retrieval gains nothing by it. Levels of `start`, then paired differences over the
seeds: what contrast alone changes of it, and what mixing changes of contrast alone.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks._sweep import interval
from benchmarks.system_gain import SEEDS, SETS
from gera_jax import config, evaluation, plots, training
from gera_jax.api import use_compilation_cache

RUNS = {"contrastive alone": "mix=0", "m2": "mix=0.05", "m2, weight 1, no decay": "mix=1.0,schedule=constant"}


def measures(x: np.ndarray, y: np.ndarray, logit_scale: float) -> dict[str, float]:
    return {
        "R@10": evaluation.retrieval_metrics(x, y)["mean/R@10"],
        "alignment (x)": float(evaluation.relative_alignment(x, y)),
        "alignment (y)": float(evaluation.relative_alignment(x, y, query="y")),
        "uniformity (cross)": float(evaluation.set_uniformity(x, y)),
        "uniformity (union)": float(evaluation.set_uniformity(x, y, pairs="union")),
        "uniformity (released)": float(evaluation.set_uniformity(x, y, pairs="released")),
        "modality gap": float(evaluation.modality_gap(x, y)),
        "calibration error": evaluation.expected_calibration_error(logit_scale * x @ y.T),
    }


def spaces(source: str, pairs: int, seed: int, split: str) -> tuple[dict[str, tuple], float, tuple[str, str]]:
    """Unit rows of both sides at the start and at the end of each run, 1 / temperature, and the names of the sides."""
    found = {}
    for name, options in RUNS.items():
        c = config.load(f"m2mix:source={source},pairs={pairs},seed={seed},{options}")
        c.data.split.update(seed=seed, **SETS[source])
        result = training.train(c)
        experiment = result.experiment
        data, project = experiment.problem.data, experiment.problem.project
        states = {} if found else {"start": experiment.init_state().params}
        for label, params in (states | {name: result.state.params}).items():
            found[label] = tuple(
                np.asarray(project(params, side, data.features[side].take(rows)))
                for side, rows in zip(data.names, getattr(data, split).rows.T, strict=True)
            )
    return found, 1 / experiment.config.model.temperature, tuple(data.names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="clipart", choices=list(SETS))
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--picture", help="a .png or .svg of the first seed's sphere at the start and at the end of each run")
    args = parser.parse_args()
    use_compilation_cache()
    rows: dict[str, list] = {}
    for seed in SEEDS:
        found, scale, names = spaces(args.source, args.pairs, seed, args.split)
        for label, (x, y) in found.items():
            rows.setdefault(label, []).append(measures(x, y, scale))
        if args.picture and seed == 0:
            plots.hypersphere_gap(found, names=names).savefig(args.picture, dpi=110)
    columns = list(rows["start"][0])
    values = {label: np.array([[row[column] for column in columns] for row in seeds]) for label, seeds in rows.items()}
    plain, *mixed = RUNS
    changes = {f"{plain} - start": values[plain] - values["start"]}
    changes |= {f"{name} - {plain}": values[name] - values[plain] for name in mixed}
    print("| |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    print("| start |", " | ".join(f"{level:.3f}" for level in values["start"].mean(0)), "|")
    for label, change in changes.items():
        print(f"| {label} |", " | ".join(interval(column, unit=1, digits=3) for column in change.T), "|")


if __name__ == "__main__":
    main()
