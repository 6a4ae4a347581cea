"""The comparison end to end on a small set: cells, cache, selection, report, and the words of its faults."""

from __future__ import annotations

import json
import os
import re
import shlex
from types import SimpleNamespace

import numpy as np
import pytest

import gera_jax
from gera_jax import comparison, reports
from gera_jax import config as config_lib
from gera_jax.aligners.methods import compared as find
from gera_jax.checks import InputError
from gera_jax.cli import main
from gera_jax.comparison import sweep
from gera_jax.comparison import task as scoring
from gera_jax.comparison.compare import train_command
from gera_jax.comparison.task import Trial, make_task
from gera_jax.data import Table
from gera_jax.evaluation.split import CORRECTIONS
from gera_jax.files import parse_json_line

METHODS = ("procrustes", "ridge_cca", "asif")


@pytest.fixture(scope="module")
def own():
    """160 items seen twice through a hidden space: x and y tables whose first 100 items are pairs."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(160, 4))
    x = hidden @ rng.normal(size=(4, 10)) + 0.6 * rng.normal(size=(160, 10))
    y = hidden @ rng.normal(size=(4, 8)) + 0.6 * rng.normal(size=(160, 8))
    order = rng.permutation(160)
    ids = np.array([f"p{i}" for i in range(160)])
    return (
        Table(x, [f"a{i}" for i in range(160)], "image"),
        Table(y[order], ids[order], "text"),
        [(f"a{i}", f"p{i}") for i in range(100)],
    )


@pytest.fixture(scope="module")
def found(own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    x, y, pairs = own
    made = gera_jax.compare(
        x=x, y=y, pairs=pairs, methods=METHODS, counts=(10, 20, 30, 40), seeds=3, budget=2, output=folder, jobs=1
    )
    return made, folder


def test_every_cell_is_there_and_says_what_it_was(found):
    made, folder = found
    assert len(made.cells) == 3 * 4 * 3 and not made.failures
    assert (folder / "cells.jsonl").read_text().count("\n") == 36
    assert made.gallery == 25 and made.info["val"] == 10
    cell = made.at("asif", 20)[1]
    assert [trial[0] for trial in cell.trials] == [{}, {"power": 4.0}] and cell.seed == 1
    assert cell.validation == max(trial[1] for trial in cell.trials)
    for key in (
        "image_to_text/R@1",
        "text_to_image/median_rank",
        "mean/R@5",
        "foscttm",
        *(f"{c}/mean/R@10" for c in CORRECTIONS),
    ):
        assert key in cell.metrics
    assert made.mean("ridge_cca", 40, "mean/R@10").mean > 0.6  # chance is 0.4
    assert made.mean("ridge_cca", 40, "foscttm").mean < 0.25


def test_the_choice_looks_at_validation_rows_only(found):
    made, _ = found
    worst = {cell.method: cell.validation for cell in made.cells}
    validation = {m: np.mean([c.validation for c in made.at(m, 40)]) for m in worst}
    assert made.recommended == max(validation, key=validation.get)
    assert scoring.choose([Trial({}, float("nan"), 0), Trial({}, 0.2, 0), Trial({}, 0.2, 0)]) == 1
    assert "Every method tries at most 2 settings" in made.info["rule"]


def test_differences_are_paired_and_against_the_reference(found):
    made, _ = found
    reference = made.reference(30)
    for difference in made.differences(30):
        own = np.array(made.values(difference.method, 30, "mean/R@1")) - made.values(reference, 30, "mean/R@1")
        assert difference.values["mean/R@1"].mean == pytest.approx(own.mean())
        assert difference.values["mean/R@1"].half == pytest.approx(4.302652729911275 * own.std(ddof=1) / 3**0.5)  # t, 2 degrees
    assert reference not in [d.method for d in made.differences(30)]


def test_the_same_again_measures_nothing(found, own, monkeypatch):
    _, folder = found
    x, y, pairs = own
    monkeypatch.setattr(sweep, "run_cell", lambda *a, **k: pytest.fail("a cell was measured again"))
    again = gera_jax.compare(
        x=x, y=y, pairs=pairs, methods=METHODS, counts=(10, 20, 30, 40), seeds=3, budget=2, output=folder, jobs=1
    )
    assert json.dumps(again.to_dict()["cells"]) == json.dumps(found[0].to_dict()["cells"])


@pytest.mark.parametrize("change", [dict(budget=1), dict(metric="mean/R@1"), dict(seeds=4), dict(val=12), dict(unpaired="none")])
def test_what_changes_a_number_is_measured_anew(found, own, change, monkeypatch, tmp_path):
    (tmp_path / "cells.jsonl").write_text((found[1] / "cells.jsonl").read_text())
    measured = []
    monkeypatch.setattr(
        sweep,
        "run_cell",
        lambda task, data, method, seed, **k: (
            measured.append(method.name) or sweep.Cell(method.name, len(data.pairs), seed, error="-")
        ),
    )
    x, y, pairs = own
    options = {**dict(methods=("asif",), counts=(10,), seeds=3, budget=2), **change}
    gera_jax.compare(x=x, y=y, pairs=pairs, output=tmp_path, jobs=1, **options)
    assert len(measured) == (1 if "seeds" in change else 3)


def test_a_killed_sweep_goes_on_where_it_was(own, tmp_path, monkeypatch):
    x, y, pairs = own
    real, measured = sweep.run_cell, []

    def killed(task, data, method, seed, **options):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append((method.name, seed))
        return real(task, data, method, seed, **options)

    options = dict(
        x=x, y=y, pairs=pairs, methods=("procrustes", "asif"), counts=(10,), seeds=3, budget=1, output=tmp_path, jobs=1
    )
    monkeypatch.setattr(sweep, "run_cell", killed)
    with pytest.raises(KeyboardInterrupt):
        gera_jax.compare(**options)
    path = tmp_path / "cells.jsonl"
    path.write_text(path.read_text() + '{"key": "half a li')  # what a kill in the middle of a write leaves
    measured.clear()
    monkeypatch.setattr(sweep, "run_cell", lambda *a, **k: measured.append(a[2].name) or real(*a, **k))
    made = gera_jax.compare(**options)
    assert len(measured) == 3 and len(made.cells) == 6 and not made.failures
    assert len(sweep.Store(path).cells) == 6 == len([parse_json_line(line) for line in path.read_bytes().splitlines()])


def test_a_method_that_fails_is_told_and_tried_again(own, tmp_path, monkeypatch):
    x, y, pairs = own
    (asif,) = find(["asif"])
    monkeypatch.setattr(
        type(asif), "fit", lambda *a, **k: (_ for _ in ()).throw(InputError("asif", got="a fault", wanted="none"))
    )
    options = dict(x=x, y=y, pairs=pairs, methods=("asif",), counts=(10,), seeds=1, budget=1, output=tmp_path, jobs=1)
    made = gera_jax.compare(**options)
    assert made.failures[0].error == "asif: got a fault; wanted none." and made.recommended == ""
    assert made.reason == "No method could be fitted with every seed. ASIF: asif: got a fault; wanted none."
    assert "What could not be fitted" in (tmp_path / "report.html").read_text()
    monkeypatch.undo()
    assert not gera_jax.compare(**options).failures


def test_processes_give_the_same_numbers(found, own, tmp_path):
    x, y, pairs = own
    two = gera_jax.compare(x=x, y=y, pairs=pairs, methods=("asif",), counts=(10, 20), seeds=1, budget=2, output=tmp_path, jobs=2)
    for cell in two.cells:
        assert cell.metrics == pytest.approx(found[0].at("asif", cell.pairs)[0].metrics, abs=1e-9)


def test_the_page_stands_alone_and_tells_the_winner(found):
    made, folder = found
    page = (folder / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', page)
    for words in (
        "What to do next",
        "gera-jax fit --method",
        "What more pairs would bring",
        "10 known pairs",
        "With hubs corrected",
        "densities from training rows",
        "Settings that were chosen",
        "drawn anew by each of 3 seeds",
    ):
        assert words in page
    assert "training rows at 40 pairs: image 113, text 112" in page  # 40 pairs, half of the 25 other items, 60 unpaired rows
    data = json.loads((folder / "results.json").read_text())
    assert data["recommended"] == made.recommended and len(data["cells"]) == 36
    assert {row["pairs"] for row in data["more_pairs"]} == {40, 60, 80}
    text = reports.text(made)
    assert "reference" in text and "With 20 more pairs its R@1 would be" in text


def test_hub_corrections_find_what_a_hub_hides():
    """One row of y is near every x: it is the first answer to all, until its density is taken off."""
    data = make_task("emoji", val=20, test=30).data(20, 0)
    ((_, _, (x_items, y_items)),) = data.test.couples()
    groups = x_items[:, None] == y_items[None]

    def scores(i, j):
        if len(i) == len(j) == 30:
            return groups + np.r_[1.5, np.zeros(29)][None]
        return np.zeros((len(i), len(j))) + (1.5 * (np.arange(len(j)) == 0) if len(j) == 30 else 0.0)

    found = scoring.measure(data, scores)
    assert found["image_to_text/R@1"] < 0.1
    assert found["csls/image_to_text/R@1"] == found["csls_gallery/image_to_text/R@1"] == 1.0
    assert found["inverted_softmax/image_to_text/R@1"] == 1.0


X, Y = np.arange(240.0).reshape(60, 4) % 17, np.arange(180.0).reshape(60, 3) % 13


def test_a_trained_winner_keeps_the_split_that_chose_it():
    grouped, plain = make_task("clipart", split="group"), make_task("clipart")
    words = {}
    for method, task in (("gera", grouped), ("gera", plain), ("ridge_cca", grouped)):
        found = SimpleNamespace(recommended=method, counts=(20,), at=lambda *_: [SimpleNamespace(setting={})])
        words[method, task.split_flags] = train_command(task, found, {m.name: m for m in find([method])})
    flags = "--split group --group-key stem"
    assert words["gera", flags] == f"gera-jax fit --method gera --data clipart {flags} --output winner"
    assert flags not in words["gera", ""] and flags not in words["ridge_cca", flags]


class Cut:
    """A guest: the first columns, as they are."""

    def __init__(self, dim=3):
        self.dim = dim

    def fit(self, x_pairs, y_pairs):
        pass

    def transform_x(self, x):
        return x[:, : self.dim]

    transform_y = transform_x


def test_a_guest_may_win(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 4))
    file = tmp_path / "mine.py"
    file.write_text("from gera_jax import config\n\n\ndef get_config(arg=None):\n    return config.load('contrastive:smoke')\n")
    for method, command in ((Cut(), ""), (Cut, f"--method {Cut.__module__}:Cut"), (str(file), f"--method {file}")):
        options = dict(methods=[method], counts=[20], seeds=1, budget=1, jobs=1, test=20)
        found = gera_jax.compare(x=rows, y=rows[:, :3] + 0.01, **options)
        assert found.recommended == next(iter(found.labels)), found.reason
        assert command in found.info["train"] and bool(command) == bool(found.info["train"])
        assert shlex.split(found.info["command"])[-3].endswith(command.removeprefix("--method ") or "Cut")
        assert [words for words, _ in reports.next_steps(found)][:1] == (
            [f"Fit {found.labels[found.recommended]} on every pair and unpaired row."] if command else []
        )


def test_a_method_that_breaks_leaves_the_others_alone():
    def fit(*args, **options):
        raise np.linalg.LinAlgError("SVD did not converge")

    task = make_task(x=X, y=Y)
    cell = sweep.run_cell(
        task, task.data(10, 0), SimpleNamespace(name="procrustes", settings=({},), fit=fit), 0, budget=1, metric="mean/R@10"
    )
    assert cell.error == "SVD did not converge"


def test_several_captions_of_an_item_stay_on_one_side():
    rng = np.random.default_rng(0)
    pairs = [(i, 2 * i + k) for i in range(40) for k in range(2)]
    task = make_task(x=rng.normal(size=(40, 5)), y=rng.normal(size=(80, 4)), pairs=pairs)
    data = task.data(0, 0)
    assert task.counts((), range(5))[-1] == 52
    assert task.pairs.captions and len(data.pairs) == 2 * (40 - 4 - 10)
    held = set(data.test.rows[:, 0].tolist())
    assert len(data.test) == 2 * len(held) and not held & set(data.pairs[:, 0].tolist())


def test_the_largest_count_is_one_that_every_seed_has():
    pairs = [(i, 39 + i) for i in range(1, 40)] + [(0, k) for k in range(40)]  # one item has half of all rows
    task = make_task(
        x=np.random.default_rng(0).normal(size=(40, 5)), y=np.random.default_rng(1).normal(size=(79, 4)), pairs=pairs
    )
    trains = [len(task.data(0, seed).pairs) for seed in range(12)]
    few, many = trains.index(26), trains.index(65)
    assert task.counts((), (many, few)) == (20, 26)


def test_the_commands_name_files_with_spaces_and_everything_that_was_asked(tmp_path):
    rng = np.random.default_rng(0)
    x, y = tmp_path / "my x.npy", tmp_path / "my y.npy"
    rows = rng.normal(size=(40, 5))
    np.save(x, rows)
    np.save(y, rows[:, :4])
    found = gera_jax.compare(x=x, y=str(y), methods=["procrustes"], counts=[10, 20], seeds=2, budget=1, unpaired="none", jobs=1)
    told = shlex.split(found.info["train"])
    assert (
        told[1:4] == ["fit", "--method", "procrustes"]
        and told[told.index("--x") + 1] == str(x)
        and told[-2:] == ["--output", "winner"]
    )
    words = " --unpaired none --val 4 --test 10 --seeds 2 --budget 1 --methods procrustes --counts 10,20"
    assert found.info["command"].startswith("gera-jax compare --x '") and found.info["command"].endswith(words)
    again = shlex.split(found.info["command"])[1:]
    assert main([*again, "--output", str(tmp_path / "again"), "--jobs", "1", "--json"]) == 0
    assert make_task(x=X, y=Y, pairs=[(i, i) for i in range(50)]).flags == "--x X.npy --y Y.npy --pairs PAIRS.csv"
    assert (
        make_task("clipart", split="group").options
        == "--split group --group-key stem --unpaired independent --val 300 --test 500"
    )


def test_the_command_line_from_a_csv_to_an_embedding(tmp_path, capsys):
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(90, 3))
    np.save(tmp_path / "x.npy", hidden @ rng.normal(size=(3, 6)))
    np.save(tmp_path / "y.npy", hidden[::-1] @ rng.normal(size=(3, 5)))
    (tmp_path / "pairs.csv").write_text("x_id,y_id\n" + "".join(f"{i},{89 - i}\n" for i in range(60)))
    data = ["--x", f"{tmp_path}/x.npy", "--y", f"{tmp_path}/y.npy", "--pairs", f"{tmp_path}/pairs.csv"]
    out = str(tmp_path / "out")
    code = main(
        [
            "compare",
            *data,
            "--methods",
            "ridge_cca,procrustes",
            "--seeds",
            "2",
            "--budget",
            "2",
            "--output",
            out,
            "--jobs",
            "1",
            "--json",
        ]
    )
    told = json.loads(capsys.readouterr().out)
    assert code == 0 and told["counts"] == [20, 39] and told["info"]["train"].startswith("gera-jax fit --method ")
    words = told["info"]["train"].split()[1:]
    words[words.index("--output") + 1] = str(tmp_path / "winner")
    assert main(words) == 0
    assert (
        main(
            [
                "embed",
                "--workdir",
                str(tmp_path / "winner"),
                "--modality",
                "y",
                "--input",
                f"{tmp_path}/y.npy",
                "--output",
                f"{tmp_path}/z.npy",
            ]
        )
        == 0
    )
    capsys.readouterr()
    z = np.load(tmp_path / "z.npy")
    assert z.dtype == np.float32 and np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    assert main(words) == 2
    assert "which holds a model; wanted an empty folder" in capsys.readouterr().err
    assert main(["compare", "--pairs", "20,50", "--counts", "20"]) == 2
    assert main(["compare", "--counts", "20,a"]) == 2
    assert 'argument --counts: got "20,a"; wanted whole numbers such as 20,50,100' in capsys.readouterr().err


def test_a_config_block_names_the_same_comparison(tmp_path):
    folder = os.path.join(os.path.dirname(gera_jax.__file__), "..", "configs", "comparisons", "label_efficiency.py")
    made = gera_jax.compare(config=f"{folder}:source=emoji,smoke", output=tmp_path, jobs=1)
    assert made.counts == (20, 50, 100) and made.seeds == (0,) and list(made.labels) == ["ridge_cca", "asif"]
    assert made.mean("ridge_cca", 100, "mean/R@10").mean > 0.2  # of 411 items: chance is 0.024
    assert made.mean("ridge_cca", 100, "mean/R@10").mean > made.mean("ridge_cca", 20, "mean/R@10").mean + 0.05


def test_every_method_has_a_default_first_and_a_budget():
    for method in comparison.methods().values():
        assert method.settings[0] == {} and len(scoring.trials(method.settings, 4)) <= 4
        assert method.label and len(method.fingerprint()) == 24


def test_no_trial_repeats_another():
    for method in comparison.methods().values():
        if method.needs_validation:
            tried = [config_lib.to_json(method.kind.load(setting)) for setting in method.settings]
            assert len(set(tried)) == len(tried), method.name


def test_the_config_of_the_recipe_names_it_alone(tmp_path, monkeypatch):
    """Which cells it asks for; that `auto` fits and wins is measured elsewhere."""
    asked = []

    def remember(task, data, method, seed, **options):
        asked.append((method.name, len(data.pairs), seed))
        return sweep.Cell(method.name, len(data.pairs), seed, error="-")

    monkeypatch.setattr(sweep, "run_cell", remember)
    file = os.path.join(os.path.dirname(gera_jax.__file__), "..", "configs", "comparisons", "gera_best.py")
    made = gera_jax.compare(config=f"{file}:source=emoji,smoke", output=tmp_path, jobs=1)
    assert list(made.labels) == ["auto"] and made.counts == (20, 50, 100)
    assert sorted(asked) == [("auto", 20, 0), ("auto", 50, 0), ("auto", 100, 0)]
