"""Fit a shared space on arrays of your own and score it on pairs that it has not seen."""

from __future__ import annotations

import numpy as np

from gera_jax import Aligner


def main() -> float:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 16))  # rows of one encoder
    y = x @ rng.normal(size=(16, 12)) + 0.1 * rng.normal(size=(300, 12))  # rows of another one; row i belongs to x[i]

    aligner = Aligner("ridge_cca").fit(x[:100], y[:100])
    z: np.ndarray = aligner.transform_x(x[100:])  # rows of the shared space
    score = aligner.score(x[100:], y[100:])
    print(f"{len(z)} rows of width {z.shape[1]}, R@10 {score['mean/R@10']:.3f}")
    return float(score["mean/R@10"])


if __name__ == "__main__":
    main()
