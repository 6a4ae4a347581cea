"""Diffusion operators and Laplacians: hand numbers for the points 0, 1, 3, spectra, masks, isolated nodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.graphs import affinity, diffusion_operator, laplacian
from gera_jax.ops import squared_distances


def _released(points):
    return affinity(squared_distances(jnp.asarray(points, jnp.float32)[:, None]), median_diagonal=True)


K = _released([0, 1, 3])
W = np.array([[0.63333268, 0.35404646, 0.00844108], [0.35404646, 0.53800101, 0.09477849], [0.00844108, 0.09477849, 0.91162127]])
P = np.array([[0.63333268, 0.35673992, 0.00992740], [0.35137333, 0.53800101, 0.11062567], [0.00717729, 0.08120144, 0.91162127]])


def _graph(m=7, seed=0):
    x = np.random.default_rng(seed).normal(size=(m, 3)).astype(np.float32)
    return affinity(squared_distances(jnp.asarray(x)))


def test_hand_numbers():
    got_w, got_p = diffusion_operator(K), diffusion_operator(K, form="markov")
    np.testing.assert_allclose(got_w, W, atol=1e-6)
    np.testing.assert_allclose(got_p, P, atol=1e-6)
    for right in (W, P):
        for wrong in (np.eye(3), np.full((3, 3), 1 / 3), 2 * right, np.asarray(K)):
            assert not np.allclose(wrong, right, atol=1e-6)
    assert not np.allclose(P.T, P, atol=1e-6)
    assert not np.allclose(W, P, atol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "t", "row"),
    [
        (0.0, 1, (0.61818465, 0.37494794, 0.00686741)),
        (1.0, 2, (0.52653043, 0.41866761, 0.05480197)),
        (0.0, 2, (0.51277846, 0.44785423, 0.03936731)),
    ],
)
def test_hand_numbers_of_alpha_and_time(alpha, t, row):
    np.testing.assert_allclose(diffusion_operator(K, alpha=alpha, t=t, form="markov")[0], row, atol=1e-6)
    assert not np.allclose(diffusion_operator(K, alpha=0.5, t=t, form="markov")[0], row, atol=1e-6)
    assert not np.allclose(diffusion_operator(K, alpha=alpha, t=3 - t, form="markov")[0], row, atol=1e-6)


def test_hand_numbers_of_the_difference_of_two_operators():
    other = _released([0, 2, 3])
    difference = np.asarray(diffusion_operator(K) - diffusion_operator(other))
    np.testing.assert_allclose((difference**2).sum(), 0.42376859, rtol=1e-5)
    np.testing.assert_allclose((difference[0] ** 2).sum(), 0.14466442, rtol=1e-5)
    markov = np.asarray(diffusion_operator(K, form="markov") - diffusion_operator(other, form="markov"))
    np.testing.assert_allclose((markov[0] ** 2).sum(), 0.15337356, rtol=1e-5)


@pytest.mark.parametrize("form", ["symmetric", "markov"])
def test_eigenvalues(form):
    values = np.sort(np.linalg.eigvals(np.asarray(diffusion_operator(K, form=form), np.float64)).real)
    np.testing.assert_allclose(values, [0.22208806, 0.86086690, 1.0], atol=1e-6)
    assert not np.allclose(np.linalg.eigvalsh(np.asarray(K)), values, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("t", [1, 2, 3, 5])
def test_row_sums_symmetry_and_powers(alpha, t):
    k = _graph()
    p = np.asarray(diffusion_operator(k, alpha=alpha, t=t, form="markov"))
    w = np.asarray(diffusion_operator(k, alpha=alpha, t=t))
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert not np.allclose(w.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(w, w.T, atol=1e-6)
    once = np.asarray(diffusion_operator(k, alpha=alpha), np.float64)
    np.testing.assert_allclose(w, np.linalg.matrix_power(once, t), atol=1e-5)
    assert not np.allclose(w, np.linalg.matrix_power(once, t + 1), atol=1e-5)


def test_scale_shift_and_rotation_do_not_matter():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 3))
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]

    def of(points):
        return np.asarray(diffusion_operator(affinity(squared_distances(jnp.asarray(points, jnp.float32)))))

    for moved in (7 * x, 1e-3 * x, x + 2, x @ rotation):
        np.testing.assert_allclose(of(moved), of(x), atol=1e-5)
    assert not np.allclose(of(x * [1, 2, 3]), of(x), atol=1e-5)
    np.testing.assert_allclose(diffusion_operator(_released([0, 7, 21])), W, atol=1e-6)


@pytest.mark.parametrize("form", ["symmetric", "markov"])
@pytest.mark.parametrize("t", [0, 1, 2])
def test_masked_equals_removed(form, t):
    k, keep = _graph(), np.array([1, 2, 5, 6])
    mask = jnp.asarray(np.isin(np.arange(7), keep))
    dirty = jnp.where(mask[:, None] & mask[None], k, jnp.nan)
    got = np.asarray(diffusion_operator(dirty, mask=mask, form=form, t=t))
    small = k[np.ix_(keep, keep)]
    np.testing.assert_allclose(got[np.ix_(keep, keep)], diffusion_operator(small, form=form, t=t), atol=1e-6)
    assert np.all(got[~np.asarray(mask)] == 0)
    grad = jax.grad(lambda a: jnp.sum(diffusion_operator(a, mask=mask, form=form, t=t)[1]))(dirty)
    want = jax.grad(lambda a: jnp.sum(diffusion_operator(a, form=form, t=t)[0]))(small)
    np.testing.assert_allclose(np.asarray(grad)[np.ix_(keep, keep)], want, atol=1e-5)
    assert np.isfinite(grad).all()
    if t:
        whole = np.asarray(diffusion_operator(k, form=form, t=t))
        assert not np.allclose(got[np.ix_(keep, keep)], whole[np.ix_(keep, keep)], atol=1e-6)


def test_isolated_node_and_all_masked():
    k = _graph(4).at[2].set(0.0).at[:, 2].set(0.0)
    for form in ("symmetric", "markov"):
        value = np.asarray(diffusion_operator(k, form=form))
        assert np.isfinite(value).all()
        assert np.all(value[2] == 0)
        assert np.isfinite(jax.grad(lambda a, form=form: jnp.sum(diffusion_operator(a, form=form)))(k)).all()
    for normalization in ("symmetric", "random_walk", "none"):
        value = np.asarray(laplacian(k, normalization=normalization))
        assert np.all(value[2] == 0)
        assert np.all(value[:, 2] == 0)
        assert value[0, 0] > 0
    np.testing.assert_array_equal(diffusion_operator(k, mask=jnp.zeros(4, bool)), 0)


def test_laplacian_against_numpy():
    w = np.asarray(_graph(), np.float64) - np.eye(7)
    d = w.sum(1)
    wants = {
        "none": np.diag(d) - w,
        "random_walk": np.eye(7) - w / d[:, None],
        "symmetric": np.eye(7) - w / np.sqrt(d[:, None] * d),
    }
    for name, want in wants.items():
        got = np.asarray(laplacian(jnp.asarray(w, jnp.float32), normalization=name))
        np.testing.assert_allclose(got, want, atol=1e-5)
        for other, wrong in wants.items():
            assert other == name or not np.allclose(got, wrong, atol=1e-5)
    values = np.linalg.eigvalsh(wants["symmetric"])
    assert values.min() > -1e-9
    assert values.max() < 2


def test_laplacian_masked_equals_removed_and_batches():
    k, keep = _graph(), np.array([0, 3, 4])
    mask = jnp.asarray(np.isin(np.arange(7), keep))
    got = np.asarray(laplacian(jnp.stack([k, k]), mask=jnp.stack([mask, mask])))[1]
    np.testing.assert_allclose(got[np.ix_(keep, keep)], laplacian(k[np.ix_(keep, keep)]), atol=1e-6)
    assert not np.allclose(np.asarray(laplacian(k))[np.ix_(keep, keep)], got[np.ix_(keep, keep)], atol=1e-6)


@pytest.mark.parametrize("t", [-1, 0.5, True])
def test_time_is_a_non_negative_int(t):
    with pytest.raises(ValueError, match=r"t: got .*; wanted an int >= 0"):
        diffusion_operator(K, t=t)


def test_bad_input_says_what_to_do():
    with pytest.raises(ValueError, match='Did you mean "markov"'):
        diffusion_operator(K, form="markow")
    with pytest.raises(ValueError, match='Did you mean "symmetric"'):
        laplacian(K, normalization="symetric")
    with pytest.raises(ValueError, match=r"w: got shape \(2, 3\); wanted \[..., m, m\]"):
        laplacian(jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"mask: got shape \(2,\)"):
        diffusion_operator(K, mask=jnp.ones(2, bool))
