"""The numbers of gera.md A.3, against the oracle and against the loss; minima, chance values, invariances."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.losses import diffusion_alignment, info_nce, nt_xent, sigmoid_contrastive, symmetric_info_nce
from tests.contracts.cases import rows, sets
from tests.contracts.tools import matches
from tests.oracles import diffusion as oracle

pytestmark = pytest.mark.optimised

LINE, MOVED = np.array([[0.0], [1.0], [3.0]]), np.array([[0.0], [2.0], [3.0]])
# The median over the full matrix (with its diagonal) is 1 in both, so eps = 2 = scale * length^2 with length 1.
LENGTH = dict(bandwidth=1.0, scale=2.0, alpha=1.0)
NUMBERS = {  # form -> mean over entries of the squared difference; A.3's sums are given in the comments
    "neighbourhood": 0.04708540,  # 0.42376859 / 9
    "row": 0.15337356 / 9,  # one row, and still m^2
    "log_euclidean": 1.90187808 / 9,
}


def f32(*values):
    return [jnp.asarray(v, "float32") for v in values]


def test_the_oracle_reaches_the_operators():
    w = oracle.operator(LINE, eps=2.0)
    p = oracle.operator(LINE, eps=2.0, form="markov")
    want = [[0.63333268, 0.35404646, 0.00844108], [0.35404646, 0.53800101, 0.09477849], [0.00844108, 0.09477849, 0.91162127]]
    assert np.allclose(w, want, atol=6e-9, rtol=0)
    assert np.allclose(p[0], [0.63333268, 0.35673992, 0.00992740], atol=6e-9, rtol=0)
    assert np.allclose(np.linalg.eigvalsh(w), [0.22208806, 0.86086690, 1.0], atol=6e-9, rtol=0)
    assert np.allclose(
        oracle.operator(LINE, eps=2.0, form="markov", alpha=0.0)[0], [0.61818465, 0.37494794, 0.00686741], atol=6e-9
    )
    for alpha, row in ((1.0, [0.52653043, 0.41866761, 0.05480197]), (0.0, [0.51277846, 0.44785423, 0.03936731])):
        assert np.allclose(oracle.operator(LINE, eps=2.0, form="markov", alpha=alpha, t=2)[0], row, atol=6e-9)
    for wrong in (w.T + 1e-3, 2 * w, np.eye(3), np.full((3, 3), 1 / 3), p):
        assert not np.allclose(wrong, want, atol=6e-9, rtol=0)


@pytest.mark.parametrize("form", NUMBERS)
def test_hand_numbers(form):
    got = diffusion_alignment(*f32(LINE[None], MOVED[None]), form=form, normalization="none", gamma=1e-6, **LENGTH)
    want = oracle.diffusion_alignment(LINE[None], MOVED[None], form=form, normalization="none", **LENGTH)
    assert matches(want, NUMBERS[form], 1e-7)
    assert matches(got, NUMBERS[form], 1e-5)
    others = [v for k, v in NUMBERS.items() if k != form] + [3 * NUMBERS[form], 2 * NUMBERS[form], NUMBERS[form] / 3]
    assert not any(matches(got, wrong, 1e-5) for wrong in others)


def test_row_of_the_symmetric_operator_is_another_number():
    got = diffusion_alignment(*f32(LINE[None], MOVED[None]), form="row", operator="symmetric", normalization="none", **LENGTH)
    assert matches(got, 0.15337356 / 9, 1e-5)
    assert not matches(got, 0.14466442 / 9, 1e-5)


@pytest.mark.parametrize("form", ["neighbourhood", "batch", "row", "log_euclidean"])
def test_zero_for_a_similarity_of_the_points_only(form):
    """Rotation, shift and scale keep the geometry; a stretch or a permutation does not."""
    x = sets(2, a=8, m=5, d=4)[0] if form != "batch" else sets(2, a=1, m=8, d=4)[0][0]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    same = diffusion_alignment(*f32(x, 7.0 * x @ turn + 0.5), form=form)
    stretched = diffusion_alignment(*f32(x, x * np.array([4.0, 1.0, 1.0, 0.5])), form=form)
    shuffled = diffusion_alignment(*f32(x, x[::-1] if form == "batch" else x[:, ::-1]), form=form)
    assert 0 <= same < 1e-8
    assert stretched > 1e-3 and shuffled > 1e-3


@pytest.mark.parametrize("form", ["neighbourhood", "batch", "row", "log_euclidean"])
def test_about_one_when_all_geometry_is_lost(form):
    """A fixed length far below all distances makes z's operator the identity: every off-diagonal entry is lost."""
    x, z = sets(4, a=8, m=5, k=4)
    if form == "batch":
        x, z = x[0], z[0]
    got = diffusion_alignment(*f32(x, 1e3 * z), form=form, bandwidth=1.0, gamma=1e-4)
    want = oracle.diffusion_alignment(x, z, form=form, bandwidth=1.0, gamma=1e-4, lost=True)
    assert matches(got, want, 1e-4)
    assert want >= 1.0
    assert diffusion_alignment(*f32(x, x), form=form, bandwidth=1.0, gamma=1e-4) < 1e-8


SAME = np.tile(np.eye(4)[:1], (8, 1))
EYE = np.eye(8)
CHANCE = {
    "info_nce": (info_nce, np.log(8)),
    "symmetric_info_nce": (symmetric_info_nce, np.log(8)),
    "nt_xent": (nt_xent, np.log(15)),
}


@pytest.mark.parametrize("name", CHANCE)
def test_chance_and_minimum(name):
    loss, chance = CHANCE[name]
    got = loss(*f32(SAME, SAME), logit_scale=14.0)
    assert matches(got, chance, 1e-5)
    assert not any(matches(got, wrong, 1e-5) for wrong in (np.log(7), np.log(16), np.log(9), 2 * chance))
    assert 0 <= loss(*f32(EYE, EYE), logit_scale=100.0) < 1e-6
    assert loss(*f32(EYE, EYE[::-1]), logit_scale=100.0) > 10


def test_sigmoid_chance_and_minimum():
    """Every pair costs log 2 where the logit is 0; nothing when pairs sit far above and the rest far below."""
    got = sigmoid_contrastive(*f32(SAME, SAME), logit_scale=10.0, logit_bias=-10.0)
    assert matches(got, 8 * np.log(2), 1e-5)
    assert not matches(got, 7 * np.log(2), 1e-5)
    assert 0 <= sigmoid_contrastive(*f32(EYE, EYE), logit_scale=100.0, logit_bias=-50.0) < 1e-6
    assert sigmoid_contrastive(*f32(EYE, EYE[::-1]), logit_scale=100.0, logit_bias=-50.0) > 10


def test_a_query_without_its_positive_is_a_masked_query():
    x, y = f32(*rows(1))
    keep = np.array([True] * 7 + [False])
    by_x = info_nce(x, y, logit_scale=5.0, x_mask=jnp.asarray(keep), y_mask=jnp.asarray(keep))
    by_y = info_nce(x, y, logit_scale=5.0, y_mask=jnp.asarray(keep))
    assert matches(by_y, by_x, 1e-6)
    assert not matches(info_nce(x, y, logit_scale=5.0, x_mask=jnp.asarray(keep)), by_x, 1e-4)
