"""The generators keep the promise of their answers, and a wrong answer fails."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import synthetic
from gera_jax.data.load import validate_table

GENERATORS = [synthetic.sphere, synthetic.swiss_roll_pair, synthetic.gaussian_mixture]


@pytest.mark.parametrize("make", GENERATORS)
def test_deterministic_clean_and_seeded(make):
    x, y, answer = make(100, seed=3)
    again, _, _ = make(100, seed=3)
    other, _, _ = make(100, seed=4)
    np.testing.assert_array_equal(x.rows, again.rows)
    assert not np.allclose(x.rows, other.rows)
    assert x.rows.dtype == y.rows.dtype == np.float32
    assert x.ids.tolist() == y.ids.tolist() == list(range(100))
    assert len(answer.latent) == 100
    assert validate_table(x)
    assert validate_table(y)


def test_sphere_rotation_is_exact_and_its_transpose_is_not():
    x, y, answer = synthetic.sphere(80, dim=4, x_dim=6, y_dim=6, seed=2)
    np.testing.assert_allclose(x.rows @ answer.rotation, y.rows, atol=1e-6)
    assert not np.allclose(x.rows @ answer.rotation.T, y.rows, atol=0.1)
    assert not np.allclose(x.rows, y.rows, atol=0.1)
    np.testing.assert_allclose(np.linalg.norm(x.rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(x.rows @ x.rows.T, answer.latent @ answer.latent.T, atol=1e-6)
    np.testing.assert_allclose(answer.x_map.T @ answer.x_map, np.eye(4), atol=1e-12)


def test_full_rank_sphere_is_recovered_by_procrustes():
    x, y, answer = synthetic.sphere(200, dim=5, x_dim=5, y_dim=5, noise=0.01, seed=0)
    u, _, vt = np.linalg.svd(x.rows.T @ y.rows)
    np.testing.assert_allclose(u @ vt, answer.rotation, atol=0.01)


def test_noise_has_the_stated_size():
    clean, _, _ = synthetic.sphere(3000, seed=5)
    noisy, _, _ = synthetic.sphere(3000, noise=0.2, seed=5)
    assert np.std(noisy.rows - clean.rows) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("side", [0, 1])
def test_a_roll_does_not_stretch(side):
    tables = synthetic.swiss_roll_pair(4000, seed=1)
    rows, latent = tables[side].rows.astype(np.float64), tables[2].latent.astype(np.float64)
    flat = np.linalg.norm(latent[:, None] - latent[None, :300], axis=-1)
    space = np.linalg.norm(rows[:, None] - rows[None, :300], axis=-1)
    near = (flat > 0) & (flat < 1.0)
    assert near.sum() > 200
    np.testing.assert_allclose(space[near], flat[near], rtol=0.02)
    # it is rolled: far apart on the sheet, close in space
    assert (space / np.where(flat > 0, flat, 1)).max() <= 1 + 1e-3
    assert space[flat > 60].min() < 15


def test_the_two_rolls_differ():
    x, y, _ = synthetic.swiss_roll_pair(300, seed=1)
    a, b = (np.linalg.norm(t.rows[:, None] - t.rows[None], axis=-1) for t in (x, y))
    assert np.abs(a - b).max() > 10


def test_mixture_labels_are_the_nearest_means():
    x, _, answer = synthetic.gaussian_mixture(400, classes=4, separation=8.0, seed=0)
    means = np.stack([x.rows[answer.labels == c].mean(0) for c in range(4)])
    guess = np.argmin(((x.rows[:, None] - means) ** 2).sum(-1), axis=1)
    assert (guess == answer.labels).mean() > 0.99
    # without separation the labels cannot be found
    x, _, answer = synthetic.gaussian_mixture(400, classes=4, separation=0.0, seed=0)
    means = np.stack([x.rows[answer.labels == c].mean(0) for c in range(4)])
    guess = np.argmin(((x.rows[:, None] - means) ** 2).sum(-1), axis=1)
    assert (guess == answer.labels).mean() < 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: synthetic.sphere(1), "n: got 1; wanted at least 2 rows"),
        (lambda: synthetic.sphere(9, dim=20), "x_dim: got 16; wanted at least the latent dimension 20. Raise x_dim"),
        (lambda: synthetic.sphere(9, noise=-1.0), "noise: got -1.0; wanted a standard deviation >= 0"),
        (lambda: synthetic.swiss_roll_pair(9, y_dim=2), "y_dim: got 2"),
        (lambda: synthetic.gaussian_mixture(9, classes=10), "classes: got 10; wanted from 1 to n = 9"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()
