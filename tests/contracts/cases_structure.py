"""The structure divergence in its configurations, and the faults that it names."""

from __future__ import annotations

import numpy as np

from tests.oracles import structure


def cases(case, points, *, mask: np.ndarray) -> list:
    """`case` is the class of the table; `points` makes its data."""
    shared = dict(loss="structure_divergence", oracle=structure.structure_divergence, make=points, inputs=("x", "z"), frozen=(0,))

    def one(name, arrays=None, *wrong, **static):
        # A temperature at which walks move: cold ones stay where they are, and every implementation gives nearly 0.
        static = dict(temperature=0.5, **static)
        center = "none" if static.get("center") != "none" else "before"
        wrong = [dict(temperature=0.55), dict(center=center), *wrong]
        return case(f"structure-{name}", static=static, arrays=arrays or {}, wrong={str(w): w for w in wrong}, **shared)

    masked = dict(mask=mask)
    released, uniform = dict(divergence="mixture_first"), dict(level_weights="uniform")
    return [
        one("js", None, released, dict(diagonal=False), dict(levels=2)),
        one("levels", masked, dict(levels=2), uniform, levels=3),
        one("released", None, dict(divergence="js"), dict(levels=2), levels=3, **released),
        one("rbf", masked, dict(gamma=0.8), dict(similarity="cosine"), similarity="rbf", gamma=0.7, center="before"),
        one("rbf-levels", None, dict(level_weights="inverse"), similarity="rbf", center="before", levels=4, **uniform),
        one("no-diagonal", masked, dict(diagonal=True), diagonal=False, levels=2, center="none"),
        one("margin", None, dict(margin=0.0), center="before", levels=2, margin=0.01, **released),
    ]


PLAIN = ("structure-js", "structure-released")


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


PAIR = (zeros(4, 3), zeros(4, 3))
FAULTS = [  # loss, inputs, options, words that the message must hold
    ("structure_divergence", (zeros(4, 3), zeros(5, 3)), {}, ("z", "4|5", "rows")),
    ("structure_divergence", (zeros(4), zeros(4, 3)), {}, ("x", "rank|axes|dimension")),
    ("structure_divergence", PAIR, dict(levels=0), ("levels", "0", "at least 1")),
    ("structure_divergence", PAIR, dict(levels=2**31 - 1), ("levels", "2147483647", "at most 64")),
    ("structure_divergence", PAIR, dict(levels=1.5), ("levels", "1.5", "whole")),
    ("structure_divergence", PAIR, dict(temperature=0.0), ("temperature", "0", "positive")),
    ("structure_divergence", PAIR, dict(temperature=-1.0), ("temperature", "-1")),
    ("structure_divergence", PAIR, dict(gamma=0.0), ("gamma", "0", "positive")),
    ("structure_divergence", PAIR, dict(margin=-0.1), ("margin", "-0.1")),
    ("structure_divergence", PAIR, dict(divergence="kl"), ("divergence", "js|mixture_first")),
    ("structure_divergence", PAIR, dict(center="mean"), ("center", "after|before")),
    ("structure_divergence", PAIR, dict(level_weights="invers"), ("level_weights", "inverse")),
    ("structure_divergence", PAIR, dict(similarity="spearman"), ("similarity", "cosine")),
    ("structure_divergence", PAIR, dict(mask=np.ones(5, bool)), ("mask", "4|5")),
]
