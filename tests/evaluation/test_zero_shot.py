"""Zero-shot accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from tests.evaluation import oracles


def test_equals_a_loop_with_prompts():
    rng = np.random.default_rng(0)
    prompts, prompt_class = rng.normal(size=(12, 5)) * rng.uniform(0.1, 30, (12, 1)), np.arange(12) % 4
    labels = rng.integers(0, 4, 60)
    unit = prompts / np.linalg.norm(prompts, axis=1, keepdims=True)
    classes = np.stack([unit[prompt_class == c].mean(axis=0) for c in range(4)])
    x = classes[labels] + 0.5 * rng.normal(size=(60, 5))
    got = evaluation.zero_shot_accuracy(x, prompts, labels, ks=(1, 2), class_labels=prompt_class, block_size=9)
    scores = oracles.cosine_scores(x, classes)
    order = np.argsort(-scores, axis=1)
    hit = {k: np.array([labels[i] in order[i, :k] for i in range(60)]) for k in (1, 2)}
    for k in (1, 2):
        assert got[f"accuracy@{k}"] == np.mean(hit[k])
        per_class = np.mean([np.mean(hit[k][labels == c]) for c in range(4)])
        assert got[f"class_accuracy@{k}"] == pytest.approx(per_class, abs=1e-12)
    # companion: averaging without normalising first is another answer, so the normalisation is tested
    raw = np.stack([prompts[prompt_class == c].mean(axis=0) for c in range(4)])
    assert np.mean(np.argmax(oracles.cosine_scores(x, raw), axis=1) == labels) != got["accuracy@1"]


def test_one_row_a_class_names_and_nan():
    labels = np.array([0, 1, 2, 2])
    x = np.eye(3)[labels]
    assert evaluation.zero_shot_accuracy(x, np.eye(3), labels)["accuracy@1"] == 1
    assert evaluation.zero_shot_accuracy(x, np.eye(3)[[1, 2, 0]], labels)["accuracy@1"] == 0
    named = evaluation.zero_shot_accuracy(x, np.eye(3), ["b", "a", "c", "c"], class_labels=["b", "a", "c"])
    assert named["accuracy@1"] == 1
    assert evaluation.zero_shot_accuracy(x * np.nan, np.eye(3), labels)["accuracy@5"] == 0
    assert evaluation.zero_shot_accuracy(x, np.eye(3) * np.nan, labels)["accuracy@5"] == 0
    assert evaluation.zero_shot_accuracy(x, np.ones((3, 3)), labels)["accuracy@1"] == 0  # all tied


def test_bad_input():
    with pytest.raises(InputError, match=r"labels: got 1 rows of a class without an embedding.*row numbers of"):
        evaluation.zero_shot_accuracy(np.eye(2), np.eye(2), [0, 2])
    with pytest.raises(InputError, match=r"labels: got shape \(3,\); wanted one class for each of the 2 rows of x"):
        evaluation.zero_shot_accuracy(np.eye(2), np.eye(2), [0, 1, 1])
    with pytest.raises(InputError, match=r"class_labels: got shape \(1,\); wanted one class for each of the 2 rows"):
        evaluation.zero_shot_accuracy(np.eye(2), np.eye(2), [0, 1], class_labels=[0])
    with pytest.raises(InputError, match="class_embeddings width: got 3 against 2 of x"):
        evaluation.zero_shot_accuracy(np.eye(2), np.eye(3), [0, 1])
    with pytest.raises(InputError, match=r"ks: got \(\); wanted a sequence of one or more"):
        evaluation.zero_shot_accuracy(np.eye(2), np.eye(2), [0, 1], ks=())
