"""Hub corrections against explicit loops, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.evaluation import csls, inverted_softmax, local_density, log_density, retrieval_metrics_from_scores


@pytest.fixture
def scores():
    return np.random.default_rng(0).uniform(-1, 1, size=(6, 5))


def test_csls_equals_its_loops(scores):
    k, want = 2, np.zeros((6, 5))
    for i in range(6):
        for j in range(5):
            want[i, j] = 2 * scores[i, j] - np.sort(scores[i])[-k:].mean() - np.sort(scores[:, j])[-k:].mean()
    got = csls(scores, x_density=local_density(scores, k=k), y_density=local_density(scores.T, k=k))
    np.testing.assert_allclose(got, want)
    assert np.abs(csls(scores, x_density=local_density(scores, k=3), y_density=local_density(scores.T, k=k)) - want).max() > 1e-2


def test_inverted_softmax_ranks_like_its_loops(scores):
    """Softmax over the queries for each candidate, in each direction on its own."""
    t = 0.3
    got = inverted_softmax(
        scores, x_density=log_density(scores, temperature=t), y_density=log_density(scores.T, temperature=t), temperature=t
    )
    forward = np.exp(scores / t) / np.exp(scores / t).sum(0, keepdims=True)  # x -> y: each y shares itself among the x
    backward = np.exp(scores / t) / np.exp(scores / t).sum(1, keepdims=True)
    np.testing.assert_array_equal(np.argsort(got, axis=1), np.argsort(forward, axis=1))
    np.testing.assert_array_equal(np.argsort(got, axis=0), np.argsort(backward, axis=0))
    assert np.any(np.argsort(scores, axis=1) != np.argsort(forward, axis=1))  # companion: the plain scores rank otherwise


def test_equal_densities_change_no_rank(scores):
    square = scores[:5]
    plain = retrieval_metrics_from_scores(square)
    flat = np.full(5, 0.3)
    assert retrieval_metrics_from_scores(csls(square, x_density=flat, y_density=flat)) == plain
    assert retrieval_metrics_from_scores(inverted_softmax(square, x_density=flat, y_density=flat, temperature=0.1)) == plain


def test_a_hub_loses_its_place():
    true = np.eye(8) + np.r_[1.2, np.zeros(7)]  # candidate 0 beats every true match
    assert retrieval_metrics_from_scores(true)["x_to_y/R@1"] == 1 / 8
    fixed = csls(true, x_density=local_density(true, k=3), y_density=local_density(true.T, k=3))
    assert retrieval_metrics_from_scores(fixed)["x_to_y/R@1"] == 1.0


@pytest.mark.parametrize(
    "density", [lambda s: local_density(s, k=2), lambda s: local_density(s, k=9), lambda s: log_density(s, temperature=0.3)]
)
def test_a_broken_reference_row_has_no_say(scores, density):
    """One NaN row among the references: the densities are those of the others; a row that is NaN itself stays NaN."""
    broken = np.insert(scores, 2, np.nan, axis=1)
    np.testing.assert_allclose(density(broken), density(scores), rtol=1e-12)
    broken[3] = np.nan
    assert np.isnan(density(broken)).tolist() == [False] * 3 + [True] + [False] * 2
    worst = np.insert(scores, 2, -1.0, axis=1)  # companion: a row that is only far away does count where all are taken
    assert np.abs(log_density(worst, temperature=0.3) - log_density(scores, temperature=0.3)).max() > 1e-3


def test_large_scores_do_not_overflow():
    assert log_density(np.array([[1e4, 0.0]]), temperature=0.1)[0] == pytest.approx(1e5 - np.log(2))


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda s: local_density(s, k=0), "k: got 0; wanted at least 1."),
        (lambda s: local_density(s[:, :0]), "scores: got shape (6, 0); wanted at least one reference row."),
        (lambda s: log_density(s[:, :0], temperature=1), "scores: got shape (6, 0); wanted at least one reference row."),
        (lambda s: log_density(s, temperature=0), "temperature: got 0; wanted a number > 0."),
        (
            lambda s: csls(s, x_density=np.zeros(4), y_density=np.zeros(5)),
            "x_density: got shape (4,); wanted one number for each of 6 rows.",
        ),
    ],
)
def test_faults(scores, act, words):
    with pytest.raises(InputError) as error:
        act(scores)
    assert str(error.value) == words
