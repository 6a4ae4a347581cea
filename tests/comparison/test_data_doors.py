"""Every door takes the same data the same way: own files of any size, lists of pairs, captions; `check` sees what `train` sees."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gera_jax
from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.doors import configure
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.data import Table, load_pairs
from gera_jax.training.evaluate import overview

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(90, 4))
X, Y = ((HIDDEN @ RNG.normal(size=(4, d))).astype(np.float32) for d in (9, 7))
IDS = np.array([f"i{i:03d}" for i in range(90)])
QUICK = ["--config", "contrastive:smoke"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    order = RNG.permutation(90)
    np.savez(folder / "x.npz", rows=X, ids=IDS)
    np.savez(folder / "y.npz", rows=Y[order], ids=IDS[order])
    np.savez(folder / "other.npz", rows=Y[order], ids=[f"t{i}" for i in order])
    np.savez(folder / "numbers.npz", rows=Y, ids=np.arange(90))
    np.savez(folder / "captions.npz", rows=np.concatenate([Y, Y + 0.1]), ids=np.concatenate([IDS, IDS]))
    np.savez(folder / "meta.npz", rows=X, meta=json.dumps([dict(id=str(i), scene=f"s{n // 3}") for n, i in enumerate(IDS)]))
    (folder / "pairs.csv").write_text("x_id,y_id\n" + "".join(f"i{i:03d},t{i}\n" for i in range(90)))
    return folder


def own(files, y="y", x="x"):
    return ["--x", f"{files}/{x}.npz:rows", "--y", f"{files}/{y}.npz:rows"]


def test_90_own_pairs_are_enough_for_train(files, tmp_path, capsys):
    assert main(["check", *QUICK, *own(files), "--pairs", "0"]) == 0
    assert main(["train", *QUICK, *own(files), "--pairs", "0", "--workdir", f"{tmp_path}/run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["data"]["pairs"] == dict(train=59, val=9, test=22)
    held = load_pairs(f"{files}/x.npz:rows", f"{files}/y.npz:rows").split(val="auto")[2]
    assert len(held) == 22


@pytest.mark.parametrize("count", [20, 400, 20_000])
def test_own_files_of_other_sizes(count, tmp_path):
    for name, width in (("x", 5), ("y", 3)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(width).normal(size=(count, width)))
    gera_jax.check("contrastive:smoke", x=f"{tmp_path}/x.npy", y=f"{tmp_path}/y.npy", pairs=0)


def test_a_list_of_pairs_is_the_same_in_every_door(files, tmp_path, capsys):
    words = [*own(files, "other"), "--pairs", f"{files}/pairs.csv"]
    assert main(["check", *QUICK, *words]) == 0 and main(["check", *QUICK, *own(files, "other"), "--pairs", "0"]) == 2
    assert "0 ids on both sides" in capsys.readouterr().err
    made = configure("contrastive:smoke", x=words[1], y=words[3], pairs=words[5]).config
    data = gera_jax.data.build_data(made.data.to_dict())
    pairs = load_pairs(words[1], words[3], pairs=words[5])
    train, val, test = pairs.split(val="auto")
    for rows, part in ((data.pairs, train), (data.val.rows, val), (data.test.rows, test)):
        assert np.array_equal(rows, part.rows)
    found = overview(data.train, data.val, data.test)
    assert found["paired_by"] == "list" and found["meet"] == 90
    ids = [table.ids[data.pairs[:, side]] for side, table in enumerate(data.tables.values())]
    assert all(int(a[1:]) == int(b[1:]) for a, b in zip(*ids, strict=True))
    assert main(["check", "--config", "contrastive:source=emoji,smoke", "--pairs", words[5]]) == 2
    assert "Give --x FILE and --y FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (lambda f: [*own(f, "other"), "--pairs", "0"], "0 ids on both sides"),
        (lambda f: [*own(f, "numbers"), "--pairs", "0"], "strings"),
        (lambda f: [*own(f, "captions"), "--pairs", "0"], "--captions; data.captions=True"),
        (lambda f: [*own(f), "--pairs", "0", "--config.data.split.by=group"], "group_key: got nothing"),
        (lambda f: [*own(f), "--pairs", "0", "--config.data.split.by=group", "--config.data.split.group_key=s"], 'got "s"'),
        (lambda f: [*own(f), "--pairs", "0", "--config.data.split.by=ids"], "got no ids"),
        (lambda f: [*own(f), "--pairs", "70"], "wanted at most 59"),
        (lambda f: [*own(f), "--pairs", "nowhere.csv"], "no file nowhere.csv"),
    ],
)
def test_check_refuses_what_train_refuses(files, tmp_path, capsys, words, said):
    told = []
    for command in ("check", "train"):
        workdir = ["--workdir", f"{tmp_path}/run"] if command == "train" else []
        assert main([command, *QUICK, *words(files), *workdir]) == 2
        told.append(capsys.readouterr().err.splitlines()[-1])
    assert told[0] == told[1] and said in told[0]


def test_what_check_passes_with_groups_and_captions(files):
    words = ["--config.data.split.by=group", "--config.data.split.group_key=scene", "--pairs", "0"]
    assert main(["check", *QUICK, *own(files, x="meta"), *words]) == 0
    assert main(["check", *QUICK, *own(files, "captions"), "--pairs", "0", "--config.data.captions=True"]) == 0


def test_captions_are_said_to_compare_by_the_flag_that_it_advises(files, tmp_path, capsys):
    words = ["compare", *own(files, "captions"), "--methods", "procrustes", "--seeds", "1", "--counts", "20", "--jobs", "1"]
    assert main([*words, "--output", f"{tmp_path}/c"]) == 2 and "--captions" in capsys.readouterr().err
    assert main([*words, "--output", f"{tmp_path}/c", "--captions", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["info"]["data"]["meet"] == 90 and "--captions" in told["info"]["command"]


def test_compare_takes_pairs_a_name_and_the_words_of_load_pairs():
    rule = dict(methods="procrustes", counts=[20], seeds=2, jobs=1)
    found = [
        gera_jax.compare(load_pairs(X, Y, x_ids=IDS, y_ids=IDS), **rule),
        gera_jax.compare(x=Table(X, IDS, "x"), y=Table(Y, IDS, "y"), **rule),
        gera_jax.compare(x=X.tolist(), y=Y, x_ids=IDS, y_ids=list(IDS), **rule),
    ]
    numbers = [[dict(cell.metrics) for cell in one.cells] for one in found]
    assert numbers[0] == numbers[1] == numbers[2] and len(numbers[0]) == 2
    with pytest.raises(InputError, match="both data and own tables .x, y."):
        gera_jax.compare("emoji", x=X, y=Y)


def test_an_aligner_takes_tables_frames_and_pairs():
    import pandas

    frames = [pandas.DataFrame(dict(vector=rows.tolist())) for rows in (X, Y)]
    wanted = Aligner("ridge_cca").fit(X, Y).transform_x(X)
    for given in ((load_pairs(X, Y),), (Table(X, IDS, "x"), Table(Y, IDS, "y")), frames):
        found = Aligner("ridge_cca").fit(*given).transform_x(given[0].x if len(given) == 1 else given[0])
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_config_that_reads_no_files_is_refused(files, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gera_jax import config\n\n\ndef get_config(arg=None):\n    c = config.base()\n    c.data = config.embedding_pair('emoji')\n"
        "    config.parse_arg(arg, x='', y='', pairs=0)\n    return c\n"
    )
    with pytest.raises(InputError, match="which .*mine.py does not read"):
        configure(f"{tmp_path}/mine.py", x=f"{files}/x.npz", y=f"{files}/y.npz")
