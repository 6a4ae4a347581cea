"""A run on three modalities, of which items may lack one, is one run: start, masks, measures, devices, folder."""

import numpy as np
import pytest

from gera_jax import checks, training
from gera_jax import config as config_lib
from gera_jax.data import Table
from gera_jax.solvers import GeneralizedCCA, RidgeCCA
from gera_jax.training.experiment import preflight

NAMES = ("image", "text", "speech")


def tables(n=120, seed=0):
    """Three linear looks at the same points; every item with i % 6 == 2 lacks speech, with i % 6 == 4 lacks the image."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 4))
    lacks = {"image": 4, "text": 99, "speech": 2}
    found = []
    for name, d in zip(NAMES, (8, 7, 6), strict=True):
        keep = np.arange(n) % 6 != lacks[name]
        rows = points @ rng.normal(size=(4, d)) + 0.05 * rng.normal(size=(n, d))
        found.append(Table(rows[keep], np.arange(n)[keep], name))
    return tuple(found)


def three_config(mode="jit", **changes):
    c = config_lib.base()
    c.data.update(source="arrays", pairs=40)
    for side, name in zip("xyw", NAMES, strict=True):
        c.data[side].name = name
    c.data.split.update(val=24, test=24)
    c.losses = config_lib.each_pair(config_lib.modalities(c), "symmetric_info_nce", prefix="contrastive")
    c.model.update(dim=4, temperature=0.1)
    c.batch.pairs = 20
    c.total_steps, c.parallel, c.tensorboard = 6, mode, "off"
    c.evals.every_steps = c.checkpoint.every_steps = 3
    c.log_every_steps = 2
    for field, value in changes.items():
        config_lib.override(c, field, str(value))
    return c


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("three") / "run"
    return training.train(three_config(), workdir, tables=tables()), workdir


def test_masks_are_wired_where_rows_are_missing(run):
    masks = {term.name: term.masks for term in run[0].experiment.terms}
    assert masks == {
        "contrastive_image_text": {"x_mask": ("mask.image",)},
        "contrastive_image_speech": {"x_mask": ("mask.image",), "y_mask": ("mask.speech",)},
        "contrastive_text_speech": {"y_mask": ("mask.speech",)},
    }


def test_each_pair_is_measured_on_what_it_has(run):
    result, workdir = run
    metrics = result.evaluate("test")
    for pair in ("image-text", "image-speech", "text-speech"):
        assert metrics[f"{pair}/mean/R@10"] > 0.9 and metrics[f"{pair}/foscttm"] < 0.05
    assert metrics["mean/R@1"] == pytest.approx(np.mean([metrics[f"{a}-{b}/mean/R@1"] for a, b in config_lib.pairs(NAMES)]))
    assert {k.split("/")[-1] for k in metrics if k.startswith("neighbours_kept")} == set(NAMES)
    loaded = training.load_run(workdir)
    assert loaded.evaluate("test", tables=tables()) == pytest.approx(metrics)
    assert loaded.embed("speech", tables()[2].rows[:3]).shape == (3, 4)


def test_diagnostics_of_each_modality_and_pair(run):
    logged = next(row for row in run[0].history if "loss" in row)
    names = {f"{name}/{a}-{b}" for name in ("alignment", "modality_gap") for a, b in config_lib.pairs(NAMES)}
    names |= {f"{name}/{m}" for name in ("effective_rank", "mean_cosine", "uniformity") for m in NAMES}
    assert names <= set(logged) and all(np.isfinite(logged[name]) for name in names)


def test_one_device_and_eight_are_the_same_run():
    many = training.train(three_config("pmap"), tables=tables())
    one = training.train(three_config(), tables=tables())
    rows = [[row for row in run.history if "loss" in row][-1] for run in (one, many)]
    for key in rows[0]:
        assert rows[1][key] == pytest.approx(rows[0][key], rel=2e-3, abs=1e-4), key
    assert rows[0]["loss"] < next(row for row in one.history if "loss" in row)["loss"]


def test_rows_that_are_missing_are_zeros_and_change_nothing():
    experiment = training.build(three_config(), tables=tables())
    batch = {key: value[0] for key, value in experiment.batch(0).items()}
    params = experiment.init_state().params
    wanted = {f"{space}.{name}" for space in ("features", "z") for name in NAMES}
    context = experiment.task.context(experiment.config, experiment.model, params, batch, wanted=wanted)
    for name in ("image", "speech"):
        mask = np.asarray(context[f"mask.{name}"])
        assert 0 < mask.sum() < 20
        assert not np.asarray(context[f"features.{name}"])[~mask].any() and not np.asarray(context[f"z.{name}"])[~mask].any()
    spoilt = {**context, "z.speech": np.where(context["mask.speech"][:, None], context["z.speech"], np.nan)}
    for term in experiment.terms:
        assert float(term(spoilt)) == float(term(context))


def test_generalised_cca_of_two_is_ridge_cca():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 5))
    y = x @ rng.normal(size=(5, 4)) + rng.normal(size=(30, 4))
    many, two = GeneralizedCCA().fit({"x": x, "y": y}), RidgeCCA().fit(x, y)
    np.testing.assert_allclose(many.correlations, two.correlations[: len(many.correlations)], atol=1e-9)
    np.testing.assert_allclose(np.abs(many.transform("x", x)), np.abs(two.transform_x(x)), atol=1e-8)
    np.testing.assert_allclose(many.transform("x", x) @ many.transform("y", y).T, two.similarity(x, y), atol=1e-8)
    assert np.abs(GeneralizedCCA(regularization=0.1).fit({"x": x, "y": y}).correlations - two.correlations).max() > 0.05


def test_generalised_cca_of_three_with_rows_missing_finds_the_shared_space():
    data = training.build(three_config(), tables=tables()).data
    masks = {name: data.pairs[:, column] >= 0 for column, name in enumerate(NAMES)}
    rows = {
        name: data.features[name].take(np.maximum(data.pairs[:, column], 0)).astype(np.float64)
        for column, name in enumerate(NAMES)
    }
    for name in ("image", "speech"):
        rows[name][~masks[name]] = np.nan  # a row that is missing is not read
    model = GeneralizedCCA(regularization=0.01).fit(rows, masks)
    held = data.test.rows[(data.test.rows >= 0).all(1)]
    z = [model.transform(name, data.features[name].take(held[:, column])) for column, name in enumerate(NAMES)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        found = np.argmax(z[a] @ z[b].T, axis=1)
        assert (found == np.arange(len(held))).mean() > 0.9 > 0.3 > (found == np.roll(np.arange(len(held)), 1)).mean()


@pytest.mark.parametrize(
    ("rows", "masks", "words"),
    [
        ({"a": np.ones((3, 2))}, None, "rows: got 1 modalities; wanted at least 2"),
        ({"a": np.eye(3), "b": np.eye(2)}, None, "wanted as many of each modality"),
        ({"a": np.eye(3), "b": np.ones((3, 2))}, None, "b: got rows that are all equal"),
        (
            {"a": np.eye(4), "b": np.eye(4)},
            {"a": np.array([1, 1, 0, 0], bool), "b": np.array([0, 0, 1, 1], bool)},
            "a: got no item in common with another modality",
        ),
        ({"a": np.eye(3), "b": np.eye(3)}, {"a": np.array([1, 0, 0], bool)}, "a: got 1 rows; wanted at least 2"),
    ],
)
def test_faults_of_generalised_cca_are_named(rows, masks, words):
    with pytest.raises(checks.InputError, match=words):
        GeneralizedCCA().fit(rows, masks)


def test_faults_of_three_are_named():
    with pytest.raises(checks.InputError, match='model.init: got "procrustes" with 3 modalities; wanted a start for any number'):
        training.build(three_config(**{"model.init": "procrustes"}), tables=tables())


def test_the_check_of_three_reads_headers_alone():
    c = config_lib.base()
    c.data = config_lib.embedding_pair("emoji3", pairs=100)
    c.losses = config_lib.each_pair(
        config_lib.modalities(c),
        "symmetric_info_nce",
        prefix="contrastive",
        weight={("image", "text"): 2.0, ("text", "speech"): 1.0},
    )
    c.total_steps = 3
    found = preflight(c)
    assert list(found["tables"]) == list(NAMES) and list(c.losses) == ["contrastive_image_text", "contrastive_text_speech"]
    assert "contrastive_text_speech" in found["terms"]
