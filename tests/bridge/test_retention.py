"""The estimate of recall from a sample of documents against the truth, which made-up data know."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.bridge import retention


def world(noise, n=4000, d=12, queries=150, seed=0):
    """Clustered documents in the new space, queries near some of them, and what a bridge makes of the documents."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(60, d))
    new = centres[rng.integers(60, size=n)] + 0.7 * rng.normal(size=(n, d))
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    asked = new[rng.permutation(n)[:queries]] + 0.2 * rng.normal(size=(queries, d))
    return new, asked, new + noise * rng.normal(size=(n, d))


def recall(new, asked, mapped, k=10):
    """Oracle: sets of the first k, query by query."""
    hits = [
        len(set(np.argsort(-(new @ q), kind="stable")[:k]) & set(np.argsort(-(mapped @ q), kind="stable")[:k])) for q in asked
    ]
    return np.mean(hits) / k


def estimate(new, asked, mapped, p, seed=0, **options):
    at = np.random.default_rng(seed + 100).permutation(len(new))[:p]
    true = retention.normal_scores(asked @ new[at].T)
    return retention.kept(retention.ranked(asked, mapped, mapped[at], true, at, retention.tail(p)), len(new), **options)


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.4])
def test_a_sample_tells_the_recall_among_all(noise):
    made = world(noise)
    truth, found = recall(*made), estimate(*made, p=200)
    assert abs(found.mean - truth) < 0.08 and found.low < found.mean < found.high
    wrong = estimate(made[0], made[1], made[2][::-1], p=200)  # companion: rows of other documents keep next to nothing
    assert wrong.mean < 0.02 < truth


def test_more_documents_narrow_the_interval():
    made = world(0.15)
    few, many = (estimate(*made, p=p) for p in (40, 1000))
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_places_are_those_of_a_loop():
    scores = np.random.default_rng(0).normal(size=(4, 9))
    scores[1, 3] = np.nan
    from scipy.stats import norm

    want = [
        [-norm.ppf((sum(t > s for t in row) + 0.5) / (9 - np.isnan(row).sum())) if s == s else s for s in row] for row in scores
    ]
    np.testing.assert_allclose(retention.normal_scores(scores), want, atol=1e-12)


def test_ranks_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    index, queries = rng.normal(size=(50, 3)), rng.normal(size=(6, 3))
    names, selves = np.array([4, 7, 30]), np.array([4, -1, 8, -1, -1, 7])
    true = np.full((6, 3), 5.0)
    true[2, 1] = 0.0  # not in the tail
    true[0, 0] = np.nan  # itself
    events = retention.ranked(queries, index, index[names], true, names, 0.03, selves)
    want = []
    from scipy.stats import norm

    for q in range(6):
        for j in range(3):
            if true[q, j] == 5.0:
                own = queries[q] @ index[names[j]]
                above = sum(queries[q] @ index[i] > own for i in range(50) if i not in (selves[q], names[j]))
                want.append((names[j], -norm.ppf((above + 0.5) / 50)))
    assert events.document.tolist() == [name for name, _ in want]
    np.testing.assert_allclose(events.found, [score for _, score in want], atol=1e-9)


def test_a_map_to_one_point_finds_nothing():
    new, asked, mapped = world(0.15)
    assert estimate(new, asked, np.ones_like(mapped), p=200).mean < 0.01


def test_nothing_is_said_from_next_to_nothing():
    found = estimate(*world(0.15), p=3)
    assert np.isnan(found.mean) and (found.low, found.high) == (0.0, 1.0)
