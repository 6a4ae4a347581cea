"""Losses of sentences and moments at nasty inputs: the value is the oracle's, not merely finite."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from tests.contracts.nasty import N, differences
from tests.contracts.tools import matches
from tests.oracles import grounding

RNG = np.random.default_rng(6)
IOU = RNG.uniform(size=(1, N, N)).astype(np.float32)
SIMILARITY = np.where(RNG.uniform(size=(1, N, N)) < 0.6, RNG.uniform(0.5, 1, size=(1, N, N)), 0).astype(np.float32)
np.put_along_axis(SIMILARITY, IOU.argmax(2)[..., None], 1.0, 2)
CELLS = dict(iou=IOU, similarity=SIMILARITY)
CASES = {
    "moment_bce": ("moment_bce", dict(iou=IOU)),
    "guided": ("geodesic_guided_contrastive", CELLS),
    "guided-released": ("geodesic_guided_contrastive", dict(**CELLS, form="released", positives=3)),
    "shapley": ("shapley_interaction", {}),
}
# Second differences of nearly equal cosines are below the rounding of the cosines.
SKIP = {"shapley": ("x equal", "both equal", "shifted", "nearly equal rows")}


@pytest.mark.parametrize("name", CASES)
def test_nasty_values_are_the_oracles(name):
    function, options = CASES[name]

    def loss(s, v):
        return getattr(losses, function)(s[None], v[None], **options)

    def oracle(s, v):
        return getattr(grounding, function)(s[None], v[None], **options)

    assert differences(loss, oracle, SKIP.get(name, ())) == []


def test_sentences_that_are_all_alike_have_no_interaction():
    rng = np.random.default_rng(5)
    s, v = (jnp.asarray(rows, "float32") for rows in (np.tile(rng.normal(size=(1, 4)), (8, 1)), rng.normal(size=(8, 4))))
    assert matches(losses.shapley_interaction(s, v) + 1, 1.0, 1e-3)
