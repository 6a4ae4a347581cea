"""Exported maps give the model's rows in a process that does not know gera_jax."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import gera_jax as gj
from gera_jax.aligners.export import export
from gera_jax.checks import InputError
from gera_jax.cli.main import main
from gera_jax.data import Pairs

READ = """
import sys, json, numpy as np
sys.modules["gera_jax"] = sys.modules["jax"] = None  # neither can be imported
sys.path.insert(0, "maps")
from load_maps import load
maps = load("maps")
np.savez("out.npz", **{name: run(np.load("rows.npz")[name[-1] if name.startswith("transform") else {"y": "x", "x": "y"}[name[-1]]])
                       for name, run in maps.items()})
"""


def rows(n=80, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    return 3 + z @ rng.normal(size=(4, 7)), 1 + z @ rng.normal(size=(4, 5)) + 0.1 * rng.normal(size=(n, 5))


def read(folder, x, y):
    np.savez(folder / "rows.npz", x=x, y=y)
    subprocess.run([sys.executable, "-c", READ], cwd=folder, check=True)
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize("preprocess", [{}, dict(x=dict(standardize=True, pca=4), y=dict(l2=False, center=False))])
@pytest.mark.parametrize("method", ["ridge_cca", "procrustes"])
def test_a_linear_model_alone_gives_the_same_rows(method, preprocess, tmp_path):
    x, y = rows()
    aligner = gj.Aligner(method, preprocess=preprocess).fit(x[:50], y[:50])
    found = export(aligner, tmp_path / "maps")
    assert found.maps == ["transform_x", "transform_y", "predict_y", "predict_x"] and not found.left_out
    got = read(tmp_path, x[50:], y[50:])
    for name, own in got.items():
        want = getattr(aligner, name)(x[50:] if name in ("transform_x", "predict_y") else y[50:])
        np.testing.assert_allclose(own, want, atol=1e-5 * np.abs(want).max())
    other = gj.Aligner(method).fit(x[20:70], y[20:70]).predict_y(x[50:])  # companion: another fit is told apart
    assert np.abs(got["predict_y"] - other).max() > 1e-5 * np.abs(other).max()


def test_what_is_not_linear_is_left_out_and_that_is_said(tmp_path, capsys):
    x, y = rows(200)
    gj.Aligner("auto").fit(x[:150], y[:150]).save(tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), "--output", str(tmp_path / "maps")]) == 0
    out = capsys.readouterr().out
    assert (
        "predict_y, predict_x" in out
        and "not exported: transform_x (the method's map into the shared space is not linear)" in out
    )
    card = json.loads((tmp_path / "maps" / "card.json").read_text())
    assert (
        card["method"] == "auto"
        and list(card["maps"]) == ["predict_y", "predict_x"]
        and card["maps"]["predict_y"]["input_width"] == 7
    )
    got = read(tmp_path, x[150:], y[150:])["predict_y"]
    want = gj.load(tmp_path / "model").predict_y(x[150:])
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_several_tables_keep_their_predictions(tmp_path):
    x, y = rows()
    found = export(gj.Aligner("ridge_cca").fit(Pairs.from_arrays([x, x**2], y)), tmp_path / "maps")
    assert found.maps == ["predict_y", "predict_x"]


def test_a_large_offset_costs_no_digits(tmp_path):
    x, y = rows()
    x += 1e9
    aligner = gj.Aligner("ridge_cca").fit(x[:50], y[:50])
    export(aligner, tmp_path / "maps")
    got = read(tmp_path, x[50:], y[50:])
    for name in ("transform_x", "predict_y"):
        want = getattr(aligner, name)(x[50:])
        np.testing.assert_allclose(got[name], want, atol=1e-5 * np.abs(want).max())
    rounded = read(tmp_path, x[50:].astype(np.float32), y[50:])["predict_y"]  # companion: rows that lost their digits
    assert np.abs(rounded - got["predict_y"]).max() > 1e-2


def test_a_folder_in_use_and_three_modalities_are_refused(tmp_path):
    x, y = rows()
    aligner = gj.Aligner("procrustes").fit(x, y)
    aligner.save(tmp_path / "model")
    with pytest.raises(InputError, match="which holds a model"):
        export(aligner, tmp_path / "model")
    with pytest.raises(InputError, match="without run.json or aligner.npz"):
        export(tmp_path / "none", tmp_path / "maps")
