"""The numbers of structure.md B.8 and gentle_clip.md B.2 against the losses; minima, chance values, invariances."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.losses import info_nce, mk_mmd, mmd, nt_xent, semantic_density, structure_divergence
from tests.contracts.tools import matches
from tests.oracles.density import RELEASED_VARIANCES

pytestmark = pytest.mark.optimised

X = np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]])
A = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
LEVELS = {"js": (0.047732, 0.048326, 0.045388), "mixture_first": (0.052823, 0.053175, 0.049177)}
TOTALS = {"js": (0.047732, 0.035948, 0.029008), "mixture_first": (0.052823, 0.039705, 0.031934)}
ONE, TWO = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])


def f32(*values):
    return [jnp.asarray(v, "float32") for v in values]


def reaches(got, want: float, digits: int, *wrong: float) -> None:
    """`got` is the printed number, and neither the other numbers nor twice it would pass for it."""
    tolerance = 0.6 * 10.0**-digits
    assert abs(float(got) - want) <= tolerance
    assert all(abs(other - want) > tolerance for other in (2 * want, want / 2, 0.0, *wrong))


@pytest.mark.parametrize("kind", TOTALS)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_the_walks_of_three_points(kind, levels):
    other = TOTALS["js" if kind == "mixture_first" else "mixture_first"]
    got = structure_divergence(*f32(X, A), temperature=0.5, levels=levels, divergence=kind)
    reaches(got, TOTALS[kind][levels - 1], 6, other[levels - 1], *(TOTALS[kind][i] for i in range(3) if i != levels - 1))
    plain = structure_divergence(*f32(X, A), temperature=0.5, levels=levels, divergence=kind, level_weights="uniform")
    assert abs(float(plain) - np.mean(LEVELS[kind][:levels])) < 1e-6


def test_disjoint_walks():
    """Rows that walk to disjoint places: log 2 for js; the released direction is bounded by its floor of 1e-12 alone: 13.12.

    Antipodal pairs: x joins 0-1 and 2-3, z joins 0-2 and 1-3, and nobody stays.
    """
    x, z = np.repeat(np.eye(2), 2, axis=0), np.tile(np.eye(2), (2, 1))
    options = dict(temperature=0.01, center="none", diagonal=False)
    reaches(structure_divergence(*f32(x, z), **options), np.log(2), 5)
    reaches(structure_divergence(*f32(x, z), divergence="mixture_first", **options), 13.12, 2, np.log(2))


@pytest.mark.parametrize("levels", [1, 3])
def test_what_the_walks_do_not_see(levels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4))
    turned = x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    lengths = rng.uniform(0.5, 3.0, size=(8, 1))
    for center, same, other in (
        ("after", turned * lengths, x + 2),
        ("none", turned * lengths, x + 2),
        ("before", 3 * turned + 2, x * lengths),
    ):
        assert structure_divergence(*f32(x, same), levels=levels, center=center) < 1e-6
        assert structure_divergence(*f32(x, other), levels=levels, center=center) > 1e-4


def test_cold_walks_take_the_other_road_to_the_same_number():
    """Powers of the symmetric form where it fits into float32, of P itself below: the two must meet."""
    rng = np.random.default_rng(0)
    x, z = f32(rng.normal(size=(12, 4)), rng.normal(size=(12, 3)))
    by_symmetric = structure_divergence(x, z, levels=3, temperature=0.05)
    by_rows = structure_divergence(x, z, levels=3, temperature=jnp.float32(0.05))  # no number at trace time
    assert matches(by_symmetric, by_rows, 1e-5) and by_rows > 1e-3
    assert not matches(structure_divergence(x, z, levels=3, temperature=0.051), by_rows, 1e-4)
    assert jnp.isfinite(structure_divergence(x, z, levels=3, temperature=1e-3))


def test_semantic_density():
    got = semantic_density(*f32(ONE, TWO), form="released")
    reaches(got, 0.17623821, 7, 0.10068150, 2.60504e-5, (0.10068150 + 2.60504e-5) / 2)
    p, at_a = np.exp(-2), np.array([(1 + np.exp(-2)) / 2, (np.exp(-5) + np.exp(-1)) / 2])
    at_b = np.array([(1 + np.exp(-2)) / 2, (np.exp(-0.8) + np.exp(-0.4)) / 2])
    want = sum(np.mean((p - q) * (np.log(p) - np.log(q))) for q in (at_a, at_b)) * (1 / 2.0 + 1 / 0.8)
    reaches(semantic_density(*f32(ONE, TWO)), float(want), 6, 0.17623821)


@pytest.mark.parametrize("form", ["released", "leave_one_out"])
def test_scale_and_order_of_sets(form):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(7, 3)) + 0.3
    value = semantic_density(*f32(x, y), form=form)
    assert matches(semantic_density(*f32(3 * x, 3 * y), form=form), value / 9, 1e-5)
    assert matches(semantic_density(*f32(y[::-1], x[[3, 1, 2, 0, 8, 7, 6, 5, 4]]), form=form), value, 1e-5)
    assert not matches(semantic_density(*f32(x, y + 0.3), form=form), value, 1e-2)
    if form == "released":
        assert abs(float(semantic_density(*f32(x, x[::-1]), form=form))) < 1e-6
        twice = float(semantic_density(*f32(np.repeat(x, 2, 0), np.repeat(y, 2, 0)), form=form))
        assert 3.5 < twice / float(value) < 6.0  # it grows like the square of the batch


def test_the_price_of_a_points_own_kernel():
    """Two draws of one distribution, 64 unit rows of width 256: about 0.115 as released, about 0.0056 without it."""
    rng = np.random.default_rng(0)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 64, 256)))
    assert float(semantic_density(*f32(a, b), form="released")) == pytest.approx(0.115, abs=0.006)
    assert float(semantic_density(*f32(a, b))) < 0.115 / 10


def test_mmd():
    wrong = float(mmd(*f32(ONE, TWO), bandwidth=1.0))
    reaches(mmd(*f32(ONE, TWO)), 0.16483998, 7, wrong)
    lengths = tuple(float(np.sqrt(v)) for v in RELEASED_VARIANCES)
    released = mk_mmd(*f32(ONE, TWO), bandwidths="released")
    reaches(released, 3.07533580, 5, 3.07533580 / 19)
    assert matches(19 * mk_mmd(*f32(ONE, TWO), bandwidths=lengths), released, 1e-5)
    off = np.exp(-2) + np.exp(-0.8) - (1 + np.exp(-0.8) + np.exp(-2) + np.exp(-0.4)) / 2
    reaches(mmd(*f32(ONE, TWO), estimator="unbiased"), float(off), 6, 0.16483998)


def test_mmd_of_equal_sets_and_of_far_ones():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    for loss in (mmd, mk_mmd):
        assert abs(float(loss(*f32(x, x[::-1])))) < 1e-6
        assert float(loss(*f32(x, x[::-1]), estimator="unbiased")) < 0
        assert float(loss(*f32(x, x + 1.0))) > 0.01
    assert float(mmd(*f32(1e-3 * x, 1e-3 * x + 50.0))) == pytest.approx(2.0, abs=1e-3)  # the most that there can be


def test_the_contrastive_parts():
    views = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    for scale, want in ((1.0, 0.67357679), (20.0, 0.00907508)):
        reaches(nt_xent(*f32(views[::2], views[1::2]), logit_scale=scale), want, 6)
    texts, pictures = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), np.array([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])
    known = jnp.array([True, True, False])
    ways = [float(info_nce(*f32(*v), logit_scale=1.0, x_mask=known)) for v in ((texts, pictures), (pictures, texts))]
    reaches(ways[0], 0.84720965, 6, ways[1])
    reaches(ways[1], 0.93918765, 6, ways[0])
    reaches(np.mean(ways), 0.89319865, 6)
    cold = [float(info_nce(*f32(*v), logit_scale=20.0, x_mask=known)) for v in ((texts, pictures), (pictures, texts))]
    reaches(np.mean(cold), 1.81932642, 5)
