"""The loop is about no task: one made up here trains, stops, resumes, is measured and read back like any other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax import checks, training
from gera_jax import config as config_lib
from gera_jax.ops.collectives import gather_rows, global_sum
from gera_jax.training import experiment as tasks
from gera_jax.training.experiment import preflight
from gera_jax.training.task import Preflight, Problem
from gera_jax.training.terms import LOSSES, Rows
from tests.training.test_loop import Stop, assert_same_run, stop_at

EXAMPLES, SIZE, WIDTH = 24, 8, 3


def squared_error(guess, truth, *, truth_mask=None, axis_name=None):
    real = jnp.ones(len(guess), bool) if truth_mask is None else truth_mask
    error = jnp.where(real, jnp.sum((guess - truth) ** 2, axis=1), 0.0)
    return global_sum(error.sum(), axis_name) / global_sum(real.astype(jnp.float32).sum(), axis_name)


class Slope:
    def __init__(self, width):
        self.width = width

    def init(self, key):
        return {"slope": jax.random.normal(key, (self.width, 2))}


class Sampler:
    def __init__(self, data, parallel):
        self.data, self.parallel, self.steps_per_epoch = data, parallel, EXAMPLES // SIZE

    def batch(self, step):
        index = np.random.default_rng([7, step]).permutation(EXAMPLES)[:SIZE]
        batch = {"input": self.data["input"][index], "truth": self.data["truth"][index], "real": index % 5 != 0}
        return {
            key: value.reshape(self.parallel.shards, -1, *value.shape[1:])[self.parallel.local_shards]
            for key, value in batch.items()
        }


class LineTask:
    """Fits a linear map; every fifth example is masked."""

    def check(self, config):
        checks.require(config.data.noise >= 0, "data.noise", got=config.data.noise, wanted="at least 0")

    def inputs(self, config, *, masked):
        return {
            "guess": Rows("real" if "truth" in masked else "", queue=True),
            "truth": Rows("real" if "truth" in masked else ""),
            "real": Rows(),
        }

    def load(self, config, *, tables):
        rng = np.random.default_rng(0)
        x, slope = rng.normal(size=(EXAMPLES, WIDTH)).astype(np.float32), rng.normal(size=(WIDTH, 2)).astype(np.float32)
        return {"input": x, "truth": x @ slope + config.data.noise}

    def open(self, config, data, *, parallel, cache_dir):
        model = Slope(WIDTH)
        return Problem(
            data=data,
            model=model,
            sampler=Sampler(data, parallel),
            examples=EXAMPLES,
            batch_size=SIZE,
            masked=("truth",),
            start=lambda: model.init(jax.random.key(config.seed)),
            project=self.projector(model),
            evaluate=self.evaluator(model, data),
            splits=("val",),
            info=dict(names=["input"], width=WIDTH),
            arrays={},
        )

    def model(self, config, info):
        return Slope(info["width"])

    def context(self, config, model, params, batch, *, wanted, key=None, axis_name=None):
        return {"guess": batch["input"] @ params["slope"], "truth": batch["truth"], "real": batch["real"]}

    def diagnose(self, model, params, batch, *, axis_name=None):
        return {"largest": jnp.abs(gather_rows(batch["input"] @ params["slope"], axis_name)).max()}

    def projector(self, model):
        return lambda params, name, rows: np.asarray(rows @ np.asarray(params["slope"]))

    def evaluator(self, model, data):
        def evaluate(params, split, *, full=True):
            checks.require_known(split, ("val",), "split")
            return {"fit": -float(np.mean((data["input"] @ np.asarray(params["slope"]) - data["truth"]) ** 2))}

        return evaluate

    def embedder(self, model, info, arrays):
        return self.projector(model)

    def preflight(self, config):
        shape = jax.ShapeDtypeStruct
        batch = {"input": shape((SIZE, WIDTH), np.float32), "truth": shape((SIZE, 2), np.float32), "real": shape((SIZE,), bool)}
        return Preflight(tables={"input": (EXAMPLES, WIDTH)}, model=Slope(WIDTH), examples=EXAMPLES, batch_size=SIZE, batch=batch)


@pytest.fixture(autouse=True)
def with_line(monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "line", LineTask())
    monkeypatch.setitem(LOSSES, "squared_error", squared_error)


def line_config(mode="jit", **changes):
    c = config_lib.base()
    with c.unlocked():
        c.task, c.data, c.parallel, c.tensorboard = "line", dict(noise=0.0), mode, "off"
        del c.model, c.batch, c.graphs
        c.losses = {"error": dict(fn="squared_error", inputs=dict(guess="guess", truth="truth"))}
        c.buffers = dict(length=12, of=["guess"])
    c.optimizer = config_lib.optimizer("adam", 0.3, schedule="constant")
    c.total_epochs, c.log_every_steps = 4, 2
    c.evals.update(every_steps=3, metric="fit")
    c.checkpoint.every_steps = 2
    c.update(changes)
    return c


def test_another_task_trains_resumes_and_is_read_back(tmp_path):
    whole = training.train(line_config())
    assert whole.experiment.total_steps == 12 and whole.best_metric > -0.5 > -1 > whole.history[0]["val/fit"]
    assert whole.experiment.terms[0].masks == {"truth_mask": ("real",)}
    assert all(np.isfinite(row["largest"]) for row in whole.history if "loss" in row)
    for step in (4, 8):
        with pytest.raises(Stop):
            training.train(line_config(), tmp_path / "run", hooks=[stop_at(step)])
    assert_same_run(training.train(line_config(), tmp_path / "run"), whole)
    run = training.load_run(tmp_path / "run")
    assert run.evaluate("val")["fit"] == pytest.approx(whole.best_metric)
    np.testing.assert_allclose(
        run.embed("input", np.eye(3, dtype=np.float32)), whole.project("input", np.eye(3, dtype=np.float32))
    )
    assert run.state.buffers["rows"]["guess"].shape == (12, 2)


def test_another_task_is_the_same_on_eight_devices():
    one, many = training.train(line_config()), training.train(line_config("pmap"))
    np.testing.assert_allclose(one.params["slope"], many.params["slope"], atol=1e-4)
    np.testing.assert_allclose(one.state.buffers["rows"]["guess"], many.state.buffers["rows"]["guess"], atol=1e-3)


def test_another_task_is_checked():
    found = preflight(line_config())
    assert found["tables"] == {"input": [EXAMPLES, WIDTH]} and found["steps"] == 12 and "truth [8, 2]" in found["terms"]
    with pytest.raises(checks.InputError, match="data.noise: got -1.0; wanted at least 0"):
        preflight(line_config(data=dict(noise=-1)))
    with pytest.raises(checks.InputError, match='split: got "test"'):
        training.train(line_config()).evaluate("test")


def test_an_unknown_task_names_the_known():
    with pytest.raises(checks.InputError, match='task: got "lines"; wanted a known name. Did you mean "line"'):
        training.train(line_config(task="lines"))
