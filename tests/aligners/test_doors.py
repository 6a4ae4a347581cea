"""One scorer and one folder: the same rows and the same method give the same number at every door."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gera_jax
from gera_jax import Aligner, load_pairs
from gera_jax.aligners.methods import find
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison import task as scoring
from gera_jax.comparison.task import Task

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(150, 4))
X = HIDDEN @ RNG.normal(size=(4, 12)) + 0.7 * RNG.normal(size=(150, 12)) + 3
Y = HIDDEN @ RNG.normal(size=(4, 9)) + 0.7 * RNG.normal(size=(150, 9))
STEPS = {"total_steps": 4, "evals.every_steps": 2, "parallel": "jit"}
METHODS = {"ridge_cca": {}, "auto": dict(views=("plain", "smoothed")), "contrastive": STEPS}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return folder


def json_of(capsys):
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_door_gives_the_same_number(method, files, tmp_path, capsys):
    settings = METHODS[method]
    pairs = load_pairs(files / "x.npy", files / "y.npy")
    task = Task(pairs, val=20, test=40)
    data, (train, val, test) = task.data(80, 0), task.parts(80, 0)
    held = [test.tables[side].rows[np.unique(test.rows[:, side])] for side in (0, 1)]

    aligner = Aligner(method, settings=settings, validation=val).fit(train)
    want = dict(aligner.score(test))
    assert 0.3 < want["mean/R@10"] < 1 and want["foscttm"] < 0.4
    assert dict(aligner.score(*held)) == want  # arrays
    cell = scoring.measure(data, scoring.scores_of(data, find(method).fit(data, settings)))  # compare
    assert {key: cell[key] for key in want} == want
    aligner.save(tmp_path / "model", test=test)
    assert dict(gera_jax.load(tmp_path / "model").score(test)) == want
    assert dict(gera_jax.evaluate(tmp_path / "model")) == want  # the rows are found again
    np.save(tmp_path / "a.npy", held[0])
    np.save(tmp_path / "b.npy", held[1])
    words = [
        "evaluate",
        "--workdir",
        str(tmp_path / "model"),
        "--json",
        "--x",
        str(tmp_path / "a.npy"),
        "--y",
        str(tmp_path / "b.npy"),
    ]
    assert main(words) == 0 and json_of(capsys) == want


@pytest.mark.parametrize("method", ["ridge_cca", "contrastive"])
def test_train_takes_every_name_and_evaluate_its_folder(method, files, tmp_path, capsys):
    fields = ["--config.data.split.val=20", "--config.data.split.test=40"]
    fields += [f"--config.{key}={value}" for key, value in METHODS[method].items()]
    own = ["--x", str(files / "x.npy"), "--y", str(files / "y.npy"), "--pairs", "80"]
    run = str(tmp_path / "run")
    assert main(["train", "--config", method, *own, "--workdir", run, "--json", *fields]) == 0
    told = json_of(capsys)
    _, _, test = load_pairs(files / "x.npy", files / "y.npy").split(val=20, test=40)
    want = gera_jax.load(run).score(test)
    assert {key: told["metrics"][key] for key in want} == dict(want) and told["split"] == "test"
    assert main(["evaluate", "--workdir", run, "--json"]) == 0
    assert {key: value for key, value in json_of(capsys).items() if key in want} == dict(want)
    assert main(["embed", "--workdir", run, "--modality", "x", "--input", str(files / "x.npy"), "--output", f"{run}.npy"]) == 0
    np.testing.assert_allclose(np.load(f"{run}.npy"), gera_jax.load(run).transform_x(X), atol=1e-6)


def test_a_folder_that_held_nothing_out_says_what_to_do(files, tmp_path):
    Aligner("ridge_cca").fit(X, Y).save(tmp_path / "model")
    with pytest.raises(InputError, match=r"a model that held out no test rows.*gera-jax evaluate .*model --x X.npy --y Y.npy"):
        gera_jax.evaluate(tmp_path / "model")
    with pytest.raises(InputError, match="without run.json or aligner.npz"):
        gera_jax.evaluate(tmp_path / "nowhere")


def test_rows_that_changed_since_the_fit_are_not_scored(files, tmp_path):
    np.save(tmp_path / "x.npy", X)
    pairs = load_pairs(tmp_path / "x.npy", files / "y.npy")
    train, test = pairs.split(test=40)
    Aligner("ridge_cca").fit(train).save(tmp_path / "model", test=test)
    np.save(tmp_path / "x.npy", X[::-1])
    with pytest.raises(InputError, match="got other rows than .* was fitted on"):
        gera_jax.evaluate(tmp_path / "model")
    (tmp_path / "x.npy").unlink()
    with pytest.raises(InputError, match="x.npy.*Give the rows: gera-jax evaluate"):
        gera_jax.evaluate(tmp_path / "model")
