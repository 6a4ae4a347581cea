"""scikit-learn's protocol: what its tools ask of an estimator, `Aligner` does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from gera_jax import Aligner
from gera_jax.checks import InputError

RNG = np.random.default_rng(0)
OWN_WORDS = "refused, in words of its own"
TWO_TABLES = "the check gives one column of targets as a list, and y is a table"
EXPECTED_FAILURES = {
    "check_fit_score_takes_y": "the second argument is called y_pairs",
    "check_dont_overwrite_parameters": "fit sets `names`, a public name that is older than the protocol",
    "check_do_not_raise_errors_in_init_or_set_params": "arguments are checked where they are given",
    "check_n_features_in_after_fitting": OWN_WORDS,
    "check_complex_data": OWN_WORDS,
    "check_dtype_object": OWN_WORDS,
    "check_estimators_empty_data_messages": OWN_WORDS,
    "check_fit2d_1sample": OWN_WORDS,
    "check_fit2d_predict1d": OWN_WORDS,
    "check_requires_y_none": OWN_WORDS,
    "check_transformer_data_not_an_array": TWO_TABLES,
    "check_transformer_general": TWO_TABLES,
    "check_transformer_preserve_dtypes": "it has no fit_transform",
}
X = RNG.normal(size=(60, 8))
Y = X @ RNG.normal(size=(8, 6))


@pytest.mark.filterwarnings("ignore")  # sklearn's own
def test_the_checks_of_scikit_learn():
    """Every check but the listed ones, and of these none that passes."""
    found = check_estimator(Aligner("ridge_cca"), expected_failed_checks=EXPECTED_FAILURES, on_skip=None, on_fail=None)
    by_status = {}
    for check in found:
        by_status.setdefault(check["status"], set()).add(check["check_name"])
    assert by_status.get("failed", set()) == set()
    assert by_status["xfail"] == set(EXPECTED_FAILURES) and len(by_status["passed"]) > 25


def test_a_call_before_fit_is_an_error_of_both_libraries():
    with pytest.raises(NotFittedError, match=r"Aligner: got no fit; .*Call .fit\(x_pairs, y_pairs\) first") as caught:
        Aligner("ridge_cca").predict_y(X)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, InputError) and isinstance(again, NotFittedError) and str(again) == str(caught.value)


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
