"""The numbers of mixup on the circle and of anchors, against the losses; ends, chance values, what a shuffle changes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.losses import anchor_consistency, geodesic_mixup_contrastive, info_nce, symmetric_info_nce
from gera_jax.ops import slerp
from tests.contracts.cases import rows
from tests.contracts.tools import matches
from tests.oracles.test_mixup import degrees
from tests.oracles.tools import check, turned

pytestmark = pytest.mark.optimised

V, T = (jnp.asarray(turned(a), "float32") for a in ([0, 60, 120, 200], [20, 90, 100, 230]))
SCALE = dict(logit_scale=2.0)


def loss(**options):
    return float(geodesic_mixup_contrastive(V, T, **SCALE, **options))


def test_mixed_angles():
    """`slerp` runs from its first row to its second; the weight lam on the first is 1 - lam there."""
    for lam, want in ((0.5, [10, 75, 110, 215]), (0.25, [15, 82.5, 105, 222.5])):
        check(degrees(np.asarray(slerp(V, T, 1 - lam))), want, 4, other=degrees(np.asarray(slerp(V, T, lam + 0.1))))


def test_numbers():
    check(symmetric_info_nce(V, T, **SCALE), 0.550480, 6)
    check(loss(lam=0.5), 1.069901, 5, half=1.069901 / 2, image=0.495443, text=0.574458)
    check(loss(kind="v", lam=0.25), 0.877786, 6, other=0.856093)
    check(loss(kind="l", lam=0.25), 0.856093, 6, other=0.877786)
    check(loss(kind="vl", lam=0.25), 0.530622, 6, both=1.793021)
    check(loss(kind="vl", lam=0.25, target="both"), 1.793021, 5, identity=0.530622)


def test_ends_of_lam():
    """lam = 0 leaves x the plain negatives y_j: half of the plain loss is in the term, and lam = 1 the other half."""
    sides = {0.0: float(info_nce(V, T, **SCALE)), 1.0: float(info_nce(T, V, **SCALE))}
    for lam, plain in sides.items():
        me, other = (T, V) if lam == 0 else (V, T)  # this side's negatives are its own set
        logits = np.array(2 * me @ me.T)
        np.fill_diagonal(logits, np.asarray(2 * (me * other).sum(1)))
        own = np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
        check(loss(lam=lam), plain + own, 5, swapped=sides[1 - lam] + own)
    for kind in ("v", "l", "vl"):
        check(loss(kind=kind, lam=1.0), symmetric_info_nce(V, T, **SCALE), 5, mixed=loss(kind=kind, lam=0.9))


@pytest.mark.parametrize(
    ("kind", "target", "chance"),
    [
        ("m2", "identity", 2 * np.log(8)),
        ("v", "identity", np.log(8)),
        ("l", "identity", np.log(8)),
        ("vl", "identity", np.log(8)),
        ("vl", "both", 2 * np.log(8)),
    ],
)
def test_chance(kind, target, chance):
    same = jnp.tile(jnp.eye(4)[:1], (8, 1))
    got = geodesic_mixup_contrastive(same, same, kind=kind, target=target, lam=0.4)
    assert matches(got, chance, 1e-5) and not matches(got, 2 * chance, 1e-2)


def test_only_m2_ignores_the_order():
    x, y = (jnp.asarray(v, "float32") for v in rows(1))
    order = jnp.asarray([0, 1, 2, 4, 3, 7, 5, 6])
    for kind in ("m2", "v", "l", "vl"):
        a, b = (geodesic_mixup_contrastive(x[i], y[i], kind=kind, lam=0.3) for i in (jnp.arange(8), order))
        assert matches(a, b, 1e-5) == (kind == "m2")


def test_odd_batch_and_opposite_rows_are_finite():
    """The middle row is its own partner; opposite rows have no arc."""
    x = V[:3]
    for kind in ("m2", "v", "l", "vl"):
        for y in (x, -x, x[::-1]):
            value, grads = jax.value_and_grad(
                lambda a, b, kind=kind: geodesic_mixup_contrastive(a, b, kind=kind, lam=0.5), argnums=(0, 1)
            )(x, y)
            assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)


def test_lam_may_be_traced_and_gets_a_gradient():
    slope = jax.jit(jax.grad(lambda lam: geodesic_mixup_contrastive(V, T, lam=lam, **SCALE)))(jnp.float32(0.3))
    step = (loss(lam=0.301) - loss(lam=0.299)) / 0.002
    assert matches(slope, step, 1e-2) and not matches(slope, -step, 1e-2)


def test_norm_softmax_and_masked_margin():
    with jax.enable_x64(True):  # 4e-6 is what float32 rounds off
        x, eye = jnp.asarray([[0.9, 0.2], [0.1, 0.8]]), jnp.eye(2)
        check(2 * symmetric_info_nce(x, eye, logit_scale=20.0), 3.9599e-6, 10)
    x, eye = jnp.asarray(x, "float32"), jnp.eye(2)
    check(
        2 * symmetric_info_nce(x, eye, logit_scale=1.0, margin=0.001),
        0.808145,
        6,
        none=2 * symmetric_info_nce(x, eye, logit_scale=1.0),
        added=2 * symmetric_info_nce(x, eye, logit_scale=1.0, margin=-0.001),
    )


@pytest.mark.parametrize(("link", "want"), [("exp", 0.953723), ("linear", 0.485013)])
def test_both_links(link, want):
    """ell of scores (0.5, -0.2, 0, 0.1) against codes (1, 0, 0.5, 0.2), through the piece that the loss is made of."""
    from gera_jax.losses.anchors import _cross_entropy

    s, q = jnp.asarray([[0.5, -0.2, 0.0, 0.1]]), jnp.asarray([[1.0, 0.0, 0.5, 0.2]])
    check(_cross_entropy(s / 0.1, q, link), [want], 5, unscaled=_cross_entropy(s, q, link))


def test_silent_scores_cost_twice_log_two():
    """Zero rows score 0 against every anchor: the linear link gives 1/2 everywhere."""
    anchors = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), "float32")
    got = anchor_consistency(jnp.zeros((8, 4)), jnp.zeros((8, 4)), x_anchors=anchors, z_anchors=anchors)
    assert matches(got, 2 * np.log(2), 1e-6)
    released = anchor_consistency(jnp.zeros((8, 4)), jnp.zeros((8, 4)), x_anchors=anchors, z_anchors=anchors, link="exp")
    assert matches(released, 2 * np.log1p(np.e), 1e-6)  # codes of equal scores are 0


def test_gradient_reaches_anchors_and_no_queue():
    rng = np.random.default_rng(1)
    names = ("x", "z", "x_anchors", "z_anchors", "x_queue", "z_queue")
    values = [jnp.asarray(rng.normal(size=(n, 4)), "float32") for n in (8, 8, 6, 6, 5, 5)]
    grads = jax.grad(lambda v: anchor_consistency(v[0], v[1], **dict(zip(names[2:], v[2:], strict=True))))(values)
    assert [bool(np.any(g)) for g in grads] == [True, True, True, True, False, False]
