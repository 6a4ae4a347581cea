"""Compare methods on pairs of your own and read what was found."""

from __future__ import annotations

import numpy as np

import gera_jax


def main() -> str:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 16))
    y = x @ rng.normal(size=(16, 12)) + 0.5 * rng.normal(size=(240, 12))

    found = gera_jax.compare(x=x, y=y, methods=("ridge_cca", "procrustes"), counts=(20, 50), seeds=2, budget=1, jobs=1)
    for method in found.methods(50):
        recall = found.mean(method, 50, "mean/R@10")
        print(f"{method}: R@10 {recall.mean:.3f} from 50 pairs")
    best: str = found.best(50)
    print(f"best: {best}; {found.reason}")
    return best


if __name__ == "__main__":
    main()
