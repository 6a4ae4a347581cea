"""The numbers of gentle_clip.md B.2 against the oracles, their invariances, and what the comparisons must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import contrastive, density
from tests.oracles.tools import agrees, check

A, B = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.6, 0.8]])
X_MASK, Y_MASK = np.array([True, False, True, True, True]), np.array([True, True, False, True])
EVERY = [
    (density.semantic_density, dict(form="released")),
    (density.semantic_density, dict(form="leave_one_out", bandwidth=0.7)),
    (density.mmd, {}),
    (density.mmd, dict(estimator="unbiased", bandwidth=1.1)),
    (density.mk_mmd, {}),
    (density.mk_mmd, dict(bandwidths="median", multipliers=(0.5, 2.0), estimator="unbiased")),
    (density.mk_mmd, dict(bandwidths="released")),
    (density.mk_mmd, dict(bandwidths=(0.5, 2.0))),
]
every = pytest.mark.parametrize(("loss", "options"), EVERY, ids=range(len(EVERY)))


def random(n=5, m=4, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.3


def densities(at, points):
    return [math.exp(density.log_density(p, points, bandwidth=0.5, variance=density.total_variance(points))) for p in at]


def test_parts_of_the_semantic_density():
    check(density.total_variance(A), 1.0, 8, biased=0.5)
    check(density.total_variance(B), 0.4, 8, biased=0.2)
    check(density.spread(A), 2.0, 8, mean_square=1.0)
    check(density.spread(B), 0.8, 8)
    check(densities(A, A), [0.13552067, 0.13552067], 8, unscaled=np.array(densities(A, A)) * 8 * math.pi / 3)
    check(densities(A, B), [0.13552067, 0.04471666], 8)
    check(densities(B, B), [0.13552067, 0.13552067], 8)
    check(densities(B, A), [0.13552067, 0.13364826], 8)


def test_semantic_density():
    there, back = (density.divergence(*v, form="released", bandwidth=0.5) for v in ((A, B), (B, A)))
    check(there, 0.10068150, 8, other=back)
    check(back, 2.60504e-5, 10, other=there)
    got = density.semantic_density(A, B, form="released")
    unweighted = there + back
    check(
        got,
        0.17623821,
        8,
        unweighted=unweighted,
        one_way=there * 1.75,
        one_spread=unweighted / 2.0,
        leave_one_out=density.semantic_density(A, B),
    )


def test_leave_one_out_by_hand():
    """p has one point, the other one: exp(-2) in both sets; q is the mean of two."""
    p, at_a = math.exp(-2), [(1 + math.exp(-2)) / 2, (math.exp(-5) + math.exp(-1)) / 2]
    at_b = [(1 + math.exp(-2)) / 2, (math.exp(-0.8) + math.exp(-0.4)) / 2]
    want = sum(np.mean([(p - q) * (math.log(p) - math.log(q)) for q in side]) for side in (at_a, at_b)) * 1.75
    check(density.semantic_density(A, B), want, 10, released=density.semantic_density(A, B, form="released"), summed=2 * want)


def test_mmd():
    check(
        density.mmd(A, B),
        0.16483998,
        8,
        unbiased=density.mmd(A, B, estimator="unbiased"),
        length=density.mmd(A, B, bandwidth=1.0),
    )
    released = density.mk_mmd(A, B, bandwidths="released")
    as_lengths = density.mk_mmd(A, B, bandwidths=density.RELEASED_VARIANCES)
    check(released, 3.07533580, 8, mean=released / 19, variances_as_lengths=19 * as_lengths)
    off = math.exp(-2) + math.exp(-0.8) - 2 * (1 + math.exp(-0.8) + math.exp(-2) + math.exp(-0.4)) / 4
    check(density.mmd(A, B, estimator="unbiased"), off, 10, biased=density.mmd(A, B))


def test_pooled_scale():
    """Six pairs: 2, 0, .8, 2, .4, .8 squared."""
    check(density.pooled_scale(A, B), 1.0, 10, with_diagonal=0.75)
    check(density.pooled_scale(A, B, bandwidths="median"), 0.8, 10, mean=1.0)
    for kind, scale in (("mean", 1.0), ("median", 0.8)):
        lengths = tuple(math.sqrt(m * scale) for m in (0.25, 0.5, 1.0, 2.0, 4.0))
        want = np.mean([density.mmd(A, B, bandwidth=v) for v in lengths])
        other = density.mk_mmd(A, B, bandwidths="median" if kind == "mean" else "mean")
        check(density.mk_mmd(A, B, bandwidths=kind), want, 10, other=other, summed=5 * want)


def test_contrastive_parts():
    """The self-supervised and the supervised part are nt_xent and half of two masked info_nce."""
    views = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
    for scale, want in ((1.0, 0.67357679), (20.0, 0.00907508)):
        check(contrastive.nt_xent(views[::2], views[1::2], logit_scale=scale), want, 8)
    texts, pictures = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), np.array([[0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])
    matched = np.array([True, True, False])
    sides = [contrastive.info_nce(*v, logit_scale=1.0, x_mask=matched) for v in ((texts, pictures), (pictures, texts))]
    check(sides[0], 0.84720965, 8, other=sides[1], unmatched=contrastive.info_nce(texts, pictures, logit_scale=1.0))
    check(sides[1], 0.93918765, 8, other=sides[0])
    cold = [contrastive.info_nce(*v, logit_scale=20.0, x_mask=matched) for v in ((texts, pictures), (pictures, texts))]
    check(np.mean(sides), 0.89319865, 8)
    check(np.mean(cold), 1.81932642, 8)


@every
def test_order_of_rows_is_free(loss, options):
    x, y = random()
    want = loss(x, y, **options)
    assert agrees(loss(x[::-1], y[[2, 0, 3, 1]], **options), want, 10)
    assert agrees(loss(y, x, **options), want, 10)
    assert not agrees(loss(x, y + 0.2, **options), want, 5)


@every
def test_equal_sets(loss, options):
    """0 for the released density and every biased MMD; without the diagonal equal sets give less than 0."""
    x, _ = random()
    value = loss(x, x[::-1], **options)
    if options.get("estimator") == "unbiased":
        assert value < -1e-3
    elif options.get("form") == "leave_one_out":
        assert value > 1e-3  # p leaves a point out which q sees: the price of no floor for independent sets
    else:
        assert abs(value) < 1e-12
    assert loss(x, x + 1.0, **options) > 1e-3


def test_scale_and_duplication():
    x, y = random()
    for form in ("released", "leave_one_out"):
        value = density.semantic_density(x, y, form=form)
        assert agrees(density.semantic_density(3 * x, 3 * y, form=form), value / 9, 10)
        assert not agrees(value / 3, value / 9, 4)
    twice = density.semantic_density(np.repeat(x, 2, 0), np.repeat(y, 2, 0), form="released")
    assert 3.5 < twice / density.semantic_density(x, y, form="released") < 6.0  # it grows like the square of the batch


def test_the_released_form_has_a_floor():
    """Two draws of one distribution: most of the released value is each point's own kernel."""
    rng = np.random.default_rng(0)
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 24, 32)))
    released = density.semantic_density(a, b, form="released") / 24**2 * (8 * math.pi / 3)
    assert 0 < density.semantic_density(a, b) < released / 5


@every
def test_masked_is_removed(loss, options):
    x, y = random()
    want = loss(x[X_MASK], y[Y_MASK], **options)
    assert not agrees(loss(x, y, **options), want, 5)
    assert not agrees(loss(x, y, x_mask=X_MASK, **options), want, 5)
    x[~X_MASK], y[~Y_MASK] = np.nan, 1e30
    assert loss(x, y, x_mask=X_MASK, y_mask=Y_MASK, **options) == want
    assert loss(x, y, x_mask=np.zeros(5, bool), y_mask=np.zeros(4, bool), **options) == 0.0


def test_a_held_scale_is_used():
    x, y = random()
    scale = density.pooled_scale(x, y)
    assert density.mk_mmd(x, y, scale=scale) == density.mk_mmd(x, y)
    assert not agrees(density.mk_mmd(x, y, scale=2 * scale), density.mk_mmd(x, y), 5)
