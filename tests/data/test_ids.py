"""Ids: exact, named row by row where they are wrong, never replaced by row numbers in silence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.formats.base import ROW_NUMBERS, like_an_id
from gera_jax.data.ids import check_ids
from gera_jax.data.pairs import Pairs
from gera_jax.data.tables import Table, load_table

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = [f"img_{i}" for i in (4, 2, 5, 0, 1, 3)]


def write_parquet(path, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({**columns, "e": ROWS.tolist()}), path)


def write_npz(path, **columns):
    np.savez(path, e=ROWS, **columns)


def write_h5(path, **columns):
    import h5py

    with h5py.File(path, "w") as file:
        file["e"] = ROWS
        for name, values in columns.items():
            file[name] = values


def write_csv(path, **columns):
    heads = [*columns, *(f"d{i}" for i in range(4))]
    lines = [[*map(str, words), *map(str, row)] for *words, row in zip(*columns.values(), ROWS, strict=True)]
    path.write_text("\n".join(",".join(line) for line in [heads, *lines]))


def write_meta(path, **columns):
    meta = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    np.savez(path, e=ROWS, meta=json.dumps(meta))


WRITERS = {"a.parquet": write_parquet, "a.npz": write_npz, "a.h5": write_h5, "a.csv": write_csv, "b.npz": write_meta}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("column", ["image_id", "imageId", "names", "filename", "code"])
def test_likely_ids_are_refused_until_they_are_named(name, column, tmp_path):
    """With row numbers in their place two files in different orders would be paired wrongly, without a word."""
    WRITERS[name](tmp_path / name, **{column: IDS})
    with pytest.raises(
        InputError, match=rf'{name} ids: got nothing called "id".*{column} \(img_4, img_2.*--x-ids {column}.*{ROW_NUMBERS}'
    ):
        load_table(tmp_path / name)
    table = load_table(tmp_path / name, ids_key=column)  # the remedy
    assert table.ids.tolist() == IDS and not table.numbered
    assert load_table(tmp_path / name, ids_key=ROW_NUMBERS).numbered


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_no_id_leaves_row_numbers(name, tmp_path):
    WRITERS[name](tmp_path / name, caption=["a cat"] * 3 + ["a dog"] * 3, split=[0, 1] * 3, place=list(range(6)))
    table = load_table(tmp_path / name)
    assert table.numbered and table.ids.tolist() == list(range(6))
    WRITERS[name](tmp_path / name, ID=IDS, image_id=IDS[::-1])
    assert load_table(tmp_path / name).ids.tolist() == IDS


def test_several_likely_ids_are_all_named(tmp_path):
    write_parquet(tmp_path / "a.parquet", image_id=IDS, url=IDS, number=[7, 3, 5, 1, 2, 9])
    with pytest.raises(InputError, match=r"image_id \(img_4.*; url \(img_4.*; number \(7, 3"):
        load_table(tmp_path / "a.parquet")


def test_pandas_index_is_the_ids_where_it_is_one_of_names(tmp_path):
    import pandas

    frame = pandas.DataFrame({"e": list(ROWS)})
    for index, ids in ((IDS, IDS), (pandas.Index([9, 7, 5, 3, 1, 0], name="image"), [9, 7, 5, 3, 1, 0])):
        frame.set_axis(index).to_parquet(tmp_path / "a.parquet")
        assert load_table(tmp_path / "a.parquet").ids.tolist() == ids
    frame.to_parquet(tmp_path / "a.parquet")  # it only counts
    assert load_table(tmp_path / "a.parquet").numbered
    frame.set_axis([9, 7, 5, 3, 1, 0]).to_parquet(tmp_path / "a.parquet")  # left over from a filter, or ids: nobody knows
    with pytest.raises(InputError, match="__index_level_0__ .9, 7"):
        load_table(tmp_path / "a.parquet")
    write_parquet(tmp_path / "a.parquet", __index_level_0__=IDS)
    assert load_table(tmp_path / "a.parquet").ids.tolist() == IDS


def test_an_id_that_one_entry_of_meta_lacks(tmp_path):
    meta = [{"id": i} for i in IDS]
    for entry in ({}, {"id": None}):
        np.savez(tmp_path / "a.npz", e=ROWS, meta=json.dumps([*meta[:4], entry, meta[5]]))
        with pytest.raises(InputError, match=r'1 entries of meta without "id" \(first: row 4\)'):
            load_table(tmp_path / "a.npz")


def test_pickled_names_are_not_passed_over(tmp_path):
    np.savez(tmp_path / "a.npz", e=ROWS, names=np.array(IDS, object))
    with pytest.raises(InputError, match="array names: got pickled objects"):
        load_table(tmp_path / "a.npz", key="e")


BIG = [
    [1, 2**63 + 5, 7, 2**64 - 1, 0, 2],
    [2**63 + 1, 2**63 + 5, 2**63 + 7, 2**64 - 1, 2**63, 2**63 + 2],
    [-(2**63), 2**63 - 1, 0, 1, 2, 3],
    [2**53 + 1, 2**53, 2**53 + 2, 1, 2, 3],
]


@pytest.mark.parametrize("ids", BIG)
@pytest.mark.parametrize("name", [*WRITERS, "a.jsonl", "a.npy", "a.txt"])
def test_whole_numbers_of_64_bits_are_exact(name, ids, tmp_path):
    path = tmp_path / name
    if name == "a.jsonl":
        path.write_text("\n".join(json.dumps(dict(id=i, e=row.tolist())) for i, row in zip(ids, ROWS, strict=True)))
    elif name == "a.npy":
        np.save(path, ROWS)
        (tmp_path / "a.ids.json").write_text(json.dumps(ids))
    elif name == "a.txt":
        path.write_text("".join(f"{i} {' '.join(map(str, row))}\n" for i, row in zip(ids, ROWS, strict=True)))
    else:
        dtype = np.uint64 if max(ids) >= 2**63 else np.int64
        WRITERS[name](path, id=ids if name in ("a.csv", "b.npz") else np.array(ids, dtype))
    assert load_table(path).ids.tolist() == ids
    assert [int(float(i)) for i in ids] != ids  # the companion: through float64 they are others


def test_ids_in_memory():
    for ids, want in (
        (BIG[0], BIG[0]),
        (np.array(BIG[0], object), BIG[0]),
        ([2**70, 1], [str(2**70), "1"]),
        ([-1, 2**63], ["-1", str(2**63)]),
        ([b"a", "ä".encode()], ["a", "ä"]),
        (np.array([b"a", b"b"], object), ["a", "b"]),
        (np.array(["a", "b"], np.dtypes.StringDType()), ["a", "b"]),
        ([np.uint64(2**63), np.int8(3)], [2**63, 3]),
    ):
        assert check_ids("x", ids, len(ids)).tolist() == want
    for ids, words in (
        (["a", ""], "1 row with an empty id .first: row 1"),
        ([1.0, np.nan], "1 row without an id .first: row 1"),
        (np.array([np.nan, 2.0]), "1 row without an id .first: row 0"),
        (["a", None, np.nan], "2 rows without an id .first: row 1, row 2"),
        ([True, False], "dtype bool"),
        ([1.5, 2.5], "dtype float64"),
        (["a", 3], "strings and numbers together"),
        (["x" * 10**7] * 60, "an id of 10000000 letters"),
    ):
        with pytest.raises(InputError, match=f"x ids: got {words}"):
            check_ids("x", ids, len(ids))


def numbered(n, name):
    return Table(ROWS[:n], None, name)


def test_rows_are_paired_by_position_only_where_no_table_has_ids():
    x, y = numbered(5, "image"), numbered(5, "text")
    assert x.numbered and Pairs.from_tables((x, y)).rows.tolist() == [[i, i] for i in range(5)]
    with pytest.raises(InputError, match="ids: got image of 5 rows and text of 4 rows, all without ids.*--pairs"):
        Pairs.from_tables((x, numbered(4, "text")))
    for other in (Table(ROWS[:5], IDS[:5], "text"), Table(ROWS[:5], [4, 3, 2, 1, 0], "text")):
        with pytest.raises(
            InputError,
            match=r"ids: got image without ids, text with ids \(first: .*; wanted ids in all tables or in none.*--y-ids.*--pairs",
        ):
            Pairs.from_tables((x, other))
    with pytest.raises(InputError, match="text of 4 rows"):
        Pairs.from_tables((x, numbered(4, "text"), numbered(5, "speech")))


def test_rows_that_were_left_out_keep_their_place():
    x, y = numbered(5, "image").without([1, 4]), numbered(5, "text")
    assert x.numbered and Pairs.from_tables((x, y)).rows.tolist() == [[0, 0], [1, 2], [2, 3]]
    with pytest.raises(InputError, match="image of 5 rows and text of 3 rows"):
        Pairs.from_tables((x, numbered(3, "text")))


@pytest.mark.parametrize(
    ("name", "values", "want"),
    [
        ("caption", ["a cat", "a dog"], False),
        ("code", ["x", "x"], False),
        ("code", ["x", "y"], True),
        ("label", [3, 3], False),
        ("code", [0, 1], False),
        ("code", [2, 1], True),
        ("weight", [0.5, 1.5], False),
        ("hidden", ["a b", "c"], False),
        ("idea", ["a b", "c"], False),
        ("video", [1, 1], False),
        ("video_id", [1, 1], True),
        ("Unnamed: 0", [0, 1], False),
        ("file_name", ["a", "a"], True),
    ],
)
def test_like_an_id(name, values, want):
    assert like_an_id(name, values) is want


@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "a.h5", "b.npz"])
@pytest.mark.parametrize(
    ("column", "values"),
    [("ids", [7.0, 8.0, 9.0, 4.0, 5.0, 6.0]), ("image_id", [7.0, 8.0, 9.0, 4.0, 5.0, 6.0]), ("id", [True] * 6)],
)
def test_ids_of_another_kind_are_refused_and_not_passed_over(name, column, values, tmp_path):
    """Whole numbers beside a missing one are floats in pandas: their rows were numbered in silence."""
    WRITERS[name](tmp_path / name, **{column: values})
    with pytest.raises(InputError, match="ids: got"):
        load_table(tmp_path / name)
    with pytest.raises(InputError, match="ids: got dtype (float64|bool)"):
        load_table(tmp_path / name, ids_key=column)
    assert load_table(tmp_path / name, ids_key=ROW_NUMBERS).numbered


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_ids_in_a_matrix_are_refused_and_another_modality_is_no_id(name, tmp_path):
    WRITERS[name](tmp_path / name, ids=np.arange(6)[:, None] + 3)
    with pytest.raises(InputError, match=r"e ids: got shape \(6, 1\)"):
        load_table(tmp_path / name)
    WRITERS[name](tmp_path / name, words=ROWS)
    assert load_table(tmp_path / name, key="e").numbered


def test_ids_of_json_lines_stay_what_they_are(tmp_path):
    def write(ids):
        (tmp_path / "a.jsonl").write_text(
            "\n".join(json.dumps(dict(id=i, e=row)) for i, row in zip(ids, ROWS.tolist(), strict=True))
        )

    for ids in ([2**53 + 1, 5, 3, 2, 1, 2**64 - 1], IDS):
        write(ids)
        assert load_table(tmp_path / "a.jsonl").ids.tolist() == ids
    write([2**70, 5, 3, 2, 1, 0])
    assert load_table(tmp_path / "a.jsonl").ids[0] == str(2**70)
    for ids, words in (
        ([7, "a", 1, 2, 3, 4], "strings and numbers together"),
        ([0.5] * 6, "dtype float64"),
        ([{"$oid": "x"}] * 6, "dtype dict"),
    ):
        write(ids)
        with pytest.raises(InputError, match=words):
            load_table(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"id": "a", "id": "b", "e": [0.5, 1.0]}')
    with pytest.raises(InputError, match='the field "id" is given twice'):
        load_table(tmp_path / "a.jsonl")


def test_a_column_of_ids_is_no_dimension(tmp_path):
    rows = "\n".join(",".join(map(str, [100 + i, *row])) for i, row in enumerate(ROWS.tolist()))
    for heading in ("", "code,a,b,c,d\n"):
        (tmp_path / "a.csv").write_text(heading + rows)
        with pytest.raises(InputError, match=r"(column_0|code): got whole numbers without a repeat.*call it \"id\""):
            load_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("id,a,b,c,d\n" + rows)  # the remedy
    table = load_table(tmp_path / "a.csv")
    assert table.ids.tolist() == list(range(100, 106)) and table.dim == 4
    (tmp_path / "a.csv").write_text("id,a,a,c,d\n" + rows)
    with pytest.raises(InputError, match="1 names of two columns"):
        load_table(tmp_path / "a.csv")


@pytest.mark.parametrize("ids", ["abc", b"abc", {"a", "b", "c"}, frozenset("abc"), ["a\0", "b", "c"]])
def test_what_has_no_order_or_loses_a_letter_is_no_list_of_ids(ids):
    with pytest.raises(InputError, match="image ids"):
        check_ids("image", ids, 3)


def test_accents_written_in_two_ways_are_told():
    x, y = Table(ROWS[:2], ["caf\u00e9", "x"]), Table(ROWS[:2], ["cafe\u0301", "y"], "text")
    with pytest.raises(InputError, match="in one form of Unicode 1 would meet"):
        Pairs.from_tables((x, y))
