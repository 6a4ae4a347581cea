"""The shared sphere before and after fine-tuning: alignment, uniformity, the gap and calibration, with and without mixing.

    python -m benchmarks.mixing_gap --pairs 300 --picture gap.png          # clipart, validation rows

`start` is the closed form that fine-tuning begins at; `end` are the last parameters of a run, not the best ones, so that what
training does to the sphere is seen even where retrieval gains nothing by it.
"""

from __future__ import annotations

import argparse

import numpy as np

from gera_jax import config, evaluation, plots, training
from gera_jax.cli.commands import use_compilation_cache

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="clipart")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--picture", help="a .png or .svg of the sphere at the start and at the end of each run")
    args = parser.parse_args()
    use_compilation_cache()
    table, spaces = {}, {}
    for name, options in RUNS.items():
        result = training.train(config.load(f"m2mix:source={args.source},pairs={args.pairs},{options}"))
        experiment = result.experiment
        data, project = experiment.problem.data, experiment.problem.project
        pairs = getattr(data, args.split)
        states = {f"{name}: end": result.state.params}
        if not table:
            states = {"start": experiment.init_state().params, **states}
        for label, params in states.items():
            x, y = (np.asarray(project(params, side, data.features[side].take(pairs[:, i]))) for i, side in enumerate(data.names))
            spaces[label] = (x, y)
            table[label] = measures(x, y, 1 / result.experiment.config.model.temperature)
    columns = list(next(iter(table.values())))
    print("| |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    for label, row in table.items():
        print(f"| {label} |", " | ".join(f"{row[column]:.3f}" for column in columns), "|")
    if args.picture:
        plots.hypersphere_gap(spaces, names=tuple(data.names)).savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main()
