"""Rows of one side in the other side's own space, against maps that are known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gera_jax import Aligner, load_pairs
from gera_jax.aligners.outputs import STRENGTHS, Predictor, ridge
from tests.aligners.guests import LeastSquares

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


def left_out(x, y, strength):
    """Squared error of refits without each pair, one by one; an infinite strength is the mean of the others."""
    total = 0.0
    for i in range(len(x)):
        keep = np.arange(len(x)) != i
        mean, target = x[keep].mean(0), y[keep].mean(0)
        own = x[keep] - mean
        weights = np.linalg.solve(own.T @ own + strength * np.eye(own.shape[1]), own.T @ (y[keep] - target))
        total += float(((y[i] - target - (x[i] - mean) @ weights) ** 2).sum())
    return total


@pytest.mark.parametrize(("pairs", "width"), [(40, 5), (30, 40)])
def test_the_strength_is_chosen_by_pairs_left_out(pairs, width):
    """Against refits without each pair, one by one; 30 pairs of 40 columns are interpolated by a weak ridge."""
    x = 7 + RNG.normal(size=(pairs, width))
    y = x[:, :3] @ RNG.normal(size=(3, 4)) + 2 * RNG.normal(size=(pairs, 4))
    own = x - x.mean(0)
    strengths = STRENGTHS[6:] * (own**2).sum() / pairs  # below, the refits themselves are rounding
    errors = np.array([left_out(x, y, strength) for strength in strengths])
    error, weights = ridge(x, y)
    np.testing.assert_allclose(error, errors.min(), rtol=1e-5)
    best = strengths[np.argmin(errors)]
    assert strengths[0] < best < strengths[-1]
    np.testing.assert_allclose(weights, np.linalg.solve(own.T @ own + best * np.eye(width), own.T @ (y - y.mean(0))), atol=1e-8)
    found = Predictor.fit(x, y)
    np.testing.assert_allclose(found(x), y.mean(0) + own @ weights, atol=1e-8)


@pytest.mark.parametrize(("pairs", "width"), [(30, 4), (12, 40)])
def test_y_that_has_nothing_of_x_is_predicted_by_its_mean(pairs, width):
    """Unrelated rows: where no strength beats the mean of the others, the prediction is the mean; a lucky one is hardly worse."""
    means, errors, interpolated = 0, [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x, y, new = rng.normal(size=(pairs, width)), 5 + rng.normal(size=(pairs, 8)), rng.normal(size=(200, width))
        found, truth = Predictor.fit(x, y), 5 + rng.normal(size=(200, 8))
        of_mean = left_out(x, y, 1e15)
        assert ridge(x, y)[0] <= of_mean * (1 + 1e-9)
        means += (still := not found.weights.any())
        if still:
            np.testing.assert_allclose(found(new), np.tile(y.mean(0), (200, 1)))
            assert min(left_out(x, y, g * (x.var(0).sum())) for g in (0.1, 1.0, 10.0, 1e4)) >= of_mean * (1 - 1e-9)
        least = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=None)[0]
        of_mean = ((y.mean(0) - truth) ** 2).sum()
        errors.append(((found(new) - truth) ** 2).sum() / of_mean)
        interpolated.append(((y.mean(0) + (new - x.mean(0)) @ least - truth) ** 2).sum() / of_mean)
    assert means >= 8 and np.mean(errors) < 1.06
    assert np.mean(interpolated) > 1.12  # companion: without a ridge


def test_real_rows_are_predicted_better_than_by_their_mean():
    """50 pairs of 1280 and 384 columns: a map of the shared space, which was fitted on these pairs, is worse than the mean here."""
    train, test = load_pairs("emoji").split(test=500)
    train = train.head(50)
    aligner = Aligner("ridge_cca").fit(train)
    for got, *rows in ((aligner.predict_y(test.x), test.y, train.y), (aligner.predict_x(test.y), test.x, train.x)):
        truth, known = (part.astype(np.float64) for part in rows)
        assert ((got - truth) ** 2).sum() < 0.99 * ((known.mean(0) - truth) ** 2).sum()


def test_few_pairs_and_wide_rows():
    x, y = RNG.normal(size=(12, 40)), RNG.normal(size=(12, 30))
    aligner = Aligner("ridge_cca").fit(x, y)
    assert aligner.predict_y(x).shape == (12, 30) and np.isfinite(aligner.predict_y(x)).all()
    assert aligner.predict_y(x[:0]).shape == (0, 30)
    assert Aligner("ridge_cca").fit(x[:2], y[:2]).predict_x(y).shape == (12, 40)


def test_a_method_without_a_shared_space_predicts_too(tmp_path):
    y = X @ RNG.normal(size=(6, 4))
    aligner = Aligner(LeastSquares).fit(X[:80], y[:80])
    aligner.save(tmp_path / "model")
    for other in (aligner, Aligner.load(tmp_path / "model"), pickle.loads(pickle.dumps(aligner))):
        np.testing.assert_allclose(other.predict_y(X[80:]), y[80:], atol=1e-4)
