"""Aligner by every method name: fitted, saved, loaded, and the words of its faults."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from gera_jax import Aligner, solvers
from gera_jax.aligners.methods import find, method_names, methods
from gera_jax.checks import InputError
from gera_jax.solvers.store import from_arrays, to_arrays

CLOSED_FORMS = [name for name, method in methods().items() if not method.needs_validation]


@pytest.fixture(scope="module")
def views():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(140, 4))
    return hidden @ rng.normal(size=(4, 9)) + 3, hidden @ rng.normal(size=(4, 7)) - 1


@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_closed_forms_fit_save_and_load(views, method, tmp_path):
    x, y = views
    aligner = Aligner(method).fit(x[:40], y[:40], x[40:70], y[70:100])
    score = aligner.score(x[100:], y[100:])
    assert score["mean/R@10"] > 0.35  # of 40 items: chance is 0.25
    assert (
        Aligner(method).fit(x[:40], y[:40][::-1], x[40:70], y[70:100]).score(x[100:], y[100:])["mean/R@10"] < score["mean/R@10"]
    )
    aligner.save(tmp_path)
    again = Aligner.load(tmp_path)
    np.testing.assert_allclose(again.transform_x(x[100:]), aligner.transform_x(x[100:]), atol=1e-6)
    np.testing.assert_allclose(again.transform_y(y[100:]), aligner.transform_y(y[100:]), atol=1e-6)
    with pytest.raises(InputError, match="which holds a model; wanted an empty folder"):
        aligner.save(tmp_path)


def test_settings_and_preprocessing_reach_the_closed_form(views):
    x, y = views
    scaled = x * np.r_[1000.0, np.ones(8)]
    plain, standard = (
        Aligner("ridge_cca", settings=dict(dim=3), preprocess=options).fit(scaled[:60], y[:60])
        for options in ({}, dict(x=dict(standardize=True)))
    )
    assert plain.transform_x(x).shape[1] == 3
    assert standard.score(scaled[100:], y[100:])["foscttm"] < plain.score(scaled[100:], y[100:])["foscttm"]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda x, y: Aligner("kernel_cac"),
            'method: got "kernel_cac"; wanted a known name. Did you mean "kernel_cca" or "ridge_cca"?',
        ),
        (lambda x, y: Aligner("asif").fit(x[:1], y[:1]), "x_pairs: got 1 pairs; wanted at least 2 pairs."),
        (
            lambda x, y: Aligner("asif").fit(x[:5], np.ones((5, 1))),
            "y_pairs: got rows that are all equal; wanted rows that differ. Are the right array and the right rows given?",
        ),
        (
            lambda x, y: Aligner("asif").save("nowhere"),
            "Aligner.save: got no fit; wanted a call after fit. Call .fit(x_pairs, y_pairs) first.",
        ),
        (
            lambda x, y: Aligner("ridge_cca", settings=dict(dimm=3)),
            'setting of RidgeCCA: got "dimm"; wanted a known name. Did you mean "dim"?',
        ),
        (
            lambda x, y: Aligner("ridge_cca", settings={"seed": "1"}),
            'setting of RidgeCCA: got "seed"; wanted a known name. Known: correlation_power, dim, regularization.',
        ),
        (
            lambda x, y: Aligner("gera", settings=dict(geometri=3.0)),
            'argument of the config: got "geometri"; wanted a known name. Did you mean "geometry"?',
        ),
        (lambda x, y: Aligner("asif").fit(x[:5], y[:5]).embed("z", x), 'modality: got "z"; wanted a known name. Known: x, y.'),
    ],
)
def test_faults_in_words(views, act, words):
    with pytest.raises(InputError) as error:
        act(*views)
    assert str(error.value) == words


@pytest.mark.parametrize("method", CLOSED_FORMS)
def test_settings_are_refused_before_any_row_is_read(method):
    bad = ["x", -1, float("nan"), 2.5, [], {}, (), [3], 10**400, 1j]
    refused = 0
    for name in inspect.signature(type(find(method).kind.make({}))).parameters:
        for value in bad:
            try:
                Aligner(method, settings={name: value})  # 2.5 is a weight as good as any
            except InputError as error:
                refused += str(error).startswith(("view:", f"{name}:"))
    assert refused > 5
    with pytest.raises(InputError, match='field of preprocess.x: got "pcaa"; wanted a known name. Did you mean "pca"'):
        Aligner(method, preprocess=dict(x=dict(pcaa=3)))
    with pytest.raises(InputError, match='preprocess: got "z"'):
        Aligner(method, preprocess=dict(z=dict(pca=3)))
    with pytest.raises(InputError, match="preprocess.y.pca: got -1"):
        Aligner(method, preprocess=dict(y=dict(pca=-1)))


def test_every_name_is_there():
    assert {
        "procrustes",
        "ridge_cca",
        "kernel_cca",
        "sue",
        "contrastive_linear",
        "contrastive_mlp",
        "gera",
        "fusemix",
        "sotalign",
    } <= set(method_names())


def test_stored_models_hold_no_code():
    arrays = to_arrays(solvers.Procrustes().fit(np.eye(3), np.eye(3)))
    assert all(array.dtype.kind in "fiU" for array in arrays.values())
    arrays["tree"] = np.array(str(arrays["tree"]).replace("gera_jax.solvers.procrustes:Procrustes", "os:system"))
    with pytest.raises(InputError) as error:
        from_arrays(arrays)
    assert str(error.value) == "model: got an object of os; wanted one of gera_jax.solvers."
    with pytest.raises(InputError, match="wanted numbers, texts, arrays"):
        to_arrays(type("Odd", (), {"__module__": "gera_jax.solvers.odd"})().__class__)
