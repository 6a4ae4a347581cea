"""Tables: shape, dtype and id checks in words; joins by id against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.ids import number_items
from gera_jax.data.pairs import Pairs
from gera_jax.data.tables import Table, choose_layer, first_ids, load_table
from tests.extras import inspect_table


def rows(n, d=3, dtype=np.float32):
    return np.random.default_rng(0).normal(size=(n, d)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_float_becomes_float32_on_use(dtype):
    table = Table(rows(5, dtype=dtype), list("abcde"))
    assert table.rows.dtype == dtype
    taken = table.take([[4, 0], [1, 1]])
    assert taken.dtype == np.float32
    assert taken.shape == (2, 2, 3)
    np.testing.assert_array_equal(taken[0, 0], table.rows[4].astype(np.float32))


def test_take_is_a_fresh_array():
    table = Table(rows(3), [1, 2, 3])
    table.take(slice(0, 1).indices(3)[0:1])[:] = 7
    assert not (table.rows == 7).any()


def test_a_column_slice_of_another_table_is_not_the_same_row():
    table = Table(rows(3), [1, 2, 3])
    assert not np.array_equal(table.take([0]), table.take([1]))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 2), int), r"rows: got dtype int64; wanted float16, float32 or float64. Whole numbers.*astype"),
        (np.ones((3, 2), bool), "got dtype bool.*Whole numbers"),
        (np.ones((3, 2), complex), "got dtype complex128.*Save float32 rows"),
        (np.ones(3), r"got shape \(3,\); wanted a matrix \[n, d\]. Give one embedding a row"),
        (np.ones((3, 2, 2)), r"got shape \(3, 2, 2\).*pool over time"),
        (np.ones((0, 2)), r"got shape \(0, 2\); wanted at least one row.*holds no embeddings"),
    ],
)
def test_bad_rows(array, words):
    with pytest.raises(InputError, match=words):
        Table(array, np.arange(len(array)), "image")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["a", "b"], r"image ids: got shape \(2,\); wanted one id a row, \(3,\)"),
        ([1.0, 2.0, 3.0], "got dtype float64; wanted strings or whole numbers"),
        (["a", None, "b"], "image ids: got 1 row without an id .first: row 1.; wanted one id a row"),
        (np.array([b"a", b"caf\xe9", b"b"]), "image ids: got bytes that are no UTF-8"),
        (["a", 1, "b"], "got strings and numbers together; wanted one kind. Make every id a string"),
    ],
)
def test_bad_ids(ids, words):
    with pytest.raises(InputError, match=words):
        Table(rows(3), ids, "image")


def test_masked_entries_are_missing():
    table = Table(np.ma.masked_array(rows(3), mask=np.eye(3)), [1, 2, 3])
    np.testing.assert_array_equal(np.isnan(table.take([0, 1, 2])), np.eye(3))


@pytest.mark.parametrize("layer", ["--1", "1.5", "²", True])
def test_a_layer_is_a_whole_number(layer):
    with pytest.raises(InputError, match="image layer: got .*; wanted a whole number"):
        choose_layer("image", (2, 3, 4), layer)


def test_meta_has_one_entry_a_row():
    with pytest.raises(InputError, match=r"image meta: got 1 entries; wanted one a row, 3"):
        Table(rows(3), [1, 2, 3], "image", [{}])


def test_bytes_and_object_strings_become_text():
    assert Table(rows(2), np.array([b"a", b"b"])).ids.tolist() == ["a", "b"]
    assert Table(rows(2), np.array(["a", "bc"], object)).ids.dtype.kind == "U"


def test_subset_and_without_keep_ids_and_meta():
    table = Table(rows(4), list("abcd"), "t", [{"w": c} for c in "abcd"])
    part = table.without([0, 2])
    assert part.ids.tolist() == ["b", "d"]
    assert [m["w"] for m in part.meta] == ["b", "d"]
    np.testing.assert_array_equal(part.rows, table.rows[[1, 3]])
    assert table.subset([3, 0]).ids.tolist() == ["d", "a"]


def test_rows_are_chosen_by_number_or_by_a_mask():
    table = Table(rows(4), list("abcd"), "image")
    mask = table.ids >= "c"
    assert table.subset(mask).ids.tolist() == ["c", "d"] and table.without(mask).ids.tolist() == ["a", "b"]
    np.testing.assert_array_equal(table.take(mask), table.rows[2:])
    assert table.take([]).shape == (0, 3) and table.subset([-1]).ids.tolist() == ["d"]
    for index, words in (
        ([1.7], r"image index: got float64 \(1,\); wanted row numbers, or a bool \(4,\)"),
        (mask[:3], r"image index: got bool \(3,\)"),
        ([0, 7], r"image index: got 1 numbers outside \(first: 7\); wanted from 0 to 3"),
    ):
        for act in (table.take, table.subset, table.without):
            with pytest.raises(InputError, match=words):
                act(index)


def test_first_ids():
    assert first_ids([7, 9]) == "first: 7, 9"
    assert first_ids(list("abcd")) == "first: a, b, c, ..."


def slow_join(x, y):
    pairs = [[i, j] for i, a in enumerate(x) for j, b in enumerate(y) if a == b]
    return pairs, [i for i, a in enumerate(x) if a not in y], [j for j, b in enumerate(y) if b not in x]


@pytest.mark.parametrize("kind", [str, int])
def test_join_is_by_id_in_any_order_and_number(kind):
    rng = np.random.default_rng(1)
    x_ids = [kind(i) for i in rng.permutation(40)[:30]]
    y_ids = [kind(i) for i in rng.permutation(40)[:20]]
    joined = Pairs.from_tables((Table(rows(30), x_ids, "x"), Table(rows(20, 5), y_ids, "y")))
    pairs, x_only, y_only = slow_join(x_ids, y_ids)
    assert joined.rows.tolist() == pairs
    assert [rows.tolist() for rows in joined.unpaired] == [x_only, y_only]
    # the companion that must fail: pairing by position
    assert joined.rows[:, 0].tolist() != joined.rows[:, 1].tolist()


@pytest.mark.parametrize("big", [0, 2**60, 2**64 - 3])
def test_signed_and_unsigned_numbers_are_not_rounded(big):
    x = Table(rows(2), np.array([big + 1, big + 2], np.uint64), "x")
    y = Table(rows(2), np.array([big + 2, 5] if big < 2**63 else [2, 1], np.int64), "y")
    if big < 2**63:
        assert Pairs.from_tables((x, y)).rows.tolist() == [[1, 0]]
    assert number_items((x.ids, y.ids))[1].astype(str)[-1] == str(max(big + 2, 5))  # not "2.0": splits compare ids as words


def test_join_with_many_captions():
    x_ids, y_ids = ["a", "b", "a", "z"], ["b", "a", "c", "a", "b"]
    joined = Pairs.from_tables((Table(rows(4), x_ids, "x"), Table(rows(5), y_ids, "y")), captions=True)
    assert (joined.rows.tolist(), *(rows.tolist() for rows in joined.unpaired)) == slow_join(x_ids, y_ids)


@pytest.mark.parametrize(
    ("x_ids", "y_ids", "hint"),
    [
        (["a", "b"], ["c"], r"; text first: c\); wanted at least 1. Write the same id"),
        (["img/a.png", "img/b.png"], ["a.txt"], "without folders and endings 1 would meet"),
        (["A", "B"], ["b", "a"], "in small letters 2 would meet"),
        (["007", "008"], ["7", "x"], "without leading zeros 1 would meet"),
    ],
)
def test_join_without_a_common_id_is_refused(x_ids, y_ids, hint):
    with pytest.raises(InputError, match=f"pairs: got 0 ids on both sides .table first: .*{hint}.*--pairs"):
        Pairs.from_tables((Table(rows(len(x_ids)), x_ids), Table(rows(len(y_ids)), y_ids, "text")))


def test_join_refuses_repeats_and_two_kinds():
    x, y = Table(rows(3), ["a", "b", "a"], "image"), Table(rows(2), ["a", "b"], "text")
    with pytest.raises(InputError, match=r"image ids: got 1 repeated rows \(first: a\).*--captions; data.captions=True"):
        Pairs.from_tables((x, y))
    with pytest.raises(
        InputError,
        match=r"ids: got image strings .first: a, b, a., text numbers .first: 0, 1.; 0 would meet as strings; wanted one kind on both",
    ):
        Pairs.from_tables((x, Table(rows(2), [0, 1], "text")))
    with pytest.raises(InputError, match="ids: got table strings .*, text numbers .*; 2 would meet as strings; .*ids.astype"):
        Pairs.from_tables((Table(rows(2), ["0", "1"]), Table(rows(2), [0, 1], "text")))
    with pytest.raises(InputError, match='got "table" twice; wanted two names'):
        Pairs.from_tables((Table(rows(2)), Table(rows(2))))


def test_whole_numbers_in_a_file_are_refused_by_the_header(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 2), np.int32))
    assert inspect_table(tmp_path / "a.npy") == ((3, 2), np.dtype("int32"))
    with pytest.raises(InputError, match=r"image \(a.npy\) rows: got dtype int32.*astype"):
        load_table(tmp_path / "a.npy", name="image")


def test_a_full_disk_has_its_number_when_rows_are_written(tmp_path, monkeypatch):
    """NumPy's own writing into a file loses it: "1600000 requested and 1073120 written"."""
    import errno

    from gera_jax.data import builder as vectors

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def __init__(self, file):
            self.write = full

    monkeypatch.setattr(vectors.types, "SimpleNamespace", lambda write: Full(write))
    with pytest.raises(OSError, match="No space") as error:
        vectors.write(tmp_path / "z.npy", np.ones((3, 2)), None)
    assert error.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
    monkeypatch.undo()
    vectors.write(tmp_path / "z.npy", np.asfortranarray(np.arange(6.0).reshape(3, 2)), np.array(["a", "b", "c"]))
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy"), np.arange(6.0).reshape(3, 2))
    assert np.load(tmp_path / "z.ids.npy").tolist() == ["a", "b", "c"]
