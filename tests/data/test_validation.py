"""Every fault of validation in words, and its counts; memory stays that of a block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.load import validate_table
from gera_jax.data.pairs import Pairs
from gera_jax.data.tables import Table, load_table


def good(n=12, d=4, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


def table(rows, name="image"):
    return Table(rows, [f"id{i}" for i in range(len(rows))], name)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_clean_table(dtype):
    report = validate_table(table(good(dtype=dtype)))
    assert report
    assert report.counts == dict(rows=12, dim=4, nonfinite=0, zero_rows=0, duplicate_ids=0, constant_columns=0)
    assert (report.errors, report.warnings, report.bad_rows.tolist()) == ([], [], [])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_inf(value):
    rows = good()
    rows[[7, 9, 10, 11], 2] = value
    words = r"image: got 4 of 12 rows with NaN or infinite values \(first: id7, id9, id10, ...\); wanted finite numbers"
    with pytest.raises(InputError, match=words + ".*drop them: table.without"):
        validate_table(table(rows))
    report = validate_table(table(rows), raise_errors=False)
    assert not report
    assert report.bad_rows.tolist() == [7, 9, 10, 11]
    assert validate_table(table(rows).without(report.bad_rows)).counts["rows"] == 8


def test_float64_beyond_float32_counts_as_infinite():
    rows = good(dtype=np.float64)
    rows[3, 0] = 1e300
    with pytest.raises(InputError, match=r"1 of 12 rows with NaN or infinite values \(first: id3\).*within float32"):
        validate_table(table(rows))


def test_zero_rows():
    rows = good()
    rows[[2, 5]] = 0
    with pytest.raises(InputError, match=r"image: got 2 of 12 rows of zeros \(first: id2, id5\).*encoder that failed"):
        validate_table(table(rows))


def test_repeated_ids():
    t = Table(good(4), ["a", "b", "a", "a"], "text")
    with pytest.raises(InputError, match=r"text: got 2 of 4 rows with a repeated id \(first: a, a\).*captions=True"):
        validate_table(t)
    assert validate_table(t, captions=True).counts["duplicate_ids"] == 0


def test_one_row():
    with pytest.raises(InputError, match=r"image: got 1 row; wanted at least 2 rows. One row has no neighbours"):
        validate_table(table(good(1)))


def test_several_faults_are_counted_at_once():
    rows = good()
    rows[0], rows[1, 0], rows[:, 3] = 0, np.nan, 2.0
    report = validate_table(Table(rows, ["a", "b"] * 6, "image"), raise_errors=False)
    assert report.counts == dict(rows=12, dim=4, nonfinite=1, zero_rows=0, duplicate_ids=10, constant_columns=1)
    assert len(report.errors) == 2
    with pytest.raises(InputError, match=r"1 more kinds of fault"):
        validate_table(Table(rows, ["a", "b"] * 6, "image"))


def test_constant_columns_are_a_warning_also_beside_nan():
    rows = good()
    rows[:, [1, 3]] = 0.5
    rows[4, 1] = np.nan
    report = validate_table(table(rows), raise_errors=False)
    assert report.warnings[0].startswith("image: 2 of 4 columns are constant (first: 1, 3)")
    rows[4, 1] = 0.75  # the companion: one other value is enough
    assert validate_table(table(rows)).counts["constant_columns"] == 1


@pytest.mark.parametrize("block_rows", [1, 5, 12, 100])
def test_blocks_do_not_change_the_report(block_rows, monkeypatch):
    rows = good()
    rows[4], rows[5, 1], rows[:, 2] = 0, np.inf, 0
    whole = validate_table(table(rows), raise_errors=False)
    monkeypatch.setattr("gera_jax.data.load.BLOCK_ROWS", block_rows)
    blocks = validate_table(table(rows), raise_errors=False)
    assert (whole.counts, whole.errors, whole.warnings) == (blocks.counts, blocks.errors, blocks.warnings)


def test_rows_without_a_partner_are_told():
    found = Pairs.from_tables((table(good(5)), Table(good(3, 7), ["id4", "other", "id0"], "text")))
    assert len(found) == 2 and [len(rows) for rows in found.unpaired] == [3, 1]
    assert found.warnings == (
        "image: 3 of 5 rows have no text (first: id1, id2, id3); those rows are used as unpaired.",
        "text: 1 of 3 rows have no image (first: other); those rows are used as unpaired.",
    )


def test_tables_without_pairs():
    words = r"pairs: got 0 ids on both sides \(image first: id0, id1, id2, ...; text first: a.png, b.png\); wanted at least 1"
    with pytest.raises(InputError, match=words + ". Write the same id"):
        Pairs.from_tables((table(good(5)), Table(good(2), ["a.png", "b.png"], "text")))


def test_a_memory_mapped_table_is_never_loaded(tmp_path, monkeypatch):
    n, d = 60_000, 64
    rows = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, (n, d))
    rows[:] = np.random.default_rng(0).normal(size=(1, d)).astype(np.float32)
    rows[0] += 1
    rows.flush()
    del rows
    monkeypatch.setattr("gera_jax.data.load.BLOCK_ROWS", 2048)
    tracemalloc.start()
    counts = validate_table(load_table(tmp_path / "a.npy")).counts
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts["rows"] == n
    # the table is 15.4 MB; a copy of it, or its finite mask (3.8 MB) at once, would show
    assert peak < 3.5e6


def test_columns_that_vary_below_float32_are_not_constant():
    rows = np.random.default_rng(0).normal(size=(20, 3))
    rows[:, 1] += 1.7e9  # time stamps
    rows[:, 2] = 1.7e9
    report = validate_table(Table(rows, list(range(20)), "image"))
    assert report.counts["constant_columns"] == 1 and "(first: 2)" in report.warnings[0]
    assert np.ptp(rows[:, 1].astype(np.float32)) == 0  # the companion: in float32 it is constant too
