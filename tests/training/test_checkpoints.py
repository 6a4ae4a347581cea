"""A checkpoint is the same on any number of devices, one flipped bit is found, and who reads changes nothing."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from gera_jax import checks, files, training
from gera_jax.training import checkpoints, runs
from gera_jax.training.processes import Parallel
from tests.training.helpers import Stop, small_config, stop_at


def on(monkeypatch, mode):
    """`parallel="auto"` as a machine with another number of devices takes it: "jit" is one device."""
    monkeypatch.setattr(Parallel, "choose", classmethod(lambda cls, _: cls(mode)))


def config(**changes):
    return small_config("contrastive", **{"parallel": "jit", "checkpoint.every_steps": 2, "evals.every_steps": 3, **changes})


def largest_difference(a, b):
    return max(
        np.abs(np.asarray(x, float) - np.asarray(y, float)).max()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def tree(folder: Path):
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def flip(path: Path, at: int, bit: int):
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of one device."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    return training.train(config(), workdir), workdir


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run[1], tmp_path / "run"))


def steps(workdir):
    return checkpoints.saved_steps(workdir / "checkpoints")


READ = """
import sys, jax, numpy as np
from gera_jax import training, config
assert jax.device_count() == 1
run = training.load_run(sys.argv[1])
np.savez(sys.argv[2], *jax.tree.leaves(run.params))
assert run.evaluate("test")["mean/R@10"] >= 0
again = training.train(config.load(sys.argv[1] + "/config.json"), sys.argv[1])
assert not again.history and int(again.state.step) == 12
"""


def test_devices_may_change_between_the_lives_of_a_run(run, tmp_path, monkeypatch, caplog):
    workdir, auto = tmp_path / "run", config(parallel="auto")
    for mode, stop in (("shard_map", 5), ("jit", 9)):
        on(monkeypatch, mode)
        with pytest.raises(Stop):
            training.train(auto, workdir, hooks=[stop_at(stop)])
    earlier = training.load_run(workdir).state
    on(monkeypatch, "pmap")
    with caplog.at_level(logging.INFO, logger="gera_jax"):
        last = training.train(auto, workdir)
    assert "going on at step 8 of 12" in caplog.text
    assert largest_difference(last.state, run[0].state) < 1e-5
    assert largest_difference(earlier.params, run[0].state.params) > 1e-5, "fewer steps must not pass for the same"

    before = tree(workdir / "checkpoints")  # which eight devices wrote; a process of one reads them and has nothing left to do
    found = subprocess.run(
        [sys.executable, "-c", READ, str(workdir), str(tmp_path / "params.npz")],
        capture_output=True,
        text=True,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    with np.load(tmp_path / "params.npz") as stored:
        assert largest_difference([stored[name] for name in stored], last.params) == 0
    assert tree(workdir / "checkpoints") == before


def test_every_flipped_bit_of_a_checkpoint_is_found(copy):
    rng, folder = random.Random(0), copy / "checkpoints" / str(steps(copy)[0])
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]
    silent = []
    for path in [*paths, *rng.choices(paths, k=200)]:
        where = rng.randrange(path.stat().st_size), rng.randrange(8)
        flip(path, *where)
        try:
            checkpoints.read(folder, None)
            silent.append((path, where))
        except files.DamagedError:
            flip(path, *where)
    assert silent == [] and len(paths) > 5


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "no head"])
def test_a_reader_uses_the_newest_whole_checkpoint_and_changes_nothing(run, copy, caplog, how):
    newest, before = steps(copy)[:2]
    folder = copy / "checkpoints" / str(newest)
    largest = max((path for path in (folder / "state").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    {
        "flipped": lambda: flip(largest, largest.stat().st_size // 2, 3),
        "cut": lambda: largest.write_bytes(largest.read_bytes()[:-1]),
        "gone": largest.unlink,
        "no head": (folder / "checkpoint.json").unlink,
    }[how]()
    (copy / "checkpoints" / ".99.part" / "state").mkdir(parents=True)  # a run beside us is saving
    was = tree(copy)
    with caplog.at_level(logging.WARNING, logger="gera_jax"):
        found = training.load_run(copy)
    assert tree(copy) == was
    assert int(found.state.step) == before
    assert f"the checkpoint of step {before} is used, as a newer one is damaged (step {newest}: " in caplog.text
    assert how != "no head" or "an older version wrote it" in caplog.text


def test_a_step_under_another_number_is_damaged(run, copy):
    newest, before = steps(copy)[:2]
    (copy / "checkpoints" / str(newest)).rename(copy / "checkpoints" / "99")
    (copy / "checkpoints" / "²").mkdir()  # a digit, and no number
    told = []
    found = checkpoints.newest(copy / "checkpoints", run[0].state, damaged=lambda step, error: told.append((step, str(error))))
    assert found.step == before and told[0][0] == 99 and f"it holds step {newest}" in told[0][1]


def test_train_keeps_damaged_checkpoints_aside_and_goes_back(run, copy, caplog):
    first = steps(copy)
    for step in first:
        (copy / "checkpoints" / str(step) / "state" / "manifest.ocdbt").write_bytes(b"")
    (copy / "checkpoints.damaged" / str(first[0])).mkdir(parents=True)  # one of before
    with caplog.at_level(logging.WARNING, logger="gera_jax"):
        again = training.train(config(), copy)
    assert largest_difference(again.state, run[0].state) == 0
    kept = {path.name for path in (copy / "checkpoints.damaged").iterdir()}
    assert kept == {str(step) for step in first} | {f"{first[0]}.1"}
    assert "going back to the one before" in caplog.text and "going back to the start, as there is no other" in caplog.text
    log = [json.loads(line)["step"] for line in (copy / "metrics.jsonl").read_text().splitlines()]
    assert log == [row["step"] for row in again.history]


def test_without_a_whole_checkpoint_a_reader_says_which_are_damaged(copy):
    for step in steps(copy):
        (copy / "checkpoints" / str(step) / "state" / "manifest.ocdbt").write_bytes(b"")
    with pytest.raises(checks.InputError, match=r"without a whole checkpoint \(step 12: .*manifest.ocdbt is a damaged file"):
        training.load_run(copy)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(checks.InputError, match=r"without a whole checkpoint \(there is none\).*Train it first"):
        training.load_run(copy)


def test_what_does_not_fit_is_not_called_damaged(copy):
    path = copy / "checkpoints" / str(steps(copy)[0])
    wanted = training.build(config(**{"model.dim": 5})).init_state()
    with pytest.raises(checks.InputError, match="as the config says") as error:
        checkpoints.read(path, wanted)
    assert not isinstance(error.value, files.DamagedError)
    with pytest.raises(checks.InputError, match="whole but not readable with orbax") as error:
        checkpoints.read(path, {"other": wanted.step})
    assert not isinstance(error.value, files.DamagedError)


def test_a_checkpoint_that_a_run_removes_meanwhile_is_not_damaged(copy, monkeypatch):
    real, state = checkpoints.read, training.build(config()).init_state()
    newest, before = steps(copy)[:2]

    def removed(path, abstract):
        if path.name == str(newest):
            shutil.rmtree(path)
        return real(path, abstract)

    monkeypatch.setattr(checkpoints, "read", removed)
    told = []
    found = checkpoints.newest(copy / "checkpoints", state, damaged=lambda *of: told.append(of))
    assert found.step == before and told == []


@pytest.mark.parametrize("name", ["run.json", "config.json", "preprocess.npz"])
@pytest.mark.parametrize("how", ["empty", "flipped", "gone"])
def test_a_damaged_header_is_refused_by_readers_and_written_again_by_train(run, copy, caplog, name, how):
    path = copy / name
    {"empty": lambda: path.write_bytes(b""), "flipped": lambda: flip(path, path.stat().st_size // 2, 0), "gone": path.unlink}[
        how
    ]()
    was = tree(copy)
    with pytest.raises(checks.InputError, match=rf"{name}.*Run the command that made the run again"):
        training.load_run(copy)
    assert tree(copy) == was
    with caplog.at_level(logging.WARNING, logger="gera_jax"):
        again = training.train(config(), copy)
    assert "are written anew" in caplog.text and not again.history, "it goes on from the newest checkpoint"
    assert largest_difference(training.load_run(copy).params, run[0].params) == 0


def test_a_folder_without_a_header_still_knows_its_config_and_data(copy):
    for name in ("run.json", "config.json", "preprocess.npz"):
        (copy / name).unlink()
    was = tree(copy / "checkpoints")
    for changes, words in (({"optimizer.lr": 0.5}, "other config"), ({"data.pairs": 40}, "other config")):
        with pytest.raises(checks.InputError, match=f"which holds a run of {words}; wanted"):
            training.train(config(**changes), copy)
        assert not (copy / "config.json").exists(), "the header of the run that was refused"
    assert tree(copy / "checkpoints") == was
    assert not training.train(config(), copy).history


def test_a_kill_while_the_header_is_written_is_no_end(run, tmp_path, monkeypatch):
    experiment, real = run[0].experiment, os.replace
    for whole in range(3):  # files that were written before the kill
        left = [whole]

        def killed(old, new, left=left):
            if not left[0]:
                raise Stop
            left[0] -= 1
            real(old, new)

        monkeypatch.setattr(files.os, "replace", killed)
        with pytest.raises(Stop):
            runs.write_header(tmp_path, experiment)
        assert not (tmp_path / runs.HEADER).exists() and not list(tmp_path.glob(".*.part*"))
    monkeypatch.undo()
    runs.require_same_config(tmp_path, experiment.config)
    runs.write_header(tmp_path, experiment)
    assert runs.read_header(tmp_path)[0]["pairs"] == experiment.info["pairs"]


def test_a_second_train_in_the_folder_is_refused(run, copy):
    with files.one_writer(copy), pytest.raises(checks.InputError, match=f"in which process {os.getpid()} on .* writes"):
        training.train(config(), copy)
    assert not training.train(config(), copy).history


def test_what_a_killed_save_left_is_removed(run, copy):
    left = copy / "checkpoints" / ".14.part" / "state"
    left.mkdir(parents=True)
    training.train(config(), copy)
    assert not left.parent.exists()


def test_best_and_newest_steps_stay(tmp_path):
    saving = checkpoints.Checkpoints(tmp_path / "checkpoints", latest=2, best=1)
    for step, metric in enumerate((0.1, 0.9, 0.5, 0.9, 0.2, 0.3), start=1):
        saving.save(step, {"w": np.full(3, step)}, dict(last_metric=metric))
    saving.close()
    assert saving.steps == [4, 5, 6], "of two equally good ones the newer"
    found = checkpoints.read(tmp_path / "checkpoints" / "4", {"w": jax.ShapeDtypeStruct((3,), np.int64)})
    assert found.state["w"].tolist() == [4, 4, 4] and found.loop == dict(last_metric=0.9)


def test_a_damaged_neighbour_cache_is_computed_again(tmp_path, caplog):
    kept = training.build(small_config(parallel="jit"), cache_dir=tmp_path).batch(0)
    first, second = (tmp_path / "graphs").iterdir()
    second.write_bytes(first.read_bytes())  # whole, and of other rows
    flip(first, first.stat().st_size // 2, 1)
    with caplog.at_level(logging.WARNING, logger="gera_jax"):
        again = training.build(small_config(parallel="jit"), cache_dir=tmp_path).batch(0)
    assert caplog.text.count("its neighbours are computed again") == 2 and "it holds the neighbours of other rows" in caplog.text
    for name, rows in kept.items():
        np.testing.assert_array_equal(again[name], rows)
    caplog.clear()
    training.build(small_config(parallel="jit"), cache_dir=tmp_path)
    assert "computed again" not in caplog.text


def test_a_run_whose_best_step_is_its_start_says_so(copy, caplog):
    with caplog.at_level(logging.INFO, logger="gera_jax"):
        result = training.train(config(), copy)
    assert result.best_is_start == training.load_run(copy).best_is_start == ("the best step is the start" in caplog.text)
    assert dataclasses.replace(result, best_step=0).best_is_start
    assert not dataclasses.replace(result, best_step=3).best_is_start


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    saving, usage, state = checkpoints.Checkpoints(tmp_path), shutil.disk_usage(tmp_path), {"w": np.ones(3)}
    saving.save(1, state, dict(last_metric=0.1))
    saving.wait()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=checkpoints.MARGIN))
    saving.save(2, state, dict(last_metric=0.2))
    with pytest.raises(checks.RunError, match=r"no space left in .* at step 2; steps \[1\] are whole"):
        saving.wait()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=checkpoints.MARGIN + 24))  # companion
    saving.save(2, state, dict(last_metric=0.2))
    saving.close()
    assert saving.steps == [1, 2]
