"""A TFDS data set gives the table back exactly, in its own order; other file formats are refused."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.builder import build_dataset
from gera_jax.data.tables import Table, load_table
from gera_jax.files import HOST
from tests.extras import inspect_table


def table(n=300, dtype=np.float32, text=True):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, 5)).astype(dtype)
    rows[1] = [0, -0.0, np.inf, np.nan, np.finfo(dtype).tiny]
    numbers = rng.permutation(n) - 7
    ids = [f"é/{i}" for i in numbers] if text else numbers
    return Table(rows, ids, "My image", [{"caption": f"“{i}”"} for i in range(n)] if text else None)


@pytest.mark.parametrize(("dtype", "text"), [("float16", True), ("float32", False), ("float64", True)])
def test_there_and_back_exactly(dtype, text, tmp_path):
    before = table(dtype=dtype, text=text)
    path = build_dataset(before, tmp_path)
    assert path == tmp_path / "my_image" / "1.0.0"
    for place in (path, path.parent, tmp_path, path / "train"):
        assert inspect_table(place, "embedding") == ((300, 5), np.dtype(dtype))
    after = load_table(path, name="image")
    assert after.rows.dtype == before.rows.dtype
    assert after.rows.tobytes() == before.rows.tobytes()
    assert after.ids.tolist() == before.ids.tolist()
    assert after.ids.dtype == before.ids.dtype
    assert after.meta == before.meta


def test_rows_are_stored_in_another_order(tmp_path):
    """The companion: without the sort by position the round trip would fail."""
    import tensorflow_datasets as tfds

    path = build_dataset(table(), tmp_path)
    stored = tfds.builder_from_directory(str(path)).as_data_source(split="train")
    positions = [record["position"] for record in stored.__getitems__(range(300))]
    assert sorted(positions) == list(range(300))
    assert positions != list(range(300))


def test_nothing_else_is_left(tmp_path, monkeypatch):
    """Neither in the folder nor in the system's temporary one, by a build that ended, failed or was killed."""
    temporary, folder = tmp_path / "temporary", tmp_path / "folder"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    dead = subprocess.Popen(["true"])
    dead.wait()
    (folder / f".my_image.{HOST}.0a1b2c3d.{dead.pid}.part" / "my_image").mkdir(parents=True)
    (folder / f".my_image.{HOST}.0a1b2c3d.{os.getpid()}.part").mkdir()  # of one that is alive
    unreadable = Table(np.ones((3, 2)), [1, 2, 3], "My image", [{"no": object()}] * 3)
    with pytest.raises(TypeError, match="JSON"):
        build_dataset(unreadable, folder)
    build_dataset(table(10), folder)
    assert sorted(path.name for path in folder.iterdir()) == [f".my_image.{HOST}.0a1b2c3d.{os.getpid()}.part", "my_image"]
    assert list(temporary.iterdir()) == []


def test_splits_are_named_like_folders(tmp_path):
    whole = table()
    path = build_dataset({"train": whole.subset(range(200)), "test": whole.subset(range(200, 300))}, tmp_path)
    assert load_table(path / "test").ids.tolist() == whole.ids[200:].tolist()
    with pytest.raises(InputError, match=r'split: got no split.*Name it after the path: ".*train" or ".*test"'):
        load_table(path)
    with pytest.raises(InputError, match=r'split: got "tets".*Did you mean "test"'):
        load_table(path / "tets")


def test_two_modalities_are_two_data_sets(tmp_path):
    x, y = table(), Table(np.ones((3, 9)), [1, 2, 3], "text")
    build_dataset(x, tmp_path)
    assert load_table(build_dataset(y, tmp_path)).dim == 9
    with pytest.raises(InputError, match=r"which holds 2 TFDS data sets.*Give the path of one: my_image/1.0.0, text/1.0.0"):
        load_table(tmp_path)


def test_what_cannot_be_built(tmp_path):
    import ml_dtypes

    x, y = table(), Table(np.ones((3, 9)), [1, 2, 3], "text")
    with pytest.raises(InputError, match=r"splits: got .*wanted the same in each split"):
        build_dataset({"train": x, "test": y}, tmp_path)
    with pytest.raises(InputError, match=r"tables: got no table"):
        build_dataset({}, tmp_path)
    with pytest.raises(InputError, match=r"got dtype bfloat16.*which loses nothing"):
        build_dataset(Table(np.ones((3, 9), ml_dtypes.bfloat16), [1, 2, 3]), tmp_path)
    build_dataset(y, tmp_path)
    with pytest.raises(InputError, match=r"which is there already.*Remove it, or give another name"):
        build_dataset(y, tmp_path)


@pytest.mark.parametrize("stored", ["parquet", "tfrecord"])
def test_other_file_formats_are_refused(stored, tmp_path):
    path = build_dataset(table(10), tmp_path)
    info = json.loads((path / "dataset_info.json").read_text())
    (path / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": stored}))
    with pytest.raises(InputError, match=f"a TFDS data set of {stored} files; wanted array_record.*loses rows"):
        load_table(path)


def test_unknown_names_and_missing_ids(tmp_path):
    path = build_dataset(table(10), tmp_path)
    with pytest.raises(InputError, match=r'key: got "embeding".*Did you mean "embedding"'):
        load_table(path, key="embeding")
    with pytest.raises(InputError, match=r'ids: got "idd".*Did you mean'):
        load_table(path, ids_key="idd")
    text = (path / "features.json").read_text()
    (path / "features.json").write_text(text.replace('"id"', '"number"'))
    with pytest.raises(InputError, match=r"none of them an id; wanted an id in each row: TFDS gives rows back in a hashed"):
        load_table(path)


def test_a_foreign_data_set_needs_no_position(tmp_path):
    """Any array_record data set with an embedding and an id: the ids hold the rows together."""
    import tensorflow_datasets as tfds

    rows = np.arange(12, dtype=np.float32).reshape(6, 2)

    class Foreign(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("2.1.0")
        pkg_dir_path = None
        code_path = None

        def _info(self):
            features = {"vector": tfds.features.Tensor(shape=(2,), dtype=np.float32), "key": np.int64}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, row in enumerate(rows):
                yield i, {"vector": row, "key": i}

    tfds.disable_progress_bar()
    Foreign(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    loaded = load_table(tmp_path, key="vector", ids_key="key")
    assert sorted(loaded.ids.tolist()) == list(range(6))
    np.testing.assert_array_equal(loaded.rows, rows[loaded.ids])


def test_an_empty_directory(tmp_path):
    with pytest.raises(InputError, match=r"which holds 0 TFDS data sets; wanted a directory with features.json"):
        load_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("features.json", "{", "[" * 9000),
        ("features.json", '"featuresDict"', '"features"'),
        ("dataset_info.json", '"shardLengths"', '"lengths"'),
        ("dataset_info.json", '"10"', '"ten"'),
        ("dataset_info.json", '"splits": [', '"splits": 7, "x": ['),
    ],
)
def test_damaged_headers_are_told_in_a_sentence(name, old, new, tmp_path):
    path = build_dataset(table(10), tmp_path)
    text = (path / name).read_text()
    assert old in text
    (path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match="a truncated or damaged TFDS directory"):
        load_table(path)


def test_one_flipped_bit_is_found(tmp_path):
    path = build_dataset(table(10), tmp_path)
    (records,) = path.glob("*.array_record*")
    whole, rng = records.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 20).tolist():
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        records.write_bytes(broken)
        with pytest.raises(InputError, match="a damaged file"):
            load_table(path)
    records.write_bytes(whole)
    assert len(load_table(path)) == 10
    (path / "digests.json").unlink()  # the companion: as a data set of someone else's it is read as it is
    assert len(load_table(path)) == 10
