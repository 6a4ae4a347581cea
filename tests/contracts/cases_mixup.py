"""Geodesic mixup in its kinds, and the faults that it names."""

from __future__ import annotations

import numpy as np

from tests.oracles import mixup


def cases(case, rows, *, mask: np.ndarray) -> list:
    """`case` is the class of the table; `rows` makes its data."""
    shared = dict(loss="geodesic_mixup_contrastive", oracle=mixup.geodesic_mixup_contrastive, make=rows)

    def one(name, *wrong, arrays=None, swappable=False, **static):
        static = dict(logit_scale=5.0, lam=0.3, **static)
        # 1 - lam is no fault within a modality: it is the batch turned round.
        wrong = [dict(lam=0.31 if "kind" in static else 0.7), dict(lam=1.0), dict(logit_scale=4.9), *wrong]
        return case(
            f"mixup-{name}", static=static, arrays=arrays or {}, wrong={str(w): w for w in wrong}, swappable=swappable, **shared
        )

    masked = dict(mask=mask)
    return [
        one("m2", dict(kind="v"), dict(kind="vl")),
        one("m2-mask", arrays=masked),
        one("v", dict(kind="l"), kind="v"),
        one("l-mask", dict(kind="v"), arrays=masked, kind="l"),
        one("vl", dict(target="both"), kind="vl", swappable=True),
        one("vl-both-mask", dict(target="identity"), arrays=masked, kind="vl", target="both", swappable=True),
    ]


PLAIN = ("mixup-m2", "mixup-v", "mixup-vl")
REQUIRED = {"geodesic_mixup_contrastive": dict(lam=0.5)}
NAME = "geodesic_mixup_contrastive"


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


PAIR = (zeros(4, 3), zeros(4, 3))
LAM = dict(lam=0.5)
FAULTS = [  # loss, inputs, options, words that the message must hold
    (NAME, (zeros(4, 3), zeros(5, 3)), LAM, ("y", "5 rows", "4 rows")),
    (NAME, (zeros(4, 3), zeros(4, 2)), LAM, ("y", "width 2", "width 3")),
    (NAME, (zeros(4), zeros(4, 3)), LAM, ("x", "axes")),
    (NAME, PAIR, dict(kind="m3", **LAM), ("kind", "m2|vl")),
    (NAME, PAIR, dict(kind="vl", target="flip", **LAM), ("target", "both|identity")),
    (NAME, PAIR, dict(target="both", **LAM), ("target", "both", 'kind="vl"')),
    (NAME, PAIR, dict(lam=1.5), ("lam", "1.5", r"\[0, 1\]")),
    (NAME, PAIR, dict(lam=-0.1), ("lam", "-0.1")),
    (NAME, PAIR, dict(lam=zeros(4)), ("lam", "scalar")),
    (NAME, PAIR, dict(logit_scale=0.0, **LAM), ("logit_scale", "0", "1 / temperature")),
    (NAME, PAIR, dict(reduction="none", **LAM), ("reduction", "mean|sum")),
    (NAME, PAIR, dict(mask=np.ones(5, bool), **LAM), ("mask", "5", "4")),
]
