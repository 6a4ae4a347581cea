"""The teacher beside the heads: its start, that it stays, and the two systems that came with it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import config, training
from gera_jax.checks import InputError
from gera_jax.models import TwoTower


def small(name, **fields):
    c = config.load(f"{name}:source=emoji,pairs=30")
    c.data.split.update(val=20, test=30)
    for side in ("x", "y"):
        c.data.preprocess[side].pca = 8
    c.model.dim = 6
    c.total_steps, c.evals.every_steps, c.tensorboard, c.parallel = 6, 3, "off", "jit"
    c.batch.pairs = 16
    c.batch.unpaired = min(c.batch.unpaired, 12)
    for field, value in fields.items():
        config.override(c, field, value)
    return c


def test_the_teacher_stays_where_the_heads_began():
    c = small("sotalign", **{"optimizer.lr": "0.01"})
    c.losses.transport.update(weight=1.0)
    result = training.train(c)
    began = result.experiment.init_state().params
    ended = result.state.params
    rows = jax.random.normal(jax.random.key(0), (5, 8))
    for name in ("image", "text"):
        before, after = (result.experiment.model.teach(params, name, rows) for params in (began, ended))
        np.testing.assert_allclose(before, after, atol=1e-6)
        np.testing.assert_allclose(before, result.experiment.model.project(began, name, rows), atol=1e-6)
        moved = result.experiment.model.project(ended, name, rows)
        assert np.abs(moved - before).max() > 1e-3  # companion: the student went on
    assert np.isfinite(result.history[-1]["val/mean/R@10"])


def test_no_gradient_reaches_it():
    model = TwoTower({"a": 3, "b": 2}, dim=2, teacher=True)
    params = model.start_at(model.init(jax.random.key(0)), "a", np.eye(3, 2), np.zeros(2))
    grads = jax.grad(
        lambda p: jnp.sum(model.teach(p, "a", jnp.ones((4, 3))) ** 3 + model.project(p, "a", jnp.ones((4, 3)))[:, :1])
    )(params)
    assert not np.any(grads["teacher"]["a"]["kernel"]) and np.any(grads["a"]["base"]["kernel"])


def test_a_teacher_needs_a_closed_form():
    with pytest.raises(InputError) as error:
        training.train(small("sotalign", **{"model.init": "random"}))
    assert str(error.value) == (
        'model.teacher: got True with init="random"; wanted a closed-form start, which is the teacher. '
        'Set model.init="ridge_cca".'
    )


def test_mixed_pairs_train():
    result = training.train(small("fusemix"))
    assert result.experiment.terms[0].inputs["x"] == "z.mixed.image"
    assert np.isfinite(result.history[-1]["val/mean/R@10"])
