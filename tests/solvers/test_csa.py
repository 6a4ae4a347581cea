"""CSA against its definition, from scipy's generalised eigenproblem."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import eigh

from gera_jax.checks import InputError
from gera_jax.evaluation import retrieval_metrics
from gera_jax.solvers import CSA, Baseline, RidgeCCA


def data(p=200, seed=0):
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(p + 9, 4))
    x = latent @ rng.normal(size=(4, 6)) + 0.5 * rng.normal(size=(p + 9, 6)) + 1
    y = latent @ rng.normal(size=(4, 5)) + 0.5 * rng.normal(size=(p + 9, 5)) - 2
    return x[:p], y[:p], x[p:], y[p:]


def canonical(x, y, r):
    """Weights of unit variance and correlations: Sxy Syy^-1 Syx a = rho^2 Sxx a."""
    x, y = x - x.mean(0), y - y.mean(0)
    sxx, syy, sxy = x.T @ x / len(x), y.T @ y / len(x), x.T @ y / len(x)
    values, a = eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    a, rho = a[:, ::-1][:, :r], np.sqrt(values[::-1][:r])
    return a, np.linalg.solve(syy, sxy.T @ a) / rho, rho


@pytest.mark.parametrize("r", [2, 5])
def test_equals_the_definition(r):
    x_pairs, y_pairs, x, y = data()
    model = CSA(dim=r, regularization=0.0).fit(x_pairs, y_pairs)
    a, b, rho = canonical(x_pairs, y_pairs, r)
    u, v = (x - x_pairs.mean(0)) @ a, (y - y_pairs.mean(0)) @ b
    u, v = (w / np.linalg.norm(w, axis=1, keepdims=True) for w in (u, v))
    want = (u * rho) @ v.T
    np.testing.assert_allclose(model.correlations, rho, atol=1e-10)
    np.testing.assert_allclose(model.similarity(x, y), want, atol=1e-9)
    # companions: no weights; weights that enter the lengths too, as in RidgeCCA
    assert np.abs(model.similarity(x, y) - u @ v.T).max() > 1e-2
    weighted = RidgeCCA(r, 0.0, correlation_power=0.5).fit(x_pairs, y_pairs).similarity(x, y)
    assert np.abs(model.similarity(x, y) - weighted).max() > 1e-2


def test_rows_are_unit_rows_whose_products_are_the_similarity():
    x_pairs, y_pairs, x, y = data()
    model = CSA(dim=3).fit(x_pairs, y_pairs)
    assert isinstance(model, Baseline)
    left, right = model.transform_x(x), model.transform_y(y)
    assert left.shape == (9, 5)
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(right, axis=1), 1)
    np.testing.assert_allclose(left @ right.T, model.similarity(x, y), atol=1e-12)
    middle = model.transform_x(x_pairs.mean(0, keepdims=True))  # a row that maps to zero is like nothing, not NaN
    np.testing.assert_allclose(middle @ right.T, 0, atol=1e-12)


def test_finds_partners_that_wrong_pairs_do_not_teach():
    x_pairs, y_pairs, *_ = data()
    model = CSA().fit(x_pairs[:100], y_pairs[:100])
    recall = retrieval_metrics(model.transform_x(x_pairs[100:]), model.transform_y(y_pairs[100:]))["mean/R@10"]
    wrong = CSA().fit(x_pairs[:100], np.roll(y_pairs[:100], 1, axis=0))
    chance = retrieval_metrics(wrong.transform_x(x_pairs[100:]), wrong.transform_y(y_pairs[100:]))["mean/R@10"]
    assert recall > 0.4 > 0.2 > chance


def test_bad_input():
    x_pairs, y_pairs, x, _ = data()
    with pytest.raises(InputError, match="dim: got 0"):
        CSA(dim=0)
    with pytest.raises(InputError, match='regularization: got -1; wanted a number >= 0 or "auto"'):
        CSA(regularization=-1)
    with pytest.raises(InputError, match="CSA: got a call before fit"):
        CSA().transform_x(x)
    with pytest.raises(InputError, match="y_pairs: got 9 rows"):
        CSA().fit(x_pairs, y_pairs[:9])
