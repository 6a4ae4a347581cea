"""Rows of one side in the other side's own space, against maps that are known."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import Aligner
from gera_jax.aligners.predict import Predictor, _ridge

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 6)) * [1, 2, 3, 0.5, 1, 1] + 5


@pytest.mark.parametrize("method", ["ridge_cca", "procrustes", "auto"])
def test_an_affine_map_comes_back_with_mean_and_scale(method):
    y = 100 * X @ RNG.normal(size=(6, 9)) - 40
    aligner = Aligner(method).fit(X[:80], y[:80])
    np.testing.assert_allclose(aligner.predict_y(X[100:]), y[100:], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(aligner.predict_x(y[100:]), X[100:], rtol=1e-5, atol=1e-3)
    assert np.abs(Aligner(method).fit(X[:80], y[:80][::-1]).predict_y(X[100:]) - y[100:]).mean() > 10  # companion: wrong pairs


def test_a_rotation_of_unit_rows_comes_back():
    rows = X - 5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    turn, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    aligner = Aligner("procrustes").fit(rows[:100], rows[:100] @ turn)
    np.testing.assert_allclose(aligner.predict_y(rows[100:]), rows[100:] @ turn, atol=1e-5)


def left_out(u, y, strength):
    """Squared error of refits without each pair, one by one."""
    total = 0.0
    for i in range(len(u)):
        keep = np.arange(len(u)) != i
        mean, target = u[keep].mean(0), y[keep].mean(0)
        own = u[keep] - mean
        weights = np.linalg.solve(own.T @ own + strength * np.eye(own.shape[1]), own.T @ (y[keep] - target))
        total += float(((y[i] - target - (u[i] - mean) @ weights) ** 2).sum())
    return total


def test_the_choice_is_by_pairs_left_out():
    """Against refits without each pair, one by one; where y depends on the direction alone, the shared space is taken."""
    x = RNG.normal(size=(40, 5)) * np.exp(RNG.normal(size=(40, 1)))
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = z @ RNG.normal(size=(5, 3)) + 0.05 * RNG.normal(size=(40, 3))
    found = Predictor.fit(z, x, y)
    assert not found.raw

    strengths = 10.0 ** np.arange(-12, 2) * ((z - z.mean(0)) ** 2).sum() / len(z)
    best = strengths[np.argmin([left_out(z, y, strength) for strength in strengths])]
    own = z - z.mean(0)
    want = np.linalg.solve(own.T @ own + best * np.eye(5), own.T @ (y - y.mean(0)))
    np.testing.assert_allclose(found.weights, want, atol=1e-8)
    assert min(left_out(z, y, s) for s in strengths) < min(left_out(x, y, s) for s in strengths)


def test_fewer_pairs_than_columns_are_not_taken_for_a_perfect_fit():
    """12 pairs of 40 columns are interpolated by a weak ridge; left out one by one, they show that y is mostly noise."""
    x, y = RNG.normal(size=(12, 40)), RNG.normal(size=(12, 3))
    own, strengths = x - x.mean(0), 10.0 ** np.arange(-12, 2) * ((x - x.mean(0)) ** 2).sum() / 12
    errors = np.array([left_out(x, y, strength) for strength in strengths[6:]])  # below, the refits themselves are rounding
    error, (_, _, weights) = _ridge(x, y)
    np.testing.assert_allclose(error, errors.min(), rtol=1e-5)
    best = strengths[6:][np.argmin(errors)]
    np.testing.assert_allclose(weights, np.linalg.solve(own.T @ own + best * np.eye(40), own.T @ (y - y.mean(0))), atol=1e-8)
    assert np.linalg.norm(own @ weights) < 0.9 * np.linalg.norm(y - y.mean(0))  # companion: not the interpolation


def test_few_pairs_and_wide_rows():
    x, y = RNG.normal(size=(12, 40)), RNG.normal(size=(12, 30))
    aligner = Aligner("ridge_cca").fit(x, y)
    assert aligner.predict_y(x).shape == (12, 30) and np.isfinite(aligner.predict_y(x)).all()
    assert aligner.predict_y(x[:0]).shape == (0, 30)
