"""What only tiles can get wrong: sizes that do not divide, sides of unlike length, slopes of what is no row, memory, programs."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from gera_jax import losses
from gera_jax.checks import InputError
from gera_jax.losses import tiles
from tests.contracts.cases import GROUPS, MASK, WEIGHTS, rows, soft_targets
from tests.contracts.tools import matches
from tests.oracles import contrastive

LOSSES = ("info_nce", "symmetric_info_nce", "sigmoid_contrastive", "nt_xent")
DENSITY = ("semantic_density",)
each_loss = pytest.mark.parametrize("name", LOSSES)
RTOL = 1e-11


def value_and_slopes(name, block_size, arguments, static=None):
    """The value and its slope in every float among the arguments."""
    floats = {k: v for k, v in arguments.items() if jnp.issubdtype(v.dtype, jnp.floating)}
    others = {k: v for k, v in arguments.items() if k not in floats}

    def value(floats):
        given = dict(floats)
        x, y = given.pop("x"), given.pop("y")
        return getattr(losses, name)(x, y, **given, **others, **(static or {}), block_size=block_size)

    return jax.jit(jax.value_and_grad(value))(floats)


def everything(name):
    """All that a loss takes at once, as float64."""
    x, y = rows(0)
    given = dict(x=x, y=y, logit_scale=np.float64(7.0), weights=np.abs(WEIGHTS) + 0.1)
    if name == "nt_xent":
        return [dict(given, mask=MASK)]
    given |= dict(x_mask=MASK, y_mask=np.roll(MASK, 1))
    grouped = dict(given, x_groups=GROUPS, y_groups=np.roll(GROUPS, 1))
    if name == "sigmoid_contrastive":
        return [dict(v, logit_bias=np.float64(-1.0)) for v in (given, grouped)]
    margin = dict(margin=np.float64(0.2))
    return [given | margin, grouped | margin, dict(given, targets=soft_targets()) | margin]


def wide(arguments):
    return {k: jnp.asarray(v) for k, v in arguments.items()}


def alike(got, want) -> bool:
    return all(matches(a, b, RTOL) for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True))


@each_loss
@pytest.mark.parametrize("block_size", [1, 3, 100])
def test_tiles_equal_the_matrix(name, block_size):
    """Value, and slopes in rows, scale, bias, margin, targets and weights, for sizes that divide 8 or 16 rows and that do not."""
    with jax.enable_x64(True):
        for arguments in map(wide, everything(name)):
            want = value_and_slopes(name, None, arguments)
            got = value_and_slopes(name, block_size, arguments)
            assert alike(got, want)
            assert all(np.any(slope) for slope in want[1].values())
            assert not alike(got, value_and_slopes(name, None, dict(arguments, y=arguments["y"][::-1])))


@each_loss
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_reductions_in_tiles(name, reduction):
    with jax.enable_x64(True):
        for arguments in everything(name):
            given = wide({k: v for k, v in arguments.items() if k not in ("x", "y")})
            x, y = arguments["x"], arguments["y"]
            want, got = (getattr(losses, name)(x, y, **given, reduction=reduction, block_size=size) for size in (None, 3))
            assert got.shape == want.shape and matches(got, want, RTOL)
            assert not matches(got, want[..., ::-1] if reduction == "none" else want / 8, RTOL)


@pytest.mark.parametrize("name", ["info_nce", "symmetric_info_nce", "sigmoid_contrastive"])
@pytest.mark.parametrize("block_size", [2, 5])
def test_sides_of_unlike_length(name, block_size):
    """5 queries among 8 candidates and the other way round: the oracle, and the tiles begin anew at the shorter side's end."""
    x, y = rows(0)
    for a, b in ((x[:5], y), (x, y[:5])):
        groups = dict(x_groups=GROUPS[: len(a)], y_groups=GROUPS[: len(b)])
        masks = dict(x_mask=MASK[: len(a)], y_mask=np.roll(MASK, 1)[: len(b)])
        scale = {} if name == "sigmoid_contrastive" else dict(logit_scale=7.0)
        want = getattr(contrastive, name)(a, b, **groups, **masks, **scale)
        with jax.enable_x64(True):
            got = getattr(losses, name)(jnp.asarray(a), jnp.asarray(b), **groups, **wide(masks), **scale, block_size=block_size)
        assert matches(got, want, RTOL)
        assert not matches(got, getattr(contrastive, name)(a, b, **groups, **scale), RTOL)


@each_loss
def test_scores_far_apart(name):
    """An online log-sum-exp that forgot to rescale, or did so with a difference of infinities, would show here."""
    x, y = rows(0)
    x = x * np.geomspace(1e-3, 1e3, len(x))[:, None]
    with jax.enable_x64(True):
        given = dict(x=jnp.asarray(x), y=jnp.asarray(y))
        want = value_and_slopes(name, None, given, dict(logit_scale=100.0))
        assert alike(value_and_slopes(name, 3, given, dict(logit_scale=100.0)), want)
        assert np.isfinite(want[0])


@each_loss
def test_float32_to_rounding(name):
    """300 rows of 64 at a scale of 14: value and slopes in tiles as far from float64 as those of the matrix."""
    x, y = rows(1, 300, 64)
    with jax.enable_x64(True):
        want = value_and_slopes(name, None, wide(dict(x=x, y=y)))
    low = {k: jnp.asarray(v, "float32") for k, v in dict(x=x, y=y).items()}
    for size in (None, 64, 70):
        got = value_and_slopes(name, size, low)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            assert matches(a, b, 2e-6) and not matches(np.asarray(a) * (1 + 1e-5), b, 2e-6)


@pytest.mark.parametrize("name", LOSSES + DENSITY)
def test_bad_sizes_are_refused(name):
    x = jnp.zeros((4, 3))
    for wrong in (0, -1, 2.5, True, "64"):
        with pytest.raises(
            InputError, match=rf"block_size: got {wrong}; wanted None or a whole number of at least 1.*None takes"
        ):
            getattr(losses, name)(x, x, block_size=wrong)
    assert np.isfinite(getattr(losses, name)(x, x, block_size=np.int64(2)))


@pytest.mark.parametrize("name", LOSSES + DENSITY)
def test_empty_batches(name):
    x = jnp.zeros((0, 3))
    assert getattr(losses, name)(x, x, block_size=2) == getattr(losses, name)(x, x) == 0
    assert jax.grad(getattr(losses, name))(x, x).shape == (0, 3)


@pytest.mark.parametrize("name", DENSITY)
def test_one_empty_set(name):
    x, y = jnp.zeros((0, 3)), jnp.arange(12.0).reshape(4, 3)
    for pair in ((x, y), (y, x)):
        assert getattr(losses, name)(*pair) == 0
    assert getattr(losses, name)(y + 1, y) > 0  # companion: two sets of rows
    with pytest.raises(InputError, match="y: got width 2"):  # companion: an empty set is checked as any other
        getattr(losses, name)(x, y[:, :2])


@pytest.mark.parametrize("name", LOSSES + DENSITY)
def test_automatic_above_a_size(name, monkeypatch):
    """Shapes alone decide; what is stored then does not grow with the square of the rows."""

    def stored(n, size=None):
        shape = jax.ShapeDtypeStruct((n, 8), jnp.float32)
        run = jax.jit(jax.value_and_grad(partial(getattr(losses, name), block_size=size), argnums=(0, 1)))
        return run.lower(shape, shape).compile().memory_analysis().temp_size_in_bytes

    monkeypatch.setattr(tiles, "LARGEST", 1024**2)
    monkeypatch.setitem(tiles.BLOCK, "cpu", 128)
    assert stored(512) > 4 * 512**2  # the matrix
    assert stored(4096) < 4 * 4096**2 / 16
    assert stored(4096) < 2.5 * stored(2048)
    assert stored(1024, 128) < stored(1024, 2048) / 4


@each_loss
def test_equal_programs_are_traced_once(name, monkeypatch):
    """Without jit around it too: the second call finds the loops and their gradient compiled."""
    traced = []
    present = tiles._present
    monkeypatch.setattr(tiles, "_present", lambda *arguments: traced.append(1) or present(*arguments))
    x, y = (jnp.asarray(v, "float32") for v in rows(0, 8, 5))

    def run(x, y):
        before = len(traced)
        jax.grad(partial(getattr(losses, name), block_size=3))(x, y)
        return len(traced) - before

    assert run(x, y) > 0
    assert run(x + 1, y) == 0
    assert run(x[:7], y[:7]) > 0


@each_loss
def test_vmap_over_batches(name):
    batches = [jnp.stack(v) for v in zip(*(rows(seed) for seed in range(3)), strict=True)]
    run = jax.value_and_grad(partial(getattr(losses, name), block_size=3), argnums=(0, 1))
    got = jax.vmap(run)(*batches)
    for i in range(3):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(run(*(v[i] for v in batches))), strict=True):
            assert matches(a[i], b, 1e-5)


@each_loss
def test_second_derivatives_and_forward_mode(name):
    """Twice in reverse gives the right numbers (it stores the tiles); forward mode is an error of JAX's that says so."""
    x, y = (jnp.asarray(v, "float32") for v in rows(0))

    def twice(size):
        slope = jax.grad(partial(getattr(losses, name), block_size=size))
        return jax.grad(lambda x: jnp.vdot(slope(x, y), jnp.sin(y)))(x)

    assert matches(twice(3), twice(None), 1e-4) and not matches(twice(3), -twice(None), 1e-4)
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: getattr(losses, name)(x, y, block_size=3), (x,), (y,))


@each_loss
@pytest.mark.parametrize("shards", [2, 4])
def test_no_device_gathers_another(name, shards):
    """The ring's program has permutes and sums of scalars, and no gather; the matrix's has one."""

    def run(x, y, size):
        step = jax.grad(partial(getattr(losses, name), axis_name="i", block_size=size), argnums=(0, 1))
        mesh = jax.make_mesh((shards,), ("i",), devices=jax.devices()[:shards], axis_types=(AxisType.Auto,))
        spec = PartitionSpec("i")
        return str(jax.make_jaxpr(jax.shard_map(step, mesh=mesh, in_specs=(spec, spec), out_specs=spec))(x, y))

    x, y = (jnp.asarray(v, "float32") for v in rows(0))
    assert "ppermute" in run(x, y, 2) and "all_gather" not in run(x, y, 2)
    assert "all_gather" in run(x, y, None)


def test_a_replicated_bank_of_candidates():
    """Rows spread over devices against candidates that all of them hold, without axis_name: the bank's slope is the sum of all."""
    x, y = (jnp.asarray(v, "float32") for v in rows(0))
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,))
    groups = jnp.asarray(GROUPS)

    def local(x, bank, groups, size):
        loss = losses.info_nce(x, bank, x_groups=groups, y_groups=jnp.asarray(GROUPS), reduction="sum", block_size=size)
        return jax.lax.psum(loss, "i")

    specs = (PartitionSpec("i"), PartitionSpec(), PartitionSpec("i"))

    def whole(x, y, size):
        return jax.shard_map(partial(local, size=size), mesh=mesh, in_specs=specs, out_specs=PartitionSpec())(x, y, groups)

    got, want = (jax.jit(jax.value_and_grad(partial(whole, size=size), argnums=(0, 1)))(x, y) for size in (2, None))
    assert all(matches(a, b, 1e-5) for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True))
