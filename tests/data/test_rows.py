"""Rows given in Python: every holder of numbers gives the same rows; what is no matrix of real numbers is refused by name and row."""

from __future__ import annotations

import math

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse

from gera_jax.checks import InputError
from gera_jax.data import as_rows, rows
from tests import extras

TABLE = np.arange(12.0).reshape(4, 3) / 8  # bfloat16 and float16 hold them exactly
LISTS = TABLE.tolist()


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        TABLE.astype("f2"),
        TABLE.astype(">f4"),
        TABLE.astype(np.longdouble),
        np.asfortranarray(TABLE),
        np.matrix(TABLE),
        np.repeat(TABLE, 2, axis=0)[::2],
        TABLE.astype(ml_dtypes.bfloat16),
        LISTS,
        tuple(map(tuple, LISTS)),
        list(TABLE),
        jnp.asarray(TABLE, jnp.float32),
        jnp.asarray(TABLE, jnp.bfloat16),
        list(jnp.asarray(TABLE, jnp.bfloat16)),
    ],
    ids=lambda given: f"{type(given).__name__}-{getattr(given, 'dtype', '')}",
)
def test_arrays_and_lists(given):
    got = as_rows(given, "x")
    assert type(got) is np.ndarray or isinstance(got, np.memmap)
    assert got.dtype.kind == "f" and got.dtype.isnative
    np.testing.assert_array_equal(got.astype(np.float64), TABLE)


def test_tensors():
    torch = extras.torch()
    tensor = torch.tensor(TABLE)
    for given in (
        tensor,
        tensor.bfloat16(),
        tensor.half(),
        tensor.clone().requires_grad_(),
        list(tensor.bfloat16()),
        tensor.T.contiguous().T,
    ):
        np.testing.assert_array_equal(as_rows(given, "x").astype(np.float64), TABLE)
    assert as_rows(tensor.bfloat16(), "x").dtype == np.float32
    for given, words in (
        (tensor.to_sparse(), "to_dense"),
        (tensor * 1j, "complex"),
        (torch.empty(2, 2, device="meta"), "no data"),
    ):
        with pytest.raises(InputError, match=f"x: got .*{words}"):
            as_rows(given, "x")


def test_pandas_frames():
    import pandas as pd

    given = [
        pd.DataFrame(TABLE, index=[7, 3, 1, 9], columns=list("aab")),
        pd.DataFrame(TABLE).astype("Float32"),
        pd.DataFrame(dict(v=LISTS)),
        pd.Series(LISTS, index=[4, 3, 2, 1]),
    ]  # an index is no column
    for frame in given:
        np.testing.assert_array_equal(as_rows(frame, "x"), TABLE)
    assert as_rows(pd.DataFrame(dict(a=[1, 2], b=[True, False])), "x").tolist() == [[1, 1], [2, 0]]
    for frame, words in (
        (pd.DataFrame(dict(a=[1.0, 2.0], b=["u", "v"])), r'1 of 2 columns that hold ids or no numbers \("b"\)'),
        (pd.DataFrame(dict(a=pd.array([1, None], dtype="Int64"), b=[1.0, 2.0])), r"1 row with NaN or infinity \(row 1\)"),
        (pd.Series([[1.0, 2.0], None]), r"rows of unequal shape \(\(2,\) in row 0, \(\) in row 1\)"),
        (pd.Series([1.0, 2.0]), r"shape \(2,\)"),
        (
            pd.DataFrame(dict(image_id=[5, 6], a=[1.0, 2.0], b=[3.0, 4.0])),
            r'1 of 3 columns that hold ids or no numbers \("image_id"\)',
        ),
    ):
        with pytest.raises(InputError, match=f"x: got {words}"):
            as_rows(frame, "x")


def test_arrow_tables():
    import pyarrow as pa

    fixed = pa.list_(pa.float32(), 3)
    given = [
        pa.table(dict(zip("abc", TABLE.T, strict=True))),
        pa.table(dict(v=LISTS)),
        pa.RecordBatch.from_pydict(dict(v=LISTS)),
        pa.array(LISTS),
        pa.array(LISTS + LISTS, fixed).slice(4),
        pa.array(LISTS + LISTS).slice(4),
        pa.chunked_array([LISTS[:1], LISTS[1:]]),
        pa.array(LISTS, pa.large_list(pa.float16())),
        pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), [3]), pa.array(LISTS, fixed)),
    ]
    given.append(pa.Table.from_arrays([pa.array(column) for column in TABLE.T], names=["a", "b", "a"]))  # no name hides another
    for table in given:
        np.testing.assert_array_equal(as_rows(table, "x"), TABLE)
    assert as_rows(pa.table(dict(a=[1, 2, 3])), "x").shape == (3, 1)
    for table, words in (
        (pa.table(dict(id=["u", "v"], a=[1.0, 2.0])), r'1 of 2 columns that hold ids or no numbers \("id"\)'),
        (pa.array([[1.0], None, None]), r"2 rows without a vector \(first: row 1\)"),
        (pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)), "1 row without a vector"),
        (pa.array([[1.0, 2.0], [1.0, None]]), r"1 row with NaN or infinity \(row 1\)"),
        (pa.array([[1.0], [1.0, 2.0]]), r"vectors of unequal width \(1 in row 0, 2 in row 1\)"),
        (pa.array([["u"], ["v"]]), "objects"),
        (pa.array([1.0, 2.0]), r"shape \(2,\)"),
    ):
        with pytest.raises(InputError, match=f"x: got {words}"):
            as_rows(table, "x")


def test_polars_frames():
    import polars as pl

    for frame in (
        pl.DataFrame(TABLE),
        pl.DataFrame(dict(v=LISTS)),
        pl.Series(LISTS),
        pl.Series(LISTS, dtype=pl.Array(pl.Float64, 3)),
    ):
        np.testing.assert_array_equal(as_rows(frame, "x"), TABLE)
    with pytest.raises(InputError, match=r'columns that hold ids or no numbers \("id"\)'):
        as_rows(pl.DataFrame(dict(id=["u"], a=[1.0])), "x")


def test_a_table_on_disk_stays_there(tmp_path, monkeypatch):
    stored = np.memmap(tmp_path / "rows", np.float16, "w+", shape=(40, 4))
    assert np.shares_memory(as_rows(stored, "x"), stored)
    assert np.shares_memory(as_rows(TABLE, "x"), TABLE)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 64)  # 8 rows at once
    stored[[9, 33, 34], [0, 1, 2]] = np.nan, np.inf, np.nan
    with pytest.raises(InputError, match=r"x: got 3 rows with NaN or infinity \(first: row 9\)"):
        as_rows(stored, "x")


def test_whole_numbers_and_bool_are_exact():
    assert as_rows(np.array([[2**53 - 1, -5]]), "x").tolist() == [[2**53 - 1, -5]]  # float32 would round it
    assert as_rows(np.array([[True, False]]), "x").dtype == np.float64
    tiny = as_rows(np.array([[1e-300, 1 + 2**-50]]), "x")
    assert tiny.tolist() == [[1e-300, 1 + 2**-50]]


def test_counts_of_bad_rows_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    for _ in range(20):
        given = rng.choice([0.0, 1.0, np.nan, np.inf, -np.inf], p=[0.5, 0.44, 0.02, 0.02, 0.02], size=(30, 3))
        keep = rng.random(30) < 0.7
        for where in (None, keep):
            bad = [i for i, row in enumerate(given.tolist()) if not all(map(math.isfinite, row)) and (where is None or where[i])]
            words = f"x: got {len(bad)} rows? with NaN or infinity \\((first: )?row {bad[0]}\\)" if bad else None
            if words is None:
                assert as_rows(given, "x", where=where).shape == given.shape
                continue
            with pytest.raises(InputError, match=words):
                as_rows(given, "x", where=where)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (TABLE + 1j, "complex numbers; .*np.concatenate"),
        (TABLE.astype(str), "texts"),
        (TABLE.astype("S4"), "texts"),
        (TABLE.astype(object), "objects; .*np.float32"),
        ([[1.0, None]], "objects"),
        ([[1.0, "a"]], "texts"),
        ([[1.0, 10**30]], "objects"),
        ([[1, 2], [3]], r"rows of unequal shape \(\(2,\) in row 0, \(1,\) in row 1\)"),
        (3.0, r"shape \(\)"),
        (TABLE[0], r"shape \(3,\); .*rows\[None\]"),
        (TABLE[None], r"shape \(1, 4, 3\); .*reshape"),
        ([], r"shape \(0,\)"),
        (TABLE[:0], "0 rows; wanted at least 1"),
        (TABLE[:, :0], r"shape \(4, 0\)"),
        (np.ma.masked_array(TABLE, TABLE > 1), "a masked array"),
        ([np.ma.masked_array(TABLE[0], True)], "a masked array"),
        (scipy.sparse.csr_matrix(TABLE), "a sparse csr_matrix; .*toarray"),
        (TABLE.astype("M8[s]"), "entries of type datetime64"),
        (np.zeros(3, [("a", "f4")]), "entries of type void"),
        ((row for row in LISTS), "an object of type generator"),
        (None, "an object of type NoneType"),
        ({"a": [1]}, "an object of type dict"),
        (np.full((1, 1), np.longdouble("1e400")), "1 row with NaN or infinity"),
    ],
)
def test_no_matrix_of_real_numbers(given, words):
    with pytest.raises(InputError, match=f"x_pairs( row 0)?: got {words}"):
        as_rows(given, "x_pairs")


def test_widths_and_few_rows():
    with pytest.raises(InputError, match="x: got width 3; wanted width 5"):
        as_rows(TABLE, "x", width=5)
    assert as_rows([], "x", width=5, least=0).shape == (0, 5)
    assert as_rows(TABLE[:0], "x", width=3, least=0).shape == (0, 3)
    with pytest.raises(InputError, match=r"x mask: got shape \(3,\); wanted \(4,\)"):
        as_rows(TABLE, "x", where=np.ones(3, bool))
