"""The task "grounding" through the one loop: it learns, resumes to the same bits, shards, and is read back from its folder."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from gera_jax import checks, config, training
from gera_jax.moments import build_grounding
from gera_jax.moments.task import best_spans, scorer
from gera_jax.training import load_run
from gera_jax.training.experiment import build
from tests.moments.test_data import recordings
from tests.moments.test_proposal_map import moved


def tiny(**fields):
    """The whole recipe on a dozen short recordings that are made here."""
    c = config.load("g2l:smoke")
    c.data.source = "arrays"
    c.data.clips.length = 8
    c.model.update(pooling=[3], dim=4, channels=4, layers=1, init="random")
    c.moments.update(knn=2, nearest=1, similar=1)
    c.batch.update(recordings=2, sentences=2)
    c.parallel = "jit"
    for name, value in fields.items():
        config.override(c, name, str(value))
    return c


def spoken(noise: float = 0.3, seed: int = 0):
    """Each sentence's own pattern is in the clips under its span."""
    rng = np.random.default_rng(seed)
    count, per = 24, 3
    sentences, spans, recording, clips = [], [], [], []
    for r in range(count):
        rows = noise * rng.normal(size=(8, 6))
        for place in range(per):
            start, word = 2.5 * place, rng.normal(size=6)
            rows[int(start) : int(start) + 2] += word
            sentences.append(word)
            spans.append([2.0 * int(start), 2.0 * (int(start) + 2)])
            recording.append(r)
        clips.append(rows)
    return recordings(
        ids=np.array([f"r{i}" for i in range(count)]),
        clips=clips,
        durations=np.full(count, 16.0),
        sentences=np.array(sentences),
        recording=np.array(recording),
        spans=np.array(spans),
        texts=[""] * len(spans),
        split=np.array(["train"] * 16 + ["val"] * 4 + ["test"] * 4),
    )


def test_it_learns_to_find_what_is_there():
    c = tiny(total_steps=100, log_every_steps=100)
    c.evals.every_steps = 50
    c.batch.update(recordings=8, sentences=3)
    c.model.dim = 8
    c.optimizer.lr = 1e-2
    c.losses.moment_to_sentence.weight = c.losses.sentence_to_moment.weight = 1.0
    result = training.train(c, tables=(spoken(),))
    values = [entry["val/mIoU"] for entry in result.history if "val/mIoU" in entry]
    assert max(values) > values[0] + 0.2
    found = result.evaluate("test")
    assert found["R@1/IoU=0.5"] > 0.5
    shuffled = spoken()
    shuffled.sentences[:] = shuffled.sentences[np.random.default_rng(0).permutation(len(shuffled.sentences))]
    data = build_grounding(c.data.to_dict(), recordings=shuffled)
    other = result.experiment.task.evaluator(result.experiment.problem.model, data)(result.params, "test")
    assert other["R@1/IoU=0.5"] < found["R@1/IoU=0.5"] - 0.2  # with the sentences exchanged it cannot


def test_a_run_goes_on_and_is_read_back(tmp_path):
    tables = (spoken(),)
    whole = training.train(tiny(total_steps=4), tmp_path / "whole", tables=tables)

    def interrupt(step, state, metrics):
        if step == 2 and "loss" in metrics:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(tiny(total_steps=4), tmp_path / "cut", tables=tables, hooks=[interrupt])
    again = training.train(tiny(total_steps=4), tmp_path / "cut", tables=tables)
    for a, b in zip(jax.tree.leaves(whole.state.params), jax.tree.leaves(again.state.params), strict=True):
        np.testing.assert_array_equal(a, b)
    run = load_run(tmp_path / "whole")
    assert run.evaluate("test", tables=tables) == whole.evaluate("test")
    sentences = run.embed("sentences", tables[0].sentences)
    assert sentences.shape == (72, 4) and np.allclose(np.linalg.norm(sentences, axis=1), 1, atol=1e-5)
    moments = run.embed("clips", tables[0].clips[0][:6])
    assert moments.shape == (6 + 5 + 4 + 3, 4)  # those that six clips have
    with pytest.raises(checks.InputError, match=r"rows of clips: got width 5; wanted width 6"):
        run.embed("clips", np.zeros((8, 5)))


@pytest.mark.parametrize("parallel", ["pmap", "shard_map"])
def test_eight_devices_take_the_step_of_one(parallel):
    """Six recordings on eight devices: two only fill up.

    With every layer at work: at the start a moment of two clips lies midway between both, and which of them is nearer is rounding.
    """
    tables = (spoken(),)
    found = {}
    for mode in ("jit", parallel):
        c = tiny(parallel=mode)
        c.batch.recordings = 6
        experiment = build(c, tables=tables)
        state = experiment.init_state()
        state, metrics = experiment.train_step(state._replace(params=moved(state.params)), experiment.batch(0))
        found[mode] = jax.device_get((state.params, metrics))
    for a, b in zip(jax.tree.leaves(found["jit"]), jax.tree.leaves(found[parallel]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    assert abs(found["jit"][1]["loss"]) > 1e-2


def test_scores_are_of_the_recordings_own_moments():
    """Block by block, sentences in any order, -inf where a recording has no such moment."""
    data = build_grounding(dict(source="arrays", clips=dict(path="", length=8, seconds=0.0)), recordings=recordings())
    c = tiny()
    experiment = build(c, tables=(recordings(),))
    model, params = experiment.problem.model, experiment.problem.start()
    score = scorer(model, data)
    queries = np.array([7, 0, 6, 4])
    together = score(params, queries)
    for row, query in enumerate(queries):
        np.testing.assert_allclose(score(params, np.array([query]))[0], together[row], rtol=1e-5)
    assert np.sum(together[2] > -np.inf) == 4 + 3 + 2 + 1 and np.all(together[0] > -np.inf)
    spans = best_spans(model, data, queries, together, keep=12)
    assert np.nanmax(spans[2]) <= data.durations[3] and np.isnan(spans[2]).any()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model.init", "procrustes", 'model.init: got "procrustes"; wanted a known name. Known: random, ridge_cca.'),
        ("batch.recordings", 0, "batch.recordings: got 0; wanted at least 1, at most 1048576."),
        ("moments.knn", 0, "moments.knn: got 0; wanted at least 1."),
    ],
)
def test_faults_of_the_config(field, value, words):
    with pytest.raises(checks.InputError) as error:
        build(tiny(**{field: value}), tables=(recordings(),))
    assert str(error.value) == words


def test_unknown_fields_and_inputs_are_named():
    c = tiny()
    with c.unlocked():
        c.graphs = {}
    with pytest.raises(checks.InputError, match='field of the config: got "graphs"'):
        build(c, tables=(recordings(),))
    c = tiny()
    c.losses.overlap.inputs.s = "s.iuo"
    with pytest.raises(checks.InputError, match=r'losses.overlap.inputs.s: got "s.iuo"; .* Did you mean "s.iou"'):
        build(c, tables=(recordings(),))
