"""SUE: two bent views of one sheet from few pairs and unpaired rows, its spectrum, and the step that moves one cloud onto the other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from gera_jax.checks import InputError
from gera_jax.solvers import SUE, RidgeCCA
from gera_jax.solvers.sue import _matching_map


def sheet(n=520, seed=0):
    """A rectangle rolled up in two different ways."""
    u = np.random.default_rng(seed).uniform(size=(n, 2)) * [2.0, 1.0]
    x = np.c_[np.cos(2 * u[:, 0]), np.sin(2 * u[:, 0]), u[:, 1]]
    y = np.c_[np.cos(2 * u[:, 1]), np.sin(2 * u[:, 1]), np.sin(1.5 * u[:, 0]), np.cos(1.5 * u[:, 0])]
    return x, y


def median_rank(model, x, y):
    score = model.similarity(x, y)
    return np.median(1 + np.sum(score > np.diag(score)[:, None], axis=1))


def spiral(n=520):
    """A ribbon rolled up into a spiral, and the same ribbon bent a little: one walk along both, no linear map between."""
    rng = np.random.default_rng(0)
    along, across = rng.uniform(size=n), 0.2 * rng.uniform(size=n)
    x = np.c_[(0.3 + along) * np.cos(9 * along), (0.3 + along) * np.sin(9 * along), across + 0.1 * along]
    return x, np.c_[np.cos(3 * along), np.sin(3 * along), across]


def test_few_pairs_and_the_shape_of_unpaired_rows():
    x, y = spiral()
    pairs, test = slice(0, 12), slice(420, 520)
    model = SUE(components=6, dim=4, neighbors=15).fit(x[pairs], y[pairs], x[12:216], y[216:420])
    assert median_rank(model, x[test], y[test]) <= 15
    shuffled = SUE(components=6, dim=4, neighbors=15).fit(x[pairs], y[pairs][::-1], x[12:216], y[216:420])
    assert median_rank(shuffled, x[test], y[test]) > 30  # companion: wrong pairs
    assert median_rank(RidgeCCA().fit(x[pairs], y[pairs]), x[test], y[test]) > 30  # companion: a linear method


def test_coordinates_are_eigenvectors_that_extend_to_their_own_rows():
    x, y = sheet(300)
    model = SUE(components=3, neighbors=20, dim=2).fit(x[:20], y[:20], x[20:], y[20:])
    spectrum = model.spectra[0]
    assert np.all(np.diff(spectrum.values) <= 1e-9)
    assert np.all(spectrum.values < 1)
    np.testing.assert_allclose(spectrum.coordinates.std(0), 1)
    again = spectrum(x)  # a row that is its own nearest neighbour
    for column in range(3):
        assert np.corrcoef(again[:, column], spectrum.coordinates[:, column])[0, 1] > 0.98
    long_side = np.arctan2(x[:, 1], x[:, 0]) % (2 * np.pi)  # 0 to 4: the slowest eigenvector runs along it
    assert abs(scipy.stats.spearmanr(spectrum.coordinates[:, 0], long_side).statistic) > 0.95
    assert abs(scipy.stats.spearmanr(spectrum.coordinates[:, 1], long_side).statistic) < 0.5  # companion


def test_the_residual_step_moves_one_cloud_onto_the_other():
    rng = np.random.default_rng(0)
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    x, y = unit(rng.normal(size=(150, 3)) + [2, 0, 0]), unit(rng.normal(size=(150, 3)) + [1, 1.5, 0])
    matrix, shift = _matching_map(x, y)
    moved = unit(y + y @ matrix + shift)
    before, after = (np.linalg.norm(x.mean(0) - v.mean(0)) for v in (y, moved))
    assert after < 0.1 * before
    flat = _matching_map(x, x[::-1])
    assert np.abs(flat[0]).max() < 0.05  # nothing to do


def test_the_gradient_of_the_residual_step():
    """The optimiser saw the true slope: at its end no small change is better."""
    rng = np.random.default_rng(1)
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    x, y = unit(rng.normal(size=(60, 2)) + [1, 0]), unit(rng.normal(size=(60, 2)) + [0, 1])

    def discrepancy(matrix, shift):
        z = unit(y + y @ matrix + shift)
        mean = np.concatenate([x, y]).mean(0)
        total = 0.0
        for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
            width = 2 * factor * (2 - 2 * mean @ mean)

            def k(a, b, width=width):
                return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / width).mean()

            total += (k(z, z) - 2 * k(x, z)) / 5
        return total

    matrix, shift = _matching_map(x, y)
    best = discrepancy(matrix, shift)
    assert best < discrepancy(np.zeros((2, 2)), np.zeros(2)) - 0.05
    for seed in range(5):
        step = np.random.default_rng(seed)
        assert discrepancy(matrix + 0.05 * step.normal(size=(2, 2)), shift + 0.05 * step.normal(size=2)) > best - 1e-4


def test_two_pairs_and_nothing_else_is_enough_to_answer():
    rng = np.random.default_rng(0)
    model = SUE().fit(rng.normal(size=(3, 4)), rng.normal(size=(3, 5)))
    assert np.isfinite(model.similarity(rng.normal(size=(6, 4)), rng.normal(size=(7, 5)))).all()


def test_bad_input():
    with pytest.raises(InputError) as error:
        SUE(components=0)
    assert str(error.value) == "components: got 0; wanted at least 1."
    with pytest.raises(InputError, match="rows that are all equal"):
        SUE().fit(np.ones((5, 2)), np.random.default_rng(0).normal(size=(5, 2)))
