"""Aligners of trained methods: as a closed form in every respect, in memory and in a folder."""

from __future__ import annotations

import dataclasses
import pickle

import jax
import numpy as np
import pytest

from gera_jax import Aligner
from gera_jax.aligners.methods import find
from gera_jax.checks import InputError, RunError
from gera_jax.data import Pairs

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(120, 4))
X = HIDDEN @ RNG.normal(size=(4, 9)) + 0.3 * RNG.normal(size=(120, 9))
Y = HIDDEN @ RNG.normal(size=(4, 7)) + 0.3 * RNG.normal(size=(120, 7))
SETTINGS = {"optimizer.lr": 1e-2, "total_steps": 6, "evals.every_steps": 3}


@pytest.fixture(scope="module")
def trained():
    return Aligner("contrastive_linear", settings=SETTINGS).fit(X[:60], Y[:60], X[60:80], Y[70:90])


def test_memory_pickle_and_folder_are_one(trained, tmp_path):
    path = trained.save(tmp_path / "model")
    assert [path.name] == [p.name for p in path.parent.iterdir()]
    for other in (Aligner.load(tmp_path / "model"), pickle.loads(pickle.dumps(trained))):
        np.testing.assert_array_equal(other.transform_x(X), trained.transform_x(X))
        np.testing.assert_array_equal(other.predict_y(X), trained.predict_y(X))
        assert other.settings == SETTINGS and other.method == "contrastive_linear" and other.names == ("x", "y")
        assert dict(other.score(X[90:], Y[90:])) == dict(trained.score(X[90:], Y[90:]))
    assert trained.score(X[90:], Y[90:]) > 1.5 * trained.score(X[90:], Y[90:]).chance["mean/R@10"]
    with pytest.raises(InputError, match="which holds a model"):
        trained.save(tmp_path / "model")


def test_a_run_in_a_folder_goes_on_and_gives_the_same_model(trained, tmp_path):
    options = dict(settings=SETTINGS, folder=tmp_path / "run")
    first = Aligner("contrastive_linear", **options).fit(X[:60], Y[:60], X[60:80], Y[70:90])
    again = Aligner("contrastive_linear", **options).fit(X[:60], Y[:60], X[60:80], Y[70:90])
    for other in (first, again, Aligner.load(tmp_path / "run")):
        np.testing.assert_allclose(other.transform_x(X), trained.transform_x(X), atol=1e-6)
    (tmp_path / "run" / "aligner.npz").unlink()  # as after a kill: the checkpoints know
    np.testing.assert_allclose(Aligner.load(tmp_path / "run").transform_x(X), trained.transform_x(X), atol=1e-6)
    with pytest.raises(InputError, match="which holds a run on other rows of pairs"):
        Aligner("contrastive_linear", **options).fit(X[:60], Y[:60], X[60:80], Y[70:89])


def test_the_same_config_by_name_by_settings_and_by_object_is_one(trained):
    from gera_jax import config

    pairs = Pairs.from_arrays(X[:60], Y[:60], x_unpaired=X[60:80], y_unpaired=Y[70:90])
    spec = "contrastive:start=random,x=own,y=own,pairs=54"
    fields = {key: str(value) for key, value in SETTINGS.items()}
    fields |= {f"data.preprocess.{side}.filter.strength": "0.0" for side in "xy"}
    for made in (Aligner(config.load(spec, fields)), Aligner("contrastive_linear", settings=SETTINGS)):
        np.testing.assert_array_equal(made.fit(pairs).transform_y(Y), trained.transform_y(Y))
    kinds = [
        find(name).kind.load({"geometry": 3.0}) if ":" not in name else find(name).kind.load({})
        for name in ("gera", "gera:geometry=3")
    ]
    assert kinds[0] == kinds[1] != find("gera").kind.load({})


def test_a_training_that_ends_in_nan_is_an_error(trained):
    broken = dataclasses.replace(trained._model, params=jax.tree.map(lambda leaf: leaf * np.nan, trained._model.params))
    other = pickle.loads(pickle.dumps(trained))
    other._model = broken
    with pytest.raises(RunError, match="ended in NaN.*Lower optimizer.lr"):
        other.transform_x(X)


def test_preprocessing_is_what_is_given_then_the_configs_then_the_datas(trained):
    assert not trained._model.config.data.preprocess.x.filter.strength and not trained._model.config.data.preprocess.x.standardize
    pairs = dataclasses.replace(Pairs.from_arrays(X[:40], Y[:40]), preprocess=dict(x=dict(standardize=True)))
    made = Aligner("contrastive_linear", settings=SETTINGS, preprocess=dict(y=dict(pca=3))).fit(pairs)
    block = made._model.config.data.preprocess
    assert block.x.standardize and not block.y.standardize and block.x.pca == 256 and block.y.pca == 3
