"""The heat-geodesic stress in its configurations."""

from __future__ import annotations

import numpy as np

from tests.oracles import heat


def cases(case, sets, points, *, point_mask: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> list:
    """`case` is the class of the table; `sets` and `points` make its data."""
    shared = dict(loss="heat_geodesic_stress", oracle=heat.heat_geodesic_stress, inputs=("x", "z"), frozen=(0,))
    masked = dict(mask=point_mask, weights=weights)

    def one(name, make, arrays=None, **static):
        wrong = {"t": dict(t=static.get("t", 1.0) + 0.5), "sigma": dict(sigma=0.25)}
        other = "none" if static.get("normalization", "relative") == "relative" else "relative"
        wrong["normalization"] = dict(normalization=other)
        return case(f"heat-{name}", make=make, static=static, arrays=arrays or {}, wrong=wrong, **shared)

    return [
        one("neighbourhood", sets),
        one("neighbourhood-raw", sets, masked, normalization="none", t=2.0, sigma=0.5, bandwidth="self_tuning"),
        one("neighbourhood-masks", sets, masked, sigma=0.0),
        one("batch", points, form="batch"),
        one("batch-raw", points, dict(mask=mask), form="batch", normalization="none", bandwidth=1.3, t=0.5),
    ]
