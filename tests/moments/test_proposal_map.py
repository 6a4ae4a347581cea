"""The sparse pattern, pooled maps against loops, and recordings of unequal lengths."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.moments import ProposalMap, Proposals
from gera_jax.moments.proposal_map import max_map, mean_moments, moment_mask

PLAN = Proposals(12, (3, 2, 1))  # lengths 1, 2, 3, 4 | 6, 8 | 12
WIDTHS = {"clips": 3, "sentences": 5}
X = np.random.default_rng(0).normal(size=(2, 12, 3)).astype(np.float32)


def model(**options) -> ProposalMap:
    return ProposalMap(PLAN, WIDTHS, **{"dim": 4, "channels": 6, "layers": 2, **options})


def moved(params):
    """Parameters with every layer at work: some are 0 at the start."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), params)


def initial(net: ProposalMap):
    return jax.jit(net.init)(jax.random.key(0))


@pytest.mark.parametrize(("clips", "counts", "number"), [(64, (15, 8, 8), 1104), (16, (15,), 136), (128, (15, 8, 8, 8), 2548)])
def test_the_fields_numbers_of_moments(clips, counts, number):
    plan = Proposals(clips, counts)
    assert len(plan) == number == len(plan.spans) == len(np.unique(plan.spans, axis=0))
    assert plan.spans.min() == 0 and plan.spans.max() == clips
    assert np.all(plan.spans[:, 1] > plan.spans[:, 0])
    assert any(np.array_equal(span, [0, clips]) for span in plan.spans)


def test_the_pattern_of_starts_and_lengths():
    assert PLAN.lengths.tolist() == [1, 2, 3, 4, 6, 8, 12] and PLAN.strides.tolist() == [1, 1, 1, 1, 2, 2, 4]
    want = [
        (start, start + length)
        for start in range(12)
        for length, stride in ((1, 1), (2, 1), (3, 1), (4, 1), (6, 2), (8, 2), (12, 4))
        if start % stride == 0 and start + length <= 12
    ]
    assert [tuple(span) for span in PLAN.spans] == want


def test_pooled_maps_equal_loops():
    pooled, means = np.asarray(max_map(jnp.asarray(X), PLAN.lengths)), np.asarray(mean_moments(jnp.asarray(X), PLAN.spans))
    start, column = np.nonzero(PLAN.grid)
    for n, (first, last) in enumerate(PLAN.spans):
        assert np.array_equal(pooled[:, start[n], column[n]], X[:, first:last].max(1))
        assert np.allclose(means[:, n], X[:, first:last].mean(1), atol=1e-5)
    assert not np.array_equal(pooled[:, 0, 1], X[:, 0:3].max(1))


def test_clips_that_do_not_exist_change_nothing():
    """A recording of 8 clips gives the same moments whatever stands behind them, and they get no gradient."""
    net = model(prior=True)
    params = moved(initial(net))
    exists = np.arange(12) < np.array([[12], [8]])
    moments = jax.jit(lambda clips, exists: net.moments(params, clips, exists))

    def run(clips):
        return moments(clips, exists)

    clean = run(X)
    there = np.asarray(moment_mask(PLAN, jnp.asarray(exists)))
    assert there[1].sum() == np.sum(PLAN.spans[:, 1] <= 8) and there[0].all()
    for filler in (np.nan, 1e6):
        dirty = X.copy()
        dirty[1, 8:] = filler
        for head, rows in run(dirty).items():
            np.testing.assert_array_equal(np.asarray(rows)[there], np.asarray(clean[head])[there])
    short = moments(X, np.ones((2, 12), bool))
    assert not np.allclose(short["iou"][1][there[1]], clean["iou"][1][there[1]], atol=1e-3)
    grad = jax.jit(jax.grad(lambda clips: jnp.sum(jnp.where(there[..., None], run(clips)["iou"], 0.0))))(X)
    assert not np.any(grad[1, 8:]) and np.any(grad[1, :8])


def test_it_starts_at_an_affine_map_of_means():
    net = model(layers=1)
    rng = np.random.default_rng(2)
    weights, offset = rng.normal(size=(3, 4)), rng.normal(size=4)
    params = net.start_at(initial(net), "clips", weights, offset)
    got = net.moments(params, jnp.asarray(X), jnp.ones((2, 12), bool))
    want = np.stack([X[:, a:b].mean(1) for a, b in PLAN.spans], axis=1) @ weights + offset
    for head in ("iou", "contrast"):
        cosine = np.sum(got[head] * want, axis=-1) / np.linalg.norm(got[head], axis=-1) / np.linalg.norm(want, axis=-1)
        assert np.all(cosine > 1 - 1e-5)
    rows = np.asarray(net.moments(initial(net), jnp.asarray(X), jnp.ones((2, 12), bool))["iou"])
    assert np.min(np.sum(rows * want, axis=-1) / np.linalg.norm(rows, axis=-1) / np.linalg.norm(want, axis=-1)) < 0.9


def test_a_prior_is_of_the_moment_alone_and_starts_at_0():
    net, ones = model(prior=True, logit_bias=-2.0), jnp.ones((2, 12), bool)
    params = initial(net)
    assert np.array_equal(net.bias(net.moments(params, jnp.asarray(X), ones)), np.full((2, 1, len(PLAN)), -2.0, np.float32))
    params = {**params, "clips": {**params["clips"], "prior_length": jnp.arange(7.0)}}
    got = np.asarray(net.bias(net.moments(params, jnp.asarray(X), ones)))[0, 0]
    assert np.allclose(got, np.searchsorted(PLAN.lengths, np.diff(PLAN.spans, axis=1)[:, 0]) - 2.0)
    plain = model(logit_bias=-2.0)
    assert plain.bias(plain.moments(initial(plain), jnp.asarray(X), ones)) == -2.0


def test_dropout_draws_by_its_key():
    net = model(dropout=0.5)
    params = moved(initial(net))
    ones = jnp.ones((2, 12), bool)

    draw = jax.jit(lambda key: net.moments(params, jnp.asarray(X), ones, train=True, key=key)["iou"])

    def run(key: int) -> np.ndarray:
        return np.asarray(draw(jax.random.key(key)))

    assert np.array_equal(run(1), run(1)) and not np.array_equal(run(1), run(2))
    still = [np.asarray(net.moments(params, jnp.asarray(X), ones)["iou"]) for _ in range(2)]
    assert np.array_equal(*still)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Proposals(12, (15,)),
            "model.pooling: got [15], moments of up to 16 clips; wanted at most the 12 clips of a recording. Lower the counts.",
        ),
        (lambda: Proposals(12, (-1,)), "model.pooling: got [-1]; wanted counts >= 0."),
        (lambda: model(channels=0), "model.channels: got 0; wanted at least 1."),
        (lambda: model(dropout=1.0), "model.dropout: got 1.0; wanted below 1."),
    ],
)
def test_faults_say_what_is_wrong(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == words
