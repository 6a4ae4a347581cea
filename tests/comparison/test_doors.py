"""The doors of compare and fit: ids by their name, what is compared is said first, a kept start is told wherever it shows."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest

import gera_jax
from gera_jax import config as config_lib
from gera_jax.aligners.methods import compared as find
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison import sweep
from gera_jax.comparison.task import make_task
from gera_jax.data import build_data
from gera_jax.training import experiment as tasks
from gera_jax.training.evaluate import overview, overview_text

rng = np.random.default_rng(0)
HIDDEN = rng.normal(size=(60, 4))
X = (HIDDEN @ rng.normal(size=(4, 9))).astype(np.float32)
Y = (HIDDEN @ rng.normal(size=(4, 7))).astype(np.float32)
IDS = np.array([f"img_{i:03d}" for i in range(60)])
ORDER = rng.permutation(60)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same items in two orders, with their ids under names of the user's own."""
    folder = tmp_path_factory.mktemp("own")
    np.savez(folder / "x.npz", picture=X, image_name=IDS, other=X[:, :3])
    np.savez(folder / "y.npz", vector=Y[ORDER], ref=IDS[ORDER])
    np.savez(folder / "more.npz", picture=X[:5] + 0.5, uid=[f"new{i}" for i in range(5)])
    return folder


def told_of(capsys):
    return json.loads(capsys.readouterr().out)


def test_fit_and_compare_take_ids_by_name(files, tmp_path, capsys, caplog):
    words = [
        "--x",
        f"{files}/x.npz:picture",
        "--y",
        f"{files}/y.npz:vector",
        "--x-ids",
        "image_name",
        "--y-ids",
        "ref",
        "--x-unpaired",
        f"{files}/more.npz:picture",
        "--x-unpaired-ids",
        "uid",
    ]
    with caplog.at_level(logging.INFO, "gera_jax"):
        assert main(["fit", "--method", "ridge_cca", *words, "--output", f"{tmp_path}/model", "--json"]) == 0
    data = told_of(capsys)["data"]
    assert data["paired_by"] == "id" and data["meet"] == 60 and data["rows"] == dict(x=65, y=60) and data["unpaired"]["x"] == 5
    assert "65 rows of x, 60 rows of y: 60 items have rows of both, found by id" in caplog.text
    assert gera_jax.Aligner.load(tmp_path / "model").score(X, Y)["mean/R@10"] > 0.9  # by row number: about 10 / 60
    assert (
        main(
            [
                "compare",
                *words,
                "--methods",
                "procrustes",
                "--seeds",
                "2",
                "--counts",
                "20",
                "--jobs",
                "1",
                "--json",
                "--output",
                f"{tmp_path}/out",
            ]
        )
        == 0
    )
    told = told_of(capsys)
    assert told["recommended"] == "procrustes" and told["info"]["data"]["rows"] == dict(x=65, y=60)
    for command in ("command", "train"):
        assert "--x-ids image_name --y-ids ref --x-unpaired-ids uid" in told["info"][command]
    assert told["info"]["look"][0] == f"gera-jax data show {files}/x.npz:picture --ids image_name"


def test_ids_in_python_are_lists_or_names(files):
    right = {tuple(sorted(pair)) for pair in zip(IDS, IDS, strict=True)}
    for given in (
        dict(x=X, y=Y[ORDER], x_ids=IDS.tolist(), y_ids=IDS[ORDER]),
        dict(x=f"{files}/x.npz:picture", y=Y[ORDER], x_ids="image_name", y_ids=IDS[ORDER]),
        dict(x=files / "x.npz:picture", y=f"{files}/y.npz:vector", x_ids=IDS, y_ids="ref"),
    ):
        data = make_task(**given).data(0, 0)
        x, y = (data.tables[name].ids[data.pairs[:, side]] for side, name in enumerate(data.names))
        assert {tuple(sorted(pair)) for pair in zip(x, y, strict=True)} <= right and len(x) == 39
        assert data.train.paired_by == "id"
    with pytest.raises(InputError, match='x_ids: got "image_name" for rows in memory; wanted a list of ids, one a row'):
        make_task(x=X, y=Y, x_ids="image_name")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(x=X, y=Y, x_ids=IDS), "x"),
        (dict(x=X, y=Y[:50]), "60 rows"),
        (dict(x=X, y=Y, x_ids=IDS, y_ids=np.arange(60)), "strings"),
        (dict(x=X, y=Y, x_ids=IDS, y_ids=[f"z{i}" for i in range(60)]), "0 ids on both sides"),
        (dict(x=X, y=Y, x_ids=IDS[:-1], y_ids=IDS), "one id a row"),
    ],
)
def test_ids_that_cannot_pair_are_refused(given, words):
    with pytest.raises(InputError) as error:
        make_task(**given)
    assert words in str(error.value)


def test_rows_of_a_frame_and_of_unpaired_arrays_without_ids():
    task = make_task(x=X, y=Y, x_unpaired=X[:4] + 10)
    assert task.data(20, 0).train.paired_by == "position" and len(task.pairs.tables[0]) == 64
    import pandas

    frame = pandas.DataFrame(dict(name=IDS[ORDER], vector=Y[ORDER].tolist()))
    assert len(make_task(x=X, y=frame, x_ids=IDS, y_ids="name").data(0, 0).pairs) == 39


def test_an_overview_of_three_modalities_and_of_train():
    data = build_data(dict(source="emoji3", pairs=50, split=dict(val=20, test=40)))
    found = overview(data.train, data.val, data.test)
    assert found["pairs"] == dict(train=50, val=20, test=40) and found["chance"]["mean/R@10"] == pytest.approx(10 / 40)
    text = overview_text(found)
    assert text.splitlines()[0].endswith("1,646 rows of speech: 1,646 items have rows of two or more, found by id")


def test_training_says_what_it_works_on_first(caplog):
    config = config_lib.load("contrastive:source=emoji,pairs=30,smoke")
    with caplog.at_level(logging.INFO, "gera_jax"):
        tasks.find_task("alignment").load(config, tables=None)
    assert "1,646 items have rows of both, found by id\npairs: 30 train" in caplog.text


def test_cells_of_trained_methods_know_their_best_step():
    task = make_task(x=X, y=Y)
    data, options = task.data(20, 0), dict(budget=1, metric="mean/R@10")
    trained, closed = find(["contrastive_linear", "procrustes"])
    still = dict(start="ridge_cca", **{"optimizer.lr": 1e-12, "total_steps": 2, "evals.every_steps": 1})
    kept = sweep.run_cell(task, data, dataclasses.replace(trained, settings=[still]), 0, **options)
    assert kept.best_step == 0, kept.error
    assert sweep.run_cell(task, data, closed, 0, **options).best_step is None


def test_settings_are_names_with_values(tmp_path):
    with pytest.raises(InputError, match=r"settings: got \['dim=3'\]; wanted names with values"):
        gera_jax.fit("ridge_cca", tmp_path / "m", data="emoji", settings=["dim=3"])
    assert not (tmp_path / "m").exists()
