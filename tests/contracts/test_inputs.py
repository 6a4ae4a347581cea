"""Contracts of the inputs: nasty values stay finite, static faults say what is wrong, memory stays n * m."""

from __future__ import annotations

import dataclasses
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import losses
from tests.contracts import cases_anchors, cases_density, cases_grounding, cases_mixup, cases_structure, cases_transport
from tests.contracts.cases import BY_NAME, PLAIN, points, rows, sets
from tests.contracts.tools import call, evaluate

every_plain = pytest.mark.parametrize("case", PLAIN, ids=lambda c: c.name)


def zero_row(v):
    out = v.copy()
    out[1] = 0
    return out


def isolated(v):
    out = v.copy()
    out.reshape(-1, v.shape[-1])[-1] = 1e3
    return out


NASTY = {
    "zero row": zero_row,
    "all zero": np.zeros_like,
    "equal rows": lambda v: np.broadcast_to(v.reshape(-1, v.shape[-1])[0], v.shape).copy(),
    "two equal points": lambda v: np.repeat(v[..., ::2, :], 2, axis=-2)[..., : v.shape[-2], :],
    "antipodal": lambda v: v * np.where(np.arange(v.shape[-2]) % 2, 1.0, -1.0)[:, None],
    "scale 1e4": lambda v: 1e4 * v,
    "scale 1e-8": lambda v: 1e-8 * v,
    "isolated point": isolated,
}


def is_finite(value, grads) -> bool:
    return bool(np.isfinite(value)) and all(bool(np.all(np.isfinite(g))) for g in grads)


@every_plain
@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("sides", [(0, 1), (1,), (0,)], ids=["both", "second", "first"])
def test_nasty_inputs_stay_finite(case, nasty, sides):
    data = list(case.data())
    for side in sides:
        data[side] = NASTY[nasty](data[side])
    assert is_finite(*evaluate(case, *data, dtype="float32"))


def test_the_finite_check_can_fail():
    assert not is_finite(np.float32(np.nan), ())
    assert not is_finite(np.float32(0), (np.array([0.0, np.nan]),))
    assert not is_finite(*jax.value_and_grad(lambda v: jnp.sum(jnp.sqrt(v)))(jnp.zeros(2)))


@every_plain
def test_antipodal_pairs_are_worse_than_equal_ones(case):
    x, _ = case.data()
    if case.frozen or case.needs or case.loss in cases_transport.UNPAIRED:
        return  # a reflection keeps all distances; without partners there is nothing to be antipodal to
    if case.loss in SETS_ONLY:
        x = x + 1  # a set whose reflection is another set
    assert evaluate(case, x, -x, dtype="float32")[0] > evaluate(case, x, x, dtype="float32")[0]


@every_plain
def test_one_row(case):
    """One row (one point) has nothing to be compared with: the oracle's value, 0 but where a pair or two sets are apart."""
    x, y = (v[:, :1] if v.ndim == 3 else v[:1] for v in case.data())
    low = [jnp.asarray(v, "float32") for v in (x, y)]
    value, grads = jax.value_and_grad(lambda *v: call(case, *v, {}), argnums=(0, 1))(*low)
    assert is_finite(value, grads)
    needed = case.needs(x, y) if case.needs else {}
    assert abs(float(value) - float(case.oracle(x, y, **case.static, **needed))) < 1e-5
    apart = ("sigmoid_contrastive", "mmd", "mk_mmd", "anchor_consistency", *cases_grounding.APART)
    assert (value > 0.01) == (case.loss in apart)


def zeros(*shape):
    return jnp.zeros(shape, "float32")


REQUIRED = {**cases_mixup.REQUIRED, **cases_anchors.REQUIRED}  # keyword arguments without a default
SETS_ONLY = ("mmd", "mk_mmd", "semantic_density")
SET_LOSSES = ("diffusion_alignment", "heat_geodesic_stress")
ARGS = {name: ("x", "z") if name in SET_LOSSES else ("x", "y") for name in losses.__all__}
PAIR = (zeros(4, 3), zeros(4, 3))
SETS = (zeros(2, 4, 3), zeros(2, 4, 3))
SCALE = dict(logit_scale=1.0)
IDS = jnp.arange(4)
FAULTS = [  # loss, inputs, options, words that the message must hold (any case)
    ("info_nce", (zeros(4), zeros(4, 3)), SCALE, ("x", "rank|axes|dimension")),
    ("info_nce", (zeros(4, 3), zeros(4, 5)), SCALE, ("3|5", "width|columns|d\\b")),
    ("info_nce", (zeros(4, 3), zeros(5, 3)), SCALE, ("4|5", "rows|pair|targets")),
    ("info_nce", PAIR, dict(logit_scale=0.0), ("logit_scale", "0")),
    ("info_nce", PAIR, dict(logit_scale=-2.0), ("logit_scale", "-2")),
    *(
        ("info_nce", PAIR, dict(logit_scale=wrong), ("logit_scale: got", "wanted a positive finite number"))
        for wrong in ("x", "", None, {}, [2.0], 10**400, 1e300, 1e-300, 1j)
    ),
    ("info_nce", PAIR, dict(**SCALE, targets=zeros(4, 4), x_groups=IDS, y_groups=IDS), ("targets", "groups")),
    ("info_nce", PAIR, dict(**SCALE, x_groups=IDS), ("groups",)),
    ("info_nce", PAIR, dict(**SCALE, targets=zeros(4, 5)), ("targets", "4|5")),
    ("info_nce", PAIR, dict(**SCALE, x_mask=jnp.ones(5, bool)), ("x_mask", "4|5")),
    ("info_nce", PAIR, dict(**SCALE, weights=zeros(3)), ("weights", "3|4")),
    ("info_nce", PAIR, dict(**SCALE, reduction="median"), ("reduction", "median", "mean")),
    ("symmetric_info_nce", (zeros(4, 3), zeros(5, 3)), SCALE, ("4|5", "rows|pair")),
    ("symmetric_info_nce", PAIR, dict(logit_scale=0.0), ("logit_scale",)),
    ("symmetric_info_nce", PAIR, dict(**SCALE, targets=zeros(4, 4), x_groups=IDS, y_groups=IDS), ("targets", "groups")),
    ("symmetric_info_nce", (zeros(4, 3), zeros(4, 5)), SCALE, ("3|5",)),
    ("sigmoid_contrastive", PAIR, dict(logit_scale=0.0), ("logit_scale",)),
    ("sigmoid_contrastive", (zeros(4, 3), zeros(5, 3)), {}, ("4|5", "rows|pair|groups")),
    ("sigmoid_contrastive", (zeros(4, 3), zeros(4, 5)), {}, ("3|5",)),
    ("nt_xent", (zeros(4, 3), zeros(5, 3)), SCALE, ("4|5", "rows|pair")),
    ("nt_xent", PAIR, dict(logit_scale=-1.0), ("logit_scale",)),
    ("nt_xent", (zeros(4, 3), zeros(4)), SCALE, ("y|rank|\\[n, d\\]",)),
    ("diffusion_alignment", SETS, dict(form="neighborhood"), ("form", "neighbourhood")),
    ("diffusion_alignment", SETS, dict(operator="heat"), ("operator", "symmetric|markov")),
    ("diffusion_alignment", SETS, dict(normalization="l2"), ("normalization", "relative|none")),
    ("diffusion_alignment", PAIR, {}, ("x", "rank|axes|dimension")),
    ("diffusion_alignment", SETS, dict(form="batch"), ("x", "rank|axes|dimension")),
    ("diffusion_alignment", (zeros(2, 4, 3), zeros(2, 5, 3)), {}, ("4|5",)),
    ("diffusion_alignment", (zeros(2, 4, 3), zeros(3, 4, 3)), {}, ("2|3",)),
    ("diffusion_alignment", SETS, dict(t=-1), ("\\bt\\b", "-1")),
    ("diffusion_alignment", SETS, dict(mask=jnp.ones((2, 5), bool)), ("mask", "4|5")),
    *cases_structure.FAULTS,
    *cases_density.FAULTS,
    *cases_mixup.FAULTS,
    *cases_anchors.FAULTS,
    *cases_transport.FAULTS,
    *cases_grounding.FAULTS,
    ("heat_geodesic_stress", SETS, dict(form="neighborhood"), ("form", "neighbourhood")),
    ("heat_geodesic_stress", SETS, dict(normalization="l2"), ("normalization", "relative|none")),
    ("heat_geodesic_stress", SETS, dict(t=0.0), ("\\bt\\b", "0")),
    ("heat_geodesic_stress", SETS, dict(sigma=1.5), ("sigma", "1.5", "from 0 to 1")),
    ("heat_geodesic_stress", SETS, dict(bandwidth=-1.0), ("bandwidth", "-1")),
    ("heat_geodesic_stress", SETS, dict(bandwidth="mean"), ("bandwidth", "median")),
    ("heat_geodesic_stress", PAIR, {}, ("x", "axes")),
    ("heat_geodesic_stress", PAIR, dict(form="batch", weights=zeros(4)), ("weights", "batch")),
    ("heat_geodesic_stress", (zeros(2, 4, 3), zeros(2, 5, 3)), {}, ("4|5",)),
    ("heat_geodesic_stress", SETS, dict(mask=jnp.ones((2, 5), bool)), ("mask", "4|5")),
]


@pytest.mark.parametrize(("loss", "inputs", "options", "words"), FAULTS, ids=range(len(FAULTS)))
@pytest.mark.parametrize("route", ["eager", "traced"])
def test_static_faults_say_what_is_wrong(loss, inputs, options, words, route):
    """At trace time too: shapes are enough to see them."""

    def run(*values):
        return getattr(losses, loss)(*values, **options)

    with pytest.raises(ValueError) as error:
        run(*inputs) if route == "eager" else jax.eval_shape(run, *inputs)
    assert [w for w in words if not re.search(w, str(error.value), re.IGNORECASE)] == []
    assert "wanted" in str(error.value)


@pytest.mark.parametrize("loss", losses.__all__)
def test_good_inputs_raise_nothing(loss):
    inputs = SETS if loss in (*SET_LOSSES, *cases_grounding.REQUIRED) else PAIR
    options = SCALE if "logit_scale" in inspect.signature(getattr(losses, loss)).parameters else {}
    options = {**options, **REQUIRED.get(loss, {})}
    options = cases_grounding.REQUIRED.get(loss, options)
    assert jax.eval_shape(lambda *v: getattr(losses, loss)(*v, **options), *inputs).shape == ()


def test_symmetric_targets_are_refused_under_axis_name():
    def run(x, y, targets):
        return losses.symmetric_info_nce(x, y, logit_scale=1.0, targets=targets, axis_name="i")

    with pytest.raises(ValueError, match=r"(?s)targets.*groups"):
        jax.eval_shape(jax.vmap(run, axis_name="i"), zeros(2, 4, 3), zeros(2, 4, 3), zeros(2, 4, 8))


# Sizes at which an n * m * d array would be d = 128 times an n * m one, and is seen at once.
BIG = {
    "pairs": (rows(0, 256, 128), 256 * 256, 128),
    "sets": (sets(0, 32, 24, 128, 128), 32 * 24 * 24, 128),
    "batch": (points(0, 256, 128), 256 * 256, 128),
    "moments": (cases_grounding.moments(0, 4, 24, 64, 128), 96 * 256, 128),
}


def temporary_bytes(function, *values) -> int:
    low = [jax.ShapeDtypeStruct(v.shape, "float32") for v in values]
    return jax.jit(jax.value_and_grad(function, argnums=(0, 1))).lower(*low).compile().memory_analysis().temp_size_in_bytes


@every_plain
def test_memory_has_no_n_m_d_term(case):
    kind = "pairs" if not case.frozen else ("batch" if case.data()[0].ndim == 2 else "sets")
    data, entries, width = BIG["moments" if case.needs else kind]
    if kind == "batch":
        data = (data[0], np.zeros((256, width)))
    case = dataclasses.replace(case, static=cases_anchors.widened(case.static, width))
    assert temporary_bytes(lambda x, y: call(case, x, y, {}), *data) < 4 * entries * width / 2


@pytest.mark.parametrize("kind", ["pairs", "sets"])
def test_the_memory_check_sees_an_n_m_d_term(kind):
    data, entries, width = BIG[kind]

    def naive(x, y):
        return jnp.sum(jnp.tanh(jax.lax.sort(jnp.abs(x[..., :, None, :] - y[..., None, :, :]))))

    assert temporary_bytes(naive, *data) > 4 * entries * width / 2


def test_the_plain_cases_cover_every_loss():
    assert {case.loss for case in PLAIN} == {case.loss for case in BY_NAME.values()}
