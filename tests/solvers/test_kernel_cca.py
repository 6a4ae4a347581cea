"""Kernel CCA against the dual problem, on a relation that no linear map holds, and the words of its errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from gera_jax.checks import InputError
from gera_jax.solvers import Baseline, KernelCCA, RidgeCCA


def doubled_angles(n=240, seed=0):
    """Points of a half circle, and of the full circle at twice their angle."""
    angle = np.random.default_rng(seed).uniform(0, np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([np.cos(2 * angle), np.sin(2 * angle)], 1)


def median_rank(model, x, y):
    score = model.similarity(x, y)
    return np.median(1 + np.sum(score > np.diag(score)[:, None], axis=1))


def test_correlations_equal_those_of_the_dual_problem():
    """With all pairs as landmarks: K x K eigenproblem of kernel CCA, regularised by g K (Bach and Jordan's form)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 5))
    y = np.tanh(x[:, :3] + 0.3 * rng.normal(size=(12, 3)))
    model = KernelCCA(regularization=0.5).fit(x, y)
    grams = []
    for rows in (x, y):
        unit = rows - rows.mean(0)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        middle = np.eye(12) - 1 / 12
        grams.append(middle @ np.exp(unit @ unit.T - 1) @ middle)
    kx, ky = grams
    ridge = [0.5 * np.trace(k) / 12 / 12 for k in grams]  # mean variance of a feature: tr(K) / p over the 12 features
    left = np.block([[np.zeros((12, 12)), kx @ ky / 12], [ky @ kx / 12, np.zeros((12, 12))]])
    right = scipy.linalg.block_diag(*(k @ k / 12 + g * k + 1e-10 * np.eye(12) for k, g in zip(grams, ridge, strict=True)))
    want = scipy.linalg.eigh(left, right)[0][::-1][:5]
    np.testing.assert_allclose(model.correlations[:5], want, atol=1e-5)
    assert np.abs(KernelCCA(regularization=0.6).fit(x, y).correlations[:5] - want).max() > 1e-3  # companion


def test_a_relation_that_no_linear_map_holds():
    x, y = doubled_angles()
    train, test = slice(0, 120), slice(120, 240)
    assert median_rank(KernelCCA().fit(x[train], y[train]), x[test], y[test]) <= 3
    assert median_rank(RidgeCCA().fit(x[train], y[train]), x[test], y[test]) >= 5  # companion
    assert median_rank(KernelCCA().fit(x[train], y[train][::-1]), x[test], y[test]) > 20


def test_a_wide_kernel_is_the_linear_method():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 4))
    y = x @ rng.normal(size=(4, 3))
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    linear = RidgeCCA(regularization=0.1).fit(x, y).correlations[:3]
    assert np.abs(KernelCCA(width=0.5, regularization=0.1).fit(x, y).correlations[:3] - linear).max() > 0.05
    wide = KernelCCA(width=1e3, regularization=0.1).fit(x, y)
    assert len(wide.x_landmarks) == 80
    assert median_rank(wide, x, y) <= 5


def test_landmarks_are_the_pairs_and_then_unpaired_rows():
    x, y = doubled_angles(60)
    model = KernelCCA(landmarks=25).fit(x[:10], y[:10], x[10:], y[10:15])
    assert (len(model.x_landmarks), len(model.y_landmarks)) == (25, 15)
    centred = x[:10] - np.concatenate([x[:10], x[10:]]).mean(0)
    np.testing.assert_allclose(model.x_landmarks[:10], centred / np.linalg.norm(centred, axis=1, keepdims=True))
    assert len(KernelCCA(landmarks=6).fit(x[:10], y[:10], x[10:], y[10:]).x_landmarks) == 6
    assert isinstance(model, Baseline)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(width=0), "width: got 0; wanted a number > 0."),
        (dict(landmarks=1), "landmarks: got 1; wanted at least 2."),
        (dict(regularization=-1), 'regularization: got -1; wanted a number >= 0 or "auto".'),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InputError) as error:
        KernelCCA(**options)
    assert str(error.value) == words


def test_rows_that_are_all_equal():
    with pytest.raises(InputError, match="rows that are all equal"):
        KernelCCA().fit(np.ones((6, 3)), np.random.default_rng(0).normal(size=(6, 2)))


def test_the_narrowest_kernel_knows_its_pairs():
    """A cosine of a row with itself is 1 + 2e-16 here and there, which a kernel as narrow as 1e-300 must not blow up."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 12)), rng.normal(size=(30, 9))
    for width in (1e-300, 1e-17, 1e-3):
        assert median_rank(KernelCCA(width=width).fit(x, y), x, y) == 1
