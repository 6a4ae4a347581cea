"""Heads begin where they say, project to the sphere and refuse what they cannot be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import checks
from gera_jax.models.two_tower import HEADS, TwoTower


def make(head, dim=5, **options):
    width = dim if head == "identity" else 7
    return TwoTower({"x": width, "y": width}, head=head, dim=dim, head_options=options), width


@pytest.mark.parametrize("head", HEADS)
def test_rows_lie_on_the_sphere_and_initial_parameters_are_a_function_of_the_key(head):
    model, width = make(head)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, width)), jnp.float32)
    params = model.init(jax.random.key(3))
    z = model.project(params, "x", x)
    assert z.shape == (4, 5)
    np.testing.assert_allclose(jnp.linalg.norm(z, axis=1), 1, atol=1e-6)
    again = model.init(jax.random.key(3))
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))
    assert np.isfinite(model.project(params, "x", jnp.zeros((2, width)))).all()


@pytest.mark.parametrize("head", ["linear", "residual_mlp", "low_rank_residual", "projection_mlp"])
def test_heads_may_start_at_the_identity(head):
    options = dict(identity=True) | (dict(layer_norm=False) if head == "projection_mlp" else {})
    model = TwoTower({"x": 6, "y": 6}, head=head, dim=6, head_options=options)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    unit = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    params = model.init(jax.random.key(0))
    np.testing.assert_allclose(model.project(params, "y", x), unit, atol=1e-6)
    plain = TwoTower({"x": 6, "y": 6}, head=head, dim=6)
    assert np.abs(plain.project(plain.init(jax.random.key(0)), "y", x) - unit).max() > 0.1
    grads = jax.grad(lambda p: model.project(p, "x", x)[:, 0].sum())(params)["x"]
    assert all(float(jnp.abs(leaf).max()) > 0 for name in grads if name in ("project", "up") for leaf in [grads[name]["kernel"]])
    with pytest.raises(checks.InputError, match="identity head changes nothing"):
        TwoTower({"x": 6, "y": 5}, head=head, dim=6, head_options=options)


def test_the_projection_head_is_its_formula():
    model, width = make("projection_mlp")
    params = model.init(jax.random.key(1))["x"]
    rng = np.random.default_rng(5)
    params["project"] = {
        "kernel": jnp.asarray(rng.normal(size=(5, 5)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=5), jnp.float32),
    }
    x = rng.normal(size=(4, width)).astype(np.float32)
    p = x @ params["base"]["kernel"] + params["base"]["bias"]
    z = p + jax.nn.gelu(p) @ params["project"]["kernel"] + params["project"]["bias"]
    z = z - z.mean(1, keepdims=True)
    wanted = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(model.project({"x": params}, "x", jnp.asarray(x)), wanted, atol=1e-4)


@pytest.mark.parametrize("head", ["linear", "residual_mlp", "low_rank_residual"])
def test_closed_form_start_is_that_solution(head):
    rng = np.random.default_rng(1)
    model, width = make(head)
    weights, offset, x = rng.normal(size=(width, 3)), rng.normal(size=3), rng.normal(size=(6, width)).astype(np.float32)
    params = model.start_at(model.init(jax.random.key(0)), "y", weights, offset)
    wanted = x @ weights + offset
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    z = np.asarray(model.project(params, "y", jnp.asarray(x)))
    np.testing.assert_allclose(z[:, :3], wanted, atol=1e-5)
    assert np.abs(z[:, 3:]).max() == 0
    assert np.abs(np.asarray(model.project(params, "x", jnp.asarray(x)))[:, :3] - wanted).max() > 0.1, (
        "the other head is untouched"
    )


def test_residual_heads_can_leave_their_start():
    model, width = make("residual_mlp")
    params = model.init(jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(2).normal(size=(3, width)), jnp.float32)
    grads = jax.grad(lambda p: model.project(p, "x", x)[:, 0].sum())(params)
    assert float(jnp.abs(grads["x"]["project"]["kernel"]).max()) > 0


def test_dropout_acts_only_while_training():
    model, width = make("low_rank_residual", dropout=0.5)
    params = model.init(jax.random.key(0))
    params["x"]["up"]["kernel"] = jnp.ones_like(params["x"]["up"]["kernel"])
    x = jnp.ones((3, width))
    calm = model.project(params, "x", x)
    assert (calm == model.project(params, "x", x, key=jax.random.key(0))).all()
    assert not (calm == model.project(params, "x", x, train=True, key=jax.random.key(0))).all()


def test_temperature_learned_or_fixed():
    learned, _ = make("linear")
    params = learned.init(jax.random.key(0))
    assert float(learned.logit_scale(params)) == pytest.approx(1 / 0.07, rel=1e-5)
    params["log_logit_scale"] = jnp.asarray(9.0)
    assert float(learned.logit_scale(params)) == 100
    fixed = TwoTower({"x": 2, "y": 2}, dim=2, temperature=0.5, learn_temperature=False)
    assert "log_logit_scale" not in fixed.init(jax.random.key(0)) and float(fixed.logit_scale({})) == 2


def test_anchors_are_standard_normal_and_leave_the_heads_as_they_are():
    plain, _ = make("linear")
    model = TwoTower(plain.widths, head="linear", dim=5, anchors=400)
    params, bare = model.init(jax.random.key(0)), plain.init(jax.random.key(0))
    for space, width in (("features", 7), ("z", 5)):
        for name in ("x", "y"):
            rows = params["anchors"][space][name]
            assert rows.shape == (400, width) and abs(float(rows.mean())) < 0.1 and abs(float(rows.std()) - 1) < 0.05
        assert not (params["anchors"][space]["x"] == params["anchors"][space]["y"]).any()
    assert all((bare[name]["base"]["kernel"] == params[name]["base"]["kernel"]).all() for name in ("x", "y"))
    assert "anchors" not in bare


def test_faults_are_named():
    with pytest.raises(checks.InputError, match='modality: got "anchors"; wanted a name that parameters do not use'):
        TwoTower({"anchors": 2, "y": 2})
    with pytest.raises(checks.InputError, match="model.anchors.count: got -1"):
        TwoTower({"x": 2, "y": 2}, anchors=-1)
    with pytest.raises(checks.InputError, match='model.head: got "mlp"'):
        TwoTower({"x": 2, "y": 2}, head="mlp")
    with pytest.raises(checks.InputError, match='model option of the linear head: got "rank"'):
        TwoTower({"x": 2, "y": 2}, head_options={"rank": 2})
    with pytest.raises(checks.InputError, match="identity head changes nothing"):
        TwoTower({"x": 2, "y": 3}, head="identity", dim=2)
    model = TwoTower({"x": 2, "y": 2}, head="identity", dim=2)
    with pytest.raises(checks.InputError, match='wanted a head with an affine part. Use init="random"'):
        model.start_at(model.init(jax.random.key(0)), "x", np.eye(2), np.zeros(2))
