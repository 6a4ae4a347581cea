"""Procrustes and ridge CCA against scipy, known answers, and the words of their errors."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from gera_jax.checks import InputError
from gera_jax.solvers import ASIF, Baseline, Procrustes, RidgeCCA, regularization_rule
from gera_jax.solvers.linear import thin_svd


def correlated(p=80, dx=7, dy=5, shared=4, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(p, shared))
    x = z @ rng.normal(size=(shared, dx)) + noise * rng.normal(size=(p, dx)) + 3
    return x, z @ rng.normal(size=(shared, dy)) + noise * rng.normal(size=(p, dy)) - 1


def cosine(a, b):
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    return a @ b.T


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def cca_by_eigenproblem(x, y, ridge):
    """Canonical correlations and weights of [[0, Sxy], [Syx, 0]] w = rho [[Sxx + g, 0], [0, Syy + g]] w."""
    x, y, p = x - x.mean(axis=0), y - y.mean(axis=0), len(x)
    sxx, syy, sxy = x.T @ x / p, y.T @ y / p, x.T @ y / p
    sxx += ridge * np.trace(sxx) / len(sxx) * np.eye(len(sxx))
    syy += ridge * np.trace(syy) / len(syy) * np.eye(len(syy))
    zero = np.zeros_like
    left = np.block([[zero(sxx), sxy], [sxy.T, zero(syy)]])
    rho, w = scipy.linalg.eigh(left, scipy.linalg.block_diag(sxx, syy))
    r = min(len(sxx), len(syy), p - 1)
    w = w[:, ::-1][:, :r] * np.sqrt(2)  # each side then has w' (S + g) w = 1
    return rho[::-1][:r], w[: len(sxx)], w[len(sxx) :]


@pytest.mark.parametrize(("p", "dx", "dy"), [(80, 7, 5), (80, 5, 7), (6, 30, 20), (12, 30, 5)])
@pytest.mark.parametrize("ridge", [0.1, 2.0])
def test_cca_equals_the_generalised_eigenproblem(p, dx, dy, ridge):
    x, y = correlated(p, dx, dy)
    model = RidgeCCA(regularization=ridge).fit(x, y)
    rho, a, b = cca_by_eigenproblem(x, y, ridge)
    r = len(model.correlations)
    assert r == min(p - 1, dx, dy)
    np.testing.assert_allclose(model.correlations, rho[:r], atol=1e-9)
    want = cosine((x - x.mean(axis=0)) @ (a * rho), (y - y.mean(axis=0)) @ (b * rho))
    got = model.similarity(x, y)
    np.testing.assert_allclose(got, want, atol=1e-7)
    np.testing.assert_allclose(np.abs(model.x_weights), np.abs(a * rho)[:, :r], atol=1e-6)
    # companions: twice the ridge, no weighting by rho, the transposed pairing
    assert np.abs(RidgeCCA(regularization=2 * ridge).fit(x, y).similarity(x, y) - want).max() > 1e-3
    assert np.abs(RidgeCCA(regularization=ridge, correlation_power=0).fit(x, y).similarity(x, y) - want).max() > 1e-3
    assert np.abs(got.T - want).max() > 1e-3
    plain = cosine((x - x.mean(axis=0)) @ a[:, :r], (y - y.mean(axis=0)) @ b[:, :r])
    np.testing.assert_allclose(RidgeCCA(regularization=ridge, correlation_power=0).fit(x, y).similarity(x, y), plain, atol=1e-6)


def test_cca_is_invariant_to_linear_maps_without_ridge_only():
    x, y = correlated()
    rng = np.random.default_rng(5)
    map_x, map_y = rng.normal(size=(7, 7)), rng.normal(size=(5, 5))

    def change(ridge):
        before = RidgeCCA(regularization=ridge).fit(x, y).similarity(x, y)
        after = RidgeCCA(regularization=ridge).fit(x @ map_x + 2, y @ map_y - 1).similarity(x @ map_x + 2, y @ map_y - 1)
        return np.abs(before - after).max()

    assert change(0.0) < 1e-7
    assert change(1e-10) < 1e-6
    assert change(0.1) > 0.01  # companion


def test_the_ridge_is_relative_and_a_mean_over_pairs():
    x, y = correlated()
    base = RidgeCCA(regularization=0.1).fit(x, y)
    scaled = RidgeCCA(regularization=0.1).fit(1000 * x, 1e-3 * y)
    doubled = RidgeCCA(regularization=0.1).fit(np.tile(x, (2, 1)), np.tile(y, (2, 1)))
    for other in (scaled, doubled):
        np.testing.assert_allclose(other.correlations, base.correlations, atol=1e-10)
    assert np.abs(RidgeCCA(regularization=0.2).fit(x, y).correlations - base.correlations).max() > 1e-3


def test_auto_ridge_is_the_rule():
    assert regularization_rule(20) == regularization_rule(100) == 3
    assert regularization_rule(1000) == pytest.approx(3 * 10**-0.7, rel=1e-12)
    x, y = correlated(p=300)
    auto = RidgeCCA(regularization="auto").fit(x, y)
    assert auto.regularization_used == regularization_rule(300)
    same = RidgeCCA(regularization=regularization_rule(300)).fit(x, y)
    np.testing.assert_array_equal(auto.x_weights, same.x_weights)
    assert np.abs(auto.correlations - RidgeCCA(regularization=0.1).fit(x, y).correlations).max() > 1e-2


@pytest.mark.parametrize("model", [RidgeCCA(dim=2), RidgeCCA(regularization="auto"), Procrustes(), Procrustes(dim=2)])
def test_heads_are_what_transform_does(model):
    x, y = correlated()
    model.fit(x, y)
    by_hand = cosine(x @ model.x_weights + model.x_offset, y @ model.y_weights + model.y_offset)
    np.testing.assert_allclose(model.similarity(x, y), by_hand, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(model.transform_x(x), axis=1), 1, atol=1e-12)
    assert model.x_weights.shape[1] == model.y_weights.shape[1] == (2 if model.dim == 2 else 5 if model.dim is None else 0)
    assert model.transform_y(y.astype(np.float32)).dtype == np.float64


@pytest.mark.parametrize("method", [RidgeCCA, Procrustes])
def test_rank_stays_under_the_number_of_pairs(method):
    x, y = correlated(p=6, dx=30, dy=20)
    model = method(dim=50).fit(x, y)
    assert model.x_weights.shape == (30, 5) and model.y_weights.shape == (20, 5)
    assert method().fit(x[:2], y[:2]).x_weights.shape == (30, 1)


def test_procrustes_recovers_a_rotation():
    x, _ = correlated(p=40, dx=6)
    true = rotation(6)
    model = Procrustes().fit(x, x @ true + 7)
    np.testing.assert_allclose(model.x_weights @ model.y_weights.T, true, atol=1e-10)
    np.testing.assert_allclose(np.diag(model.similarity(x, x @ true + 7)), 1, atol=1e-10)
    assert np.abs(model.x_weights @ model.y_weights.T - true.T).max() > 0.1  # companion: not the inverse
    assert np.abs(np.diag(model.similarity(x, x @ rotation(6, 1) + 7))).min() < 0.9


def test_procrustes_equals_scipy():
    x, y = correlated(dx=6, dy=6)
    model = Procrustes().fit(x, y)
    centred_x, centred_y = x - x.mean(axis=0), y - y.mean(axis=0)
    want, _ = scipy.linalg.orthogonal_procrustes(centred_x, centred_y)
    np.testing.assert_allclose(model.x_weights @ model.y_weights.T, want, atol=1e-9)
    np.testing.assert_allclose(model.similarity(x, y), cosine(centred_x @ want, centred_y), atol=1e-9)
    raw, _ = scipy.linalg.orthogonal_procrustes(x, y)
    assert np.abs(raw - want).max() > 1e-3  # companion: centring matters


def test_procrustes_with_few_pairs_equals_the_full_svd():
    x, y = correlated(p=6, dx=30, dy=20)
    model = Procrustes().fit(x, y)
    u, s, vt = np.linalg.svd((x - x.mean(axis=0)).T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(model.singular_values, s[:5], rtol=1e-9)
    np.testing.assert_allclose(model.x_weights @ model.y_weights.T, u[:, :5] @ vt[:5], atol=1e-9)
    assert np.abs(u[:, :4] @ vt[:4] - model.x_weights @ model.y_weights.T).max() > 0.05


@pytest.mark.parametrize("method", [RidgeCCA, Procrustes, ASIF])
def test_unpaired_rows_move_the_mean_only(method):
    x, y = correlated()
    far = np.full((800, 7), 9.0)
    plain, with_pool = method().fit(x, y), method().fit(x, y, x=far)
    assert np.abs(plain.similarity(x, y) - with_pool.similarity(x, y)).max() > 0.05
    none = method().fit(x, y, x=x, y=np.zeros((0, 5)))  # the pairs themselves change no mean
    np.testing.assert_allclose(none.similarity(x, y), plain.similarity(x, y), atol=1e-9)
    if method is not ASIF:
        np.testing.assert_array_equal(plain.x_weights, with_pool.x_weights)
        mean = (x.sum(axis=0) + far.sum(axis=0)) / 880
        np.testing.assert_allclose(with_pool.x_offset, -mean @ plain.x_weights, atol=1e-12)


@pytest.mark.parametrize("method", [RidgeCCA, Procrustes])
def test_training_helps_and_wrong_pairs_do_not(method):
    x, y = correlated(p=400, noise=0.2)
    right = method().fit(x[:300], y[:300]).similarity(x[300:], y[300:])
    wrong = method().fit(x[:300], np.roll(y[:300], 7, axis=0)).similarity(x[300:], y[300:])
    assert np.mean(right.argmax(axis=1) == np.arange(100)) > 0.15
    assert np.mean(wrong.argmax(axis=1) == np.arange(100)) < 0.08


@pytest.mark.parametrize("method", [RidgeCCA, Procrustes, ASIF])
class TestBadInput:
    def test_fit(self, method):
        assert isinstance(method(), Baseline)
        x, y = correlated(p=6)
        with pytest.raises(InputError, match="y_pairs: got 5 rows beside 6 of x_pairs; wanted as many rows"):
            method().fit(x, y[:5])
        with pytest.raises(InputError, match="x_pairs: got 1 pairs; wanted at least 2 pairs"):
            method().fit(x[:1], y[:1])
        with pytest.raises(InputError, match=r"x_pairs: got shape \(7,\); wanted real numbers \[n, d\]. One row is rows\[None\]"):
            method().fit(x[0], y)
        bad = y.copy()
        bad[3, 1] = np.nan
        with pytest.raises(InputError, match=r"y_pairs: got 1 row with NaN or infinity \(row 3\)"):
            method().fit(x, bad)
        with pytest.raises(InputError, match="x: got width 3; wanted width 7"):
            method().fit(x, y, x=x[:, :3])

    def test_transform(self, method):
        x, y = correlated(p=6)
        with pytest.raises(InputError, match=f"{method.__name__}: got a call before fit.*Call .fit"):
            method().similarity(x, y)
        model = method().fit(x, y)
        with pytest.raises(InputError, match="y: got width 4; wanted width 5"):
            model.transform_y(y[:, :4])
        with pytest.raises(InputError, match="x: got 6 rows with NaN or infinity"):
            model.transform_x(x * np.nan)


def test_bad_settings():
    for method in (RidgeCCA, Procrustes):
        with pytest.raises(InputError, match="dim: got 0; wanted None or at least 1"):
            method(dim=0)
    for value in (-0.1, "best"):
        with pytest.raises(InputError, match=f'regularization: got {value}; wanted a number >= 0 or "auto"'):
            RidgeCCA(regularization=value)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="correlation_power: got -1; wanted a number >= 0"):
        RidgeCCA(correlation_power=-1)
    same = np.ones((5, 3))
    with pytest.raises(InputError, match="x_pairs: got rows that are all equal; wanted rows that differ"):
        RidgeCCA().fit(same, np.eye(5))
    for method in (Procrustes, RidgeCCA):  # each side varies, but never where the other does
        with pytest.raises(InputError, match="two sides do not vary together"):
            method().fit(np.array([[1.0], [-1.0], [0.0], [0.0]]), np.array([[0.0], [0.0], [1.0], [-1.0]]))


def test_where_the_fast_solver_gives_up_the_sure_one_answers(monkeypatch):
    """Seen with 20 pairs of molecules; which matrices it happens to depends on the machine's LAPACK."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6)), rng.normal(size=(30, 5))
    want = [model().fit(x, y).similarity(x, y) for model in (Procrustes, RidgeCCA)]

    def gives_up(*args, **options):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(np.linalg, "svd", gives_up)
    for model, expected in zip((Procrustes, RidgeCCA), want, strict=True):
        np.testing.assert_allclose(model().fit(x, y).similarity(x, y), expected, atol=1e-10)
    with pytest.raises(ValueError, match="infs or NaNs"):  # what is wrong with the numbers themselves stays an error
        thin_svd(np.full((3, 2), np.nan))


def test_many_pairs_are_read_in_blocks_to_the_same_end(monkeypatch):
    """From covariances, with an offset that float32 covariances about zero would not survive; in float32 and float64."""
    from gera_jax.solvers import linear, ridge_cca

    rng = np.random.default_rng(5)
    z = rng.normal(size=(500, 3))
    x, y = (
        z @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(500, 6)) + 1e4,
        z @ rng.normal(size=(3, 4)) + 0.3 * rng.normal(size=(500, 4)),
    )
    monkeypatch.setattr(ridge_cca, "ROWS", 64)
    monkeypatch.setattr(linear, "ROWS", 64)
    rows = [a - a.mean(axis=0) for a in (x, y)]
    for found, a, b in zip(ridge_cca.covariances(x, y), (0, 1, 0), (0, 1, 1), strict=True):
        np.testing.assert_allclose(found, rows[a].T @ rows[b] / 500, rtol=1e-9, atol=1e-9)
    assert np.abs(ridge_cca.covariances(x, y)[0] - x.T @ x / 500).max() > 1e6  # companion: not about the mean
    whiteners = [ridge_cca.whitener(a, 0.1, "x") for a in rows]
    want = np.linalg.svd((rows[0] @ whiteners[0]).T @ (rows[1] @ whiteners[1]) / 500, compute_uv=False)
    model = RidgeCCA(regularization=0.1).fit(x, y)
    np.testing.assert_allclose(model.correlations, want[: len(model.correlations)], rtol=1e-9)
    single = RidgeCCA(regularization=0.1).fit(x.astype(np.float32), y.astype(np.float32))
    np.testing.assert_allclose(single.similarity(x, y), model.similarity(x, y), atol=1e-2)
