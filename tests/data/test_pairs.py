"""Pairs: one way in for whatever holds them, parts that share no item, one rule of sizes, and the same rows as ever."""

from __future__ import annotations

import pickle
import zlib

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import Pairs, Table, as_rows, build_data, load_pairs
from gera_jax.data.load import look_commands

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(90, 6)).astype(np.float32), RNG.normal(size=(90, 5)).astype(np.float32)
IDS = np.array([f"i{i:02d}" for i in range(90)])


def items_of(part):
    return set(part.item_of.tolist())


@pytest.mark.parametrize(
    ("by", "seed", "want"),  # CRC-32 of pairs, val, test and both unpaired sides, as they were before `Pairs`
    [
        ("random", 0, [1246683823, 765364672, 589363136, 1479560578, 1047904012]),
        ("random", 3, [218284579, 653330892, 2938128718, 3947993077, 57114814]),
        ("group", 0, [1556648468, 792462568, 1329332403, 3680707791, 2359141282]),
        ("group", 3, [1415439425, 1476789365, 2963332582, 2706986430, 504699480]),
    ],
)
def test_the_same_seed_gives_the_same_rows_as_ever(by, seed, want):
    train, val, test = load_pairs("molecule").split(val=50, test=200, by=by, seed=seed)
    train = train.head(100)
    found = [zlib.crc32(np.ascontiguousarray(rows, np.int64)) for rows in (train.rows, val.rows, test.rows, *train.unpaired)]
    assert found == want
    data = build_data(dict(source="molecule", pairs=100, split=dict(by=by, val=50, test=200, seed=seed)))
    assert np.array_equal(data.pairs, train.rows) and np.array_equal(data.unpaired["text"], train.unpaired[1])


@pytest.mark.parametrize(("n", "val", "test"), [(90, 9, 22), (6, 2, 2), (20, 2, 5), (2_000, 200, 500), (20_000, 300, 500)])
def test_one_rule_of_sizes(n, val, test):
    pairs = Pairs.from_arrays(np.arange(2.0 * n).reshape(n, 2), np.arange(1.0 * n)[:, None])
    train, valid, held = pairs.split(val="auto")
    assert (len(train), len(valid), len(held)) == (n - val - test, val, test)
    assert [len(part) for part in pairs.split()] == [n - test, test]
    assert f"{val} validate (a tenth, at most 300)" in train.describe()["chosen"]
    assert np.array_equal(pairs.split()[1].rows, held.rows)  # the test part does not depend on val


def test_parts_share_no_item_and_fewer_pairs_are_a_part_of_more():
    y_ids = np.repeat(IDS[:45], 2)  # two captions of half of the items
    pairs = load_pairs(X, Y, x_ids=IDS, y_ids=y_ids, captions=True)
    assert len(pairs) == 90 and len(items_of(pairs)) == 45 and len(pairs.unpaired[0]) == 45
    train, val, test = pairs.split(val=5, test=10, seed=3)
    parts = [items_of(part) for part in (train, val, test)]
    assert [len(part) for part in parts] == [30, 5, 10] and not (
        parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2]
    )
    assert parts[0] != items_of(pairs.split(val=5, test=10, seed=4)[0])
    few, more = train.head(10), train.head(31)
    assert np.array_equal(more.rows[:10], few.rows) and set(more.unpaired[0]) <= set(few.unpaired[0])
    for part in (few, more):
        rest = [set(group[rows].tolist()) & parts[0] for group, rows in zip(part.groups, part.unpaired, strict=True)]
        assert not rest[0] & rest[1] and not (rest[0] | rest[1]) & items_of(part)  # no partners, and none of a known item
        assert rest[0] | rest[1] == parts[0] - items_of(part)
    both = train.head(10, "same_set")
    assert set(both.groups[0][both.unpaired[0]]) & set(both.groups[1][both.unpaired[1]]) == parts[0] - items_of(both)
    assert [len(rows) for rows in train.head(10, "none").unpaired] == [0, 0]


def test_rows_lie_beside_each_other_and_nothing_is_read_twice():
    pairs = load_pairs(X, Y[::-1], x_ids=IDS, y_ids=IDS[::-1], x_unpaired=X[:3] + 9)
    np.testing.assert_array_equal(pairs.y, Y)
    assert not np.array_equal(pairs.tables[1].rows, Y)  # by position it would be another
    assert pairs.x_unpaired.tolist() == (X[:3] + 9).tolist() and len(pairs.y_unpaired) == 0
    again = pickle.loads(pickle.dumps(pairs.split(test=10)[0]))
    assert again.fingerprints == pairs.fingerprints and len(again) == 80
    assert load_pairs(pairs) is pairs
    other = load_pairs(X, Y, pairs=[(i, i) for i in range(50)])
    assert other.fingerprints != load_pairs(X, Y, pairs=[(i, i + 1) for i in range(50)]).fingerprints


def test_what_is_printed_first():
    lines = str(load_pairs("emoji").split(test=400, seed=2)[0].head(100)).splitlines()
    assert lines == [
        "1,646 rows of image, 1,646 rows of text: 1,646 items have rows of both, found by id",
        "100 pairs; without a partner 573 rows of image, 573 rows of text",
        "random split of 1,646 items by seed 2: 400 test",
    ]
    assert load_pairs("emoji").describe()["chosen"] == ""


def test_three_modalities():
    w = RNG.normal(size=(40, 4))
    pairs = Pairs.from_arrays(X, Y, w, x_ids=IDS, y_ids=IDS, w_ids=IDS[50:], names=("image", "text", "sound"))
    assert pairs.names == ("image", "text", "sound") and len(pairs) == 90
    assert np.isnan(pairs.w[:50]).all() and np.array_equal(pairs.w[50:], w) and not np.isnan(pairs.x).any()
    with pytest.raises(InputError, match="a list beside three modalities"):
        Pairs.from_arrays(X, Y, w, pairs=[(0, 0), (1, 1)])


def test_the_words_that_name_the_data(tmp_path):
    np.save(tmp_path / "my x.npy", X)
    (tmp_path / "p.csv").write_text("x_id,y_id\n0,1\n1,0\n2,2\n")
    pairs = load_pairs(tmp_path / "my x.npy", Y, pairs=tmp_path / "p.csv")
    assert pairs.source == ("--x", f"{tmp_path}/my x.npy", "--y", "Y.npy", "--pairs", f"{tmp_path}/p.csv")
    assert pairs.paired_by == "list" and "3 items have rows of both, found by list of pairs" in str(pairs)
    assert look_commands(pairs.source) == (f"gera-jax data show '{tmp_path}/my x.npy'",)
    assert load_pairs("emoji").source == ("--data", "emoji") and load_pairs("emoji").bundled == "emoji"
    assert load_pairs(X, Y, x_ids=IDS, y_ids=IDS, captions=True).source[-1] == "--captions"


def rows_of_every_kind():
    import ml_dtypes
    import pandas
    import polars
    import pyarrow

    yield "table", Table(X, IDS, "image")
    yield "list", X.tolist()
    yield "list column", pandas.DataFrame(dict(vector=X.tolist()))
    yield "series", pandas.Series(X.tolist())
    yield "columns", pandas.DataFrame(X, columns=[f"dim_{i}" for i in range(6)])
    yield "ids and vectors", pandas.DataFrame(dict(id=IDS, vector=X.tolist()))
    yield "polars", polars.DataFrame(dict(vector=X.tolist()))
    yield "arrow", pyarrow.table(dict(vector=X.tolist()))
    yield "bfloat16", X.astype(ml_dtypes.bfloat16)
    yield "whole", np.round(10 * X).astype(np.int32)
    try:
        import torch
    except ImportError:  # then it is no kind that anyone has here
        return
    yield "torch", torch.tensor(X, dtype=torch.bfloat16)


KINDS = ("table", "list", "list column", "series", "columns", "ids and vectors", "polars", "arrow", "bfloat16", "whole", "torch")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_holds_rows_is_taken_by_one_gate(kind):
    rows = dict(rows_of_every_kind()).get(kind, X)
    ids = dict(y_ids=IDS) if kind in ("table", "ids and vectors") else {}
    pairs = load_pairs(rows, Y, **ids)
    want = np.round(10 * X) if "whole" in kind else X
    np.testing.assert_allclose(as_rows(pairs.x, "x"), want, rtol=1e-2)
    if kind != "ids and vectors":  # a frame of embeddings alone
        np.testing.assert_allclose(as_rows(rows, "x"), want, rtol=1e-2)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: load_pairs("emojy"), 'data: got "emojy"; wanted own embeddings as x and y, or the name of a bundled set'),
        (lambda: load_pairs(X), "data: got one ndarray"),
        (lambda: load_pairs(), "x, y: got nothing; wanted both"),
        (lambda: load_pairs(X, Y, w_ids=IDS), "w_ids: got ids without rows"),
        (lambda: load_pairs(X, Y, w_unpaired=X), "w_unpaired: got unpaired rows of no modality"),
        (lambda: load_pairs(X, Y[:9]), "all without ids"),
        (lambda: load_pairs(X, Y, x_ids=IDS[:1].repeat(90), y_ids=IDS), "x: .*repeated id.*captions=True .--captions"),
        (lambda: load_pairs(X * np.where(np.arange(90) == 4, 0, 1)[:, None], Y), "x: got 1 of 90 rows of zeros"),
        (lambda: load_pairs(X, Y).split(test=60, val=40), "split: got val=40 and test=60 of 90 paired items"),
        (lambda: load_pairs(X[:4], Y[:4]).split(val="auto"), "val=2 and test=2 of 4 paired items.*Give more pairs"),
        (lambda: load_pairs(X, Y).split(test="many"), "split.test: got 'many'; wanted a number of items, a share"),
        (lambda: load_pairs(X, Y).split(by="radnom"), 'split: got "radnom"; wanted "random", "group" or "ids"'),
        (lambda: load_pairs(X, Y).split(by="group"), "split.group_key: got nothing"),
        (lambda: load_pairs(X, Y).split(by="ids", test=3), "split.test_ids: got 3; wanted a list of ids"),
        (lambda: load_pairs(X, Y).split(by="ids"), "got no ids"),
        (lambda: load_pairs(X, Y).head(91), "pairs: got 91; wanted at most 90"),
        (lambda: load_pairs(X, Y).head(5, "all"), "unpaired: got .all."),
    ],
)
def test_faults_say_what_to_do(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_the_remedies_work():
    assert len(load_pairs(X, Y, x_ids=IDS[:1].repeat(90), y_ids=IDS, captions=True)) == 90
    train, test = load_pairs(X, Y, x_ids=IDS, y_ids=IDS).split(by="ids", test=IDS[3:5])
    assert {str(i) for i in train.items[test.item_of]} == set(IDS[3:5]) and len(train) == 88
