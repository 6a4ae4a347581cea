"""What a fitted recipe costs to keep and to ask: bytes stored, and CPU time to embed one new row, against other closed forms.

    python -m benchmarks.recipe_latency

One thread (set OMP_NUM_THREADS=1), CPU time, median of `--repeats` calls with one row each after a warm-up, x and y side in turn.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks._sweep import SETS, possible
from benchmarks.recipe_gain import rows_of
from gera_jax import solvers

METHODS = {
    "auto": solvers.CotrainedHeads,
    "auto, width 512": lambda: solvers.CotrainedHeads(width=512),
    "kernel CCA, 1000 landmarks": lambda: solvers.KernelCCA(landmarks=1000),
    "ridge CCA": solvers.RidgeCCA,
    "ASIF": solvers.ASIF,
}


def size_bytes(model: object) -> int:
    """Arrays that a fitted model holds."""
    own = getattr(model, "size_bytes", None)
    if own is not None:
        return own
    held = [*vars(model).values(), *(vars(model.head).values() if hasattr(model, "head") else ())]
    return sum(value.nbytes for value in held if isinstance(value, np.ndarray))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["clipart", "molecule"], choices=list(SETS))
    parser.add_argument("--pairs", nargs="+", type=int, default=[100, 1000])
    parser.add_argument("--repeats", type=int, default=50)
    args = parser.parse_args()
    print("| set | pairs | pool rows a modality | method | dimensions | stored, MiB | one row, ms | of 500 rows, ms a row |")
    print("|---" * 8 + "|")
    for source in args.sets:
        for pairs in (p for p in args.pairs if possible(source, p)):
            rows = rows_of(source, pairs, 0)
            for name, kind in METHODS.items():
                model = kind().fit(rows["x_pairs"], rows["y_pairs"], rows["x"], rows["y"])
                sides = ((model.transform_x, rows["x_val"]), (model.transform_y, rows["y_val"]))
                spent = []
                for i in range(args.repeats + 5):
                    transform, new = sides[i % 2]
                    began = time.process_time()
                    transform(new[i % len(new)][None])
                    spent.append(1000 * (time.process_time() - began))
                many = np.resize(sides[0][1], (500, rows["x_val"].shape[1]))
                began = time.process_time()
                width = model.transform_x(many).shape[1]
                each = 1000 * (time.process_time() - began) / len(many)
                print(
                    f"| {source} | {pairs} | {len(rows['x']) + pairs} | {name} | {width} | {size_bytes(model) / 2**20:.1f} | "
                    f"{np.median(spent[5:]):.2f} | {each:.3f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
