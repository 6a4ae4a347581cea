"""The doors of compare and fit: ids by their name, what is compared is said first, a kept start is told wherever it shows."""

from __future__ import annotations

import json
import logging
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

import gera_jax
from gera_jax import config as config_lib
from gera_jax import files as files_lib
from gera_jax import training
from gera_jax.aligners.methods import compared as find
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison import QuickstartResults, Row, format_table, quickstart, sweep, write_report
from gera_jax.comparison.compare import Progress, format_comparison
from gera_jax.comparison.compare_report import write_compare_report
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.task import make_task
from gera_jax.data import build_data
from gera_jax.training import tasks
from gera_jax.training.overview import overview, overview_text

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
        assert data.report["paired_by"] == "id"
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
    assert overview(task.data(20, 0))["paired_by"] == "position" and len(task.pairs.tables[0]) == 64
    import pandas

    frame = pandas.DataFrame(dict(name=IDS[ORDER], vector=Y[ORDER].tolist()))
    assert len(make_task(x=X, y=frame, x_ids=IDS, y_ids="name").data(0, 0).pairs) == 39


def test_an_overview_of_three_modalities_and_of_train():
    data = build_data(dict(source="emoji3", pairs=50, split=dict(val=20, test=40)))
    found = overview(data)
    assert found["pairs"] == dict(train=50, val=20, test=40) and found["chance"]["mean/R@10"] == pytest.approx(10 / 40)
    text = overview_text(found)
    assert text.splitlines()[0].endswith("1,646 rows of speech: 1,646 items have rows of two or more, found by id")


def test_training_says_what_it_works_on_first(caplog):
    config = config_lib.load("contrastive:source=emoji,pairs=30,smoke")
    with caplog.at_level(logging.INFO, "gera_jax"):
        tasks.find("alignment").load(config, tables=None)
    assert "1,646 items have rows of both, found by id\npairs: 30 train" in caplog.text


def cells(best_step):
    chance = {"mean/R@1": 1 / 50, "mean/R@10": 0.2, "foscttm": 0.5}
    columns = {f"{a}/{k}": 0.5 for a in ("x_to_y", "y_to_x", "mean") for k in ("R@1", "R@5", "R@10", "median_rank")}
    metrics = {
        f"{p}{key}": value
        for p in ("", "csls/", "inverted_softmax/", "csls_gallery/", "inverted_softmax_gallery/")
        for key, value in {**columns, "foscttm": 0.1}.items()
    }
    return [
        sweep.Cell(
            "gera", 20, seed, 0.5, metrics=metrics, chance=chance, items=50, best_step=best_step if seed else 7, cpu_seconds=1.0
        )
        for seed in range(3)
    ]


def comparison_of(best_step):
    return Comparison(("x", "y"), dict(gera="GeRA"), frozenset(), (20,), (0, 1, 2), cells(best_step), 50, "mean/R@10")


def test_a_kept_start_is_told_in_tables_and_pages(tmp_path):
    words = "GeRA: in 2 of 3 seeds no training step was better on the validation rows than its start"
    for best_step, told in ((0, True), (5, False), (None, False)):
        found = comparison_of(best_step)
        assert (words in format_comparison(found)) == told and ("GeRA *" in format_comparison(found)) == told
        page = write_compare_report(tmp_path / "a.html", found).read_text()
        assert (words in page) == told and found.recommended == "gera"
        rows = [Row("gera", "ridge_cca", 20, seed, {"x_to_y/R@1": 0.5}, 1.0, best_step if seed else 7) for seed in range(3)]
        assert ("gera, from ridge_cca (start, 2 of 3)" in format_table(rows)) == told
        page = write_report(tmp_path / "b.html", QuickstartResults(rows=rows)).read_text()
        assert ("(start, 2 of 3)</th>" in page and "start's numbers" in page.replace("&#x27;", "'")) == told


def test_cells_of_trained_methods_know_their_best_step(monkeypatch):
    task = make_task(x=X, y=Y)
    data, options = task.data(20, 0), dict(budget=1, metric="mean/R@10")
    run = SimpleNamespace(
        best_step=0,
        experiment=SimpleNamespace(data=SimpleNamespace(features=dict(x=data.features["x"], y=data.features["y"]))),
        project=lambda name, rows: rows[:, :3],
    )
    monkeypatch.setattr(training, "train", lambda *a, **k: run)
    trained, closed = find(["contrastive_linear", "procrustes"])
    assert sweep.run_cell(task, data, trained, 0, **options).best_step == 0
    assert sweep.run_cell(task, data, closed, 0, **options).best_step is None


def test_a_quickstart_at_chance_says_so():
    results = QuickstartResults(
        rows=[Row("gera", "", 100, 0, {"mean/R@10": 0.03}, 1.0)], test_items=500, chance={"mean/R@10": 0.02}
    )
    from gera_jax.comparison.results import headline

    assert headline(results) == (
        "With 100 known pairs no method is better than chance: the best, gera, has R@10 3.0% (guessing 2.0%, by luck up to 3.9%)."
    )
    results.rows[0] = Row("gera", "", 100, 0, {"mean/R@10": 0.05}, 1.0)
    assert headline(results).startswith("With 100 known pairs, gera puts the true match among its first ten for 5.0%")


def test_a_killed_quickstart_goes_on(tmp_path, monkeypatch):
    """A kill as the page is written: the same call writes it, and asks for the same runs in the same folders again."""
    asked = []

    def train(config, workdir, *, cache_dir):
        asked.append(str(workdir.relative_to(tmp_path)))
        return SimpleNamespace(evaluate=lambda split: {"mean/R@10": 0.5}, seconds=1.0, best_step=0, history=[])

    monkeypatch.setattr(quickstart.training, "train", train)
    monkeypatch.setattr(quickstart, "joint_picture", lambda result: {})
    monkeypatch.setattr(quickstart, "retrieval_examples", lambda result: [])
    options = dict(source="emoji", pairs=(40,), smoke=True, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            quickstart.run_quickstart(tmp_path, **options)
    assert not (tmp_path / "report.html").exists() and len(asked) == 4
    seen = quickstart.run_quickstart(tmp_path, **options)
    assert asked[:4] == asked[4:] and len(seen.rows) == 7 and [row.best_step for row in seen.rows if row.start] == [0] * 4
    page = (tmp_path / "report.html").read_text()
    assert "Chance: R@1 0.2%, R@5 1%, R@10 2%." in page and "(start)" in page
    with files_lib.one_writer(tmp_path), pytest.raises(InputError, match="wanted one writer"):
        quickstart.run_quickstart(tmp_path, **options)


@pytest.mark.parametrize(("pairs", "words"), [((0,), "0"), (("a",), "a"), ((2.5,), "2.5")])
def test_a_quickstart_of_no_number_is_refused(tmp_path, pairs, words):
    with pytest.raises(InputError, match=f"pairs: got {words}; wanted"):
        quickstart.run_quickstart(tmp_path / "new", source="emoji", pairs=pairs, progress=False, smoke=True)
    assert not (tmp_path / "new").exists()


def test_a_quickstart_counts_pairs_before_it_trains(tmp_path, monkeypatch):
    """The emoji set has 846 pairs besides those that validate and test: the default takes them all, 1,000 are refused at once."""
    monkeypatch.setattr(quickstart, "_quickstart", lambda output, *, pairs, **rest: list(pairs))
    options = dict(source="emoji", smoke=True, progress=False)
    assert quickstart.run_quickstart(tmp_path, pairs=(), **options) == [100, 300, 846]
    assert quickstart.run_quickstart(tmp_path, pairs=(40, 50), **options) == [40, 50]
    with pytest.raises(InputError, match=r"data.pairs: got 1000; wanted at most 846"):
        quickstart.run_quickstart(tmp_path, pairs=(40, 1000), **options)


def test_the_time_left_counts_what_the_other_methods_took():
    """Nine cheap cells, then one that takes a hundred times as long, in each of three seeds: the estimate must not jump."""
    field = find(["procrustes", "ridge_cca", "gera"])
    show, spent, estimates = Progress(field, (10, 20, 50), (0, 1, 2), jobs=1, stream=None), 0.0, []
    order = [(count, m.name) for _ in range(3) for count in (10, 20, 50) for m in field]
    total = sum(100.0 if name == "gera" else 1.0 for _, name in order)
    for done, (count, name) in enumerate(order, start=1):
        cost = 100.0 if name == "gera" else 1.0
        spent += cost
        show.costs.setdefault((name, count), []).append(cost)
        show.new = done
        if done >= 3:
            estimates.append((show.left(spent, done) + spent) / total)
    assert max(estimates) < 1.01 and min(estimates) > 0.99
    assert not re.search("nan", str(estimates))


def test_settings_are_names_with_values(tmp_path):
    with pytest.raises(InputError, match=r"settings: got \['dim=3'\]; wanted names with values"):
        gera_jax.fit("ridge_cca", tmp_path / "m", data="emoji", settings=["dim=3"])
    assert not (tmp_path / "m").exists()
