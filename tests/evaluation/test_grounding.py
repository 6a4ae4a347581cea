"""Overlap, suppression, recall and fused scores against plain loops."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.evaluation import fuse_scores, grounding_recall, temporal_iou, temporal_nms
from tests.oracles import grounding as oracle


def spans(seed: int, *shape: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).uniform(0, 10, size=(*shape, 2)), axis=-1)


def test_overlap_equals_the_loop_in_both_libraries():
    a, b = spans(0, 5), spans(1, 5)
    want = [[oracle.temporal_iou(x, y) for y in b] for x in a]
    got = temporal_iou(a[:, None], b[None])
    assert isinstance(got, np.ndarray) and np.allclose(got, want, rtol=0, atol=1e-12)
    traced = temporal_iou(jnp.asarray(a, "float32")[:, None], jnp.asarray(b, "float32")[None])
    assert traced.dtype == jnp.float32 and np.allclose(traced, want, rtol=0, atol=1e-6)
    assert not np.allclose(got.T, want)
    assert temporal_iou(np.array([2.0, 2.0]), np.array([2.0, 2.0])) == 0  # an empty union
    assert temporal_iou(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0  # they touch
    with pytest.raises(InputError, match=r"a: got shape \(3,\); wanted \[..., 2\] starts and ends"):
        temporal_iou(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shared", [True, False])
def test_suppression_equals_the_loop(threshold, shared):
    rng = np.random.default_rng(2)
    own, scores = spans(3, *([12] if shared else [4, 12])), rng.normal(size=(4, 12))
    got = temporal_nms(own, scores, threshold=threshold, keep=12)
    for q in range(4):
        want = oracle.temporal_nms(own if shared else own[q], scores[q], threshold=threshold)
        assert got[q].tolist() == want + [-1] * (12 - len(want))
        assert got[q].tolist() != np.argsort(-scores[q]).tolist() or threshold == 1.0
    assert np.array_equal(temporal_nms(own, scores, threshold=threshold, keep=3), got[:, :3])


def test_what_is_no_proposal_is_never_kept():
    own = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    assert temporal_nms(own, np.array([-np.inf, 0.1, np.nan]), keep=3).tolist() == [1, -1, -1]
    assert temporal_nms(own, np.full(3, -np.inf), keep=2).tolist() == [-1, -1]
    assert temporal_nms(np.zeros((2, 2)), np.zeros(2), keep=3).tolist() == [0, 1, -1]  # of equal scores the first


def test_recall_equals_the_loop():
    rng = np.random.default_rng(4)
    own, scores, truth = spans(5, 20), rng.normal(size=(30, 20)), spans(6, 30)
    kept = temporal_nms(own, scores, threshold=0.5, keep=5)
    got = grounding_recall(np.where(kept[..., None] >= 0, own[kept], np.nan), truth)
    want = oracle.grounding_recall(scores, own, truth)
    assert {f"R@{n}/IoU={m:g}": value for (n, m), value in want.items()} == {k: v for k, v in got.items() if k != "mIoU"}
    assert len(got) == 7 and got["R@5/IoU=0.3"] > got["R@1/IoU=0.3"] > got["R@1/IoU=0.7"]
    first = np.mean([oracle.temporal_iou(own[k[0]], t) for k, t in zip(kept, truth, strict=True)])
    assert abs(got["mIoU"] - first) < 1e-12


TYPES = [np.int8, np.uint8, np.int16, np.uint16, np.uint64, np.float16, np.float32, np.longdouble]


@pytest.mark.parametrize("dtype", TYPES)
def test_overlap_in_every_type(dtype):
    """Frames up to the end of the type: differences wrap, overflow or round where they are taken in it."""
    high = 127 if dtype == np.int8 else 250
    low = -high if np.issubdtype(dtype, np.signedinteger) else 0
    a, b = np.array([[low, high], [2, 4], [9, 9], [100, 120]]), np.array([[low, high], [high - 1, high], [5, 7], [90, 110]])
    want = [[oracle.temporal_iou(x, y) for y in b.tolist()] for x in a.tolist()]
    got = temporal_iou(a.astype(dtype)[:, None], np.asfortranarray(b)[None])
    assert np.allclose(got, want, rtol=0, atol=1e-15)
    if dtype not in (np.longdouble, np.uint64):
        traced = jax.jit(temporal_iou)(jnp.asarray(a.astype(dtype))[:, None], jnp.asarray(b.astype(dtype))[None])
        assert traced.dtype == jnp.float32 and np.allclose(traced, want, rtol=0, atol=1e-6)
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert temporal_nms(a.astype(dtype), scores, keep=4).tolist() == temporal_nms(a * 1.0, scores, keep=4).tolist()


def test_overlap_far_from_zero():
    """Nanoseconds since 1970, and the end of the range: float64 has lost 256 of them, float32 all."""
    start = 1764444444444444444
    a, b = np.array([start, start + 10]), np.array([start + 5, start + 15], np.uint64)
    assert temporal_iou(a, b) == pytest.approx(1 / 3, abs=1e-15)
    assert temporal_iou(a.astype(np.float64), b.astype(np.float64)) != pytest.approx(1 / 3, abs=0.1)
    far = temporal_iou(jnp.asarray([2**31 - 20, 2**31 - 10], "int32"), jnp.asarray([2**31 - 15, 2**31 - 5], "uint32"))
    assert far == pytest.approx(1 / 3, abs=1e-6)


def test_overlap_of_what_is_no_span():
    spans = np.array([[np.nan, 4.0], [0.0, np.nan], [-np.inf, 4.0], [0.0, np.inf], [4.0, 0.0], [0.0, 4.0]])
    for got in (temporal_iou(spans, np.array([0, 4])), temporal_iou(jnp.asarray(spans, "float32"), jnp.asarray([0, 4], "int32"))):
        assert np.isnan(np.asarray(got[:4])).all() and got[4:].tolist() == [0, 1]
    assert temporal_nms(spans, np.arange(6)[::-1], keep=3).tolist() == [4, 5, -1]
    assert temporal_nms(np.zeros((0, 2)), np.zeros(0)).tolist() == [-1] * 5
    assert temporal_nms(np.zeros((0, 2)), np.zeros((3, 0)), keep=2).shape == (3, 2)


@pytest.mark.parametrize("broken", [[np.nan, 10.0], [0.0, np.nan], [np.nan, np.nan], [0.0, np.inf], [-np.inf, 10.0]])
def test_a_broken_prediction_is_none(broken):
    predicted = np.array([[broken, [0.0, 10.0]]])
    got = grounding_recall(predicted, np.array([[0.0, 10.0]]), at=(1, 2), iou=(0.7,))
    assert got == {"R@1/IoU=0.7": 0.0, "R@2/IoU=0.7": 1.0, "mIoU": 0.0}


@pytest.mark.parametrize("broken", [[np.nan, 10.0], [np.nan, np.nan], [10.0, 0.0], [4.0, 4.0], [0.0, np.inf]])
def test_a_broken_truth_is_refused(broken):
    truth = np.array([[0.0, 10.0], broken])
    with pytest.raises(
        InputError, match=r"truth: got 1 of 2 queries without a proper span \(first: query 1, .*leave the query out"
    ):
        grounding_recall(np.zeros((2, 1, 2)), truth)


def test_several_true_windows():
    """The best window counts; a query's own number of windows does not change it."""
    own, counts = spans(9, 12, 3), [1, 2, 3] * 4
    predicted = spans(10, 12, 4)
    truth = np.where((np.arange(3) < np.array(counts)[:, None])[..., None], own, np.nan)
    got = grounding_recall(predicted, truth, at=(1, 3), iou=(0.5,))
    best = [[max(oracle.temporal_iou(p, w) for w in own[q][: counts[q]]) for p in predicted[q]] for q in range(12)]
    assert got["mIoU"] == pytest.approx(np.mean([b[0] for b in best]), abs=1e-12)
    assert got["R@3/IoU=0.5"] == np.mean([max(b[:3]) >= 0.5 for b in best])
    assert got != grounding_recall(predicted, own[:, 0], at=(1, 3), iou=(0.5,))
    assert grounding_recall(predicted, own[:, :1]) == grounding_recall(predicted, own[:, 0])


def test_recall_of_missing_spans_and_perfect_ones():
    truth = spans(7, 3)
    assert set(grounding_recall(truth[:, None], truth).values()) == {1.0}
    assert set(grounding_recall(np.full((3, 5, 2), np.nan), truth).values()) == {0.0}


def test_fused_scores():
    rng = np.random.default_rng(8)
    cosine, probability = rng.uniform(-1, 1, 9), rng.uniform(0, 1, 9)
    assert np.allclose(fuse_scores(probability, cosine, power=0.3), oracle.grounding_score(cosine, probability, power=0.3))
    assert np.array_equal(fuse_scores(probability, cosine, power=0.0), probability)
    assert not np.allclose(fuse_scores(probability, cosine, power=0.3), fuse_scores(probability, cosine))
    assert fuse_scores(np.ones(1), np.array([-1.0000001]))[0] == 0  # rounding beyond -1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: temporal_nms(np.zeros((3, 2)), np.zeros(4)),
            "spans: got shape (3, 2) with scores (4,); wanted [N, 2] or [..., N, 2] for scores [..., N].",
        ),
        (lambda: temporal_nms(np.zeros((3, 2)), np.zeros(3), threshold=1.5), "threshold: got 1.5; wanted 0 to 1."),
        (lambda: temporal_nms(np.zeros((3, 2)), np.zeros(3), keep=0), "keep: got 0; wanted at least 1."),
        (
            lambda: grounding_recall(np.zeros((3, 2)), np.zeros((3, 2))),
            "predicted: got shape (3, 2); wanted [queries, spans, 2].",
        ),
        (
            lambda: grounding_recall(np.zeros((3, 1, 2)), np.zeros((2, 2))),
            "truth: got shape (2, 2); wanted [3, 2], or [3, windows, 2] padded with NaN, at least one query.",
        ),
        (lambda: grounding_recall(np.zeros((1, 1, 2)), [[0, 1]], at=(0,)), "at: got 0; wanted at least 1."),
        (
            lambda: grounding_recall(np.zeros((1, 1, 2)), [[0, 1]], iou=(1.5,)),
            "iou: got [1.5]; wanted numbers above 0 and at most 1.",
        ),
        (lambda: fuse_scores(np.zeros(2), np.zeros(2), power=-1.0), "power: got -1.0; wanted at least 0."),
    ],
)
def test_faults_say_what_is_wrong(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == words
