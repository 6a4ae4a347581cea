"""A run can be stopped, damaged and spoilt, and says so; what it goes on to is what it would have been."""

import json
import logging
import os
import shutil
import signal
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from gera_jax import checks, training
from gera_jax.aligners.aligner import Aligner
from gera_jax.data import Table
from gera_jax.training import checkpoints as checkpoints_file
from gera_jax.training import loop
from gera_jax.writers import read_json_lines
from tests.training.helpers import Stop, small_config, stop_at


def leaves(state):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same_run(a, b):
    for x, y in zip(leaves(a.state), leaves(b.state), strict=True):
        np.testing.assert_array_equal(x, y)
    assert (a.best_step, a.best_metric) == (b.best_step, b.best_metric)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return training.train(small_config(parallel="jit"), workdir), workdir


def test_a_run_that_died_goes_on_to_the_same_bits(whole, tmp_path):
    result, workdir = whole
    for step in (2, 4, 7, 10):  # the first is before any checkpoint
        with pytest.raises(Stop):
            training.train(small_config(parallel="jit"), tmp_path / "run", hooks=[stop_at(step)])
    again = training.train(small_config(parallel="jit"), tmp_path / "run")
    assert_same_run(again, result)
    strip = [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in read_json_lines(workdir / "metrics.jsonl")]
    mine = [
        {k: v for k, v in row.items() if k not in ("time", "seconds")}
        for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")
    ]
    assert mine == strip


def test_another_seed_is_another_run(whole):
    other = training.train(small_config(parallel="jit", seed=1))
    with pytest.raises(AssertionError):
        assert_same_run(other, whole[0])


def test_a_damaged_newest_checkpoint_is_left_for_the_one_before(whole, tmp_path, caplog):
    result, _ = whole
    with pytest.raises(Stop):
        training.train(small_config(parallel="jit"), tmp_path / "run", hooks=[stop_at(10)])
    steps = sorted(int(p.name) for p in (tmp_path / "run" / "checkpoints").iterdir() if p.name.isdigit())
    for path in (tmp_path / "run" / "checkpoints" / str(steps[-1])).rglob("*"):
        if path.is_file() and "state" in str(path):
            path.write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING, logger="gera_jax"):
        again = training.train(small_config(parallel="jit"), tmp_path / "run")
    assert f"checkpoint of step {steps[-1]} is damaged" in caplog.text and "going back to the one before" in caplog.text
    assert_same_run(again, result)


def test_newest_and_best_steps_are_kept_together(whole):
    _, workdir = whole
    kept = {int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()}
    assert {9, 12} <= kept and len(kept) <= 3


def test_folder_of_another_config_says_what_differs(whole):
    with pytest.raises(checks.InputError, match=r"workdir: got .*another config \(optimizer.lr: 0.0001 -> 0.5\)"):
        training.train(small_config(parallel="jit", **{"optimizer.lr": 0.5}), whole[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(whole, tmp_path, number):
    def send(step, state, metrics):
        if step == 6 and "loss" in metrics:
            os.kill(os.getpid(), number)

    with pytest.raises(
        checks.RunError, match=rf"{number.name}: stopped after step \d+ of 12, all saved. Go on with: gera-jax train"
    ):
        training.train(small_config(parallel="jit"), tmp_path / "run", hooks=[send])
    assert_same_run(training.train(small_config(parallel="jit"), tmp_path / "run"), whole[0])


def test_a_loss_that_is_not_finite_names_its_term_and_saves_the_batch(tmp_path):
    c = small_config(parallel="jit", **{"optimizer.lr": 1e30, "optimizer.clip_norm": 0.0})
    with pytest.raises(checks.RunError, match=r"step \d+: .*(contrastive|geometry).* is not finite. Its batch is in .*npz"):
        training.train(c, tmp_path / "run")
    (saved,) = (tmp_path / "run").glob("not_finite_step_*.npz")
    assert "pairs.x" in np.load(saved) or any(k.startswith("rows.") for k in np.load(saved))


def test_no_space_left_says_what_is_whole(tmp_path, monkeypatch):
    real = checkpoints_file.Checkpoints._write

    def full_disk(self, step, state, loop):
        if step >= 6:
            raise OSError(28, "No space left on device")
        real(self, step, state, loop)

    monkeypatch.setattr(checkpoints_file.Checkpoints, "_write", full_disk)
    with pytest.raises(
        checks.RunError, match=r"checkpoint: no space left in .* at step 6; steps \[.*3.*\] are whole. Free some space"
    ):
        training.train(small_config(parallel="jit"), tmp_path / "run")


def test_early_stopping_ends_the_run_and_keeps_the_best():
    c = small_config(parallel="jit", total_steps=400, **{"evals.patience": 2, "evals.every_steps": 1})
    result = training.train(c)
    assert int(result.state.step) < 400
    assert result.best_metric == max(row["val/mean/R@10"] for row in result.history if "val/mean/R@10" in row)


def test_early_stopping_leaves_the_best_on_disk(tmp_path):
    changes = {"evals.patience": 2, "evals.every_steps": 1, "checkpoint.every_steps": 300}
    result = training.train(small_config(parallel="jit", total_steps=400, **changes), tmp_path / "run")
    assert int(result.state.step) < 300
    found = training.load_run(tmp_path / "run")
    assert found.step == result.best_step
    for x, y in zip(jax.tree.leaves(found.params), jax.tree.leaves(result.params), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_folder_of_other_data_is_refused_though_the_config_is_the_same(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5)), rng.normal(size=(30, 4))
    options = dict(
        settings={"data.preprocess.x.pca": "0", "data.preprocess.y.pca": "0", "total_steps": "2", "tensorboard": "off"}
    )
    aligner = Aligner("contrastive", folder=tmp_path / "run", **options).fit(x, y)
    same = Aligner("contrastive", folder=tmp_path / "run", **options).fit(x, y)
    np.testing.assert_array_equal(same.transform_x(x), aligner.transform_x(x))
    with pytest.raises(checks.InputError, match="workdir: got .* a run on other rows of x; wanted an empty folder or one of the"):
        Aligner("contrastive", folder=tmp_path / "run", **options).fit(x[::-1].copy(), y)
    other = [Table(rows, [f"pair-{i}" for i in range(30)], name) for rows, name in ((x + 1, "x"), (y, "y"))]
    with pytest.raises(checks.InputError, match="data: got other rows of .*x"):
        training.load_run(tmp_path / "run").evaluate("val", tables=tuple(other))


def test_a_run_without_reports_is_the_same_run(whole, tmp_path):
    result = training.train(small_config(parallel="jit", log_every_steps=0), tmp_path / "run")
    assert_same_run(result, whole[0])
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 4, 8, 12] and not any("loss" in row for row in rows)
    assert any("loss" in row for row in read_json_lines(whole[1] / "metrics.jsonl"))  # companion


def test_diagnostics_are_always_logged(whole):
    rows = read_json_lines(whole[1] / "metrics.jsonl")
    logged = next(row for row in rows if "loss" in row)
    for name in ("alignment", "modality_gap", "temperature", "grad_norm", "grad_norm/contrastive", "loss/contrastive"):
        assert np.isfinite(logged[name]), name
    assert sum(key.startswith(("effective_rank/", "mean_cosine/", "uniformity/")) for key in logged) == 6


def test_the_folder_tells_what_the_run_was_made_of(whole):
    info = json.loads((whole[1] / "run.json").read_text())
    assert info["versions"]["jax"] == jax.__version__ and info["fingerprints"] and info["pairs"] == 48


def test_embedding_from_the_folder_equals_the_result(whole):
    result, workdir = whole
    data, name = result.experiment.data, result.experiment.data.names[0]
    raw = np.asarray(data.tables[name].rows[:5])
    np.testing.assert_allclose(
        training.load_run(workdir).embed(name, raw), result.project(name, data.features[name].take(np.arange(5))), atol=1e-6
    )
    with pytest.raises(checks.InputError, match=r"rows of .*: got width 1; wanted width "):
        training.load_run(workdir).embed(name, raw[:, :1])


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(checks.InputError, match="workdir: got .* without run.json"):
        training.load_run(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [("sphere", "gera-jax train --config '{folder}/config.json' --workdir '{folder}'"), ("arrays", "the same command or call.")],
)
def test_the_way_on_can_be_gone(tmp_path, source, words):
    """A config of rows in memory does not hold them, so no `gera-jax train` reads it."""
    experiment = SimpleNamespace(config=ConfigDict(dict(data=dict(source=source))), total_steps=9)
    saving = SimpleNamespace(save=lambda *_: None, wait=lambda: None)
    run = loop._Loop(experiment, None, {}, saving, None, (), tmp_path / "a b")
    with pytest.raises(checks.RunError) as error:
        run.stop(3, "SIGTERM")
    assert str(error.value).endswith(words.format(folder=tmp_path / "a b"))
