"""Relative alignment, uniformity of two sets, calibration, few-shot probes, embedding arithmetic, shift."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from tests.oracles import mixup
from tests.oracles.tools import agrees, check, turned

IMAGES, TEXTS = (turned(a).astype(np.float32) for a in ([0, 60, 120, 200], [20, 90, 100, 230]))


def random(seed=0, n=9, d=5):
    x, y = np.random.default_rng(seed).normal(size=(2, n, d))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, 2 * x + y))
    return x, y


def test_published_numbers():
    x, y = TEXTS, IMAGES  # as in the authors' code
    by = {query: float(evaluation.relative_alignment(x, y, query=query)) for query in ("x", "y")}
    check(by["y"], 1.076507, 5, text=by["x"])
    check(by["x"], 0.777671, 5, image=by["y"])
    check(evaluation.relative_alignment(x, y, query="y", form="released"), -1.076507, 5)
    values = {k: float(evaluation.set_uniformity(x, y, pairs=k)) for k in ("cross", "union", "released")}
    for kind, want in (("cross", 1.345045), ("union", 1.621645), ("released", 1.675032)):
        check(values[kind], want, 5, **{k: v for k, v in values.items() if k != kind})
    union = np.concatenate([x, y])
    assert agrees(values["union"], -float(evaluation.uniformity(union)), 6)


@pytest.mark.parametrize("query", ["x", "y"])
@pytest.mark.parametrize("pairs", ["cross", "union", "released"])
def test_equal_the_loops(query, pairs):
    x, y = random()
    low = [jnp.asarray(v * 7, "float32") for v in (x, y)]
    got = jax.jit(lambda a, b: evaluation.relative_alignment(a, b, query=query))(*low)
    check(got, mixup.relative_alignment(x, y, query=query), 5)
    check(evaluation.set_uniformity(*low, pairs=pairs), mixup.set_uniformity(x, y, pairs=pairs), 5)
    assert evaluation.relative_alignment(low[0], low[0]) > evaluation.relative_alignment(*low)
    assert np.isnan(evaluation.set_uniformity(low[0] * np.nan, low[1]))


def test_calibration_equals_the_loop():
    scores = 4 * np.random.default_rng(0).normal(size=(60, 7))
    targets = np.random.default_rng(1).integers(0, 7, 60)
    for bins in (1, 10, 15):
        got = evaluation.expected_calibration_error(scores, targets=targets, bins=bins)
        check(got, mixup.expected_calibration_error(scores, targets=targets, bins=bins), 10)
    square = scores[:7]
    check(evaluation.expected_calibration_error(square), mixup.expected_calibration_error(square), 10)
    assert evaluation.expected_calibration_error(square) != evaluation.expected_calibration_error(square / 2)


def test_calibration_ends_ties_and_nan():
    assert evaluation.expected_calibration_error(100 * np.eye(4)) < 1e-12
    assert evaluation.expected_calibration_error(100 * np.eye(4)[::-1]) > 1 - 1e-12
    assert evaluation.expected_calibration_error(np.zeros((4, 4))) < 1e-12  # a quarter right at a quarter sure
    assert evaluation.expected_calibration_error(np.full((4, 4), np.nan)) == 1
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (p.cumsum(1) > rng.uniform(size=(40_000, 1))).argmax(1)
    assert evaluation.expected_calibration_error(logits, targets=drawn) < 0.01
    assert evaluation.expected_calibration_error(3 * logits, targets=drawn) > 0.1


def blobs(seed, n=30, d=6, classes=4, noise=0.5):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return np.eye(d)[labels] + noise * rng.normal(size=(n, d)), labels


@pytest.mark.parametrize("probe", ["linear", "centroid"])
def test_few_shot_equals_a_hand_made_probe(probe):
    (x, a), (y, b) = blobs(0, 12), blobs(1)
    got = evaluation.few_shot_accuracy(x, a, y, b, shots=3, probe=probe, ridge=0.5)  # all there are: no draw
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    if probe == "centroid":
        centre = np.stack([x[a == c].mean(0) for c in range(4)])
        scores = y @ (centre / np.linalg.norm(centre, axis=1, keepdims=True)).T
    else:
        wide = np.c_[x, np.ones(12)]
        penalty = 0.5 * np.diag([1.0] * 6 + [0.0])
        scores = np.c_[y, np.ones(30)] @ np.linalg.solve(wide.T @ wide + penalty, wide.T @ np.eye(4)[a])
    hit = scores.argmax(1) == b
    assert got["accuracy"] == pytest.approx(hit.mean()) and got["spread"] == 0
    assert got["class_accuracy"] == pytest.approx(np.mean([hit[b == c].mean() for c in range(4)]))
    assert 0.3 < got["accuracy"] < 1
    few = evaluation.few_shot_accuracy(x, a, y, b, shots=1, probe=probe)
    assert few["spread"] > 0 and few["accuracy"] != got["accuracy"]
    wide = evaluation.few_shot_accuracy(
        np.c_[x, np.zeros((12, 20))], a, np.c_[y, np.zeros((30, 20))], b, shots=3, probe=probe, ridge=0.5
    )
    assert wide == pytest.approx(got)  # the other way to solve the same system


def test_few_shot_is_at_chance_without_classes():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 8)), rng.normal(size=(400, 8))
    labels = np.arange(400) % 4
    assert abs(evaluation.few_shot_accuracy(x, labels, y, labels, shots=8)["accuracy"] - 0.25) < 0.06
    assert evaluation.few_shot_accuracy(x, labels, y * np.nan, labels, shots=8)["accuracy"] == 0
    again = [evaluation.few_shot_accuracy(x, labels, y, labels, shots=2, seed=s) for s in (0, 0, 1)]
    assert again[0] == again[1] != again[2]


def test_delta_retrieval():
    cat, dog, sits, runs, noise = np.eye(5)
    gallery = np.stack([cat + sits, dog + sits, cat + runs, dog + runs + 0.1 * noise])
    queries, value, target = [0, 2, 0], [cat, cat, sits], [dog, dog, runs]
    relevance = np.zeros((3, 4))
    relevance[[0, 1, 2], [1, 3, 2]] = 0.9
    got = evaluation.delta_retrieval(gallery, queries, value, target, relevance, lams=(0.0, 1.0, -1.0))
    assert list(got) == [0.0, 1.0, -1.0] and got[1.0] == 1.0
    assert got[-1.0] < 1 and 0 < got[0.0] < 1
    one = evaluation.delta_retrieval(gallery, queries, value, target, relevance == 0, lams=(1.0,), weights=[1, 0, 3])
    assert one[1.0] == 0.0
    half = relevance * [[1], [0], [1]]
    weighed = [
        evaluation.delta_retrieval(gallery, queries, value, target, half, lams=(1.0,), weights=w)[1.0]
        for w in ([1, 1, 1], [1, 2, 1])
    ]
    assert weighed == pytest.approx([2 / 3, 1 / 2])
    assert evaluation.delta_retrieval(gallery * np.nan, queries, value, target, relevance)[1.0] == 0
    alone = np.where(np.arange(4)[:, None] == 0, gallery, np.nan)  # nothing is left but the query itself
    assert evaluation.delta_retrieval(alone, [0], value[:1], target[:1], np.ones((1, 4)))[1.0] == 0


def test_shift():
    got = evaluation.shift_robustness({"R@1": 0.6, "R@5": 0.9}, {"R@1": 0.3, "other": 1.0}, chance={"R@1": 0.1, "away/R@1": 0.05})
    assert got == pytest.approx({"drop/R@1": 0.3, "kept/R@1": 0.5})
    assert "kept/a" not in evaluation.shift_robustness({"a": 0.0}, {"a": 0.0})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evaluation.relative_alignment(np.eye(2), np.eye(2), query="z"), 'query: got "z"'),
        (lambda: evaluation.relative_alignment(np.ones((1, 2)), np.ones((1, 2))), "x: got 1 rows; wanted at least 2"),
        (lambda: evaluation.set_uniformity(np.eye(2), np.eye(2), pairs="both"), 'pairs: got "both"'),
        (lambda: evaluation.expected_calibration_error(np.zeros(3)), r"scores: got shape \(3,\)"),
        (lambda: evaluation.expected_calibration_error(np.zeros((3, 2))), "scores: got 3 rows and 2 columns.*Give targets"),
        (lambda: evaluation.expected_calibration_error(np.eye(2), targets=[0, 2]), "targets: got numbers from 0 to 2"),
        (lambda: evaluation.expected_calibration_error(np.eye(2), bins=0), "bins: got 0; wanted at least 1"),
        (lambda: evaluation.few_shot_accuracy(np.eye(2), [0, 1], np.eye(2), [0, 1], shots=0), "shots: got 0; wanted at least 1"),
        (
            lambda: evaluation.few_shot_accuracy(np.eye(2), [0, 1], np.eye(2), [0, 7], shots=1),
            "test_labels: got 1 rows of a class",
        ),
        (lambda: evaluation.few_shot_accuracy(np.eye(2), [0, 0], np.eye(2), [0, 0], shots=1), "train_labels: got 1 class"),
        (lambda: evaluation.few_shot_accuracy(np.eye(2), [0, 1], np.eye(2), [0, 1], shots=1, probe="knn"), 'probe: got "knn"'),
        (
            lambda: evaluation.delta_retrieval(np.eye(2), [2], np.eye(2)[:1], np.eye(2)[:1], np.ones((1, 2))),
            "queries: got numbers",
        ),
        (
            lambda: evaluation.delta_retrieval(np.eye(2), [0.0], np.eye(2)[:1], np.eye(2)[:1], np.ones((1, 2))),
            "queries: got dtype float64",
        ),
        (
            lambda: evaluation.delta_retrieval(np.eye(2), [0], np.eye(2)[:1], np.eye(2)[:1], np.ones((1, 3))),
            "relevance: got shape",
        ),
        (lambda: evaluation.shift_robustness({"a": 1.0}, {"b": 1.0}), "away: got"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(InputError, match=words):
        call()
