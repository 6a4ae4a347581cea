"""Recordings, sentences and spans: bad input in words, statistics, batches."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.moments import build_grounding
from gera_jax.moments.data import GroundingSampler, average_clips, span_means, validate
from gera_jax.moments.recordings import Recordings

RNG = np.random.default_rng(0)


def recordings(**changes) -> Recordings:
    """Five recordings of 4 to 8 clips; three train, one validates, one tests."""
    lengths = [8, 6, 8, 4, 8]
    rng = np.random.default_rng(1)
    recording = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4])
    start = rng.uniform(0, 4, size=9)
    fields = dict(
        ids=np.array([f"r{i}" for i in range(5)]),
        clips=[rng.normal(size=(n, 3)) for n in lengths],
        durations=np.array([2.0 * n for n in lengths]),
        sentences=rng.normal(size=(9, 4)),
        recording=recording,
        spans=np.stack([start, start + 2], axis=1),
        texts=[f"sentence {i}" for i in range(9)],
        split=np.array(["train", "train", "train", "val", "test"]),
    )
    return Recordings(**{**fields, **changes})


def build(**changes):
    return build_grounding(dict(source="arrays", clips=dict(path="", length=8, seconds=0.0)), recordings=recordings(**changes))


# ---- validation


def changed_spans(query: int, start: float, end: float) -> np.ndarray:
    spans = recordings().spans.copy()
    spans[query] = start, end
    return spans


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            dict(spans=changed_spans(3, 5, 12.5)),
            'spans: got 1 outside of their recording (r1 at 5-12.5 s of 12 s); wanted 0 <= start < end <= duration. Repair the annotation, or set data.outside="cut".',
        ),
        (
            dict(spans=changed_spans(3, -1, 2)),
            'spans: got 1 outside of their recording (r1 at -1-2 s of 12 s); wanted 0 <= start < end <= duration. Repair the annotation, or set data.outside="cut".',
        ),
        (
            dict(spans=changed_spans(8, 5, 3)),
            "spans: got 1 that do not end after they start (r4 at 5-3 s of 16 s); wanted start < end. Swap their ends or drop these sentences.",
        ),
        (dict(spans=changed_spans(8, np.nan, 3)), "spans: got NaN or infinity; wanted seconds."),
        (dict(clips=[*recordings().clips[:4], np.zeros((0, 3))]), "clips of r4: got shape (0, 3); wanted [clips, 3], not empty."),
        (dict(clips=[*recordings().clips[:4], np.zeros((5, 2))]), "clips of r4: got shape (5, 2); wanted [clips, 3], not empty."),
        (
            dict(clips=[*recordings().clips[:4], np.full((5, 3), np.nan)]),
            "clips of r4: got NaN or infinity; wanted finite features.",
        ),
        (dict(durations=np.array([16.0, 12, 16, 0, 16])), "duration of r3: got 0 s; wanted above 0, and finite."),
        (
            dict(sentences=np.zeros((8, 4))),
            "sentences: got 8 embeddings for 9 annotated sentences; wanted one row a sentence, in the order of the annotation.",
        ),
        (dict(split=np.array(["val"] * 5)), "data: got no training recording; wanted at least one."),
    ],
)
def test_bad_input_says_what_is_wrong(changes, words):
    with pytest.raises(InputError) as error:
        build(**changes)
    assert str(error.value) == words


def test_features_of_another_length_than_the_annotation():
    assert validate(recordings(), seconds_per_clip=2.0).durations.tolist() == [16, 12, 16, 8, 16]
    with pytest.raises(InputError) as error:
        validate(recordings(durations=np.array([16.0, 12, 16, 30, 16])), seconds_per_clip=2.0)
    assert str(error.value) == (
        "clips of r3: got 4 clips of 2 s, 8 s, for 30 s in the annotation; wanted the same length to within "
        "one clip. Look for another frame rate, or set data.clips.seconds."
    )


def test_spans_can_be_cut_and_rounding_is_forgiven():
    cut = validate(recordings(spans=changed_spans(3, 5, 12.5)), outside="cut")
    assert cut.spans[3].tolist() == [5, 12]
    assert validate(recordings(spans=changed_spans(3, 5, 12.0005))).spans[3].tolist() == [5, 12]
    with pytest.raises(InputError, match="outside of their recording .* Drop these sentences"):
        validate(recordings(spans=changed_spans(3, 13, 14)), outside="cut")


def test_a_recording_without_sentences_is_left_out_and_said():
    raw = recordings(recording=np.array([0, 0, 0, 0, 2, 2, 3, 4, 4]))
    found = validate(raw)
    assert found.ids.tolist() == ["r0", "r2", "r3", "r4"] and found.recording.tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 3]
    assert found.warnings == ["recordings: 1 without a sentence left out (r1)."]
    assert found.split.tolist() == ["train", "train", "val", "test"] and len(found.clips) == 4


# ---- preparing


def test_statistics_are_of_the_training_recordings_alone():
    one, other = build(), build(clips=[*recordings().clips[:3], *(rows * 9 + 5 for rows in recordings().clips[3:])])
    for name, value in one.arrays.items():
        assert np.array_equal(value, other.arrays[name])
    rows = one.clips[one.splits["train"]][np.arange(8) < one.lengths[one.splits["train"], None]]
    assert np.allclose(rows.mean(0), 0, atol=1e-5) and np.allclose(rows.std(0), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(one.sentences, axis=1), 1, atol=1e-6)
    assert not np.any(one.clips[3, 4:]) and np.any(one.clips[3, :4])


def test_means_over_equal_parts_are_exact():
    rows = RNG.normal(size=(12, 2)).astype(np.float32)
    assert np.allclose(average_clips(rows, 4), rows.reshape(4, 3, 2).mean(1), atol=1e-6)
    fine = np.repeat(rows[:5], 3, axis=0)  # 5 rows to 3 parts, by thirds of a row
    assert np.allclose(average_clips(rows[:5], 3), fine.reshape(3, 5, 2).mean(1), atol=1e-6)
    assert np.array_equal(average_clips(rows, 12), rows) and np.array_equal(average_clips(rows, 20), rows)


def test_means_under_spans():
    data = build()
    query = 3
    start, end = data.span_clips()[query]
    fine = np.repeat(data.clips[1, :6], 1000, axis=0)
    want = fine[round(1000 * start) : round(1000 * end)].mean(0)
    assert np.allclose(span_means(data, np.array([query]))[0], want, atol=5e-3)
    assert not np.allclose(span_means(data, np.array([query]))[0], data.clips[1].mean(0), atol=5e-2)


# ---- batches


@pytest.mark.parametrize("shards", [2, 4])
def test_the_global_batch_does_not_depend_on_the_shards(shards):
    data = build()
    one = GroundingSampler(data, seed=3, batch_size=2, sentences=2, shards=1)
    many = GroundingSampler(data, seed=3, batch_size=2, sentences=2, shards=shards)
    for step in (0, 1, 7):
        whole, split = one.batch(step), many.batch(step)
        for name, value in whole.items():
            flat = split[name].reshape(-1, *split[name].shape[2:])
            np.testing.assert_array_equal(flat[: len(value[0])], value[0])
            assert not np.any(flat[len(value[0]) :])  # what fills up the last shards does not exist
    assert many.batch(0)["mask.clips"].shape[0] == shards
    local = GroundingSampler(data, seed=3, batch_size=2, sentences=2, shards=shards, local_shards=[1])
    np.testing.assert_array_equal(local.batch(5)["clips"][0], many.batch(5)["clips"][1])


def test_batches_are_a_function_of_seed_and_step():
    data = build()
    sampler, again = (GroundingSampler(data, seed=3, batch_size=2, sentences=2) for _ in range(2))
    for step in (9, 2, 0):  # in any order
        for name, value in sampler.batch(step).items():
            np.testing.assert_array_equal(again.batch(step)[name], value)
    other = GroundingSampler(data, seed=4, batch_size=2, sentences=2)
    assert any(not np.array_equal(sampler.batch(step)["clips"], other.batch(step)["clips"]) for step in range(3))
    drawn = {tuple(sampler.batch(step)["spans"][0].ravel()) for step in range(8)}
    assert len(drawn) > 2  # recordings of three sentences show another two each time


def test_an_epoch_shows_every_recording_with_its_own_sentences():
    data = build()
    sampler = GroundingSampler(data, seed=0, batch_size=1)
    assert sampler.steps_per_epoch == 3 and sampler.sentences == 3
    seen = []
    for step in range(3):
        batch = {name: value[0, 0] for name, value in sampler.batch(step).items()}
        recording = next(r for r in range(5) if np.array_equal(data.clips[r], batch["clips"]))
        seen.append(recording)
        own = np.flatnonzero(data.recording == recording)
        assert batch["mask.sentences"].sum() == len(own) and batch["mask.clips"].sum() == data.lengths[recording]
        np.testing.assert_array_equal(batch["sentences"][: len(own)], data.sentences[own])
        np.testing.assert_allclose(batch["spans"][: len(own)], data.span_clips()[own], rtol=1e-6)
    assert sorted(seen) == [0, 1, 2]


def test_sizes_below_their_minimum():
    for options, words in (
        (dict(batch_size=0), "batch.recordings: got 0; wanted at least 1."),
        (dict(batch_size=1, sentences=-1), "batch.sentences: got -1; wanted 0 (all) or more."),
    ):
        with pytest.raises(InputError) as error:
            GroundingSampler(build(), seed=0, **options)
        assert str(error.value) == words


def test_windows_reach_what_measures_them():
    rng = np.random.default_rng(0)
    windows = np.array([[[0, 4], [6, 8]], [[1, 2], [np.nan, np.nan]]])
    raw = Recordings(
        ids=np.array(["a", "b"]),
        clips=[rng.normal(size=(8, 3)) for _ in range(2)],
        durations=np.array([10.0, 10.0]),
        sentences=rng.normal(size=(2, 5)),
        recording=np.array([0, 1]),
        spans=windows[:, 0],
        texts=["x", "y"],
        split=np.array(["train", "train"]),
        windows=windows,
    )
    data = build_grounding(dict(source="arrays"), recordings=raw)
    np.testing.assert_array_equal(data.truth, windows)
    np.testing.assert_array_equal(data.spans, windows[:, 0])
    for outside, words in (
        (np.array([[[0, 4], [6, 18]], [[1, 2], [np.nan, np.nan]]]), "1 outside of their recording .a at 6-18 s"),
        (np.array([[[0, 4], [7, 6]], [[1, 2], [np.nan, np.nan]]]), "1 that do not end after they start .a at 7-6 s"),
    ):
        with pytest.raises(InputError, match=words):
            build_grounding(dict(source="arrays"), recordings=dataclasses.replace(raw, windows=outside))
