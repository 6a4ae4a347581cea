"""Losses of sets, mixtures and anchors at nasty inputs: the value is the oracle's, not merely finite."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from tests.contracts.nasty import D, differences
from tests.contracts.tools import matches
from tests.oracles import anchors, density, mixup, structure

ANCHORS = {k: np.random.default_rng(i).normal(size=(6, D)).astype(np.float32) for i, k in enumerate(("x_anchors", "z_anchors"))}
CASES = {
    "structure": (losses.structure_divergence, structure.structure_divergence, dict(levels=3)),
    "structure-released": (
        losses.structure_divergence,
        structure.structure_divergence,
        dict(levels=2, center="before", divergence="mixture_first"),
    ),
    "structure-rbf": (
        losses.structure_divergence,
        structure.structure_divergence,
        dict(levels=2, similarity="rbf", diagonal=False),
    ),
    "density": (losses.semantic_density, density.semantic_density, {}),
    "density-released": (losses.semantic_density, density.semantic_density, dict(form="released")),
    "mmd": (losses.mmd, density.mmd, {}),
    "mk_mmd": (losses.mk_mmd, density.mk_mmd, {}),
    "mk_mmd-median": (losses.mk_mmd, density.mk_mmd, dict(bandwidths="median", estimator="unbiased")),
    "mixup": (losses.geodesic_mixup_contrastive, mixup.geodesic_mixup_contrastive, dict(lam=0.4, logit_scale=5.0)),
    "mixup-v": (losses.geodesic_mixup_contrastive, mixup.geodesic_mixup_contrastive, dict(kind="v", lam=0.3, logit_scale=5.0)),
    "anchors": (losses.anchor_consistency, anchors.anchor_consistency, ANCHORS),
    "anchors-exp": (losses.anchor_consistency, anchors.anchor_consistency, dict(**ANCHORS, link="exp", rescale=False)),
}
# Sets too tight beside the other: the documented bound of the density's scale enters. Opposite partners have no arc.
SKIP = {
    "density": ("long and short", "nearly equal rows"),
    "density-released": ("long and short", "nearly equal rows"),
    "mixup-v": (),
}


@pytest.mark.parametrize("name", CASES)
def test_nasty_values_are_the_oracles(name):
    loss, oracle, options = CASES[name]
    assert differences(partial(loss, **options), partial(oracle, **options), SKIP.get(name, ())) == []


def test_the_comparison_sees_a_wrong_loss():
    """A loss that is right on plain rows alone is named at the nasty ones."""

    def wrong(x, y):  # it makes x's rows unit rows
        return losses.mmd(x / jnp.linalg.norm(x, axis=1, keepdims=True), y)

    found = differences(wrong, density.mmd)
    assert found and not any(entry.startswith("plain") for entry in found)


@pytest.mark.parametrize("kind", ["v", "l", "vl"])
def test_a_row_without_its_partner_may_hold_anything(kind):
    """Row 7's partner, row 0, is masked: row 7 has no part either, so that NaN in it reaches no gradient."""
    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    y = x[::-1].copy()
    mask = np.array([False] + [True] * 7)
    x[7] = y[7] = np.nan
    loss = partial(losses.geodesic_mixup_contrastive, kind=kind, lam=0.3, mask=jnp.asarray(mask))
    value, grads = jax.value_and_grad(loss, argnums=(0, 1))(jnp.asarray(x), jnp.asarray(y))
    assert np.isfinite(value) and all(np.all(np.isfinite(g)) for g in grads)


def test_equal_sets_cost_nothing_at_the_narrowest_kernels():
    x = jnp.asarray(np.random.default_rng(5).normal(size=(8, 4)), "float32")
    assert matches(losses.mk_mmd(x, x, bandwidths="released") + 1, 1.0, 1e-4)
