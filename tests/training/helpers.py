"""A run small enough for a test, and its end before its time."""

from __future__ import annotations

from gera_jax import config


class Stop(Exception):
    """How a test ends a run that goes on in its next life."""


def stop_at(step):
    """A hook that ends a run at a step."""

    def hook(now, state, metrics):
        if now >= step:
            raise Stop

    return hook


def small_config(name: str = "gera", **changes):
    c = config.load(f"{name}:source=sphere,pairs=48")
    c.data.split.update(val=24, test=24)
    for side in ("x", "y"):
        c.data.preprocess[side].update(pca=0)
        c.data.preprocess[side].filter.strength = 0.0
    for graph in c.graphs.values():
        graph.knn = 4
    c.model.dim = 6
    c.batch.pairs = 24
    if c.graphs:
        c.batch.anchors = 8
    c.total_steps = 12
    c.evals.every_steps = 4
    c.checkpoint.every_steps = 3
    c.log_every_steps = 2
    c.tensorboard = "off"
    for field, value in changes.items():
        config.override(c, field, str(value))
    return c
