"""jit, pmap and shard_map are the same training."""

import jax
import numpy as np
import pytest

from gera_jax import training
from tests.training.helpers import small_config


def parameters_after(mode, steps=20, **changes):
    experiment = training.build(small_config(parallel=mode, total_steps=steps, **changes))
    state = experiment.init_state()
    for step in range(steps):
        state, metrics = experiment.train_step(state, experiment.batch(step))
    return jax.tree.map(np.asarray, state.params), {k: float(v) for k, v in metrics.items()}


def largest_difference(a, b):
    return max(np.abs(x - y).max() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_many_devices_equal_one(mode):
    assert jax.device_count() == 8
    one, one_metrics = parameters_after("jit")
    many, many_metrics = parameters_after(mode)
    assert largest_difference(one, many) < 1e-5
    assert many_metrics["loss"] == pytest.approx(one_metrics["loss"], rel=1e-4)
    start, _ = parameters_after("jit", steps=19)
    assert largest_difference(one, start) > 1e-5, "a step less must not pass for the same"


def test_a_batch_that_does_not_divide_is_padded_and_masked():
    one, _ = parameters_after("jit", **{"batch.pairs": 20})
    many, _ = parameters_after("pmap", **{"batch.pairs": 20})
    assert largest_difference(one, many) < 1e-5


def test_unknown_mode_names_the_known_ones():
    with pytest.raises(ValueError, match='parallel: got "pmaps".*Did you mean "pmap"'):
        parameters_after("pmaps")
