"""The semantic density divergence and MMD in their configurations, and the faults that they name."""

from __future__ import annotations

import numpy as np

from tests.oracles import density

LONG = np.arange(16) % 3 != 1  # mask of the second set, which has 16 rows


def two_sets(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unequal numbers of rows, another spread, and a shift between the sets."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(8, 4)), 0.8 * rng.normal(size=(16, 4)) + 0.5


def held_scale(case, x, y) -> dict:
    """The pooled scale of the bandwidths is a constant of the gradient."""
    kind = case.static.get("bandwidths", "mean")
    return dict(scale=density.pooled_scale(x, y, bandwidths=kind, **case.arrays)) if kind in ("mean", "median") else {}


def untiled(oracle):
    """The oracle, which knows nothing of tiles."""

    def whole(x, y, *, block_size=None, **arguments):
        return oracle(x, y, **arguments)

    return whole


def cases(case, *, mask: np.ndarray) -> list:
    """`case` is the class of the table."""
    masked = dict(x_mask=mask, y_mask=LONG)
    released, unbiased = dict(form="released"), dict(estimator="unbiased")

    def one(name, loss, arrays=None, *wrong, **static):
        held = held_scale if loss == "mk_mmd" else None
        return case(
            name,
            loss,
            untiled(getattr(density, loss)),
            two_sets,
            static=static,
            arrays=arrays or {},
            held=held,
            wrong={str(w): w for w in wrong},
            swappable=True,
        )

    return [
        one("density", "semantic_density", None, released, dict(bandwidth=0.55)),
        one("density-masks", "semantic_density", masked, released),
        one("density-masks-tiles", "semantic_density", masked, released, block_size=3),
        one("density-released", "semantic_density", None, dict(form="leave_one_out"), **released),
        one("density-released-masks", "semantic_density", masked, dict(bandwidth=0.5), bandwidth=0.8, **released),
        one("mmd", "mmd", None, dict(bandwidth=1.25), unbiased, bandwidth=1.2),
        one("mmd-masks", "mmd", masked, dict(estimator="biased"), **unbiased),
        one("mk_mmd", "mk_mmd", None, dict(multipliers=(0.25, 0.5, 1.0, 2.0)), dict(bandwidths="median"), unbiased),
        one(
            "mk_mmd-median",
            "mk_mmd",
            masked,
            dict(bandwidths="mean"),
            bandwidths="median",
            multipliers=(0.3, 1.0, 8.0),
            **unbiased,
        ),
        one("mk_mmd-lengths", "mk_mmd", masked, dict(bandwidths=(0.25, 1.0, 4.0)), bandwidths=(0.5, 1.0, 2.0)),
        one("mk_mmd-released", "mk_mmd", None, unbiased, bandwidths="released"),
    ]


PLAIN = ("density", "density-released", "mmd", "mk_mmd", "mk_mmd-released")


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


PAIR = (zeros(4, 3), zeros(5, 3))
FAULTS = [
    ("semantic_density", (zeros(4, 3), zeros(4, 5)), {}, ("y", "3|5", "width")),
    ("semantic_density", (zeros(4), zeros(4, 5)), {}, ("x", "rank|axes|dimension")),
    ("semantic_density", PAIR, dict(bandwidth=0.0), ("bandwidth", "0", "positive")),
    ("semantic_density", PAIR, dict(form="paper"), ("form", "leave_one_out|released")),
    ("semantic_density", PAIR, dict(y_mask=np.ones(4, bool)), ("y_mask", "4|5")),
    ("mmd", (zeros(4, 3), zeros(4, 5)), {}, ("y", "3|5", "width")),
    ("mmd", PAIR, dict(bandwidth=-1.0), ("bandwidth", "-1", "positive")),
    ("mmd", PAIR, dict(estimator="u"), ("estimator", "biased|unbiased")),
    ("mmd", PAIR, dict(x_mask=np.ones(4)), ("x_mask", "bool")),
    ("mk_mmd", PAIR, dict(bandwidths="medain"), ("bandwidths", "median")),
    ("mk_mmd", PAIR, dict(bandwidths=()), ("bandwidths", "sequence")),
    ("mk_mmd", PAIR, dict(bandwidths=(1.0, 0.0)), ("bandwidths", "positive")),
    ("mk_mmd", PAIR, dict(multipliers=(1.0, -2.0)), ("multipliers", "positive")),
    ("mk_mmd", PAIR, dict(estimator="mean"), ("estimator", "biased")),
]
