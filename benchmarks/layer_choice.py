"""What choosing layers is worth: the pair of layers with most mutual neighbours, the two last layers, and the best there are.

    python -m benchmarks.layer_choice              # 5 seeds of a made pair of encoders whose best layers are known

The set is `synthetic.layered_pair`: what the encoders share comes up layer by layer and goes again, so the last layers are not
the best by construction. `gera-jax select-layers` sees known training pairs alone; STRUCTURE is trained on what it chose. This
shows that the choice works where there is something to choose, not how much there is in real encoders. Noise half as large as
the coordinates keeps R@10 off its ceiling.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._sweep import interval
from benchmarks.system_gain import SEEDS
from gera_jax import config, select_layers, training
from gera_jax.api import use_compilation_cache
from gera_jax.data import synthetic


def experiment(folder: Path, pairs: int, seed: int, structure: float):
    """The config over files with a layer axis, as `select-layers` writes it, and the answer."""
    x, y, answer = synthetic.layered_pair(700 + pairs, noise=0.5, seed=seed)
    for name, layers in (("x", x), ("y", y)):
        np.savez(folder / f"{name}.npz", layers=layers, ids=np.arange(len(layers)).astype(str))
    c = config.load(f"structure:pairs={pairs},seed={seed},structure={structure}")
    c.data.split.update(val=200, test=500, seed=seed)
    for side in ("x", "y"):
        c.data.preprocess[side].pca = 0  # rows are 24 and 32 wide
    files = [f"{folder}/{name}.npz:layers" for name in ("x", "y")]
    chosen = select_layers(*files, config=c, output=folder / "chosen.json")
    return config.load(folder / "chosen.json"), chosen, answer.layers


def recall(c, layers: tuple[int, int]) -> float:
    c.data.x.layer, c.data.y.layer = map(str, layers)
    return training.train(c).evaluate("test")["mean/R@10"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="*", type=int, default=[100, 300])
    parser.add_argument("--structure", type=float, default=10.0, help="weight of STRUCTURE's own term")
    args = parser.parse_args()
    use_compilation_cache()
    print("| pairs | chosen, of 5 seeds | last: R@10 | chosen: R@10 | best: R@10 | chosen minus last |")
    print("|---|---|---|---|---|---|")
    for pairs in args.pairs:
        rows, picks = [], []
        for seed in SEEDS:
            with tempfile.TemporaryDirectory() as folder:
                c, chosen, best = experiment(Path(folder), pairs, seed, args.structure)
                picked = (chosen["x_layer"], chosen["y_layer"])
                rows.append([recall(c, layers) for layers in ((-1, -1), picked, best)])
                picks.append(picked)
        last, own, best = np.array(rows).T
        counts = ", ".join(f"{pick} x {picks.count(pick)}" for pick in dict.fromkeys(picks))
        levels = " | ".join(f"{100 * level.mean():.1f}" for level in (last, own, best))
        print(f"| {pairs} | {counts} | {levels} | {interval(own - last)} |", flush=True)


if __name__ == "__main__":
    main()
