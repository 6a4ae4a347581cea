"""Contracts of the value and the gradient on one device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from tests.contracts.cases import BY_NAME, CASES, MASKED, PLAIN, oracle_gradient
from tests.contracts.tools import TOLERANCE, TRACES, call, cast, evaluate, matches

every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
every_plain = pytest.mark.parametrize("case", PLAIN, ids=lambda c: c.name)
every_masked = pytest.mark.parametrize("case", MASKED, ids=lambda c: c.name)
# What an optimising compiler can change, which .ci/run repeats with it: values, gradients, and what stands in masked rows (it may
# compute such an entry anew, with another rounding). The companions judge the comparison, and fillers and dtypes go the same ways.
optimised = pytest.mark.optimised


def test_every_public_loss_is_in_the_table():
    public = {name for name in losses.__all__ if callable(getattr(losses, name)) and name[0].islower()}
    assert public == {case.loss for case in CASES}


@optimised
@every_case
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equals_the_oracle(case, dtype):
    x, y = case.data()
    assert matches(evaluate(case, x, y, dtype=dtype)[0], case.want(x, y), TOLERANCE[dtype])


def faults(case):
    """Values of wrong implementations: the comparison above must reject each."""
    x, y = case.data()
    want = case.want(x, y)
    yield "constant", 1.0
    yield "factor 2", 2 * want
    yield "sum for mean", 8 * want
    if not case.frozen and not case.swappable:
        yield "transposed", case.want(y, x)
    if case.masks:
        yield "unmasked", case.without_masks()
    if "weights" in case.arrays:
        yield "unweighted", case.want(x, y, weights=None)
    if "x_groups" in case.arrays:
        yield "ungrouped", case.want(x, y, x_groups=None, y_groups=None)
    for name, changes in case.wrong.items():
        yield name, case.want(x, y, **changes)
    if case.loss == "diffusion_alignment":
        yield "identity operator", case.want(x, y, lost=True)
        yield "alpha", case.want(x, y, alpha=0.25)
        yield "t", case.want(x, y, t=case.static.get("t", 1) + 1)


@every_case
def test_wrong_values_are_rejected(case):
    x, y = case.data()
    got = evaluate(case, x, y, dtype="float32")[0]
    accepted = [name for name, wrong in faults(case) if matches(got, wrong, TOLERANCE["float32"])]
    assert accepted == []


@every_plain
def test_eager_equals_jit_and_traces_once(case):
    x, y = case.data()
    got = evaluate(case, x, y, dtype="float32")[0]
    traces = TRACES[case.name, "float32"]  # other tests of this process may have traced other shapes
    evaluate(case, *case.data(1), dtype="float32")
    assert TRACES[case.name, "float32"] == traces >= 1
    assert matches(call(case, jnp.asarray(x, "float32"), jnp.asarray(y, "float32"), cast(case.arrays, "float32")), got, 1e-5)


@optimised
@every_case
def test_gradient_equals_central_differences(case):
    got = evaluate(case, *case.data())[1]
    want = oracle_gradient(case.name)
    for side in (0, 1):
        assert matches(got[side], want[side], 1e-7)
        if side in case.frozen:
            assert not np.any(got[side])
        else:
            assert np.any(got[side])


@every_case
def test_wrong_gradients_are_rejected(case):
    """Zero, doubled, reversed rows; and, where the mask hides rows, the gradient without the mask."""
    want = oracle_gradient(case.name)[1]
    wrong = {"zero": 0 * want, "factor 2": 2 * want, "rows reversed": want[::-1], "sign": -want}
    if case.masks:
        hidden = {k: np.ones_like(v) for k, v in case.masks.items()}
        wrong["unmasked"] = evaluate(case, *case.data(), {**case.arrays, **hidden})[1][1]
    assert [name for name, value in wrong.items() if matches(value, want, 1e-7)] == []


def hidden_rows(case):
    """Which entries of the two inputs are masked everywhere they are used."""
    masks = case.arrays
    if "mask" in masks:
        return ~masks["mask"], ~masks["mask"]
    if "s_mask" in masks:
        return ~masks["s_mask"], ~masks["v_mask"]
    none = np.zeros(8, bool)
    return ~masks["x_mask"], (~masks["y_mask"] if "y_mask" in masks else none)


@every_masked
@pytest.mark.parametrize("filler", [pytest.param(np.nan, marks=optimised), np.inf, 1e30, 0.0])
def test_masked_equals_removed(case, filler):
    """The oracle skips masked rows; what stands in them changes neither value nor gradient, and they get none."""
    x, y = case.data()
    clean_value, clean = evaluate(case, x, y)
    x_hidden, y_hidden = hidden_rows(case)
    x, y = x.copy(), y.copy()
    x[x_hidden], y[y_hidden] = filler, filler
    value, grads = evaluate(case, x, y)
    assert matches(value, clean_value, 1e-12)
    assert matches(value, case.want(*case.data()), 1e-10)
    for got, want, hidden in zip(grads, clean, (x_hidden, y_hidden), strict=True):
        assert matches(got, want, 1e-12)
        assert not np.any(got[hidden])


@every_masked
@pytest.mark.parametrize("filler", [np.nan, 1.0])
def test_all_masked_is_zero(case, filler):
    x, y = case.data()
    arrays = {**case.arrays, **{k: np.zeros_like(v) for k, v in case.masks.items()}}
    if arrays.keys() & {"mask", "y_mask", "v_mask"}:
        y = np.full_like(y, filler)
    value, grads = evaluate(case, np.full_like(x, filler), y, arrays)
    assert value == 0
    assert not np.any(grads[0]) and not np.any(grads[1])


@every_case
@pytest.mark.parametrize("side", [0, 1])
def test_a_broken_row_is_never_a_number(case, side):
    """NaN or infinity in a row that counts: the loss is not finite, in particular not the 0 of an empty batch."""
    for filler in (np.nan, np.inf, -np.inf):
        data = [v.copy() for v in case.data()]
        data[side][0] = filler
        assert not np.isfinite(evaluate(case, *data, dtype="float32")[0]), filler


WEIGHED = [(case, name) for case in CASES for name in ("weights", "targets") if name in case.arrays]


@pytest.mark.parametrize(("case", "name"), WEIGHED, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize("value", [-1.0, np.nan])
def test_weights_below_zero(case, name, value):
    """An error where they are known, NaN where they are traced; in a masked row they mean nothing."""
    x, y = case.data()
    broken = case.arrays[name].copy()
    broken[0, ...] = value
    arrays = {**case.arrays, name: broken}
    assert np.isnan(evaluate(case, x, y, arrays, dtype="float32")[0])
    if case.inputs != ("x", "y"):
        return  # they end in the same `row_weights`, and take long without compilation
    rows = [jnp.asarray(v, "float32") for v in (x, y)]
    with pytest.raises(ValueError, match=rf"{name}: got (nan|-1.0) at 0.*; wanted numbers of at least 0"):
        call(case, *rows, cast(arrays, "float32"))
    if case.masks:
        masked = case.arrays[name].copy()
        masked[2, ...] = value  # MASK[2] is False
        assert np.isfinite(call(case, *rows, cast({**case.arrays, name: masked}, "float32")))


@pytest.mark.parametrize("case", [c for c in CASES if "weights" in c.arrays], ids=lambda c: c.name)
def test_all_weights_zero_is_zero(case):
    value, grads = evaluate(case, *case.data(), {**case.arrays, "weights": np.zeros(8)})
    assert value == 0 and not np.any(grads[0]) and not np.any(grads[1])


@pytest.mark.parametrize(
    "name",
    [
        "info_nce-groups",
        "sigmoid-groups",
        "nt_xent-mask",
        "symmetric-groups",
        "diffusion-neighbourhood-raw",
        "heat-neighbourhood-raw",
    ],
)
@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_reductions(name, reduction):
    """sum is the weighted sum; none is one number for each row, and 0 where it is masked."""
    case = BY_NAME[name]
    arrays = {k: v for k, v in case.arrays.items() if k != "weights" or reduction == "sum"}
    x, y = case.data()
    got = call(case, jnp.asarray(x, "float32"), jnp.asarray(y, "float32"), cast(arrays, "float32"), reduction=reduction)
    want = case.oracle(x, y, **case.static, **arrays, reduction=reduction)
    assert matches(got, want, 1e-5)
    assert not matches(got, 2 * want, 1e-5)
    assert not matches(got, want / 8, 1e-5)


@every_plain
def test_bfloat16_in_float32_out(case):
    """It computes in float32: the value is that of the rounded rows, to float32 accuracy."""
    low = [jnp.asarray(v, "bfloat16") for v in case.data()]
    out = call(case, *low, cast(case.arrays, "float32"))
    want = case.want(*(np.asarray(v, np.float64) for v in low))
    assert out.dtype == jnp.float32
    assert matches(out, want, 1e-5)
    assert not matches(jnp.asarray(want, "bfloat16").astype("float32") * jnp.float32(1 + 2**-8), want, 1e-5)
    value = jax.eval_shape(jax.grad(lambda y: call(case, low[0], y, {})), low[1])
    assert value.dtype == jnp.bfloat16
