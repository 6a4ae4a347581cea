"""build_data: nothing of validation or test reaches training, nested pairs, unpaired modes, own test files, words of errors."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from ml_collections import ConfigDict

from gera_jax.checks import InputError
from gera_jax.data import Table, build_data
from gera_jax.data.alignment import cut, shapes

N = 80
SPLIT = dict(val=10, test=20)


def tables(n=N, extra=0, dims=(6, 5), groups=None, seed=0):
    """x has ids 0 .. n+extra-1, y the same ids mirrored with its own extra ones; rows 1:1 by id."""
    rng = np.random.default_rng(seed)
    ids_x = np.array([f"i{i}" for i in range(n)] + [f"x{i}" for i in range(extra)])
    ids_y = np.array([f"i{i}" for i in range(n)] + [f"y{i}" for i in range(extra)])[::-1]
    meta = None if groups is None else [dict(concept=str(g)) for g in groups]
    x = Table(rng.normal(size=(len(ids_x), dims[0])), ids_x, "image", meta)
    return x, Table(rng.normal(size=(len(ids_y), dims[1])), ids_y, "text")


def build(config=None, given=None, **kwargs):
    return build_data({"pairs": 20, "split": SPLIT, **(config or {}), **kwargs}, tables=given or tables())


def ids_of(data, name, rows):
    return set(data.tables[name].ids[rows].tolist())


@pytest.mark.parametrize("mode", ["independent", "same_set", "none"])
def test_validation_and_test_are_in_no_training_pool(mode):
    data = build(unpaired=mode, given=tables(extra=7))
    for column, name in enumerate(data.names):
        held = ids_of(data, name, np.concatenate([data.val.rows, data.test.rows])[:, column])
        assert len(held) == 30 and not held & ids_of(data, name, data.pool[name])
        other = data.names[1 - column]
        assert not held & ids_of(data, other, data.pool[other])
        assert held & ids_of(data, name, np.arange(N))  # the whole table would show


def test_pairs_are_joined_by_id_not_by_row():
    data = build()
    for pairs in (data.pairs, data.val.rows, data.test.rows):
        for i, j in pairs:
            assert data.tables["image"].ids[i] == data.tables["text"].ids[j]
            assert data.groups["image"][i] == data.groups["text"][j]
    assert (data.pairs[:, 0] != data.pairs[:, 1]).any()


def test_unpaired_modes():
    given = tables(extra=7)
    sets = {}
    for mode in ("independent", "same_set", "none"):
        data = build(unpaired=mode, given=given)
        sets[mode] = {name: ids_of(data, name, data.unpaired[name]) for name in data.names}
        for column, name in enumerate(data.names):
            np.testing.assert_array_equal(data.pool[name], np.union1d(data.unpaired[name], data.pairs[:, column]))
            assert not set(data.unpaired[name]) & set(data.pairs[:, column])
    x, y = sets["independent"].values()
    assert not x & y and (len(x), len(y)) == (15 + 7, 15 + 7)  # 80 - 30 held - 20 known = 30, halved, and the one-sided
    x, y = sets["same_set"].values()
    assert len(x & y) == 30 and len(x) == len(y) == 37  # the companion: here the same items are in both
    assert not any(sets["none"].values())


def test_fewer_pairs_are_a_prefix_of_more_and_parts_stay():
    few, many = build(pairs=10), build(pairs=30)
    np.testing.assert_array_equal(many.pairs[:10], few.pairs)
    np.testing.assert_array_equal(many.test.rows, few.test.rows)
    for name in few.names:
        assert set(many.unpaired[name]) <= set(few.unpaired[name])
    other = build(pairs=10, split=dict(SPLIT, seed=1))
    assert not np.array_equal(other.pairs, few.pairs)
    assert len(build(pairs=0).pairs) == 50


def test_the_order_of_the_rows_does_not_change_the_split():
    x, y = tables()
    a, b = build(given=(x, y)), build(given=(x.subset(np.arange(N)[::-1]), y))
    assert ids_of(a, "image", a.test.rows[:, 0]) == ids_of(b, "image", b.test.rows[:, 0])
    assert not np.array_equal(a.test.rows, b.test.rows)


def test_preprocessing_sees_the_training_pool_only():
    x, y = tables()
    clean = build(given=(x, y))
    for place, same in ((clean.test.rows[3, 0], True), (clean.val.rows[3, 0], True), (clean.pairs[3, 0], False)):
        rows = x.rows.copy()
        rows[place] = 1e6
        spoiled = build(given=(Table(rows, x.ids, "image"), y))
        others = np.setdiff1d(np.arange(N), [place])
        equal = np.array_equal(spoiled.features["image"].take(others), clean.features["image"].take(others))
        assert equal == same


def test_a_grouped_split_keeps_groups_together_also_for_one_sided_rows():
    groups = np.random.default_rng(2).integers(0, 25, N + 20)
    given = tables(extra=20, groups=groups)

    def leaks(data):
        held = set(groups[np.concatenate([data.val.rows, data.test.rows])[:, 0]])
        return held & set(groups[data.pool["image"]])

    for seed in range(4):
        split = dict(SPLIT, seed=seed)
        assert not leaks(build(given=given, split=dict(split, by="group", group_key="concept")))
        assert leaks(build(given=given, split=split))  # by ratio it must leak


def test_a_split_by_ids(tmp_path):
    (tmp_path / "val.txt").write_text("i1\ni2\nx0\n")
    (tmp_path / "test.txt").write_text("i3\ni4\nnobody\n")
    split = dict(by="ids", val_ids=str(tmp_path / "val.txt"), test_ids=str(tmp_path / "test.txt"))
    data = build(given=tables(extra=2), split=split)
    assert ids_of(data, "image", data.val.rows[:, 0]) == {"i1", "i2"} and ids_of(data, "text", data.test.rows[:, 1]) == {
        "i3",
        "i4",
    }
    pool = ids_of(data, "image", data.pool["image"])
    assert "x0" not in pool and "x1" in pool
    assert any("2 ids of the lists are no pair" in line for line in data.train.warnings)


def test_captions_of_one_item_stay_on_one_side():
    rng = np.random.default_rng(0)
    x = Table(rng.normal(size=(30, 4)), [f"i{i}" for i in range(30)], "image")
    y = Table(rng.normal(size=(150, 3)), [f"i{i % 30}" for i in range(150)], "text")
    data = build(given=(x, y), captions=True, pairs=21, split=dict(val=3, test=6))
    assert (len(data.pairs), len(data.val.rows), len(data.test.rows)) == (21, 15, 30)
    held = ids_of(data, "text", np.concatenate([data.val.rows, data.test.rows])[:, 1])
    assert len(held) == 9 and not held & ids_of(data, "text", data.pool["text"])
    with pytest.raises(InputError, match="captions=True"):
        build(given=(x, y), pairs=5, split=dict(val=3, test=6))


def save(folder, name, table):
    np.savez(folder / f"{name}.npz", rows=table.rows, ids=table.ids)
    return dict(path=str(folder / f"{name}.npz"), key="rows")


def files(folder, train=None, test=None):
    x, y = train or tables(extra=3)
    config = dict(
        source="files",
        x=dict(name="image", **save(folder, "x", x)),
        y=dict(name="text", **save(folder, "y", y)),
        pairs=20,
        split=SPLIT,
    )
    if test is not None:
        config["test"] = dict(x=save(folder, "tx", test[0]), y=save(folder, "ty", test[1]))
    return config


def renamed(two, prefix):
    return tuple(Table(t.rows, [f"{prefix}{i}" for i in t.ids], t.name) for t in two)


def test_files_give_what_tables_in_memory_give(tmp_path):
    config = files(tmp_path)
    from_files, in_memory = build_data(config), build(given=tables(extra=3))
    for name in ("image", "text"):
        rows = np.arange(N)
        np.testing.assert_array_equal(from_files.features[name].take(rows), in_memory.features[name].take(rows))
        assert from_files.fingerprints[name] == in_memory.fingerprints[name]
        assert ids_of(from_files, name, from_files.unpaired[name]) >= {f"{(name == 'text' and 'y') or 'x'}{i}" for i in range(3)}
    assert shapes(*cut(config, rows=False)) == {"image": (83, 6), "text": (83, 5)}


@pytest.mark.parametrize("act", [build_data, partial(cut, rows=False)])
def test_headers_show_that_a_split_leaves_nothing(tmp_path, act):
    with pytest.raises(InputError, match=r"split: got val=300 and test=500 of 8\d paired items; wanted val \+ test below 8"):
        act({**files(tmp_path), "split": dict(val=300, test=500)})


def test_own_test_files(tmp_path):
    test = renamed(tables(12, seed=9), "t")
    config = files(tmp_path, test=test)
    data = build_data(config)
    assert len(data.test) == 12 and len(data.val) == 10 and len(data.tables["image"]) == 83
    for i, j in data.test.rows:
        assert data.test.tables[0].ids[i] == data.test.tables[1].ids[j] and data.test.tables[0].ids[i].startswith("ti")
        assert data.test.groups[0][i] == data.test.groups[1][j]
    assert len(data.test.rows) == len(data.test.tables[0]) == 12
    assert set(data.fingerprints) == {"image", "text", "test/image", "test/text"}
    other = build_data(files(tmp_path, test=renamed(tables(12, seed=8), "t"))).fingerprints
    assert [name for name, value in data.fingerprints.items() if other[name] != value] == ["test/image", "test/text"]
    assert shapes(*cut(config, rows=False))["test/text"] == (12, 5)


@pytest.mark.parametrize("act", [build_data, partial(cut, rows=False)])
def test_own_test_files_of_another_width(tmp_path, act):
    config = files(tmp_path, test=renamed(tables(12, dims=(6, 9)), "t"))
    with pytest.raises(InputError, match=r"data\.test\.y: got width 9; wanted width 5"):
        act(config)


def test_own_test_files_with_training_items(tmp_path):
    with pytest.raises(InputError, match="12 ids that are in the training file too"):
        build_data(files(tmp_path, test=tables(12)))


def test_large_tables_are_not_kept_and_give_the_same(monkeypatch):
    options = dict(preprocess=dict(x=dict(pca=4, filter=dict(strength=0.5, k=3))))
    kept = build(**options)
    monkeypatch.setattr("gera_jax.data.preprocessing.MATERIALIZE_BYTES", 0)
    lazy = build(**options)
    assert kept.features["image"].materialized and not lazy.features["image"].materialized
    index = np.array([[5, 1], [79, 5]])
    for name in kept.names:
        np.testing.assert_allclose(lazy.features[name].take(index), kept.features[name].take(index), atol=1e-6)
    with pytest.raises(InputError, match="outside of 0 to 79"):
        kept.features["image"].take([-1])


def test_the_catalog_fills_in_what_is_not_set():
    data = build_data(dict(source="emoji_speech", pairs=50))
    assert data.names == ("speech", "text")
    assert data.preprocessors["speech"].options["standardize"] and not data.preprocessors["text"].options["standardize"]
    set_by_user = build_data(dict(source="emoji_speech", pairs=50, preprocess=dict(x=dict(standardize=False))))
    assert not set_by_user.preprocessors["speech"].options["standardize"]
    assert data.tables["text"].meta is not None and len(data.tables["speech"]) == 1646


def test_a_config_dict_gives_what_a_dict_gives():
    plain = dict(source="emoji", pairs=50, split=dict(SPLIT), preprocess=dict(x=dict(pca=8)))
    a, b = build_data(plain), build_data(ConfigDict(plain))
    np.testing.assert_array_equal(a.pairs, b.pairs)
    assert a.features["image"].dim == b.features["image"].dim == 8 and shapes(*cut(ConfigDict(plain), rows=False)) == shapes(
        *cut(plain, rows=False)
    )
    plain["preprocess"]["x"]["pca"] = 9  # another config must show
    assert build_data(ConfigDict(plain)).features["image"].dim == 9
    with pytest.raises(InputError, match='Did you mean "pairs"'):
        build_data(ConfigDict(dict(plain, pears=1)))


@pytest.mark.parametrize("source", ["sphere", "swiss_roll", "gaussian_mixture"])
def test_synthetic_sources(source):
    data = build_data(dict(source=source, pairs=100))
    assert data.pairs.shape == (100, 2) and data.names == ("x", "y")
    assert shapes(*cut(dict(source=source), rows=False))["x"][0] == 2000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            dict(pairs=60),
            "data.pairs: got 60; wanted at most 50: there are 80 pairs, of which 10 validate and 20 test. Set pairs=50",
        ),
        (dict(pairs=-1), "data.pairs: got -1"),
        (dict(split=dict(val=40, test=40)), "wanted val \\+ test below 80"),
        (dict(source="clipat"), 'Did you mean "clipart"'),
        (dict(pears=3), 'field of data: got "pears".*Did you mean "pairs"'),
        (dict(split=dict(vall=3)), 'field of data.split.*Did you mean "val"'),
        (dict(preprocess=dict(x=dict(filter=dict(kk=3)))), "field of data.preprocess.x.filter"),
        (dict(split=dict(by="groups")), 'Did you mean "group"'),
        (dict(unpaired="same"), 'Did you mean "same_set"'),
        (dict(split=7), "data.split: got 7; wanted a block with"),
        (dict(split=dict(SPLIT, by="group")), "group_key: got nothing"),
        (dict(split=dict(SPLIT, by="group", group_key="folder")), 'got "folder"; wanted a field'),
        (dict(split=dict(SPLIT, by="ids")), "got no ids"),
        (dict(x=dict(name="text")), 'got "text" twice'),
        (dict(source="clipart"), 'wanted "arrays" together with tables'),
    ],
)
def test_errors_say_what_to_do(change, words):
    with pytest.raises(InputError, match=words):
        build(change)


def test_errors_of_the_tables():
    x, y = tables()
    with pytest.raises(InputError, match="1 row; wanted at least 2"):
        build(given=(x.subset([0]), y))
    with pytest.raises(InputError, match="0 ids on both sides"):
        build(given=(x, Table(y.rows, [f"q{i}" for i in range(N)], "text")))
    with pytest.raises(InputError, match=r"data\.x\.path: got nothing.*clipart"):
        build_data(dict(source="files"))
    with pytest.raises(InputError, match='got "arrays" without tables'):
        build_data(dict(source="arrays"))
    with pytest.raises(InputError, match="a path of x only"):
        build_data(dict(source="clipart", test=dict(x=dict(path="a.npy"))))
    with pytest.raises(
        InputError, match="pairs: got 5000; wanted at most 2212: there are 3012 pairs, of which 300 validate and 500 test"
    ):
        shapes(*cut(dict(source="clipart", pairs=5000), rows=False))
