"""Contracts of axis_name: the shards' loss and gradient are those of the concatenated batch, on every device."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from tests.contracts.cases import CASES
from tests.contracts.tools import call, cast, matches

SHARDED = [case for case in CASES if case.shards]
every_case = pytest.mark.parametrize("case", SHARDED, ids=lambda c: c.name)
AXIS, RTOL = "device", 2e-5


def problem(case):
    """Replicated parameters (a linear map of each input) and the batch: what a training step sees."""
    x, y = case.data()
    rng = np.random.default_rng(3)
    params = tuple(jnp.asarray(np.eye(v.shape[-1]) + 0.1 * rng.normal(size=(v.shape[-1],) * 2), "float32") for v in (x, y))
    return params, (jnp.asarray(x, "float32"), jnp.asarray(y, "float32"), cast(case.arrays, "float32"))


def loss(case, axis_name, params, batch):
    x, y, arrays = batch
    extra = {} if axis_name is None else {"axis_name": axis_name}
    return call(case, x @ params[0], y @ params[1], arrays, **extra)


def step(case, axis_name, params, batch):
    """Value, pmean of the gradient (right everywhere), psum of it (wrong by the number of devices)."""
    value, grads = jax.value_and_grad(partial(loss, case, axis_name))(params, batch)
    mean = jax.lax.pmean(grads, axis_name)
    return value, mean, jax.tree.map(lambda g: g * jax.lax.psum(jnp.float32(1), axis_name), mean)


WHOLE: dict = {}


def whole(case):
    if case.name not in WHOLE:
        params, batch = problem(case)
        WHOLE[case.name] = jax.jit(jax.value_and_grad(partial(loss, case, None)))(params, batch)
    return WHOLE[case.name]


def split(batch, shards: int):
    return jax.tree.map(lambda v: v.reshape(shards, v.shape[0] // shards, *v.shape[1:]), batch)


def assert_equal_on_every_device(case, value, mean, summed, shards):
    """All copies equal the whole; the psum of the gradients, and a gradient without x's or y's part, do not."""
    want_value, want = whole(case)
    assert value.shape == (shards,)
    for i in range(shards):
        assert matches(value[i], want_value, RTOL)
        for side in (0, 1):
            assert matches(mean[side][i], want[side], RTOL)
    assert not matches(summed[1][0], want[1], RTOL)
    assert not matches(mean[1][0].T, want[1], RTOL)
    assert not matches(value[0] * shards, want_value, RTOL)
    assert all(not np.any(mean[side]) for side in case.frozen)


@every_case
@pytest.mark.parametrize("shards", [2, 4, 8])
def test_vmap_equals_the_whole(case, shards):
    params, batch = problem(case)
    run = jax.jit(jax.vmap(partial(step, case, AXIS), in_axes=(None, 0), axis_name=AXIS))
    assert_equal_on_every_device(case, *run(params, split(batch, shards)), shards)


@every_case
def test_each_shard_alone_is_rejected(case):
    """Forgetting axis_name: the mean of the shards' own losses is another number (a mean of means, few negatives)."""
    params, (x, y, arrays) = problem(case)
    if case.data()[0].ndim == 3 and "weights" not in case.arrays:
        return  # a plain mean over independent sets: equal shards' means average to it, by arithmetic
    if case.loss in ("moment_bce", "shapley_interaction") and not case.masks:
        return  # likewise: recordings do not meet in these
    if "targets" in arrays:
        return  # [n_local, m_global] targets do not fit a local y: a shape error, tested with the static faults
    x, y = (np.asarray(v, np.float64) @ np.asarray(p, np.float64) for v, p in zip((x, y), params, strict=True))
    local = [
        case.oracle(x[s], y[s], **case.static, **{k: v[s] for k, v in case.arrays.items()}) for s in (slice(0, 4), slice(4, 8))
    ]
    assert matches(whole(case)[0], case.want(x, y), RTOL)
    assert not matches(np.mean(local), whole(case)[0], RTOL)


@every_case
def test_pmap_equals_the_whole(case):
    params, batch = problem(case)
    run = jax.pmap(partial(step, case, AXIS), axis_name=AXIS, in_axes=(None, 0))
    value, mean, summed = jax.device_get(run(params, split(batch, 8)))
    assert_equal_on_every_device(case, value, mean, summed, 8)


@every_case
def test_shard_map_equals_the_whole(case):
    params, batch = problem(case)
    mesh = jax.make_mesh((8,), (AXIS,), axis_types=(AxisType.Auto,))
    rows, everywhere = PartitionSpec(AXIS), PartitionSpec()

    def body(params, batch):
        out = step(case, AXIS, params, batch)
        return jax.tree.map(lambda v: v[None], out)

    run = jax.jit(jax.shard_map(body, mesh=mesh, in_specs=(everywhere, rows), out_specs=rows))
    value, mean, summed = jax.device_get(run(params, batch))
    assert_equal_on_every_device(case, value, mean, summed, 8)
