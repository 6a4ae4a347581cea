"""Queues: the rows of the last steps, whatever the padding, the number of devices, and where a run was killed."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import checks, training
from gera_jax.ops.collectives import global_sum
from gera_jax.training import step as queues_of
from gera_jax.training.terms import LOSSES
from tests.training.helpers import small_config
from tests.training.test_loop import Stop, assert_same_run, leaves, stop_at

push = jax.jit(queues_of.push_rows)


def repel(x, x_queue, *, x_mask=None, queue_mask=None, axis_name=None):
    """Mean cosine of the rows that exist to the past rows that exist."""
    x_mask = jnp.ones(len(x), bool) if x_mask is None else x_mask
    real = (x_mask[:, None] & queue_mask).astype(jnp.float32)
    total, count = ((x @ x_queue.T) * real).sum(), real.sum()
    return global_sum(total, axis_name) / jnp.maximum(global_sum(count, axis_name), 1.0)


@pytest.fixture(autouse=True)
def with_repel(monkeypatch):
    monkeypatch.setitem(LOSSES, "repel", repel)


def contents(queues, key):
    return {
        tuple(row) for row, real in zip(np.asarray(queues["rows"][key]), np.asarray(queues["mask"][key]), strict=True) if real
    }


def test_a_queue_is_the_last_rows_of_a_simple_one():
    rng, queues = np.random.default_rng(0), queues_of.create_queues({"a": [7, 2], "b": [7, 1]})
    simple = deque(maxlen=7)
    for _ in range(9):
        a, b = rng.normal(size=(4, 2)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)
        masks = {"a": rng.random(4) < 0.7, "b": rng.random(4) < 0.7}
        queues = push(queues, {"a": a, "b": b}, masks)
        simple.extend((a[i], b[i], masks["a"][i], masks["b"][i]) for i in range(4) if masks["a"][i] or masks["b"][i])
        assert contents(queues, "a") == {tuple(row[0]) for row in simple if row[2]}
        assert contents(queues, "b") == {tuple(row[1]) for row in simple if row[3]}
    together = {(*x, *y) for x, y, *real in simple if all(real)}
    offered = queues_of.offer_queues(queues)
    rows = np.concatenate([offered["queue.a"], offered["queue.b"]], 1)[np.asarray(offered["queue.mask"])]
    assert {tuple(row) for row in rows} == together and 0 < len(together) < 7, "keys keep their rows beside each other"


def test_more_rows_than_places_leave_the_last():
    rows = np.arange(10, dtype=np.float32)[:, None]
    queues = push(queues_of.create_queues({"a": [4, 1]}), {"a": rows}, {"a": np.arange(10) != 8})
    assert contents(queues, "a") == {(5.0,), (6.0,), (7.0,), (9.0,)}


def test_nothing_is_pushed_from_masked_rows_even_nan():
    queues = push(
        queues_of.create_queues({"a": [4, 1]}), {"a": np.array([[1.0], [np.nan]], np.float32)}, {"a": np.array([True, False])}
    )
    assert contents(queues, "a") == {(1.0,)} and np.isfinite(queues["rows"]["a"]).all() and int(queues["next"]) == 1


def test_no_gradient_goes_to_what_is_pushed():
    grads = jax.grad(lambda x: queues_of.push_rows(queues_of.create_queues({"a": [4, 1]}), {"a": x}, {})["rows"]["a"].sum())(
        jnp.ones((2, 1))
    )
    assert not grads.any()


def queue_config(mode="jit", **changes):
    """A contrastive run whose second term looks at the queue."""
    c = small_config("contrastive", parallel=mode, **{"batch.pairs": 20, "evals.every_steps": 6, **changes})
    with c.unlocked():
        c.buffers = dict(length=30, of=["features.x", "z.x", "z.y"])
        c.losses.past = dict(fn="repel", inputs=dict(x="z.x", x_queue="queue.z.y"), weight=0.1, kwargs={})
    return c


def test_a_queue_is_no_longer_than_the_examples():
    c = queue_config()
    c.buffers.length = 1_000
    assert training.build(c).init_state().buffers["rows"]["z.x"].shape == (48, 6)


def queue_after(mode, steps):
    experiment = training.build(queue_config(mode))
    state = experiment.init_state()
    for step in range(steps):
        state, _ = experiment.train_step(state, experiment.batch(step))
    return jax.tree.map(np.asarray, state.buffers)


def test_queues_are_the_same_on_one_device_and_on_eight():
    one, many, later = queue_after("jit", 4), queue_after("pmap", 4), queue_after("jit", 5)
    assert one["mask"]["z.x"].all() and int(one["next"]) == 80 % 30
    for a, b, c in zip(*map(jax.tree.leaves, (one, many, later)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
        assert a.dtype == bool or not np.allclose(a, c, atol=1e-3)


def test_the_mask_of_a_queue_is_wired():
    experiment = training.build(queue_config())
    assert experiment.terms[1].masks == {"queue_mask": ("queue.mask.z.y",)}
    _, first = experiment.train_step(experiment.init_state(), experiment.batch(0))
    state, _ = experiment.train_step(experiment.init_state(), experiment.batch(0))
    _, second = experiment.train_step(state, experiment.batch(1))
    assert float(first["loss/past"]) == 0 and abs(float(second["loss/past"])) > 1e-4, "the loss comes before the push"


def test_a_killed_run_has_the_same_queue_to_the_bit(tmp_path):
    whole = training.train(queue_config())
    for step in (4, 8):
        with pytest.raises(Stop):
            training.train(queue_config(), tmp_path / "run", hooks=[stop_at(step)])
    again = training.train(queue_config(), tmp_path / "run")
    assert_same_run(again, whole)
    assert again.state.buffers["rows"]["z.x"].shape == (30, 6) and again.state.buffers["mask"]["z.x"].all()
    loaded = training.load_run(tmp_path / "run").state
    for a, b in zip(leaves(loaded.buffers), [np.asarray(x) for x in jax.tree.leaves(whole.state.buffers)], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (dict(length=-1, of=["z.x"]), "buffers.length: got -1; wanted at least 0"),
        (dict(length=4, of=[]), "buffers.of: got no key; wanted keys to keep"),
        (dict(length=4, of=["z.xx"]), 'buffers.of: got "z.xx".*Did you mean "z.x"'),
        (dict(length=4, of=["neighbours.x"]), 'buffers.of: got "neighbours.x"; wanted a known name'),
    ],
)
def test_faults_are_named(block, words):
    c = queue_config()
    c.buffers, c.losses.past.inputs.x_queue = block, "queue.z.x"
    with pytest.raises(checks.InputError, match=words):
        training.build(c)
