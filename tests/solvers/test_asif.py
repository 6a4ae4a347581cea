"""ASIF against its definition, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.solvers import ASIF


def definition(row, anchors, k, power, clip=True):
    values = [row @ a / np.linalg.norm(row) / np.linalg.norm(a) for a in anchors]
    if clip:
        values = [max(v, 0.0) for v in values]
    kept = sorted(range(len(values)), key=lambda i: -values[i])[:k]
    out = np.array([values[i] ** power if i in kept else 0.0 for i in range(len(values))])
    return out / np.linalg.norm(out)


def data(p=30):
    rng = np.random.default_rng(0)
    return rng.normal(size=(p, 6)) + 1, rng.normal(size=(p, 4)), rng.normal(size=(9, 6)) + 1, rng.normal(size=(9, 4))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("k", "power"), [(5, 8.0), (800, 8.0), (5, 1.0)])
def test_equals_the_definition(k, power, center):
    x_pairs, y_pairs, x, y = data()
    model = ASIF(k=k, power=power, center=center).fit(x_pairs, y_pairs)
    mean = x_pairs.mean(axis=0) * center
    want = np.stack([definition(row - mean, x_pairs - mean, k, power) for row in x])
    got = model.transform_x(x)
    np.testing.assert_allclose(got, want, atol=1e-12)
    np.testing.assert_allclose(model.similarity(x, y), got @ model.transform_y(y).T, atol=1e-12)
    assert np.all(model.similarity(x, y) >= 0)
    # companions: one neighbour more, twice the power, no clipping
    other = np.stack([definition(row - mean, x_pairs - mean, k, 2 * power) for row in x])
    assert np.abs(got - other).max() > 1e-3
    if k == 5:
        assert np.all(np.count_nonzero(got, axis=1) == 5)
    elif center:
        unclipped = np.stack([definition(row - mean, x_pairs - mean, k, power, clip=False) for row in x])
        assert np.abs(got - unclipped).max() > 1e-3


def test_a_row_without_a_positive_similarity_is_zero_not_nan():
    pairs = np.array([[1.0, 0.1], [1.0, -0.1]])
    model = ASIF(center=False).fit(pairs, pairs)
    assert np.array_equal(model.transform_x(np.array([[-1.0, 0.0], [0.0, 0.0]])), np.zeros((2, 2)))
    assert np.linalg.norm(model.transform_x(np.array([[1.0, 0.0]]))) == pytest.approx(1)


def test_a_high_power_does_not_underflow():
    pairs = np.eye(3)
    model = ASIF(power=400.0, center=False).fit(pairs, pairs)
    np.testing.assert_allclose(np.linalg.norm(model.transform_x(np.array([[1.0, 1.01, 1.0]])), axis=1), 1)


def test_bad_settings():
    with pytest.raises(InputError, match="k: got 0; wanted at least 1"):
        ASIF(k=0)
    with pytest.raises(InputError, match="power: got 0; wanted a number > 0"):
        ASIF(power=0)
    for wrong in ("x", None, [], 0.5):  # a word or a list would end inside NumPy, and a half would leave half of the mean
        with pytest.raises(InputError, match="center: got .*; wanted True or False"):
            ASIF(center=wrong)
