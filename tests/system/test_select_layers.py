"""`select-layers` from files to a trained run, and files with a layer axis everywhere else."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

import gera_jax
from gera_jax import config
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.data import build_data, load_table, synthetic
from gera_jax.data.alignment import cut, shapes
from gera_jax.data.tables import load_layers

ARGS = "gera:pairs=60,smoke"
SETTINGS = ["--config.data.split.val=20", "--config.data.split.test=20", "--config.tensorboard=off", "--config.parallel=jit"]


@pytest.fixture
def files(tmp_path):
    """120 items of two encoders, rows of y in another order; the shared coordinates are best seen in layers 1 and 2."""
    x, y, answer = synthetic.layered_pair(120, x_layers=3, y_layers=4, informative=(1, 2), x_dim=16, y_dim=20)
    order = np.random.default_rng(0).permutation(120)
    np.savez(tmp_path / "x.npz", layers=x, ids=np.arange(120).astype(str))
    np.savez(tmp_path / "y.npz", layers=y[order], ids=order.astype(str))
    np.save(tmp_path / "z.npy", x)
    return tmp_path, x, y, answer


def small(folder):
    """A config that fits 120 items."""
    c = config.load(ARGS)
    c.data.split.update(val=20, test=20)
    c.tensorboard, c.parallel = "off", "jit"
    for name in ("x", "y"):
        c.data.preprocess[name].pca = 0
    path = folder / "base.json"
    names = c.data.x.name, c.data.y.name
    assert names == ("image", "text")
    path.write_text(config.to_json(c))
    return str(path)


def test_from_layers_to_a_trained_run(files, capsys):
    folder, _, _, answer = files
    argv = [
        "select-layers",
        "--x",
        f"{folder}/x.npz:layers",
        "--y",
        f"{folder}/y.npz:layers",
        "--config",
        small(folder),
        "--output",
        f"{folder}/mine.json",
        "--plot",
        f"{folder}/heat.svg",
    ]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "mutual_knn, k 8, on 60 known training pairs" in out and "best: layer 1 of x and 2 of y" in out
    assert f"gera-jax train --config {folder}/mine.json" in out
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["x_layer"], found["y_layer"]) == answer.layers
    assert np.shape(found["scores"]) == (3, 4) and found["score"] == np.max(found["scores"]) > found["last"]
    assert (folder / "heat.svg").read_text().count("<svg") == 1
    written = config.load(f"{folder}/mine.json")
    assert (written.data.x.layer, written.data.y.layer) == ("1", "2")
    assert main(["train", "--config", f"{folder}/mine.json", "--workdir", f"{folder}/run"]) == 0
    assert "best step" in capsys.readouterr().out


@pytest.mark.parametrize("measure", ["cka", "unbiased_cka", "cknna"])
def test_other_measures_find_the_same_layers(files, measure):
    folder, *_, answer = files
    found = gera_jax.select_layers(f"{folder}/x.npz:layers", f"{folder}/y.npz:layers", measure=measure, k=6, config=small(folder))
    assert (found["x_layer"], found["y_layer"]) == answer.layers
    assert found["k"] == (6 if measure == "cknna" else None)


def test_held_out_rows_are_never_looked_at(files, monkeypatch):
    """Rubbish in every row of validation and test changes no score; in a training row it does."""
    folder, x, *_ = files
    base = small(folder)
    given = f"{folder}/x.npz:layers", f"{folder}/y.npz:layers"
    want = gera_jax.select_layers(*given, config=base)["scores"]
    c = config.load(base)
    c.data.update(source="files")
    c.data.x.update(path=f"{folder}/x.npz", key="layers", layer="0")
    c.data.y.update(path=f"{folder}/y.npz", key="layers", layer="0")
    data = build_data(c.data.to_dict())
    for rows, changed in ((np.concatenate([data.val.rows, data.test.rows]), False), (data.pairs[:20], True)):
        spoiled = x.copy()
        spoiled[rows[:, 0]] = 100 * np.random.default_rng(0).normal(size=spoiled[rows[:, 0]].shape)
        np.savez(folder / "x.npz", layers=spoiled, ids=np.arange(120).astype(str))
        assert np.allclose(gera_jax.select_layers(*given, config=base)["scores"], want, atol=1e-12) != changed
    assert len(data.val) == len(data.test) == 20


def test_at_most_so_many_pairs(files):
    folder, *_ = files
    given = f"{folder}/x.npz:layers", f"{folder}/y.npz:layers"
    assert gera_jax.select_layers(*given, config=small(folder), max_pairs=30)["pairs"] == 30


def test_a_layer_of_a_file(files):
    folder, x, _, _ = files
    for layer, number in (("1", 1), (1, 1), ("-1", 2)):
        table = load_table(folder / "x.npz", key="layers", layer=layer)
        assert np.array_equal(table.rows, x[:, number]) and table.ids[3] == "3"
    mapped = load_table(folder / "z.npy", layer="0").rows
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, x[:, 0])
    assert load_layers(folder / "z.npy")[0].shape == (120, 3, 16)
    block = dict(
        source="files", x=dict(path=f"{folder}/x.npz", key="layers", layer="2"), y=dict(path=f"{folder}/y.npz", layer="-1")
    )
    assert shapes(*cut(block, rows=False)) == {"x": (120, 16), "y": (120, 20)}
    made = build_data(dict(block, split=dict(val=20, test=20)))
    assert np.array_equal(made.tables["x"].rows, x[:, 2])


def test_without_a_layer_all_stand_side_by_side(files):
    folder, x, *_ = files
    table = load_table(folder / "x.npz", key="layers")
    assert table.parts == (16, 16, 16)
    np.testing.assert_array_equal(table.rows, x.reshape(120, 48))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("3", r"layer: got 3; wanted from 0 to 2, or from -3 to -1"),
        ("-4", r"layer: got -4"),
        ("last", r"layer: got 'last'; wanted a whole number"),
    ],
)
def test_a_layer_that_is_not_there(files, layer, words):
    folder, *_ = files
    with pytest.raises(InputError, match=words):
        load_table(folder / "x.npz", key="layers", layer=layer)
    block = dict(source="files", x=dict(path=f"{folder}/x.npz", layer=layer), y=dict(path=f"{folder}/y.npz", layer="0"))
    for look in (partial(cut, rows=False), build_data):
        with pytest.raises(InputError, match=words):
            look(block)


def test_a_layer_of_a_matrix(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 3)))
    with pytest.raises(InputError, match=r"layer: got layer 1 of an array \[4, 3\]; wanted an array \[n, layers, d\]"):
        load_table(tmp_path / "a.npy", layer="1")
    with pytest.raises(InputError, match=r"got shape \[4, 3\]; wanted an array \[n, layers, d\].*np.stack"):
        load_layers(tmp_path / "a.npy")


def test_faults_of_the_command(files, capsys):
    folder, *_ = files
    argv = ["select-layers", "--x", f"{folder}/x.npz:layers", "--y", f"{folder}/y.npz:layers", "--config", small(folder)]
    for extra, words in (
        (["--measure", "mutual"], 'Did you mean "mutual_knn"'),
        (["--k", "60"], "k: got 60"),
        (["--output", "a.txt"], "wanted a .json file"),
        (["--x", f"{folder}/none.npz:layers"], "none.npz"),
    ):
        assert main([*argv, *extra]) == 2
        assert words in capsys.readouterr().err
