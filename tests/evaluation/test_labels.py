"""Labels and scores in every type: nothing merges, nothing ties that was not equal."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from gera_jax.evaluation.inputs import in_order, label_codes

RNG = np.random.default_rng(0)
G = np.concatenate([RNG.integers(0, 6, 14), np.arange(6)])
C = np.concatenate([np.arange(6), RNG.integers(0, 6, 14)])
SCORES = RNG.normal(size=(20, 20))
KINDS = {
    "int64, uint64": (lambda g: (g + 2**60).astype(np.int64), lambda g: (g + 2**60).astype(np.uint64)),
    "uint64 above int64": (lambda g: g.astype(np.uint64) + 2**63, lambda g: [int(v) + 2**63 for v in g]),
    "negative beside huge": (
        lambda g: [-1 if v == 0 else int(v) + 2**63 for v in g],
        lambda g: np.array([-1 if v == 0 else int(v) + 2**63 for v in g], object),
    ),
    "python": (lambda g: [int(v) + 2**90 for v in g], lambda g: [int(v) + 2**90 for v in g]),
    "strings": (lambda g: np.array([f"item{v}" for v in g]), lambda g: np.array([f"item{v}" for v in g], object)),
    "bytes": (lambda g: np.array([b"%d" % v for v in g]), lambda g: [b"%d" % v for v in g]),
    "int8, float": (lambda g: g.astype(np.int8), lambda g: g.astype(np.float32)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_every_kind(kind):
    one, other = KINDS[kind]
    want = evaluation.retrieval_metrics_from_scores(SCORES, x_groups=G, y_groups=C)
    assert evaluation.retrieval_metrics_from_scores(SCORES, x_groups=one(G), y_groups=other(C)) == want
    assert evaluation.foscttm_from_scores(SCORES, x_groups=one(G), y_groups=other(C)) == evaluation.foscttm_from_scores(
        SCORES, x_groups=G, y_groups=C
    )
    merged = evaluation.retrieval_metrics_from_scores(SCORES, x_groups=G // 3, y_groups=C // 3)
    assert merged != want  # what numbers that meet in float64 would give


@pytest.mark.parametrize("kind", KINDS)
def test_classes_of_every_kind(kind):
    one, other = KINDS[kind]
    x, classes = RNG.normal(size=(20, 4)), RNG.normal(size=(6, 4))
    named = evaluation.zero_shot_accuracy(x, classes, one(G), ks=(1,), class_labels=other(np.arange(6)))
    assert named == evaluation.zero_shot_accuracy(x, classes, G, ks=(1,))
    assert evaluation.few_shot_accuracy(x, one(C), x, other(G), shots=2) == evaluation.few_shot_accuracy(x, C, x, G, shots=2)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (([1, 2], ["1", "2"]), "b: got strings beside numbers in a; wanted labels of one kind"),
        (([1, None], [1, 2]), r"a: got 1 of 2 rows without a label \(first: row 1\)"),
        (([1, 2], [1.0, np.nan]), r"b: got 1 of 2 rows without a label \(first: row 1\)"),
        (([1, "a"], [1, 2]), "a: got labels of the kinds int, str"),
        (([2**60], np.array([2.0**60])), "b: got .* as float64; wanted integers as integers"),
        (([1], np.array([1j])), "b: got dtype complex128"),
    ],
    ids=range(6),
)
def test_labels_that_mean_nothing(labels, words):
    with pytest.raises(InputError, match=words):
        label_codes(*labels, names=("a", "b"))


@pytest.mark.parametrize(
    "scores",
    [
        np.array([[2**24 + 1, 2**24], [0, 5]]),
        np.array([[2**60 + 1, 2**60], [0, 5]]),
        np.array([[2**63 + 1, 2**63], [0, 5]], np.uint64),
        np.array([[1 + np.longdouble(2) ** -60, 1], [0, 5]], np.longdouble),
        np.array([[True, False], [False, True]]),
        np.array([[3, 2], [-7, 5]], np.int8),
        np.array([[1.5, 1], [0, 5]], np.float16),
    ],
    ids=lambda s: str(s.dtype),
)
def test_near_scores_are_no_ties(scores):
    assert evaluation.retrieval_metrics_from_scores(scores)["x_to_y/mean_rank"] == 1
    if scores.dtype in (np.int64, np.uint64, np.longdouble):  # what a cast to float32 makes of them
        assert evaluation.retrieval_metrics_from_scores(scores.astype(np.float32))["x_to_y/mean_rank"] == 1.25
    spans = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert evaluation.temporal_nms(spans, scores[:, ::-1], keep=1).tolist() == [[1], [0]]


def test_order_is_kept_with_nan_and_infinity():
    x = np.array([np.nan, 1, np.inf, 1 + np.longdouble(2) ** -60, -np.inf, 1], np.longdouble)
    got = in_order(x)
    assert np.isnan(got[0]) and got[1] == got[5] < got[3] < got[2] and got[4] < got[1]


def test_fractions_are_no_counts():
    for call in (
        lambda: evaluation.retrieval_metrics(np.eye(2), np.eye(2), ks=(1.5,)),
        lambda: evaluation.expected_calibration_error(np.eye(3), bins=2.5),
        lambda: evaluation.local_density(np.eye(3), k=2.5),
        lambda: evaluation.few_shot_accuracy(np.eye(2), [0, 1], np.eye(2), [0, 1], shots=1.5),
        lambda: evaluation.grounding_recall(np.zeros((1, 1, 2)), [[0, 1]], at=(1.5,)),
    ):
        with pytest.raises(InputError, match="whole number"):
            call()


@pytest.mark.parametrize(
    "bad", [np.eye(3) * 1j, np.eye(3).astype(str), np.eye(3).astype(object)], ids=["complex", "text", "object"]
)
def test_what_is_no_real_number(bad):
    for call in (
        lambda: evaluation.retrieval_metrics(bad, np.eye(3)),
        lambda: evaluation.foscttm_from_scores(bad),
        lambda: evaluation.linear_cka(bad, np.eye(3)),
        lambda: evaluation.log_density(bad, temperature=1.0),
        lambda: evaluation.expected_calibration_error(bad),
        lambda: evaluation.effective_rank(bad),
        lambda: evaluation.temporal_iou(bad[:, :2], bad[:, :2]),
    ):
        with pytest.raises(InputError, match="wanted real numbers"):
            call()


def test_rows_of_wide_integers_and_narrow_floats():
    x = RNG.integers(-50, 50, size=(30, 5))
    y = x + RNG.integers(-40, 40, size=(30, 5))
    want = evaluation.retrieval_metrics(x.astype(np.float64), y.astype(np.float64))
    for dtype in (np.int8, np.int32, np.int64, np.float16, np.longdouble):
        assert evaluation.retrieval_metrics(x.astype(dtype), np.asfortranarray(y.astype(dtype))) == want
    wide = 2**40 + x  # float32 has no digits left for the differences; CKA centres
    assert abs(evaluation.linear_cka(wide, y) - evaluation.linear_cka(x, y)) < 1e-9
    assert abs(evaluation.linear_cka(wide.astype(np.float32), y) - evaluation.linear_cka(x, y)) > 1e-3


def calibration(scores, targets, bins=10):
    """Row by row; one infinite score has all of the probability, -inf alone and NaN are wrong with confidence 1."""
    gaps = [0.0] * bins
    for row, target in zip(scores, targets, strict=True):
        best = [j for j, s in enumerate(row) if s == max(row)]
        if any(np.isnan(row)) or max(row) == -np.inf:
            confidence, right = 1.0, 0.0
        else:
            total = sum(1.0 if j in best else np.exp(s - max(row)) for j, s in enumerate(row))
            confidence, right = 1 / total, (int(target) in best) / len(best)
        gaps[min(max(int(np.ceil(confidence * bins)) - 1, 0), bins - 1)] += right - confidence
    return sum(abs(gap) for gap in gaps) / len(scores)


def test_calibration_of_bools_and_infinities():
    scores, targets = 2 * RNG.normal(size=(50, 2)), RNG.random(50) < 0.5
    assert evaluation.expected_calibration_error(scores, targets=targets) == pytest.approx(calibration(scores, targets))
    assert evaluation.expected_calibration_error(scores, targets=targets.astype(np.uint64)) == pytest.approx(
        calibration(scores, targets)
    )
    for row in ([np.inf, 0.0], [0.0, np.inf], [np.inf, np.inf], [-np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 0.0]):
        scores[0] = row
        assert evaluation.expected_calibration_error(scores, targets=targets) == pytest.approx(calibration(scores, targets)), row
    with pytest.raises(InputError, match="targets: got dtype float64 for 3 columns; wanted column numbers as integers"):
        evaluation.expected_calibration_error(np.eye(3), targets=[0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="targets: got dtype bool for 3 columns"):
        evaluation.expected_calibration_error(np.eye(3), targets=[True, False, True])


def test_densities_of_infinities():
    rows = np.array([[-np.inf, -np.inf], [np.inf, 0.0], [-np.inf, 0.0], [np.nan, np.nan]])
    got = evaluation.log_density(rows, temperature=0.1)
    assert got[:3].tolist() == [-np.inf, np.inf, pytest.approx(np.log(0.5))] and np.isnan(got[3])


def test_nan_is_not_left_out():
    assert np.isnan(evaluation.shift_robustness({"a": np.nan}, {"a": 0.5})["kept/a"])
    with pytest.raises(InputError, match=r"x_train: got 1 rows with NaN or infinity \(first: row \[1\]\)"):
        evaluation.few_shot_accuracy([[1, 0], [np.nan, 1], [0, 1]], [0, 0, 1], np.eye(2), [0, 1], shots=2)
    delta = dict(queries=[0], word_value=np.eye(2)[:1], word_target=np.eye(2)[1:])
    with pytest.raises(InputError, match="relevance: got NaN"):
        evaluation.delta_retrieval(np.eye(2), relevance=[[np.nan, 1.0]], **delta)
    with pytest.raises(InputError, match="lams: got"):
        evaluation.delta_retrieval(np.eye(2), relevance=[[0, 1]], lams=(np.nan,), **delta)
