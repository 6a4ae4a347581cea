"""The field's annotation and feature files of recordings: read exactly, and spoiled ones refused in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.moments import build_grounding
from gera_jax.moments.data import inspect_grounding
from gera_jax.moments.recordings import read_annotations, read_clips

RNG = np.random.default_rng(0)


def activitynet(path):
    path.write_text(
        json.dumps(
            {
                "v_a": {"duration": 20.0, "timestamps": [[0, 5.5], [4.0, 19.0]], "sentences": [" A man waves.", "He leaves. "]},
                "v_b": {"duration": 10.0, "timestamps": [[1, 2]], "sentences": ["A dog."]},
            }
        )
    )
    return path


def test_activitynet_json(tmp_path):
    found = read_annotations(activitynet(tmp_path / "train.json"), "activitynet")
    assert found.ids.tolist() == ["v_a", "v_b"] and found.durations.tolist() == [20.0, 10.0]
    assert found.recording.tolist() == [0, 0, 1]
    assert found.spans.tolist() == [[0.0, 5.5], [4.0, 19.0], [1.0, 2.0]]
    assert found.texts == ["A man waves.", "He leaves.", "A dog."]


def test_charades_text_with_durations_beside_it(tmp_path):
    text = tmp_path / "charades_sta_train.txt"
    text.write_text(
        "AO8RW 0.0 6.9##a person is putting a book on a shelf.\nY6R7T 20.8 30.0##person begins to play.\n"
        "AO8RW 2.0 4.5##person ## waves.\n\n"
    )
    lengths = tmp_path / "Charades_v1_train.csv"
    lengths.write_text("id,subject,length\nAO8RW,X,33.67\nY6R7T,Y,30.5\nZZZZZ,Z,1\n")
    found = read_annotations(text, "charades", durations=lengths)
    assert found.ids.tolist() == ["AO8RW", "Y6R7T"] and found.durations.tolist() == [33.67, 30.5]
    assert found.recording.tolist() == [0, 0, 1]
    assert found.spans.tolist() == [[0.0, 6.9], [2.0, 4.5], [20.8, 30.0]]
    assert found.texts[1] == "person ## waves."
    assert read_annotations(text, "charades", durations={"AO8RW": 40, "Y6R7T": 31.0}).durations.tolist() == [40.0, 31.0]
    with pytest.raises(InputError) as error:
        read_annotations(text, "charades")
    assert str(error.value) == (
        "durations: got none for AO8RW; wanted seconds of every recording of charades_sta_train.txt. "
        "Set data.annotations.durations to a CSV with the columns id and length."
    )
    text.write_text("AO8RW 0.0##a person.\n")
    with pytest.raises(InputError, match="line 1: got AO8RW 0.0##a person.; wanted id start end##sentence"):
        read_annotations(text, "charades", durations={})


def test_tacos_json_in_frames(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(
        json.dumps(
            {
                "s13-d21.avi": {
                    "timestamps": [[50, 100], [200, 250]],
                    "sentences": ["She cuts.", "She eats."],
                    "fps": 25.0,
                    "num_frames": 1000,
                }
            }
        )
    )
    found = read_annotations(path, "tacos")
    assert found.spans.tolist() == [[2.0, 4.0], [8.0, 10.0]] and found.durations.tolist() == [40.0]
    path.write_text(json.dumps({"a": {"timestamps": [], "sentences": []}}))
    with pytest.raises(InputError) as error:
        read_annotations(path, "tacos")
    assert str(error.value) == "train.json a: got no fps, num_frames; wanted the fields timestamps, sentences, fps, num_frames."


def test_annotation_faults(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    for spec, words in (
        ("activitynet", "a.json: got .a.json., which is no JSON"),
        ("anet", 'data.annotations.format: got "anet"'),
    ):
        with pytest.raises(InputError, match=words):
            read_annotations(path, spec)
    path.write_text(json.dumps({"v": {"duration": 3, "timestamps": [[0, 1]], "sentences": []}}))
    with pytest.raises(InputError, match="a.json v: got 1 spans and 0 sentences; wanted one span a sentence"):
        read_annotations(path, "activitynet")


def test_clips_in_npz_and_folders(tmp_path):
    clips = {"v_a": RNG.normal(size=(4, 3)), "v_b": RNG.normal(size=(7, 3))}
    np.savez(tmp_path / "clips.npz", **clips)
    (tmp_path / "folder").mkdir()
    for name, rows in clips.items():
        np.save(tmp_path / "folder" / f"{name}.npy", rows)
    for path in (tmp_path / "clips.npz", tmp_path / "folder"):
        b, a = read_clips(path, ["v_b", "v_a"])
        assert np.array_equal(a, clips["v_a"]) and np.array_equal(b, clips["v_b"])
        with pytest.raises(InputError, match=r"without 1 of 2 recordings \(v_c\); wanted clips of every annotated recording"):
            read_clips(path, ["v_a", "v_c"])


def test_clips_in_hdf5(tmp_path):
    """A data set for each recording, and ActivityNet's groups with one data set in each."""
    import h5py

    clips = RNG.normal(size=(4, 3)).astype(np.float32)
    with h5py.File(tmp_path / "clips.hdf5", "w") as file:
        file["v_a"] = clips
        file.create_group("v_b")["c3d_features"] = clips + 1
        file.create_group("v_c")
    a, b = read_clips(tmp_path / "clips.hdf5", ["v_a", "v_b"])
    assert np.array_equal(a, clips) and np.array_equal(b, clips + 1)
    with pytest.raises(InputError, match=r"clips of v_c: got a group with data sets \[\]; wanted one data set"):
        read_clips(tmp_path / "clips.hdf5", ["v_c"])
    with pytest.raises(InputError, match="without 1 of 1 recordings"):
        read_clips(tmp_path / "clips.hdf5", ["v_d"])


def test_files_make_a_run(tmp_path):
    activitynet(tmp_path / "train.json")
    (tmp_path / "val.json").write_text(json.dumps({"v_c": {"duration": 6.0, "timestamps": [[1, 3]], "sentences": ["A cat."]}}))
    clips = {name: RNG.normal(size=(n, 3)) for name, n in (("v_a", 20), ("v_b", 10), ("v_c", 6))}
    np.savez(tmp_path / "clips.npz", **clips)
    for name, count in (("train", 3), ("val", 1)):
        np.save(tmp_path / f"{name}.npy", RNG.normal(size=(count, 4)))
    paths = {name: str(tmp_path / f"{name}.json") for name in ("train", "val")}
    block = dict(
        source="files",
        annotations=dict(format="activitynet", **paths, test="", durations=""),
        clips=dict(path=str(tmp_path / "clips.npz"), length=8, seconds=1.0),
        sentences={**{name: str(tmp_path / f"{name}.npy") for name in ("train", "val")}, "test": ""},
    )
    data = build_grounding(block)
    assert data.clips.shape == (3, 8, 3) and data.lengths.tolist() == [8, 8, 6]
    assert data.splits["train"].tolist() == [0, 1] and data.splits["val"].tolist() == [2] and len(data.splits["test"]) == 0
    assert np.allclose(data.span_clips()[0], [0, 5.5 * 8 / 20]) and np.allclose(data.span_clips()[3], [1, 3])
    assert inspect_grounding(block) == {"clips": (3, 8, 3), "sentences": (4, 4), "train": (2, 2)}
    bare = {**block, "annotations": dict(paths), "clips": dict(path=str(tmp_path / "clips.npz"))}  # the rest by default
    assert inspect_grounding(bare) == {"clips": (3, 20, 3), "sentences": (4, 4), "train": (2, 2)}
    np.savez(tmp_path / "train.npz", rows=np.load(tmp_path / "train.npy"))
    packed = {**block, "sentences": {**block["sentences"], "train": str(tmp_path / "train.npz")}}
    np.testing.assert_array_equal(build_grounding(packed).sentences, data.sentences)
    for shape, changes, words in (
        ((2, 4), {}, r"data.sentences.val: got shape \(2, 4\); wanted \[1, width\], one row a sentence"),
        ((1, 5), {}, "data.sentences: got width 4 in train, width 5 in val; wanted one width in all parts"),
        ((1, 4), dict(recordings=3), "data.recordings: got 3; wanted at most the 2 training recordings"),
        ((1, 4), dict(recordings=-1), "data.recordings: got -1; wanted a whole number"),
        ((1, 4), dict(sentences={}), "data.sentences.train: got nothing; wanted an .npy"),
        ((1, 4), dict(clips=dict(lenght=8)), 'field of data.clips: got "lenght".*Did you mean "length"'),
    ):
        np.save(tmp_path / "val.npy", RNG.normal(size=shape))
        for door in (inspect_grounding, build_grounding):  # what training refuses, looking refuses
            with pytest.raises(InputError, match=words):
                door({**block, **changes})


def qvhighlights(path, windows):
    lines = [
        dict(qid=i, vid=f"v{i // 2}", query=f" query {i} ", duration=150, relevant_windows=each) for i, each in enumerate(windows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_query_of_qvhighlights_is_true_in_several_windows(tmp_path):
    windows = [[[0, 10], [20, 60], [70, 80]], [[5, 9]], [[100, 150], [2, 4]]]
    found = read_annotations(qvhighlights(tmp_path / "a.jsonl", windows), "qvhighlights")
    assert found.ids.tolist() == ["v0", "v1"] and found.recording.tolist() == [0, 0, 1] and found.texts[0] == "query 0"
    assert found.spans.tolist() == [[20, 60], [5, 9], [100, 150]]  # the longest, to train on
    assert [[list(w) for w in query if not np.isnan(w).any()] for query in found.windows] == windows
    assert read_annotations(qvhighlights(tmp_path / "b.jsonl", [[[0, 1]], [[2, 3]]]), "qvhighlights").windows is None
    for bad in ([[[0, 10]], []], [[[0, 10]], [[1, 2, 3]]], [[[0, 10]], [["a", 2]]], [[[0, 10]], 7]):
        with pytest.raises(InputError, match="a.jsonl"):
            read_annotations(qvhighlights(tmp_path / "a.jsonl", bad), "qvhighlights")
    (tmp_path / "a.jsonl").write_text('{"vid": "a"}\n')
    with pytest.raises(InputError, match="a.jsonl line 1: got no query, duration, relevant_windows"):
        read_annotations(tmp_path / "a.jsonl", "qvhighlights")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.txt", "", "data.annotations: got a.txt without a sentence; wanted at least one. Is the file whole?"),
        ("l.csv", "ywhat\na,16\n", "data.annotations.durations: got l.csv with columns ywhat; wanted columns id and length"),
        ("l.csv", "", "data.annotations.durations: got l.csv with columns none; wanted columns id and length"),
        ("l.csv", "id,length\na\n", "l.csv: got fields of another kind"),
        ("l.csv", "id,length\na,nan\n", "duration of a: got nan s; wanted seconds above 0"),
        ("l.csv", "id,length\na,inf\n", "duration of a: got inf s; wanted seconds above 0"),
        ("l.csv", "id,length\na,-3\n", "duration of a: got -3.0 s; wanted seconds above 0"),
    ],
)
def test_spoiled_charades_and_lengths(file, content, words, tmp_path):
    (tmp_path / "a.txt").write_text("a 2.0 6.0##A.\n")
    (tmp_path / "l.csv").write_text("id,length\na,16\n")
    assert read_annotations(tmp_path / "a.txt", "charades", durations=tmp_path / "l.csv").durations.tolist() == [16.0]
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError) as error:
        read_annotations(tmp_path / "a.txt", "charades", durations=tmp_path / "l.csv")
    assert words in str(error.value)


@pytest.mark.parametrize(("field", "shape"), [("clips", ()), ("clips", (6,)), ("clips", (2, 3, 4)), ("sentences", (4,))])
def test_features_that_are_no_rows_are_refused_at_looking_and_at_reading(field, shape, tmp_path):
    (tmp_path / "a.txt").write_text("a 2.0 6.0##A.\n")
    rows = {"clips": np.ones((8, 6)), "sentences": np.ones((1, 4)), field: np.ones(shape)}
    np.save(tmp_path / "s.npy", rows["sentences"])
    np.savez(tmp_path / "c.npz", a=rows["clips"])
    annotations = dict(format="charades", train=str(tmp_path / "a.txt"), val="", test="", durations={"a": 16})
    block = dict(source="files", annotations=annotations, sentences=dict(train=str(tmp_path / "s.npy"), val="", test=""))
    block["clips"] = dict(path=str(tmp_path / "c.npz"), length=8, seconds=0.0)
    for door in (inspect_grounding, build_grounding):
        with pytest.raises(InputError, match=f"{field}.* got shape"):
            door(block)
