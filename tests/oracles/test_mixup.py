"""The numbers of m2mix.md 1.12 against the oracles, their identities, and what the comparisons must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import contrastive, mixup
from tests.oracles.tools import agrees, check, turned, unit

V, T = turned([0, 60, 120, 200]), turned([20, 90, 100, 230])
LOSS, SCALE = mixup.geodesic_mixup_contrastive, dict(logit_scale=2.0)
KINDS = [("m2", "identity"), ("v", "identity"), ("l", "identity"), ("vl", "identity"), ("vl", "both")]
every = pytest.mark.parametrize(("kind", "target"), KINDS)
MASK = np.array([True, True, False, True, True, True, True])  # of 7 rows: 2 takes 4 with it where partners are mixed


def random(n=7, d=4, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    y = x + 0.8 * np.random.default_rng(seed + 1).normal(size=(n, d))
    return np.array([unit(r) for r in x]), np.array([unit(r) for r in y])


def degrees(rows):
    return np.rad2deg([math.atan2(r[1], r[0]) for r in rows]) % 360


def test_mixed_angles():
    for lam, want in ((0.5, [10, 75, 110, 215]), (0.25, [15, 82.5, 105, 222.5])):
        rows = np.array([mixup.slerp(*v, 1 - lam) for v in zip(V, T, strict=True)])
        check(degrees(rows), want, 9, other_end=degrees([mixup.slerp(*v, lam + 0.1) for v in zip(V, T, strict=True)]))
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-14)
        chord = np.array([lam * u + (1 - lam) * v for u, v in zip(V, T, strict=True)])
        assert not np.allclose(np.linalg.norm(chord, axis=1), 1, atol=1e-3)


def test_slerp_ends_and_degenerate_rows():
    x, y = random()
    assert agrees(mixup.slerp(3 * x[0], y[0], 0.0), x[0], 12) and agrees(mixup.slerp(x[0], 2 * y[0], 1.0), y[0], 12)
    assert not agrees(mixup.slerp(x[0], y[0], 0.0), y[0], 3)
    assert agrees(mixup.slerp(x[0], x[0], 0.3), x[0], 12)
    near = unit(x[0] + 1e-9 * y[0])
    assert agrees(mixup.slerp(x[0], near, 0.5), x[0], 8)
    assert agrees(mixup.slerp(x[0], -x[0], 0.25), x[0], 12)


def test_base_loss():
    check(
        contrastive.symmetric_info_nce(V, T, **SCALE), 0.550480, 6, unscaled=contrastive.symmetric_info_nce(V, T, logit_scale=1.0)
    )


def test_m2():
    """Image side and text side are told apart by keeping one direction: the sum of both is the loss."""
    n = len(V)
    mixed = [mixup.slerp(u, v, 0.5) for u, v in zip(V, T, strict=True)]
    sides = []
    for me, other in ((V, T), (T, V)):
        logits = [[2 * np.dot(me[i], other[i] if i == j else mixed[j]) for j in range(n)] for i in range(n)]
        sides.append(np.mean([mixup.cross_entropy(logits[i], np.eye(n)[i]) for i in range(n)]))
    check(sides[0], 0.495443, 6, text=sides[1])
    check(sides[1], 0.574458, 6, image=sides[0])
    wrong = {f"lam {v}": LOSS(V, T, lam=v, **SCALE) for v in (0.0, 0.4, 1.0)}
    check(LOSS(V, T, lam=0.5, **SCALE), 1.069901, 6, mean_of_two=1.069901 / 2, image=sides[0], **wrong)


def test_lam_weighs_x():
    """lam 0: x meets y's rows as they are (half of the plain loss); lam 1: y meets x's."""
    sides = [contrastive.info_nce(*v, **SCALE) for v in ((V, T), (T, V))]
    own = []
    for me, other in ((V, T), (T, V)):  # the other direction: negatives are me's own set
        logits = [[2 * np.dot(me[i], other[i] if i == j else me[j]) for j in range(4)] for i in range(4)]
        own.append(np.mean([mixup.cross_entropy(logits[i], np.eye(4)[i]) for i in range(4)]))
    check(LOSS(V, T, lam=0.0, **SCALE), sides[0] + own[1], 10, swapped=sides[1] + own[0])
    check(LOSS(V, T, lam=1.0, **SCALE), sides[1] + own[0], 10, swapped=sides[0] + own[1])


def test_within_one_modality():
    lam = dict(lam=0.25, **SCALE)
    v, text, vl, both = (LOSS(V, T, kind=k, target=t, **lam) for k, t in KINDS[1:])
    check(v, 0.877786, 6, other=text, lam=LOSS(V, T, kind="v", lam=0.5, **SCALE))
    check(text, 0.856093, 6, other=v, lam=LOSS(V, T, kind="l", lam=0.5, **SCALE))
    check(vl, 0.530622, 6, both=both, lam=LOSS(V, T, kind="vl", lam=0.5, **SCALE))
    assert agrees(LOSS(V, T, kind="vl", lam=0.75, **SCALE), vl, 12)  # turned round, the batch is the same
    check(both, 1.793021, 6, identity=vl, halved=both / 2)


def test_both_ends_of_lam_are_the_plain_loss():
    plain = contrastive.symmetric_info_nce(V, T, **SCALE)
    for kind in ("v", "l", "vl"):
        assert agrees(LOSS(V, T, kind=kind, lam=1.0, **SCALE), plain, 12)
        assert agrees(LOSS(V, T, kind=kind, lam=0.0, **SCALE), plain, 12)  # every row is its partner, and so is its target
        assert not agrees(LOSS(V, T, kind=kind, lam=0.9, **SCALE), plain, 4)


@every
def test_permuting_pairs(kind, target):
    """m2 does not care; the others only if the permutation commutes with reversal."""
    x, y = random(6)
    options = dict(kind=kind, target=target, lam=0.3, **SCALE)
    want = LOSS(x, y, **options)
    assert agrees(LOSS(x[::-1], y[::-1], **options), want, 10)
    assert agrees(LOSS(x[[1, 0, 2, 3, 5, 4]], y[[1, 0, 2, 3, 5, 4]], **options), want, 10)
    assert agrees(LOSS(x[[1, 0, 2, 3, 4, 5]], y[[1, 0, 2, 3, 4, 5]], **options), want, 5) == (kind == "m2")


@every
def test_masked_is_removed(kind, target):
    x, y = random()
    options = dict(kind=kind, target=target, lam=0.3, **SCALE)
    keep = MASK if kind == "m2" else MASK & MASK[::-1]
    want = LOSS(x[keep], y[keep], **options)
    assert not agrees(LOSS(x, y, **options), want, 4)
    if kind != "m2":
        assert not agrees(LOSS(x[MASK], y[MASK], **options), want, 4)  # partners by position, not among what is left
    assert agrees(LOSS(x, y, mask=MASK, reduction="sum", **options), keep.sum() * want, 10)
    x[~MASK], y[~MASK] = np.nan, 1e30
    assert LOSS(x, y, mask=MASK, **options) == want
    assert LOSS(x, y, mask=np.zeros(7, bool), **options) == 0.0


def test_alignment_and_uniformity():
    x, y = T, V  # the note's images are our y
    by_image, by_text = (mixup.relative_alignment(x, y, query=q) for q in ("y", "x"))
    check(by_image, 1.076507, 6, text=by_text)
    check(by_text, 0.777671, 6, image=by_image)
    values = {k: mixup.set_uniformity(x, y, pairs=k) for k in ("cross", "union", "released")}
    for kind, want in (("cross", 1.345045), ("union", 1.621645), ("released", 1.675032)):
        check(values[kind], want, 6, **{k: v for k, v in values.items() if k != kind})
    check(mixup.set_uniformity(y, x, pairs="cross"), 1.345045, 6)
    assert not agrees(mixup.set_uniformity(y, x, pairs="released"), 1.675032, 6)


def test_relative_alignment_is_the_margin():
    """Half of the negated difference of squares is max over k of s_ik less s_ii, for unit rows."""
    s = V @ T.T
    margin = np.mean([s[i, i] - max(s[i, k] for k in range(4) if k != i) for i in range(4)])
    check(mixup.relative_alignment(V, T), 2 * margin, 10)


def test_expected_calibration_error():
    """Two rows at .55 of which one hits, one hit at .9: |.5 - .55| 2/3 + |1 - .9| 1/3."""
    p = np.array([[0.55, 0.45, 0.0], [0.55, 0.45, 0.0], [0.05, 0.05, 0.9]])
    scores = np.log(p + 1e-300)
    want = 2 / 3 * 0.05 + 0.1 / 3
    check(
        mixup.expected_calibration_error(scores),
        want,
        10,
        one_bin=mixup.expected_calibration_error(scores, bins=1),
        signed=0.1 / 3 - 0.1 / 3,
    )
    assert agrees(mixup.expected_calibration_error(scores, targets=[0, 0, 2]), 2 / 3 * 0.45 + 0.1 / 3, 10)
    assert mixup.expected_calibration_error(100 * np.eye(4)) < 1e-12
    assert mixup.expected_calibration_error(100 * np.eye(4)[::-1]) > 1 - 1e-12
