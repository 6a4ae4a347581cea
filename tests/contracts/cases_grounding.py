"""The losses of sentences and moments: eight recordings, so that they split over eight devices."""

from __future__ import annotations

import numpy as np

from tests.oracles import grounding

R, S, N, D = 8, 2, 4, 2
S_MASK = np.ones((R, S), bool)
S_MASK[1, 0] = S_MASK[4, 1] = S_MASK[6] = False
V_MASK = np.ones((R, N), bool)
V_MASK[2, 3] = V_MASK[4, [0, 1]] = V_MASK[7, [1, 2, 3]] = V_MASK[5] = False  # one recording without a moment
PLAIN = ("moment_bce", "moment_to_sentence", "geodesic_guided", "geodesic_guided-released", "shapley_interaction")
APART = ("moment_bce", "moment_to_sentence", "geodesic_guided_contrastive")  # losses that one sentence and moment do not make 0


def moments(seed: int, r: int = R, s: int = S, n: int = N, d: int = D) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(r, s, d)), rng.normal(size=(r, n, d))


def cells(r: int = R, s: int = S, n: int = N) -> dict[str, np.ndarray]:
    """Overlaps and similarities of every kind: 1 at the source, 0 or at least 0.5 elsewhere, no ties but at 0."""
    rng = np.random.default_rng(6)
    iou = rng.uniform(0.0, 1.0, size=(r, s, n))
    similarity = rng.uniform(0.5, 1.0, size=(r, s, n)) * (rng.uniform(size=(r, s, n)) < 0.8)
    np.put_along_axis(similarity, iou.argmax(2)[..., None], 1.0, 2)
    return dict(iou=iou, similarity=similarity)


def sentence_iou(r: int = R, s: int = S) -> np.ndarray:
    half = np.random.default_rng(7).uniform(0.0, 1.0, size=(r, s, s))
    both = (half + half.transpose(0, 2, 1)) / 2
    both[:, np.arange(s), np.arange(s)] = 1.0
    return both


def _needs(*names: str):
    def make(x, y) -> dict[str, np.ndarray]:
        known = dict(**cells(*x.shape[:2], y.shape[1]), sentence_iou=sentence_iou(*x.shape[:2]))
        return {name: known[name] for name in names}

    return make


def cases(case) -> list:
    """`case` is the class of the table."""
    both = dict(s_mask=S_MASK, v_mask=V_MASK)
    cell, own = cells(), dict(iou=cells()["iou"])
    pair = dict(**own, sentence_iou=sentence_iou())
    shared = dict(make=moments, inputs=("s", "v"), swappable=True)
    bce = dict(loss="moment_bce", oracle=grounding.moment_bce, needs=_needs("iou"), **shared)
    back = dict(loss="moment_to_sentence", oracle=grounding.moment_to_sentence, needs=_needs("iou", "sentence_iou"), **shared)
    guided = dict(
        loss="geodesic_guided_contrastive",
        oracle=grounding.geodesic_guided_contrastive,
        needs=_needs("iou", "similarity"),
        **shared,
    )
    shapley = dict(loss="shapley_interaction", oracle=grounding.shapley_interaction, needs=_needs(), **shared)
    released = {"clean": dict(form="clean")}
    return [
        case("moment_bce", arrays=own, wrong={"scale": dict(logit_scale=1.0), "bounds": dict(iou_min=0.3)}, **bce),
        case("moment_bce-masks", arrays={**own, **both}, static=dict(iou_min=0.3, iou_max=0.7, logit_scale=4.0), **bce),
        case("moment_to_sentence", arrays=pair, wrong={"margin": dict(margin=0.0), "tau": dict(temperature=0.2)}, **back),
        case(
            "moment_to_sentence-masks",
            arrays={**pair, **both},
            static=dict(margin=0.1, temperature=0.3, positives=2),
            wrong={"one": dict(positives=1)},
            **back,
        ),
        case(
            "geodesic_guided",
            arrays=cell,
            static=dict(positives=2),
            wrong={"pushing": dict(direction="pushing"), "all": dict(positives=4), "released": dict(form="released")},
            **guided,
        ),
        case(
            "geodesic_guided-pushing",
            arrays={**cell, **both},
            static=dict(direction="pushing", positives=2, temperature=0.4),
            wrong={"sparing": dict(direction="sparing")},
            **guided,
        ),
        case(
            "geodesic_guided-released",
            arrays=cell,
            static=dict(form="released", positives=2, temperature=2.0),
            wrong=released,
            **guided,
        ),
        case(
            "geodesic_guided-released-masks",
            arrays={**cell, **both},
            static=dict(form="released", positives=3, temperature=1.0),
            wrong=released,
            **guided,
        ),
        case(
            "shapley_interaction",
            static=dict(form="intended"),
            wrong={"released": dict(form="released")},
            held=_labels,
            **shapley,
        ),
        case("shapley_interaction-masks", arrays=both, held=_labels, wrong={"released": dict(form="released")}, **shapley),
        case(
            "shapley_interaction-released",
            static=dict(form="released"),
            arrays=both,
            wrong={"intended": dict(form="intended")},
            **shapley,
        ),
    ]


def _labels(case, x, y) -> dict:
    return dict(labels=grounding.intended_labels(x, y, **case.masks))


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


_CELL = _zeros(2, 4, 4)
REQUIRED = {
    "moment_bce": dict(iou=_CELL),
    "moment_to_sentence": dict(iou=_CELL, sentence_iou=_CELL),
    "geodesic_guided_contrastive": dict(iou=_CELL, similarity=_CELL),
    "shapley_interaction": {},
}


def _faults() -> list[tuple]:
    good = (_zeros(2, 4, 3), _zeros(2, 4, 3))
    every = []
    for name, needed in REQUIRED.items():
        rank = "rows|axis|axes"
        every += [
            (name, (_zeros(2, 4, 3), _zeros(2, 4, 5)), needed, ("\\bv\\b", "width 5", "3")),
            (name, (_zeros(2, 4, 3), _zeros(3, 4, 3)), needed, ("\\bv\\b", "leading axes")),
            (name, (_zeros(3), _zeros(2, 4, 3)), needed, ("\\bs\\b", rank)),
            (name, good, {**needed, "s_mask": np.ones((2, 5), bool)}, ("s_mask", "4|5")),
            (name, good, {**needed, "v_mask": np.ones((2, 4), np.float32)}, ("v_mask", "bool")),
        ]
    bce, back, guided = (REQUIRED[name] for name in list(REQUIRED)[:3])
    return [
        *every,
        ("moment_bce", good, dict(iou=_zeros(2, 4, 5)), ("iou", "sentence and moment")),
        ("moment_bce", good, {**bce, "iou_min": 1.0}, ("iou_min", "below iou_max")),
        ("moment_bce", good, {**bce, "logit_scale": 0.0}, ("logit_scale", "0")),
        (
            "moment_to_sentence",
            (_zeros(4, 3), _zeros(4, 3)),
            dict(iou=_zeros(4, 4), sentence_iou=_zeros(4, 4)),
            ("\\bs\\b", "three axes"),
        ),
        ("moment_to_sentence", good, {**back, "sentence_iou": _zeros(2, 4, 3)}, ("sentence_iou", "pair of sentences")),
        ("moment_to_sentence", good, {**back, "positives": 0}, ("positives", "at least 1")),
        ("moment_to_sentence", good, {**back, "temperature": 0.0}, ("temperature", "positive")),
        ("geodesic_guided_contrastive", good, {**guided, "form": "intended"}, ("form", "clean|released")),
        ("geodesic_guided_contrastive", good, {**guided, "direction": "pulling"}, ("direction", "pushing")),
        ("geodesic_guided_contrastive", good, {**guided, "positives": 0}, ("positives", "at least 1")),
        ("geodesic_guided_contrastive", good, {**guided, "temperature": -1.0}, ("temperature", "-1")),
        ("geodesic_guided_contrastive", good, {**guided, "similarity": _zeros(2, 4, 5)}, ("similarity", "sentence and moment")),
        ("shapley_interaction", good, dict(form="clean"), ("form", "intended|released")),
    ]


FAULTS = _faults()
