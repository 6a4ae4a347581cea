"""Mutual neighbours and CKA."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError
from tests.evaluation import oracles


@pytest.mark.parametrize("block_size", [7, 1024])
@pytest.mark.parametrize("k", [1, 6, 39])
def test_mutual_knn_equals_the_loop(block_size, k):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(40, 6))
    b = np.concatenate([a, 0.8 * rng.normal(size=(40, 6))], axis=1)
    got = evaluation.mutual_knn(a, b, k=k, block_size=block_size)
    assert got == pytest.approx(oracles.neighbour_overlap(a, b, k), abs=1e-12)
    if k < 39:  # companion: the answer is no constant of k
        assert got != pytest.approx(oracles.neighbour_overlap(a, b[::-1], k), abs=0.02)
    else:
        assert got == 1


def test_mutual_knn_range():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(300, 8)), rng.normal(size=(300, 8))
    rotation = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert evaluation.mutual_knn(a, 5 * a @ rotation) == 1
    assert evaluation.mutual_knn(a, b) == pytest.approx(10 / 299, abs=0.02)
    assert evaluation.mutual_knn(np.full((300, 8), np.nan), a) == 0
    half = a.copy()
    half[:150] = np.nan
    assert evaluation.mutual_knn(half, a) < 0.5
    few = np.where(np.arange(300)[:, None] < 3, a, np.nan)  # each of 3 rows has 2 neighbours, not itself and no NaN
    assert evaluation.mutual_knn(few, few, k=4) == pytest.approx(3 * 2 / (300 * 4))


def test_linear_cka_equals_its_definition_on_both_paths():
    rng = np.random.default_rng(0)
    for n, d_a, d_b in ((50, 6, 4), (12, 30, 20)):
        a, b = rng.normal(size=(n, d_a)), rng.normal(size=(n, d_b))
        b[:, :3] += a[:, :3]
        center = np.eye(n) - np.ones((n, n)) / n
        k, g = center @ a @ a.T @ center, center @ b @ b.T @ center
        want = np.trace(k @ g) / np.sqrt(np.trace(k @ k) * np.trace(g @ g))
        assert evaluation.linear_cka(a, b) == pytest.approx(want, abs=1e-12)
        raw = np.trace(a @ a.T @ b @ b.T) / np.sqrt(np.trace((a @ a.T) @ (a @ a.T)) * np.trace((b @ b.T) @ (b @ b.T)))
        assert evaluation.linear_cka(a + 1, b) == pytest.approx(want, abs=1e-9)
        assert raw != pytest.approx(want, abs=1e-3)
    assert evaluation.linear_cka(np.ones((5, 2)), rng.normal(size=(5, 2))) == 0
    assert np.isnan(evaluation.linear_cka(np.full((5, 2), np.nan), np.ones((5, 2))))


@pytest.mark.parametrize("cka", [evaluation.linear_cka, evaluation.unbiased_cka])
def test_cka_of_spaces_without_structure_and_of_any_scale(cka):
    a = np.random.default_rng(0).normal(size=(30, 4))
    equal = np.full((30, 5), 0.1), np.full((30, 50), 0.7)  # 0.1 - mean(0.1, ...) is rounding, not 0
    assert cka(equal[0], equal[1]) == cka(equal[1], equal[1]) == cka(equal[0], a) == 0
    b = a + np.random.default_rng(1).normal(size=(30, 4))
    for scale in (1e-90, 1e90):
        assert cka(scale * a, b) == pytest.approx(cka(a, b), rel=1e-9)
    assert 0.1 < cka(a, b) < 0.9
    if cka is evaluation.unbiased_cka:
        for n in (10, 31, 100):  # rows that are all equally far from one another
            assert cka(np.eye(n), np.eye(n)) == 0
        noise = np.where(np.arange(6)[:, None] == 0, np.nan, 1.0) * np.eye(6)
        assert np.isnan(cka(np.eye(6), noise)) and np.isnan(cka(noise, np.eye(6)))


@pytest.mark.parametrize(("n", "d"), [(50, 3), (1000, 1000)])
def test_cknna_of_equal_rows_is_0_and_not_rounding(n, d):
    a = np.random.default_rng(0).normal(size=(n, 8))
    for equal in (np.ones((n, d)), np.full((n, d), 0.3, np.float32)):
        assert evaluation.cknna(equal, a) == evaluation.cknna(equal, equal) == 0
    near = 1e3 + np.random.default_rng(1).normal(size=(n, 8))  # companion: a narrow cone is a geometry
    assert evaluation.cknna(near, near) == pytest.approx(1)


def test_bad_input():
    with pytest.raises(InputError, match=r"k: got 5; wanted 1 <= k <= 4 \(one less than the 5 rows\)"):
        evaluation.mutual_knn(np.ones((5, 2)), np.ones((5, 2)), k=5)
    for function in (evaluation.mutual_knn, evaluation.linear_cka):
        with pytest.raises(InputError, match=r"b: got 4 rows; wanted the same items as a \(5 rows\).*join"):
            function(np.ones((5, 2)), np.ones((4, 2)))
