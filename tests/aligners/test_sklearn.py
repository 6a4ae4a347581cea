"""scikit-learn's protocol: what its tools ask of an estimator, `Aligner` does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from gera_jax import Aligner
from gera_jax.checks import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8))
Y = X @ RNG.normal(size=(8, 6))


def test_a_clone_holds_the_same_arguments_and_no_fit():
    settings = dict(dim=3)
    fitted = Aligner("ridge_cca", settings=settings, preprocess=dict(x=dict(standardize=True)), seed=4).fit(X, Y)
    made = clone(fitted)
    assert made.get_params() == fitted.get_params()
    assert fitted.settings is settings  # as they were given, which `clone` compares by identity
    assert fitted.__sklearn_is_fitted__() and not made.__sklearn_is_fitted__()
    np.testing.assert_array_equal(made.fit(X, Y).transform_x(X), fitted.transform_x(X))


def test_an_aligner_that_is_not_fitted_holds_its_arguments_alone():
    assert vars(Aligner("ridge_cca")) == Aligner("ridge_cca").get_params()


def test_names_before_version_0_3_are_stored_under_the_new_ones(tmp_path):
    old = Aligner("ridge_cca", settings=dict(dim=3), overrides=dict(regularization=1.0), workdir=tmp_path)
    assert (old.settings, old.folder) == (dict(dim=3, regularization=1.0), tmp_path)
    assert clone(old).get_params().keys() == Aligner().get_params().keys()
    with pytest.raises(InputError, match='got "setings".*Did you mean "settings"'):
        Aligner("ridge_cca", setings=dict(dim=3))


def test_a_grid_search_chooses_by_held_out_pairs():
    """y holds 6 directions of x: a shared space of one of them finds fewer partners."""
    search = GridSearchCV(Aligner(), dict(method=["procrustes", "ridge_cca"], settings=[{}, dict(dim=4), dict(dim=1)]), cv=3)
    search.fit(X, Y)
    scores = {
        (p["method"], p["settings"].get("dim")): s
        for p, s in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    }
    assert len(scores) == 6 and search.best_params_["settings"].get("dim") != 1
    assert scores["ridge_cca", None] > scores["ridge_cca", 1]
    assert search.best_score_ == max(scores.values())
    assert search.transform(X).shape[0] == len(X)


def test_cross_validation_is_the_score_of_each_fold():
    found = cross_val_score(Aligner("ridge_cca", settings=dict(dim=2)), X, Y, cv=3)
    folds = [np.arange(20) + start for start in (0, 20, 40)]
    for score, fold in zip(found, folds, strict=True):
        rest = np.setdiff1d(np.arange(60), fold)
        assert score == float(Aligner("ridge_cca", settings=dict(dim=2)).fit(X[rest], Y[rest]).score(X[fold], Y[fold]))


def test_a_pickle_keeps_the_fit_and_its_predictions():
    fitted = Aligner("ridge_cca").fit(X, Y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform_x(X), fitted.transform_x(X))
    np.testing.assert_array_equal(again.predict_y(X), fitted.predict_y(X))
    assert again.get_params() == fitted.get_params()


def test_set_params_changes_all_or_nothing():
    aligner = Aligner("ridge_cca")
    assert aligner.set_params(settings=dict(dim=2), seed=3) is aligner
    before = aligner.get_params()
    with pytest.raises(InputError, match="dimm"):
        aligner.set_params(seed=5, settings=dict(dimm=2))
    with pytest.raises(InputError, match="overide"):
        aligner.set_params(overide={})
    assert aligner.get_params() == before
