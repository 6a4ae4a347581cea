"""What terms may ask for: each key is the rows that it says, and the same on one device as on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import checks, training
from gera_jax.ops.collectives import gather_rows
from gera_jax.training.terms import LOSSES, Rows, build_terms
from tests.training.helpers import small_config


def config_with(losses=None, **changes):
    c = small_config("contrastive", parallel="jit")
    with c.unlocked():
        c.batch.update(pairs=20, unpaired=16)  # 20 pairs: padded on 8 devices
        c.update(**changes)
        if losses is not None:
            c.losses = losses
    return c


def nt_xent(key):
    return {"views": dict(fn="nt_xent", inputs=dict(x=f"z.{key}", y=f"z.view.{key}"), weight=1.0, kwargs={})}


def contexts(c, step=3):
    """Every key, on one device and gathered from eight: masked rows of the pairs are left out."""
    found = {}
    for mode in ("jit", "pmap"):
        c = c.copy_and_resolve_references()
        c.parallel = mode
        experiment = training.build(c)
        wanted = experiment.task.inputs(c, masked=experiment.data.names)
        whole = [key for key in wanted if key == "logit_scale" or key.startswith(("draws.", "anchors."))]
        params = experiment.init_state().params

        def every(params, batch, axis_name=None, experiment=experiment, c=c, wanted=wanted, whole=whole):
            context = experiment.task.context(
                c, experiment.model, params, batch, wanted=wanted, key=jax.random.key(5), axis_name=axis_name
            )
            return {key: context[key] if key in whole else gather_rows(context[key], axis_name) for key in wanted}

        found[mode] = jax.tree.map(np.asarray, experiment.parallel.wrap(every)(params, experiment.batch(step)))
    return found["jit"], found["pmap"]


@pytest.fixture(scope="module")
def both():
    c = config_with(
        mixed=dict(on=True, alpha=0.8),
        views=dict(noise=0.2, feature_dropout=0.1),
        draws={"first": dict(kind="beta", alpha=2.0, beta=2.0)},
    )
    c.model.anchors.count = 3
    return contexts(c)


def test_every_key_is_the_same_on_one_device_and_on_eight(both):
    one, many = both
    assert len(many["mask"]) == 24 and len(one["mask"]) == 20
    for key in one:
        a, b = one[key], many[key]
        if (
            key.split(".")[0] == "all" or ".all." in key or key.startswith("mask.known")
        ):  # shards of [pairs; unpaired], put one behind the other
            b = b.reshape(8, 5, *b.shape[1:])
            pairs, rest = b[:, :3].reshape(24, *b.shape[2:])[:20], b[:, 3:].reshape(16, *b.shape[2:])
            b = np.concatenate([pairs, rest])
        elif len(np.shape(b)) and len(b) == 24:
            b = b[:20]
        np.testing.assert_allclose(a, b, atol=2e-6, err_msg=key)


def test_views_are_other_looks_at_the_same_rows(both):
    one, _ = both
    for name in ("x", "y"):
        z, view = one[f"z.{name}"], one[f"z.view.{name}"]
        cosine = (z * view).sum(1)
        assert (np.abs(z - view).max(1) > 1e-3).all() and cosine.mean() > 0.7
        assert cosine.mean() > (z * np.roll(view, 1, axis=0)).sum(1).mean() + 0.2
        np.testing.assert_allclose(one[f"z.view.all.{name}"][:20], view, atol=1e-6)  # blocks of other shapes may round otherwise
        np.testing.assert_array_equal(one[f"z.all.{name}"], np.concatenate([z, one[f"z.unpaired.{name}"]]))
        np.testing.assert_array_equal(one[f"all.{name}"], np.concatenate([one[f"features.{name}"], one[f"unpaired.{name}"]]))
        assert one[f"mask.all.{name}"].shape == (36,) and one[f"mask.all.{name}"].all()
        assert one[f"anchors.features.{name}"].shape == (3, one[f"features.{name}"].shape[1])


def test_mixed_rows_share_their_partner_and_share_over_both_modalities(both):
    _, many = both
    c = config_with(mixed=dict(on=True, alpha=0.8))
    experiment = training.build(c)
    batch = {key: value[0] for key, value in experiment.batch(3).items()}
    params, lam, partner = experiment.init_state().params, batch["mixed.lam"], batch["partner"]
    context = experiment.task.context(
        c, experiment.model, params, batch, wanted={"z.mixed.x", "z.mixed.y", "features.x", "features.y"}
    )
    assert sorted(partner) == list(range(20)) and 0 < lam < 1
    for name in ("x", "y"):
        rows = np.asarray(context[f"features.{name}"])
        wanted = experiment.model.project(params, name, jnp.asarray(lam * rows + (1 - lam) * rows[partner]))
        np.testing.assert_allclose(context[f"z.mixed.{name}"], wanted, atol=1e-6)
        swapped = experiment.model.project(params, name, jnp.asarray(lam * rows[partner] + (1 - lam) * rows))
        assert np.abs(context[f"z.mixed.{name}"] - np.asarray(swapped)).max() > 1e-3
    assert not many["mask.mixed.x"][20:].any() and many["mask.mixed.x"][:20].all()


def test_draws_change_with_the_step_and_are_terms_inputs():
    c = config_with(draws={"share": dict(kind="beta", alpha=2.0, beta=2.0)})
    experiment = training.build(c)
    values = [experiment.batch(step)["draws.share"] for step in range(3)]
    assert all(value.shape == (1,) and value.dtype == np.float32 for value in values) and len({float(v[0]) for v in values}) == 3
    c.losses.contrastive.inputs.logit_scale = "draws.share"
    assert training.build(c).terms[0].inputs["logit_scale"] == "draws.share"


@pytest.mark.parametrize("key", ["x", "all.x"])
def test_a_run_on_views_is_the_same_on_one_device_and_on_eight(key):
    losses = {}
    for mode in ("jit", "pmap"):
        c = config_with(nt_xent(key), views=dict(noise=0.2, feature_dropout=0.0))
        c.parallel = mode
        experiment = training.build(c)
        state = experiment.init_state()
        for step in range(3):
            state, metrics = experiment.train_step(state, experiment.batch(step))
        losses[mode] = float(metrics["loss"])
        if mode == "pmap":
            mask = "mask.all.x" if key == "all.x" else "mask.x"
            assert experiment.terms[0].masks == {"mask": (mask,)}
        else:
            assert experiment.terms[0].masks == {}, "a full device pays nothing"
    assert losses["jit"] == pytest.approx(losses["pmap"], rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "losses", "words"),
    [
        ({}, nt_xent("x"), "views: got a term on z.view.*, with noise=0, feature_dropout=0 and no dropout"),
        (dict(views=dict(noise=-0.1, feature_dropout=0.0)), None, "views.noise: got -0.1; wanted at least 0"),
        (
            dict(views=dict(noise=0.1, feature_dropout=1.0)),
            None,
            "views.feature_dropout: got 1.0; wanted a share from 0 to below 1",
        ),
        (dict(draws={"a": dict(kind="gamma")}), None, 'draws.a.kind: got "gamma"'),
        (dict(mixed=dict(on=True, alpha=0.0)), None, "mixed.alpha: got 0.0; wanted above 0"),
        (dict(task="alignmnt"), None, 'task: got "alignmnt".*Did you mean "alignment"'),
        ({}, {"c": dict(fn="info_nce", inputs=dict(x="z.mixed.x", y="z.y"))}, 'losses.c.inputs.x: got "z.mixed.x"'),
    ],
)
def test_faults_are_named(changes, losses, words):
    with pytest.raises(checks.InputError, match=words):
        training.build(config_with(losses, **changes))


def wired(fn, inputs, available, monkeypatch=None, **kwargs):
    (term,) = build_terms({"t": dict(fn=fn, inputs=inputs, kwargs=kwargs)}, available, total_steps=1)
    return term


AVAILABLE = {
    "z.a": Rows("mask.a", "groups"),
    "z.b": Rows("mask.b", "groups"),
    "z.free": Rows(),
    "mask.a": Rows(),
    "mask.b": Rows(),
    "groups": Rows(),
    "logit_scale": Rows(),
}


def test_masks_and_groups_go_by_the_names_of_the_inputs():
    term = wired("info_nce", dict(x="z.a", y="z.b"), AVAILABLE)
    assert term.masks == {"x_mask": ("mask.a",), "y_mask": ("mask.b",)}
    assert term.inputs == dict(x="z.a", y="z.b", x_groups="groups", y_groups="groups", logit_scale="logit_scale")
    term = wired("info_nce", dict(x="z.a", y="z.free"), AVAILABLE)
    assert term.masks == {"x_mask": ("mask.a",)} and "x_groups" not in term.inputs, "groups of one side are no groups"
    assert wired("nt_xent", dict(x="z.a", y="z.b"), AVAILABLE).masks == {"mask": ("mask.a", "mask.b")}
    assert wired("nt_xent", dict(x="z.a", y="z.a"), AVAILABLE).masks == {"mask": ("mask.a",)}
    assert wired("nt_xent", dict(x="z.a", y="z.b", mask="mask.a"), AVAILABLE).masks == {}


def test_a_mask_of_two_inputs_is_the_rows_of_both():
    term = wired("nt_xent", dict(x="z.a", y="z.b"), AVAILABLE)
    a, b = (np.random.default_rng(i).normal(size=(6, 4)).astype(np.float32) for i in range(2))
    masks = {"mask.a": np.array([1, 1, 1, 0, 1, 1], bool), "mask.b": np.array([1, 0, 1, 1, 1, 1], bool)}
    kept = masks["mask.a"] & masks["mask.b"]
    context = {"z.a": a, "z.b": b, "logit_scale": jnp.asarray(2.0), **masks}
    wanted = LOSSES["nt_xent"](a[kept], b[kept], logit_scale=2.0)
    assert float(term(context)) == pytest.approx(float(wanted), rel=1e-6)
    assert float(term({**context, "mask.b": masks["mask.a"]})) != pytest.approx(float(wanted), rel=1e-3)
