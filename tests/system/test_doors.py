"""The doors agree: what one writes another reads, what one takes another takes, and the same rows give the same number."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gera_jax as gj
from gera_jax.aligners import doors
from gera_jax.aligners.outputs import Score
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison.task import make_task
from gera_jax.data import build_data
from gera_jax.data.alignment import complete, open_pairs
from gera_jax.training.evaluate import gallery_text, overview

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(90, 4))
X, Y = ((HIDDEN @ RNG.normal(size=(4, d)) + 0.3 * RNG.normal(size=(90, d))).astype(np.float32) for d in (9, 7))
IDS = np.array([f"i{i:03d}" for i in range(90)])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    np.savez(folder / "x.npz", rows=X[:80], key=IDS[:80])
    np.savez(folder / "y.npz", rows=Y[:80], key=np.char.add("t", IDS[:80]))
    np.savez(folder / "more.npz", rows=X[80:], key=IDS[80:])
    (folder / "p.csv").write_text("x,y\n" + "".join(f"{i},t{i}\n" for i in IDS[:80]))
    return folder


def own(folder):
    """A list of pairs, ids by name, unpaired rows: the same words for every command."""
    rows = ["--x", f"{folder}/x.npz:rows", "--y", f"{folder}/y.npz:rows", "--x-unpaired", f"{folder}/more.npz:rows"]
    return [*rows, "--x-ids", "key", "--y-ids", "key", "--x-unpaired-ids", "key", "--pairs", f"{folder}/p.csv"]


def told(capsys):
    return json.loads(capsys.readouterr().out)


def run(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr()
    return told(capsys)


def test_the_same_words_and_rows_give_the_same_number_at_every_door(files, tmp_path, capsys):
    """train, fit --test, and the library: one split, one preprocessing, one scorer."""
    trained = run(capsys, "train", "--method", "ridge_cca", *own(files), "--test", 20, "--val", 10, "--output", tmp_path / "run")
    evaluated = run(capsys, "evaluate", tmp_path / "run")
    assert evaluated == {key: trained["metrics"][key] for key in evaluated}
    words = doors.configure(
        "ridge_cca",
        x=f"{files}/x.npz:rows",
        y=f"{files}/y.npz:rows",
        x_ids="key",
        y_ids="key",
        x_unpaired=f"{files}/more.npz:rows",
        x_unpaired_ids="key",
        pairs=f"{files}/p.csv",
        val=10,
        test=20,
    )
    pairs = open_pairs(complete(words.config.data.to_dict()))
    assert len(pairs) == 80 and len(pairs.x_unpaired) == 10 and pairs.paired_by == "list"
    train, _, test = pairs.split(val=10, test=20)
    want = gj.Aligner("ridge_cca").fit(train).score(test)
    assert trained["metrics"] == dict(want)
    fitted = run(capsys, "fit", "--method", "ridge_cca", *own(files), "--test", 20, "--output", tmp_path / "model")
    assert fitted["data"]["pairs"] == dict(train=60, val=0, test=20) and fitted["data"]["unpaired"]["x"] == 10
    train, test = pairs.split(test=20)
    assert run(capsys, "evaluate", "--workdir", tmp_path / "model") == dict(gj.Aligner("ridge_cca").fit(train).score(test))


def test_fit_then_evaluate_and_embed_by_slot_or_name(files, tmp_path, capsys):
    run(capsys, "fit", "--method", "procrustes", *own(files), "--output", tmp_path / "m")
    assert main(["evaluate", str(tmp_path / "m")]) == 2
    assert "gera-jax evaluate" in capsys.readouterr().err
    np.save(tmp_path / "a.npy", X[60:])
    np.save(tmp_path / "b.npy", Y[60:])
    found = run(capsys, "evaluate", tmp_path / "m", "--x", tmp_path / "a.npy", "--y", tmp_path / "b.npy")
    assert found == dict(gj.load(tmp_path / "m").score(X[60:], Y[60:]))
    run(capsys, "embed", tmp_path / "m", "--y", f"{files}/y.npz:rows", "--y-ids", "key", "--output", tmp_path / "z.npy")
    by_name = ["--modality", "y", "--input", f"{files}/y.npz:rows", "--ids", "key"]
    run(capsys, "embed", "--workdir", tmp_path / "m", *by_name, "--output", tmp_path / "w.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), np.load(tmp_path / "w.npy"))
    assert np.load(tmp_path / "z.ids.npy")[0] == "ti000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["embed", "m", "--output", "z.npy"], "rows: got none; wanted one file"),
        (["embed", "m", "--x", "a.npy", "--y", "b.npy", "--output", "z.npy"], "rows: got --x and --y"),
        (["embed", "m", "--input", "a.npy", "--output", "z.npy"], "Give --x FILE, --y FILE, or --modality NAME --input FILE"),
        (["evaluate"], "FOLDER: got 0 folders"),
        (["evaluate", "a", "--workdir", "b"], "FOLDER: got 2 folders"),
        (["train", "--x-unpaired-ids", "key", "--output", "r"], "x_unpaired_ids: got"),
        (
            ["train", "--method", "auto", "--config.total_steps=3", "--output", "r"],
            "--config.total_steps: got a field of a training",
        ),
        (["check", "--method", "auto", "--set", "widht=3"], 'Did you mean "width"'),
        (["fit", "--set", "width", "--data", "emoji", "--output", "m"], '--set: got "width"; wanted NAME=VALUE'),
        (["compare", "--pairs", "20,50", "--counts", "20"], "pairs: got (20, 50) and counts"),
        (["compare", "--quick", "--config", "c.py"], "--config: got --config and --quick"),
        (["check", "--data", "emojy"], 'Did you mean "emoji"'),
        (["check", "--data", "emoji", "--x", "a.npy"], "got both data and own tables (x)"),
        (
            ["fit", "--data", "emoji", "--metod", "auto", "--output", "m"],
            'option of fit: got "--metod"; wanted a known name. Did you mean "--method"',
        ),
        (["compare", "--data", "emoji", "--w", "a.npy"], 'option of compare: got "--w"'),  # and not --workdir
        (["compare", "--data", "emoji", "--seed", "3"], 'Did you mean "--seeds"'),
        (
            ["check", "--method", "gera", "--x", "a.npy", "--y", "b.npy", "--w", "c.npy"],
            "got x, y and w; wanted two, as this config aligns two sets",
        ),
        (["check", "--method", "auto", "--data", "emoji3"], "modalities: got 3 (image, text, speech); wanted two, as auto"),
        (["fit", "--data", "emoji3", "--output", "m"], "modalities: got 3 (image, text, speech); wanted two"),
    ],
)
def test_faults_of_the_dialect(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_auto_is_a_method_of_every_door(capsys):
    for words in (["--config", "auto"], ["--method", "auto", "--set", "width=64"], ["--method", "gera:geometry=3"]):
        assert run(capsys, "check", *words, "--data", "emoji", "--val", 0.1, "--test", 0.2)["tables"]["image"] == [1646, 1280]
    assert gj.api.fit.__defaults__[0] == "auto" and gj.Aligner().method == "auto"


def test_fit_takes_a_config_with_arguments(files, tmp_path, capsys):
    steps = ["--set", "total_steps=2", "--set", "evals.every_steps=1", "--set", "parallel=jit", "--set", "batch.anchors=8"]
    steps += [word for side in "xy" for word in ("--set", f"graphs.{side}.knn=4")]
    words = ["fit", "--method", "gera:geometry=3", *own(files), *steps, "--output", tmp_path / "m"]
    assert run(capsys, *words)["method"] == "gera:geometry=3"
    assert gj.load(tmp_path / "m").transform_y(Y).shape[0] == 90


def test_check_reads_unpaired_files_and_refuses_what_train_refuses(files, capsys):
    words = ["check", "--config", "contrastive:smoke", *own(files)]
    assert run(capsys, *words)["tables"] == dict(x=[90, 9], y=[80, 7])
    assert main([*words, "--val", "50", "--test", "40"]) == 2
    assert "val + test below 80" in capsys.readouterr().err


def test_options_are_fields_of_the_config():
    by_words = doors.configure(
        "gera", data="emoji", pairs=50, val=20, test=0.2, split="group", group_key="concept", seed=3, unpaired="none"
    )
    data = by_words.config.data
    assert (data.source, data.pairs, data.unpaired, by_words.config.seed) == ("emoji", 50, "none", 3)
    assert data.split.to_dict() == {
        **data.split.to_dict(),
        "by": "group",
        "val": 20,
        "test": 0.2,
        "group_key": "concept",
        "seed": 3,
    }
    by_set = doors.configure("gera", data="emoji", settings={"geometry": 0.5, "optimizer.lr": 1e-5, "total_steps": 7}).config
    assert by_set.optimizer.lr == 1e-5 and by_set.total_steps == 7
    with pytest.raises(InputError, match='argument: got "x_id"; wanted a known name. Did you mean "x_ids"'):
        doors.configure("gera", x="a.npy", y="b.npy", x_id="key")


def test_train_takes_pairs_and_rows_in_memory():
    pairs = gj.Pairs.from_arrays(X[:80], Y[:80], x_unpaired=X[80:])
    opened = doors.configure("contrastive", data=pairs)
    data = build_data(opened.config.data.to_dict(), tables=opened.tables)
    assert len(data.tables["x"]) == 90 and len(data.test) == 20
    by_rows = doors.configure("contrastive", x=X[:80], y=Y[:80], x_unpaired=X[80:])
    assert np.array_equal(build_data(by_rows.config.data.to_dict(), tables=by_rows.tables).pairs, data.pairs)
    assert gj.train("ridge_cca", data=pairs, test=20).evaluate() == gj.Aligner("ridge_cca").fit(
        pairs.split(val="auto", test=20)[0]
    ).score(pairs.split(val="auto", test=20)[2])
    assert gj.check("contrastive:smoke", data=pairs)["tables"] == dict(x=[90, 9], y=[80, 7])


def test_fit_on_some_of_the_pairs_and_without_a_folder():
    seen = {}
    aligner = gj.fit("ridge_cca", data="emoji", pairs=60, on_data=seen.update)
    assert seen["pairs"]["train"] == 60 and aligner.names == ("image", "text")
    assert not gj.fit("procrustes", x=X, y=Y).score(X, Y)["mean/R@10"] < 0.5


def test_every_command_says_first_what_it_works_on(files, tmp_path, capsys, caplog):
    """check, fit, train and evaluate: the same lines for the same rows, with what guessing scores."""
    gallery = "test gallery: 20 rows of x, 20 rows of y of 20 items; chance: R@1 5%, R@5 25%, R@10 50%, FOSCTTM 0.5"
    cut = ["--val", 10, "--test", 20]
    for words in (
        ["check", "--method", "ridge_cca", *own(files), *cut],
        ["check", "--method", "contrastive:smoke", *own(files), *cut],
        ["train", "--method", "ridge_cca", *own(files), *cut, "--output", tmp_path / "run"],
        ["fit", "--method", "ridge_cca", *own(files), "--test", 20, "--output", tmp_path / "model"],
        ["evaluate", tmp_path / "run"],
        ["evaluate", tmp_path / "model"],
    ):
        caplog.clear()
        with caplog.at_level("INFO", logger="gera_jax"):
            run(capsys, *words)
        assert gallery in caplog.text and "90 rows of x, 80 rows of y: 80 items have rows of both" in caplog.text, words


def test_a_gallery_of_few_rows_is_written_without_an_exponent():
    x = np.eye(40)
    found = gj.Pairs.from_arrays(x, x).split(test=8)
    assert "R@5 62%, R@10 100%" in gallery_text(overview(found[0], found[0].take([]), found[1]))


def test_a_share_is_rounded_alike_at_every_door():
    pairs = gj.Pairs.from_arrays(X[:30], Y[:30])
    by_rule, by_share = pairs.split()[1], pairs.split(test=0.25)[1]
    assert len(by_rule) == len(by_share) == make_task(pairs, test=0.25).test == 7


def test_three_modalities_from_fit_to_evaluate(tmp_path, capsys):
    """`fit` and `train` on the same rows, and a queue that is longer than the pairs."""
    ids = IDS[:60]
    w = (HIDDEN[:60] @ RNG.normal(size=(4, 6))).astype(np.float32)
    for name, rows in zip("xyw", (X[:60], Y[:60], w), strict=True):
        np.savez(tmp_path / f"{name}.npz", rows=rows, ids=ids)
    files = [word for name in "xyw" for word in (f"--{name}", tmp_path / f"{name}.npz")]
    short = ["--set", "total_steps=2", "--set", "parallel=jit"]
    cut = ["--val", 10, "--test", 12]
    assert run(capsys, "check", "--method", "sspc", *files, *short, *cut)["tables"]["w"] == [60, 6]
    run(capsys, "fit", "--method", "sspc", *files, *short, *cut, "--output", tmp_path / "fitted")
    trained = run(capsys, "train", "--method", "sspc", *files, *short, *cut, "--output", tmp_path / "run")["metrics"]
    fitted = run(capsys, "evaluate", tmp_path / "fitted")
    assert {"x-y/x_to_y/R@1", "y-w/mean/R@10", "mean/R@10", "foscttm"} <= set(fitted)
    assert fitted == {key: trained[key] for key in fitted}


def test_a_score_of_three_is_the_mean_over_each_two(tmp_path):
    w = HIDDEN @ RNG.normal(size=(4, 6))
    train, test = gj.Pairs.from_arrays(X, Y, w).split(test=20)
    settings = {"total_steps": 2, "parallel": "jit", "start": "ridge_cca"}
    aligner = gj.Aligner("sspc", settings=settings).fit(train)
    score, z = (
        aligner.score(test),
        [aligner.embed(name, rows) for name, rows in zip("xyw", (test.x, test.y, test.w), strict=True)],
    )
    by_hand = {f"{a}-{b}": Score.of(z["xyw".index(a)] @ z["xyw".index(b)].T)["mean/R@1"] for a, b in ("xy", "xw", "yw")}
    assert {key: score[f"{key}/mean/R@1"] for key in by_hand} == pytest.approx(by_hand)
    assert score["mean/R@1"] == pytest.approx(np.mean(list(by_hand.values()))) and score.chance["mean/R@10"] == 0.5
    assert "w to y" in str(score) and "nan" not in str(score)
    with pytest.raises(InputError, match="pairs: got 2 modalities; wanted 3"):
        aligner.score(gj.Pairs.from_arrays(X, Y))
