"""Train with a loss of your own: a function of arrays, and a term in a config that names it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from gera_jax import Aligner, config
from gera_jax.training import terms


def mean_distance(x: Array, y: Array, *, mask: Array | None = None, axis_name: str | None = None) -> Array:
    """Mean squared distance of the pairs; a loss takes its data by position, all else by name."""
    weight = jnp.ones(len(x)) if mask is None else mask.astype(x.dtype)
    return jnp.sum(weight * jnp.sum((x - y) ** 2, axis=1)) / jnp.maximum(jnp.sum(weight), 1)


def main() -> float:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(160, 8)).astype(np.float32)
    y = x @ rng.normal(size=(8, 6)).astype(np.float32)

    terms.LOSSES["mean_distance"] = mean_distance
    made = config.load("contrastive:smoke")
    made.losses = {
        "contrastive": dict(fn="symmetric_info_nce", inputs=dict(x="z.image", y="z.text"), weight=1.0, kwargs={}),
        "pull": dict(fn="mean_distance", inputs=dict(x="z.image", y="z.text"), weight=0.1, kwargs={}),
    }
    aligner = Aligner(made).fit(x[:100], y[:100])
    score = aligner.score(x[100:], y[100:])
    print(f"R@10 {score['mean/R@10']:.3f}")
    return float(score["mean/R@10"])


if __name__ == "__main__":
    main()
