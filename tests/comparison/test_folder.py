"""The folder of a comparison or a fit: whole after a kill at any write, one writer, cells that were altered are measured again."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import gera_jax
from gera_jax import files
from gera_jax.checks import InputError, RunError
from gera_jax.cli import main
from gera_jax.comparison import Comparison, sweep
from gera_jax.data import sampling
from gera_jax.training.processes import Parallel
from gera_jax.workers import Lost

rng = np.random.default_rng(0)
HIDDEN = rng.normal(size=(60, 4))
X = HIDDEN @ rng.normal(size=(4, 9)) + 0.1 * rng.normal(size=(60, 9))
Y = HIDDEN @ rng.normal(size=(4, 7)) + 0.1 * rng.normal(size=(60, 7))
OPTIONS = dict(x=X, y=Y, methods=("procrustes", "asif"), counts=(10, 20), seeds=2, budget=2, jobs=1)


def plain(folder):
    """What a comparison left, without times."""
    told = files.read_json(folder / "results.json")
    for row in (*told["summary"], *told["cells"]):
        row.pop("cpu_seconds"), row.pop("trials", None)
    return {**told, "info": {**told["info"], "seconds": 0}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    gera_jax.compare(**OPTIONS, output=folder)
    return folder


class Kill:
    """Ends the program at the n-th rename, as a kill would: before it, with all that was written beside still there."""

    def __init__(self, monkeypatch, number):
        self.left, self.real = number, os.replace
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, old, new):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return self.real(old, new)


@pytest.mark.parametrize("number", [1, 2])
def test_a_comparison_killed_as_it_writes_its_results_goes_on(whole, tmp_path, monkeypatch, number):
    with monkeypatch.context() as patch:
        Kill(patch, number)
        with pytest.raises(KeyboardInterrupt):
            gera_jax.compare(**OPTIONS, output=tmp_path)
    assert (tmp_path / "results.json").exists() == (number > 1) and not (tmp_path / "report.html").exists()
    gera_jax.compare(**OPTIONS, output=tmp_path)
    assert plain(tmp_path) == plain(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_a_full_disk_is_told_and_leaves_what_was_there(whole, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    gera_jax.compare(**OPTIONS, output=tmp_path)
    before = (tmp_path / "results.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(RunError, match="no space left in"):
            gera_jax.compare(**OPTIONS, output=tmp_path)
        with pytest.raises(RunError, match="no space left in"):
            gera_jax.fit("procrustes", tmp_path / "model", x=X, y=Y)
    assert (tmp_path / "results.json").read_bytes() == before
    gera_jax.fit("procrustes", tmp_path / "model", x=X, y=Y)
    assert gera_jax.Aligner.load(tmp_path / "model").transform_x(X).shape[0] == 60


def test_no_altered_cell_is_used(whole, tmp_path):
    content = bytearray((whole / "cells.jsonl").read_bytes())
    right = sweep.Store(whole / "cells.jsonl").cells
    assert len(right) == 8
    path, draw = tmp_path / "cells.jsonl", np.random.default_rng(0)
    for _ in range(150):
        at, bit = int(draw.integers(len(content))), 1 << int(draw.integers(8))
        content[at] ^= bit
        path.write_bytes(content)
        content[at] ^= bit
        found = sweep.Store(path).cells
        assert 6 <= len(found) < 8 and all(right[key] == cell for key, cell in found.items())


def test_an_altered_cell_is_measured_again(whole, tmp_path, monkeypatch, caplog):
    lines = (whole / "cells.jsonl").read_text().splitlines(keepends=True)
    entry = json.loads(lines[3])
    lines[3] = lines[3].replace(str(entry["metrics"]["mean/R@10"]), "0.99", 1)
    lines[5] = json.dumps({**json.loads(lines[5]), "digest": None}) + "\n"  # as an older version left them
    (tmp_path / "cells.jsonl").write_text("".join(lines))
    real, measured = sweep.run_cell, []
    monkeypatch.setattr(sweep, "run_cell", lambda *a, **k: measured.append(a[2].name) or real(*a, **k))
    gera_jax.compare(**OPTIONS, output=tmp_path)
    assert len(measured) == 2 and plain(tmp_path) == plain(whole)
    assert "2 of 8 cells are damaged or of an older version" in caplog.text


@pytest.mark.parametrize(("jobs", "processes"), [(2, [2]), (1, [])])
def test_one_cell_that_is_left_is_measured_as_the_others_were(whole, tmp_path, monkeypatch, jobs, processes):
    """In a process of one thread: this one may have more, which round otherwise."""
    (tmp_path / "cells.jsonl").write_text("".join((whole / "cells.jsonl").read_text().splitlines(keepends=True)[:-1]))
    began = []

    def each(jobs, begin, *arguments, processes):
        began.append(processes)
        here = sweep._Here(*arguments)
        yield from ((number, here(job)) for number, job in enumerate(jobs))

    monkeypatch.setattr(sweep.workers, "each", each)
    gera_jax.compare(**{**OPTIONS, "jobs": jobs}, output=tmp_path)
    assert began == processes and len(sweep.Store(tmp_path / "cells.jsonl").cells) == 8


def test_a_process_that_dies_twice_is_a_failed_cell(tmp_path, monkeypatch):
    def each(jobs, begin, *arguments, processes):
        here = begin(*arguments, 0)
        for number, job in enumerate(jobs):
            yield number, Lost(-9) if job[0].name == "asif" else here(job)

    monkeypatch.setattr(sweep.workers, "each", each)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    found = gera_jax.compare(**{**OPTIONS, "jobs": 2}, output=tmp_path)
    assert len(found.failures) == 4 and found.recommended == "procrustes"
    assert found.failures[0].error == "its process died 2 times (signal 9); was there memory enough?"


def test_another_folder_is_refused_before_the_first_fit(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_cell", lambda *a, **k: pytest.fail("a cell was measured"))
    with pytest.raises(
        InputError, match="which holds a comparison of other data; wanted an empty folder or one of the same data"
    ):
        gera_jax.compare(**{**OPTIONS, "x": X + 1}, output=whole)
    gera_jax.fit("procrustes", tmp_path / "model", x=X, y=Y)
    with pytest.raises(InputError, match="which holds a model; wanted an empty folder"):
        gera_jax.compare(**OPTIONS, output=tmp_path / "model")
    with pytest.raises(InputError, match="which holds a comparison; wanted an empty folder"):
        gera_jax.fit("procrustes", whole, x=X, y=Y)
    with files.one_writer(tmp_path / "busy"), pytest.raises(InputError, match="in which process .* writes; wanted one writer"):
        gera_jax.compare(**OPTIONS, output=tmp_path / "busy")
    with pytest.raises(OSError):  # a file in the way: told by the system, before the first fit
        gera_jax.compare(**OPTIONS, output=whole / "results.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(metric="nope"), 'metric: got "nope"; wanted a known name'),
        (dict(metric="mean/R@2"), 'metric: got "mean/R@2"; wanted a known name. Did you mean "mean/R@'),
        (dict(seeds=2.5), "seeds: got 2.5; wanted a whole number, at least 1"),
        (dict(jobs=True), "jobs: got True; wanted a whole number, at least 1"),
        (dict(counts=("a",)), "pairs: got a; wanted a whole number, at least 2"),
        (dict(val="many"), "val: got many; wanted a whole number, at least 0"),
        (dict(x_unpaired_ids=["a"]), "x_unpaired_ids: got ids without rows; wanted x_unpaired with them"),
        (dict(config="c.py"), "config: got a config and x, y, methods, counts, seeds, budget; wanted one of them"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_fit(change, words, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "run_cell", lambda *a, **k: pytest.fail("a cell was measured"))
    with pytest.raises(InputError) as error:
        gera_jax.compare(**{**OPTIONS, **change}, output=tmp_path / "new")
    assert str(error.value).startswith(words) and not (tmp_path / "new").exists()


def test_whole_numbers_of_numpy_are_whole_numbers():
    found = gera_jax.compare(**{**OPTIONS, "counts": np.array([20, 10, 20]), "seeds": np.int64(1), "methods": ["procrustes"]})
    assert found.counts == (10, 20) and found.seeds == (0,) and "--counts 20,10,20" in found.info["command"]


def test_a_metric_that_falls_chooses_the_lowest():
    for metric in ("foscttm", "mean/mean_rank"):
        found = gera_jax.compare(**{**OPTIONS, "metric": metric, "counts": (10,)})
        validation = {m: np.mean([cell.validation for cell in found.at(m, 10)]) for m in found.labels}
        assert found.recommended == min(validation, key=validation.get)
        cell = found.at("asif", 10)[0]
        assert cell.validation == min(trial[1] for trial in cell.trials)


def test_a_fit_killed_in_its_training_goes_on(tmp_path, monkeypatch):
    options = dict(x=X, y=Y, settings={"total_steps": 6, "checkpoint.every_steps": 2, "batch.pairs": 16})
    monkeypatch.setattr(Parallel, "choose", classmethod(lambda cls, _: cls("jit")))  # a program for one device compiles sooner
    real, asked = sampling.Sampler.batch, []

    def batch(self, step):
        asked.append(step)
        if asked == [0, 0, 1, 2, 3]:  # the first one is for its shapes
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(sampling.Sampler, "batch", batch)
    with pytest.raises(KeyboardInterrupt):
        gera_jax.fit("contrastive_linear", tmp_path / "killed", **options)
    asked.clear()
    again = gera_jax.fit("contrastive_linear", tmp_path / "killed", **options)
    assert asked == [0, 2, 3, 4, 5] and again.transform_x(X).shape[0] == 60
    with pytest.raises(InputError, match="which holds a run of another config"):
        gera_jax.fit("contrastive_linear", tmp_path / "killed", **{**options, "seed": 1})
    with pytest.raises(InputError, match="which holds a model"):
        gera_jax.fit("procrustes", tmp_path / "killed", x=X, y=Y)


def test_a_page_may_name_a_path_that_is_no_text(whole, tmp_path):
    found = Comparison.from_dict(files.read_json(whole / "results.json"))
    found.info["command"] = os.fsdecode(b"--x /\xff.npy")
    assert "--x /\\udcff.npy" in found.report(tmp_path / "page.html").read_text(encoding="utf-8")


def test_paths_with_commas_colons_spaces_and_quotes(tmp_path, capsys):
    folder = tmp_path / "a, b: 'c'"
    folder.mkdir()
    np.save(folder / "x,1.npy", X)
    np.save(folder / "y 2.npy", Y)
    words = ["--x", f"{folder}/x,1.npy", "--y", f"{folder}/y 2.npy"]
    assert (
        main(
            [
                "compare",
                *words,
                "--methods",
                "procrustes",
                "--seeds",
                "1",
                "--counts",
                "10",
                "--jobs",
                "1",
                "--json",
                "--output",
                f"{folder}/out",
            ]
        )
        == 0
    )
    train = json.loads(capsys.readouterr().out)["info"]["train"]
    import shlex

    assert main([*shlex.split(train)[1:-1], f"{folder}/model"]) == 0
    embed = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert embed[:4] == ["gera-jax", "embed", f"{folder}/model", "--x"]
