"""An index through a map: formats in and out, other columns, kills, and what is refused."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gera_jax.bridge import stream as streaming
from gera_jax.bridge.stream import stream
from gera_jax.checks import InputError
from gera_jax.data import load_table

WIDTHS = (4, 6)
WEIGHTS = np.random.default_rng(1).normal(size=WIDTHS).astype(np.float32)


def mapped(rows):
    return np.asarray(rows, np.float32) @ WEIGHTS


@contextlib.contextmanager
def opened(path):
    """`files.replacing` without its rename."""
    yield path


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(streaming, "BATCH", 7)
    monkeypatch.setattr(streaming, "COMMIT", 14)
    return np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)


def table(rows, **columns):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    return pa.table({**columns, "vector": vectors})


def names(n):
    return [f"id {i}" for i in range(n)]


def written(path, rows, row_group=33):
    """The index in each format that is read in batches."""
    ids = names(len(rows))
    if path.suffix == ".parquet":
        pq.write_table(table(rows, id=ids, words=[f"text {i}" for i in range(len(rows))]), path, row_group_size=row_group)
    elif path.suffix == ".npz":
        np.savez(path, rows=rows, ids=ids)
    else:
        np.save(path, rows)
        np.save(path.with_name(f"{path.stem}.ids.npy"), np.array(ids))
    return path


@pytest.mark.parametrize("to", [".parquet", ".npy", ".npz"])
@pytest.mark.parametrize("of", [".parquet", ".npy", ".npz"])
def test_every_format_gives_the_same_rows_and_ids(of, to, rows, tmp_path):
    found = stream(written(tmp_path / f"old{of}", rows), tmp_path / f"new{to}", mapped, WIDTHS, "m")
    assert found.shape == (100, 6) and found.resumed == 0
    new = load_table(found.output)
    np.testing.assert_allclose(new.rows, rows @ WEIGHTS, rtol=1e-5, atol=1e-6)
    assert new.ids.tolist() == names(100) and new.rows.dtype == np.float32
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    assert np.abs(new.rows[1:] - (rows @ WEIGHTS)[:-1]).max() > 0.1  # companion: a shift by one row is seen


def test_from_parquet_to_parquet_all_other_columns_go_along(rows, tmp_path):
    stream(written(tmp_path / "old.parquet", rows), tmp_path / "new.parquet", mapped, WIDTHS, "m")
    old, new = pq.read_table(tmp_path / "old.parquet"), pq.read_table(tmp_path / "new.parquet")
    assert new.column_names == ["id", "words", "vector"]
    assert new["id"].equals(old["id"]) and new["words"].equals(old["words"])


def test_columns_of_numbers_lists_and_halves(rows, tmp_path):
    pq.write_table(pa.table({f"dim_{i}": rows[:, i] for i in range(4)}), tmp_path / "wide.parquet")
    pq.write_table(pa.table({"v": rows.tolist()}), tmp_path / "lists.parquet")
    np.save(tmp_path / "half.npy", rows.astype(np.float16))
    for name, dtype, tolerance in (("wide.parquet", "f4", 1e-5), ("lists.parquet", "f4", 1e-5), ("half.npy", "f2", 1e-2)):
        stream(tmp_path / name, tmp_path / f"{name}.npy", mapped, WIDTHS, "m")
        new = np.load(tmp_path / f"{name}.npy")
        assert new.dtype == dtype
        np.testing.assert_allclose(new, rows @ WEIGHTS, atol=tolerance)


class Killed(BaseException):
    """What no handler catches, as a kill."""


@pytest.mark.parametrize("to", [".parquet", ".npy", ".npz"])
@pytest.mark.parametrize("after", [0, 1, 5, 14])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(after, to, rows, tmp_path):
    index = written(tmp_path / "old.parquet", rows)
    stream(index, tmp_path / f"whole{to}", mapped, WIDTHS, "m")
    seen = []

    def dies(batch):
        if len(seen) == after:
            raise Killed
        seen.append(len(batch))
        return mapped(batch)

    def counts(batch):
        seen.append(len(batch))
        return mapped(batch)

    output = tmp_path / f"new{to}"
    with pytest.raises(Killed):
        stream(index, output, dies, WIDTHS, "m")
    assert not output.exists()
    begun, seen[:] = sum(seen), []
    found = stream(index, output, counts, WIDTHS, "m")
    assert output.read_bytes() == (tmp_path / f"whole{to}").read_bytes()
    assert found.resumed <= begun and sum(seen) == 100 - found.resumed
    if after == 14:
        assert found.resumed > 0  # companion: what was done is not done again


def test_a_kill_after_the_ids_were_written(rows, tmp_path, monkeypatch):
    """Ids come before the rows: those of a run that was killed in between are its own, not another's."""
    index, output = written(tmp_path / "old.npz", rows), tmp_path / "new.npy"
    with monkeypatch.context() as killed:
        killed.setattr(streaming.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        killed.setattr(streaming.files, "replacing", opened)
        with pytest.raises(KeyboardInterrupt):
            stream(index, output, mapped, WIDTHS, "m")
    assert (tmp_path / "new.ids.npy").exists() and not output.exists()
    assert stream(index, output, mapped, WIDTHS, "m").resumed == len(rows)
    np.testing.assert_array_equal(np.load(tmp_path / "new.ids.npy"), names(len(rows)))


def test_another_map_or_an_index_that_changed_begins_anew(rows, tmp_path):
    index, output = written(tmp_path / "old.npy", rows), tmp_path / "new.npy"
    calls = []

    def dies(batch):
        calls.append(0)
        if len(calls) > 9:
            raise Killed
        return mapped(batch)

    with pytest.raises(Killed):
        stream(index, output, dies, WIDTHS, "m")
    found = stream(index, output, lambda batch: -mapped(batch), WIDTHS, "another")
    assert found.resumed == 0
    np.testing.assert_allclose(np.load(output), -rows @ WEIGHTS, rtol=1e-5, atol=1e-6)


def test_what_is_refused(rows, tmp_path):
    index = written(tmp_path / "old.npy", rows)
    (tmp_path / "there.npy").write_bytes(b"mine")
    with pytest.raises(InputError, match="output: got .*there.npy, which is there; wanted a new file"):
        stream(index, tmp_path / "there.npy", mapped, WIDTHS, "m")
    assert (tmp_path / "there.npy").read_bytes() == b"mine"
    (tmp_path / "z.ids.npy").write_bytes(b"mine too")
    with pytest.raises(InputError, match="output: got .*z.ids.npy, which is there; wanted a new file"):
        stream(index, tmp_path / "z.npy", mapped, WIDTHS, "m")
    assert (tmp_path / "z.ids.npy").read_bytes() == b"mine too"
    for wrong in (3, None, []):
        with pytest.raises(InputError, match="output: got .*; wanted a path"):
            stream(index, wrong, mapped, WIDTHS, "m")
        with pytest.raises(InputError, match="index: got .*; wanted a path"):
            stream(wrong, tmp_path / "z.npy", mapped, WIDTHS, "m")
    with pytest.raises(InputError, match="rows of width 5"):
        stream(index, tmp_path / "new.npy", mapped, (5, 6), "m")
    with pytest.raises(InputError, match="a name that ends in"):
        stream(index, tmp_path / "new.csv", mapped, WIDTHS, "m")
    rows[40, 1] = np.nan
    written(index, rows)
    with pytest.raises(InputError, match=r"1 rows with NaN or infinity in rows 35 to 42 \(first: id 40\)"):
        stream(index, tmp_path / "new.npy", mapped, WIDTHS, "m")
    assert not (tmp_path / "new.npy").exists()
    state = json.loads((tmp_path / ".new.npy.bridge" / "state.json").read_text())
    assert state["rows"] == 28  # the repaired index begins anew, as the file has changed


def test_memory_stays_far_below_the_table(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60_000, 64)).astype(np.float32)
    pq.write_table(table(rows), tmp_path / "old.parquet")
    weights = np.ones((64, 128), np.float32)
    tracemalloc.start()
    stream(tmp_path / "old.parquet", tmp_path / "new.npy", lambda batch: batch @ weights, (64, 128), "m")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes  # half of what is written; NumPy's arrays are traced, those of Arrow are not
