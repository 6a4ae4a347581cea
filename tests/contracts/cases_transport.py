"""Transport alignment of a student with a teacher, and the faults that it names."""

from __future__ import annotations

import numpy as np

from tests.oracles import ot_alignment

ROWS = 8
RNG = np.random.default_rng(11)
TEACHERS = dict(x_teacher=RNG.normal(size=(ROWS, 5)), y_teacher=RNG.normal(size=(ROWS, 5)))
NAME = "ot_alignment"


def cases(case, rows, *, mask: np.ndarray) -> list:
    """`case` is the class of the table; `rows` makes its data."""
    shared = dict(loss=NAME, oracle=ot_alignment.ot_alignment, make=rows)
    static = dict(epsilon=0.4, teacher_epsilon=0.5, iterations=150)
    wrong = [
        dict(epsilon=0.41),
        dict(teacher_epsilon=0.4),
        dict(epsilon=0.5, teacher_epsilon=0.4),
        dict(x_teacher=TEACHERS["x_teacher"][::-1]),
    ]
    wrong = {str(i): w for i, w in enumerate(wrong)}
    masks = dict(x_mask=mask, y_mask=mask[::-1].copy())
    itself = dict(epsilon=0.4, teacher_epsilon=0.3, iterations=150)
    others = {
        str(i): w for i, w in enumerate((dict(epsilon=0.41), dict(teacher_epsilon=0.4), dict(epsilon=0.3, teacher_epsilon=0.4)))
    }
    return [
        case(
            "ot-alignment-itself",
            static=itself,
            wrong=others,
            swappable=True,
            held=lambda _, x, y: dict(x_teacher=x, y_teacher=y),
            **shared,
        ),
        case("ot-alignment", static=static, arrays=TEACHERS, wrong=wrong, **shared),
        case("ot-alignment-mask", static=static, arrays={**TEACHERS, **masks}, wrong=wrong, **shared),
    ]


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


GIVEN = dict(x_teacher=zeros(4, 2), y_teacher=zeros(5, 2))
PAIR = (zeros(4, 3), zeros(5, 3))
UNPAIRED = (NAME,)  # losses in which row i of y is no partner of row i of x
PLAIN = ("ot-alignment-itself",)
FAULTS = [  # loss, inputs, options, words that the message must hold
    (NAME, (zeros(4, 3), zeros(5, 2)), GIVEN, ("y", "width 2", "width 3")),
    (NAME, PAIR, {**GIVEN, "x_teacher": zeros(3, 2)}, ("x_teacher", "4, width")),
    (NAME, PAIR, {**GIVEN, "y_teacher": zeros(5, 4)}, ("y_teacher", "width 4", "width 2")),
    (NAME, PAIR, dict(x_teacher=zeros(4, 2)), ("y_teacher", "None", "both")),
    (NAME, PAIR, {**GIVEN, "epsilon": 0.0}, ("epsilon", "0")),
    (NAME, PAIR, {**GIVEN, "teacher_epsilon": -1.0}, ("teacher_epsilon", "-1")),
    (NAME, PAIR, {**GIVEN, "x_mask": np.ones(5, bool)}, ("x_mask", "5", "4")),
]
