"""Anchor consistency in its configurations, and the faults that it names."""

from __future__ import annotations

import numpy as np

from tests.oracles import anchors

COUNT, QUEUE = 6, 5
RNG = np.random.default_rng(11)


def fixed(*shape: int) -> np.ndarray:
    """float32, so that it is the same number in every precision."""
    return RNG.normal(size=shape).astype(np.float32)


X_ANCHORS, Z_ANCHORS = fixed(COUNT, 4), fixed(COUNT, 4)
QUEUES = dict(x_queue=fixed(QUEUE, 4), z_queue=fixed(QUEUE, 4))
QUEUE_MASK = np.array([True, False, True, True, True])
DIRTY = {name: np.where(QUEUE_MASK[:, None], queue, np.float32(np.nan)) for name, queue in QUEUES.items()}


def hold_codes(case, x, z) -> dict:
    """Codes are constants of the gradient: differences must not move them."""
    return dict(codes=anchors.both_codes(x, z, **{**case.static, **case.arrays}))


def cases(case, rows, *, mask: np.ndarray) -> list:
    """`case` is the class of the table; `rows` makes its data. Anchors and queues are the same on every device."""
    shared = dict(loss="anchor_consistency", oracle=anchors.anchor_consistency, make=rows, inputs=("x", "z"), held=hold_codes)

    def one(name, *wrong, arrays=None, **static):
        static = dict(x_anchors=X_ANCHORS, z_anchors=Z_ANCHORS, **static)
        wrong = {str(w): w for w in (dict(epsilon=0.3), dict(temperature=0.12), dict(assignments=1), *wrong)}
        return case(f"anchors-{name}", static=static, arrays=arrays or {}, wrong=wrong, **shared)

    masked, no_queue = dict(mask=mask), dict(x_queue=None, z_queue=None)
    return [
        one("linear", dict(link="exp"), dict(rescale=False), dict(iterations=1)),
        one("exp-mask", dict(link="linear"), arrays=masked, link="exp", epsilon=0.2, assignments=2),
        one("queue-mask", no_queue, dict(queue_mask=None, **QUEUES), arrays=masked, queue_mask=QUEUE_MASK, **DIRTY),
        one("queue-raw", no_queue, dict(rescale=True), rescale=False, temperature=0.5, **QUEUES),
    ]


def widened(static: dict, width: int) -> dict:
    """The same options with anchors and queues of this width."""
    return {k: np.tile(v, width // v.shape[1]) if np.ndim(v) == 2 else v for k, v in static.items()}


PLAIN = ("anchors-linear", "anchors-queue-raw")
NAME = "anchor_consistency"


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


PAIR = (zeros(4, 3), zeros(4, 3))
SIX = dict(x_anchors=zeros(6, 3), z_anchors=zeros(6, 3))
REQUIRED = {NAME: SIX}
FAULTS = [  # loss, inputs, options, words that the message must hold
    (NAME, PAIR, dict(assignments=7, **SIX), ("assignments", "7 of 6 anchors", "1 to 5")),
    (NAME, PAIR, dict(assignments=6, **SIX), ("assignments", "6 of 6 anchors", "1 to 5")),
    (NAME, PAIR, dict(assignments=0, **SIX), ("assignments", "0 of 6 anchors")),
    (NAME, PAIR, dict(temperature=0.0, **SIX), ("temperature", "0", "positive")),
    (NAME, PAIR, dict(temperature=-0.1, **SIX), ("temperature", "-0.1", "positive")),
    (NAME, PAIR, dict(epsilon=0.0, **SIX), ("epsilon", "0", "above 0")),
    (NAME, PAIR, dict(iterations=0, **SIX), ("iterations", "0", "at least 1")),
    (NAME, PAIR, dict(link="sigmoid", **SIX), ("link", "linear|exp")),
    (NAME, (zeros(0, 3), zeros(0, 3)), SIX, ("x", "0 rows", "modality without rows")),
    (NAME, (zeros(4, 3), zeros(5, 3)), SIX, ("z", "5 rows", "4 rows")),
    (NAME, PAIR, dict(x_anchors=zeros(6, 3), z_anchors=zeros(5, 3)), ("z_anchors", "5 anchors", "the 6")),
    (NAME, PAIR, dict(x_anchors=zeros(6, 2), z_anchors=zeros(6, 3)), ("x_anchors", "width 2", "width 3")),
    (NAME, PAIR, dict(x_queue=zeros(7, 3), **SIX), ("z_queue", "one queue alone")),
    (NAME, PAIR, dict(x_queue=zeros(7, 3), z_queue=zeros(8, 3), **SIX), ("z_queue", r"\(8, 3\)", r"\(7, 3\)")),
    (NAME, PAIR, dict(queue_mask=np.ones(7, bool), **SIX), ("queue_mask", "without queues")),
    (NAME, PAIR, dict(mask=np.ones(5, bool), **SIX), ("mask", "5", "4")),
    (NAME, PAIR, dict(mask=zeros(4), **SIX), ("mask", "float", "bool")),
]
