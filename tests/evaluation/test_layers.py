"""Measures of likeness against their oracles, and the score of every pair of layers."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from tests.oracles import structure as oracle


def spaces(n=14, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.concatenate([x, rng.normal(size=(n, 3))], axis=1)


@pytest.mark.parametrize("block_size", [5, 1024])
@pytest.mark.parametrize("k", [1, 4, 13])
def test_cknna_equals_its_oracle(k, block_size):
    x, y = spaces()
    want = oracle.cknna(x, y, k=k)
    assert evaluation.cknna(x, y, k=k, block_size=block_size) == pytest.approx(want, abs=1e-10)
    assert evaluation.cknna(x, y[::-1], k=k) != pytest.approx(want, abs=0.02)  # companion: rows out of step
    assert evaluation.cknna(x, 3 * x, k=k) == pytest.approx(1)
    assert np.isnan(evaluation.cknna(np.full((5, 2), np.nan), np.ones((5, 2)), k=2))


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_unbiased_cka_equals_its_oracle(shift):
    x, y = spaces()
    want = oracle.unbiased_cka(x, y)
    assert evaluation.unbiased_cka(x + shift, y) == pytest.approx(want, abs=1e-10)
    assert want != pytest.approx(oracle.linear_cka(x, y), abs=0.02)  # companion: the biased one is another number
    assert evaluation.unbiased_cka(np.ones((5, 2)), x[:5]) == 0
    with pytest.raises(InputError, match=r"a: got 3 rows; wanted at least 4 rows"):
        evaluation.unbiased_cka(x[:3], y[:3])


def test_unbiased_cka_of_independent_spaces_is_about_zero():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 40, 60))
    assert abs(evaluation.unbiased_cka(a, b)) < 0.1
    assert evaluation.linear_cka(a, b) > 0.4


def test_the_count_of_neighbours():
    for n in (8, 27, 1000, 4096, 5000, 8000):
        assert evaluation.neighbour_count("rice", n) == min(oracle.rice(n), n - 1)
    x, y = spaces()
    assert evaluation.mutual_knn(x, y, k="rice") == pytest.approx(oracle.mutual_knn(x, y, k=5), abs=1e-12)
    for wrong, words in ((0, "got 0; wanted 1 <= k <= 13"), (14, "got 14"), ("sturges", "got 'sturges'"), (2.0, "got 2.0")):
        with pytest.raises(InputError, match=words):
            evaluation.mutual_knn(x, y, k=wrong)


def test_the_fixture_of_three_quarters():
    """A: 1-2 and 3-4 are each other's nearest; in B 2 goes to 3: three of four are common."""
    a = np.array([[1, 0], [0.99, 0.14], [0, 1], [0.14, 0.99]])
    angles = np.radians([0.0, 30.0, 55.0, 65.0])
    b = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert evaluation.mutual_knn(a, b, k=1) == 0.75


@pytest.mark.parametrize("measure", ["mutual_knn", "cknna", "cka", "unbiased_cka"])
def test_every_pair_of_layers_is_scored(measure):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 3, 4)), rng.normal(size=(20, 2, 5))
    y[:, 1, :4] = x[:, 2] + 0.1 * rng.normal(size=(20, 4))
    got = evaluation.layer_scores(x, y, measure=measure, k=4)
    single = {
        "mutual_knn": oracle.mutual_knn,
        "cknna": oracle.cknna,
        "cka": oracle.linear_cka,
        "unbiased_cka": oracle.unbiased_cka,
    }
    options = dict(k=4) if measure in ("mutual_knn", "cknna") else {}

    def unit(v):
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    want = [[single[measure](unit(x[:, i]), unit(y[:, j]), **options) for j in range(2)] for i in range(3)]
    assert np.allclose(got, want, atol=1e-10, rtol=0)
    assert not np.allclose(got, np.array(want)[::-1], atol=1e-3)
    assert np.unravel_index(got.argmax(), got.shape) == (2, 1)


def test_layers_that_cannot_be_scored():
    x = np.ones((8, 2, 3))
    for arrays, options, words in (
        ((x[:, 0], x), {}, r"x: got shape \(8, 3\); wanted \[n, layers, d\]"),
        ((x, x[:5]), {}, r"y: got 5 rows; wanted the same items as x \(8 rows\)"),
        ((x, np.where(x > 0, np.nan, x)), {}, "y: got NaN or infinity.*Drop those rows"),
        ((x, x), dict(measure="mutual_kn"), 'measure: got "mutual_kn".*Did you mean "mutual_knn"'),
        ((x, x), dict(k=8), "k: got 8; wanted 1 <= k <= 7"),
    ):
        with pytest.raises(InputError, match=words):
            evaluation.layer_scores(*arrays, **options)
