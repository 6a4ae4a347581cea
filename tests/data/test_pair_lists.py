"""Lists of known pairs: every id as it is written, a heading only where it is none of the ids, many-to-many as items."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import Pairs, load_pairs
from gera_jax.data.pair_lists import link, read_pairs
from gera_jax.data.tables import Table


def tables(x_ids, y_ids):
    rng = np.random.default_rng(0)
    return tuple(Table(rng.normal(size=(len(ids), 3)), list(ids), name) for name, ids in (("image", x_ids), ("text", y_ids)))


def joined(x, y, pairs):
    linked = link(x, y, read_pairs(pairs))
    made = Pairs.from_tables((x, y), linked[:2])
    return sorted((str(x.ids[i]), str(y.ids[j])) for i, j in made.rows), SimpleNamespace(
        captions=made.captions, implied=linked.implied
    )


@pytest.mark.parametrize(
    ("name", "data", "want"),
    [
        ("a.csv", "cat,chat\ndog,chien\n".encode("utf-16"), [["cat", "chat"], ["dog", "chien"]]),
        ("a.csv", "\ufeffcät,chat\r\ndog,chien".encode(), [["cät", "chat"], ["dog", "chien"]]),
        ("a.csv", b"a" * 200_000 + b",b\nc,d\n", [["a" * 200_000, "b"], ["c", "d"]]),
        ("a.csv", b'"a, b",c\n"say ""x""",d\n', [["a, b", "c"], ['say "x"', "d"]]),
        (
            "a.tsv",
            b'cat\tchat\n"\tguillemet\ndog\tchien\n"\tautre\n"x\ty"\n',
            [["cat", "chat"], ['"', "guillemet"], ["dog", "chien"], ['"', "autre"], ['"x', 'y"']],
        ),
        ("a.tsv", b"id\tid\ncat\tchat\ndog\tchien\n", [["id", "id"], ["cat", "chat"], ["dog", "chien"]]),
        ("a.txt", b"the le\nthe la\n\ndog chien\n", [["the", "le"], ["the", "la"], ["dog", "chien"]]),
        ("a.jsonl", b'{"x": "a", "y": 18446744073709551615}\n{"x": "b", "y": 2}\n', [["a", "18446744073709551615"], ["b", "2"]]),
    ],
)
def test_files(name, data, want, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert read_pairs(tmp_path / name).tolist() == want


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", "café,x1\ndog,chien\n".encode("latin-1"), "which is no UTF-8 .byte 0xe9 at 3, as in Latin-1"),
        ("a.csv", "cat,chat\ndog,chien\n".encode("utf-16-le"), "zero bytes: no text, or UTF-16 without a byte-order mark"),
        ("a.csv", b'a,b\n"c,d\ne,f\n', "which is no .csv .unexpected end of data.*Close every quote"),
        ("a.csv", b"a|b\nc|d\n", r"2 lines that are no two ids \(first: \['a\|b'\]"),
        ("a.tsv", b"a\tb\nc\t\n", "1 lines that are no two ids"),
        ("a.jsonl", b'{"x": "a"}\n', "columns x; wanted two columns"),
        ("a.xlsx", b"PK", "wanted a .csv, .tsv"),
        ("none.csv", None, "no file"),
    ],
)
def test_what_is_no_list_of_pairs(name, data, words, tmp_path):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"pairs: got .*{words}"):
        read_pairs(tmp_path / name)


def test_the_csv_limit_of_the_process_is_put_back(tmp_path):
    import csv

    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("a" * 200_000 + ",b\nc,d\n")
    read_pairs(tmp_path / "a.csv")
    assert csv.field_size_limit() == before


def test_ids_in_memory():
    want = [["a", "9223372036854775809"], ["b", "7"]]
    for pairs in (
        [("a", 2**63 + 1), ("b", 7)],
        [(b"a", 2**63 + 1), (b"b", np.int8(7))],
        {"a": 2**63 + 1, "b": [7]},
        np.array([["a", 2**63 + 1], ["b", 7]], object),
        np.array(want),
        [np.array(line) for line in want],
    ):
        assert read_pairs(pairs).tolist() == want
    assert read_pairs(np.array([[2**63 + 1, 1], [2, 3]], np.uint64))[0, 0] == "9223372036854775809"
    import pandas

    assert read_pairs(pandas.DataFrame(want, columns=["x", "y"])).tolist() == want
    for pairs in (
        [(1.0, 2.0), (3.0, 4.0)],
        np.array([[2.0**63, 1], [1, 2]]),
        [("a", None), ("b", "c")],
        [("a", "b", "c"), ("d", "e", "f")],
        [b"\xe9", b"a"],
        7,
        ["ab", "cd"],
    ):
        with pytest.raises(InputError, match="pairs: got"):
            read_pairs(pairs)


def test_a_heading_is_one_only_where_its_words_are_no_ids(tmp_path):
    (tmp_path / "a.csv").write_text("x_id,y_id\na,1\nb,2\n")
    assert joined(*tables("abc", "123"), tmp_path / "a.csv")[0] == [("a", "1"), ("b", "2")]
    x, y = tables(["id", "x", "cat"], ["id", "x", "chat"])
    (tmp_path / "a.tsv").write_text("x\tx\nid\tid\ncat\tchat\n")
    assert joined(x, y, tmp_path / "a.tsv")[0] == [("cat", "chat"), ("id", "id"), ("x", "x")]
    for first in ("thing,word", "a,word"):
        (tmp_path / "a.csv").write_text(f"{first}\na,1\nb,2\n")
        with pytest.raises(InputError, match="ids that .* does not have .*"):
            joined(*tables("abc", "123"), tmp_path / "a.csv")


def test_blanks_around_an_id_are_its_own_where_the_table_has_them():
    assert joined(*tables(["a", " a"], ["1", "2"]), [(" a", " 1"), ("a ", "2")])[0] == [(" a", "1"), ("a", "2")]


def test_many_to_many():
    x, y = tables("abcde", "12345")
    captions = {"a": ["1", "2"], "b": ["3"], "c": ["4", "5"]}
    found, made = joined(x, y, captions)
    assert found == [("a", "1"), ("a", "2"), ("b", "3"), ("c", "4"), ("c", "5")] and made.captions and not made.implied
    whole = {"a": ["1", "2"], "b": ["1", "2"], "c": ["3"]}
    found, made = joined(x, y, whole)
    assert found == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "3")] and not made.implied
    found, made = joined(x, y, {"a": ["1"], "b": ["1", "2"], "c": ["3"]})  # a chain: a and 2 belong together through b
    assert found == [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "3")] and made.implied == 1
    assert slow_items([("a", "1"), ("b", "1"), ("b", "2"), ("c", "3")]) == found
    x, y = tables([f"x{i}" for i in range(20)], [f"y{i}" for i in range(20)])
    chain = [(f"x{i}", f"y{j}") for i in range(20) for j in (i, i + 1) if j < 20]
    with pytest.raises(InputError, match=r"39 pairs that imply 361 others \(most: 20 x 20 rows around x0, y0"):
        joined(x, y, chain)
    with pytest.raises(InputError, match="1 pairs given more than once"):
        joined(x, y, [*chain[:3], chain[0]])


def slow_items(pairs):
    """Pairs of every item, by joining sets until nothing changes."""
    sets = [{("x", a), ("y", b)} for a, b in pairs]
    changed = True
    while changed:
        changed = False
        for i in range(len(sets)):
            for j in range(i + 1, len(sets)):
                if sets[i] & sets[j]:
                    sets[i], changed = sets[i] | sets.pop(j), True
                    break
            if changed:
                break
    return sorted((a, b) for each in sets for side, a in each for other, b in each if (side, other) == ("x", "y"))


def test_pairs_name_row_numbers_of_tables_without_ids():
    x, y = (Table(np.random.default_rng(0).normal(size=(n, 3)), None, name) for n, name in ((5, "image"), (4, "text")))
    made = load_pairs(x, y, pairs=[(0, 3), (4, 1)])
    assert made.rows.tolist() == [[0, 3], [4, 1]] and made.paired_by == "list" and made.tables[0] is x
    with pytest.raises(InputError, match="1 ids that text does not have .first: 4.*row numbers"):
        load_pairs(x, y, pairs=[(0, 3), (4, 4)])


def test_unpaired_rows_beside_tables_without_ids():
    rng = np.random.default_rng(0)
    x, y = (Table(rng.normal(size=(5, 3)), None, name) for name in ("image", "text"))
    made = load_pairs(x, y, x_unpaired=Table(rng.normal(size=(2, 3)), None, "extra"))
    assert made.rows.tolist() == [[i, i] for i in range(5)] and made.paired_by == "position"
    assert len(made.tables[0]) == 7 and made.unpaired[0].tolist() == [5, 6]


def test_a_parquet_list(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": ["a", "b"], "text": pa.array([2**64 - 1, 3], pa.uint64())}), tmp_path / "p.parquet")
    assert read_pairs(tmp_path / "p.parquet").tolist() == [["a", str(2**64 - 1)], ["b", "3"]]
    assert json.dumps(read_pairs(tmp_path / "p.parquet").tolist())


def test_columns_the_other_way_round_are_told(tmp_path):
    x, y = Table(np.eye(3), ["a", "b", "c"], "image"), Table(np.eye(3), ["1", "2", "3"], "text")
    pairs = [("a", "2"), ("b", "1")]
    with pytest.raises(InputError, match="ids of text before those of image.*Exchange the two columns"):
        link(x, y, read_pairs([pair[::-1] for pair in pairs]))
    assert link(x, y, read_pairs(pairs)).x.tolist() == ["a = 2", "b = 1", "image: c"]


@pytest.mark.parametrize("text", ['a;1\n"b";2\n', '"a";1\nb;2\n', "a\t1\nb\t2\n", 'a,"1"\nb,2\n'])
def test_a_csv_of_another_spreadsheet(text, tmp_path):
    (tmp_path / "p.csv").write_text(text)
    assert read_pairs(tmp_path / "p.csv").tolist() == [["a", "1"], ["b", "2"]]


def test_ids_of_two_kinds_in_json_lines_and_sets(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"x": "a", "y": 1}\n{"x": 2, "y": "b"}\n')
    assert read_pairs(tmp_path / "p.jsonl").tolist() == [["a", "1"], ["2", "b"]]
    assert read_pairs({"a": {"3", "1", "2"}}).tolist() == [["a", "1"], ["a", "2"], ["a", "3"]]
