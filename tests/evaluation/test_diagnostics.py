"""Diagnostics against loops, inside jit, at their stated ends."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import evaluation
from gera_jax.checks import InputError


def rows(n=25, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def unit(x):
    return x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)


def loop_pairs(x, value):
    z = unit(x)
    return np.mean([value(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])


def svd_rank(x):
    s = np.linalg.svd(x.astype(float) - x.astype(float).mean(axis=0), compute_uv=False)
    p = s[s > 1e-6 * s[0]] / s.sum()
    return np.exp(-np.sum(p * np.log(p)))


ORACLES = {
    "alignment": (lambda x, y: np.mean(np.sum((unit(x) - unit(y)) ** 2, axis=1)), 2),
    "modality_gap": (lambda x, y: np.linalg.norm(unit(x).mean(axis=0) - unit(y).mean(axis=0)), 2),
    "uniformity": (lambda x: np.log(loop_pairs(x, lambda a, b: np.exp(-2 * np.sum((a - b) ** 2)))), 1),
    "mean_cosine": (lambda x: loop_pairs(x, np.dot), 1),
    "effective_rank": (svd_rank, 1),
}


@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_loop_in_jit_and_out(name):
    oracle, count = ORACLES[name]
    args = (rows() + 0.5, rows(seed=1) * np.linspace(0.1, 4, 6, dtype=np.float32))[-count:]
    function = getattr(evaluation, name)
    for got in (function(*args), jax.jit(function)(*args)):
        assert got.shape == () and got.dtype == jnp.float32
        assert float(got) == pytest.approx(oracle(*args), rel=2e-5, abs=1e-6)
    assert oracle(*(a**3 + 1 for a in args)) != pytest.approx(oracle(*args), rel=1e-3)  # companion: it varies
    half = function(*(jnp.asarray(a, jnp.bfloat16) for a in args))
    assert half.dtype == jnp.float32 and float(half) == pytest.approx(oracle(*args), rel=0.05, abs=0.02)
    assert np.isnan(function(*(a * np.float32(np.nan) for a in args)))


def test_ends_of_the_ranges():
    x = rows()
    assert float(evaluation.alignment(x, 3 * x)) == pytest.approx(0, abs=1e-6)
    assert float(evaluation.alignment(x, -x)) == pytest.approx(4, abs=1e-5)
    same = np.repeat(x[:1], 9, axis=0)
    assert float(evaluation.uniformity(same)) == pytest.approx(0, abs=1e-5)
    assert float(evaluation.uniformity(np.concatenate([x[:1], -x[:1]]), t=3.0)) == pytest.approx(-12, abs=1e-4)
    assert float(evaluation.mean_cosine(same)) == pytest.approx(1, abs=1e-5)
    assert float(evaluation.mean_cosine(np.eye(4, dtype=np.float32))) == 0
    assert float(evaluation.modality_gap(same, -same[:4])) == pytest.approx(2, abs=1e-5)
    assert float(evaluation.effective_rank(same)) == 0


@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_effective_rank_counts_directions(shape, scale):
    rng = np.random.default_rng(0)
    n, d = shape
    flat = np.linalg.qr(rng.normal(size=(n, 6)) - 0)[0]
    flat = np.linalg.qr(flat - flat.mean(axis=0))[0]
    five = (flat[:, :5] @ np.linalg.qr(rng.normal(size=(d, 5)))[0].T * scale).astype(np.float32)
    assert float(evaluation.effective_rank(five)) == pytest.approx(5, rel=1e-3)
    line = (flat[:, :1] @ rng.normal(size=(1, d)) * scale).astype(np.float32)
    assert float(evaluation.effective_rank(line)) == pytest.approx(1, rel=1e-3)
    noise = rng.normal(size=shape).astype(np.float32)
    assert float(evaluation.effective_rank(noise)) == pytest.approx(svd_rank(noise), rel=1e-3)
    assert svd_rank(noise) > 30


def test_bad_input():
    with pytest.raises(InputError, match="y rows: got 3 against 2 of x; wanted equal row counts"):
        evaluation.alignment(np.eye(2), np.ones((3, 2)))
    with pytest.raises(InputError, match="y width: got 3 against 2 of x"):
        evaluation.modality_gap(np.eye(2), np.eye(3))
    for function in (evaluation.uniformity, evaluation.mean_cosine):
        with pytest.raises(InputError, match="x: got 1 rows; wanted at least 2"):
            function(np.ones((1, 3)))
    with pytest.raises(InputError, match=r"x: got shape \(3,\); wanted \[rows, width\]"):
        evaluation.effective_rank(np.ones(3))


@pytest.mark.parametrize("measure", ["alignment", "modality_gap", "uniformity", "mean_cosine", "effective_rank"])
def test_masked_rows_are_removed_even_nan(measure):
    rng = np.random.default_rng(0)
    mask = np.array([1, 0, 1, 1, 0, 1, 1], bool)
    x, y = (rng.normal(size=(7, 4)).astype(np.float32) for _ in range(2))
    two = measure in ("alignment", "modality_gap")
    fn = getattr(evaluation, measure)
    masks = dict(x_mask=mask, y_mask=mask) if measure == "modality_gap" else dict(mask=mask)
    wanted = float(fn(x[mask], y[mask]) if two else fn(x[mask]))
    x[1], y[4] = np.nan, np.nan
    if measure == "alignment":
        x[4], y[1] = 1.0, 1.0
    assert float(fn(x, y, **masks) if two else fn(x, **masks)) == pytest.approx(wanted, abs=1e-5)
    assert not np.isfinite(float(fn(x, y) if two else fn(x))), "without the mask the NaN must show"
    with pytest.raises(ValueError, match=r"mask: got .*; wanted bool \(7,\), True = a real row"):
        fn(*((x, y) if two else (x,)), **{name: np.ones(7) for name in masks})
