"""Three modalities: joined by id over all tables, known by what each item has, split and sampled like two."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import config as config_lib
from gera_jax.checks import InputError
from gera_jax.data import Table, build_data
from gera_jax.data.alignment import cut, shapes
from gera_jax.data.ids import number_items, outer_join
from gera_jax.data.pairs import Pairs
from gera_jax.data.sampling import Sampler

N, NAMES = 90, ("image", "text", "speech")
SPLIT = dict(val=10, test=20)


def three(seed=0):
    """Ids 0..89: every third lacks one modality, in turn; a few are in one table only. Rows in another order in each table."""
    rng = np.random.default_rng(seed)
    tables = []
    for column, (name, d) in enumerate(zip(NAMES, (6, 5, 4), strict=True)):
        ids = [f"i{i}" for i in range(N) if i % 9 != 3 * column] + [f"{name}{i}" for i in range(4)]
        ids = np.array(ids)[rng.permutation(len(ids))]
        tables.append(Table(rng.normal(size=(len(ids), d)), ids, name))
    return tuple(tables)


def build(**fields):
    return build_data({"pairs": 30, "split": SPLIT, **fields}, tables=three())


def items(data, tuples):
    """The set of ids of each tuple, without what it lacks."""
    return [{str(data.tables[name].ids[row]) for name, row in zip(NAMES, row, strict=True) if row >= 0} for row in tuples]


def slow_join(tables):
    every = dict.fromkeys(str(i) for table in tables for i in table.ids)
    return {tuple(next((row for row, own in enumerate(table.ids) if own == i), -1) for table in tables) for i in every}


def test_the_join_is_by_id_over_all_tables():
    found = outer_join(number_items([table.ids for table in three()])[0])
    assert set(map(tuple, found.tolist())) == slow_join(three()) and len(found) == N + 12
    assert set(map(tuple, found.tolist())) != slow_join(three(seed=1))


def test_many_rows_of_an_item_meet_each_other():
    a, b, c = (
        Table(np.ones((len(ids), 2)), ids, name)
        for name, ids in (("a", ["p", "p", "q"]), ("b", ["q", "p", "p"]), ("c", ["p", "r"]))
    )
    made = Pairs.from_tables((a, b, c), captions=True)
    found = [*made.rows.tolist(), *([-1, -1, row] for row in made.unpaired[2])]
    assert sorted(found) == sorted([[0, 1, 0], [0, 2, 0], [1, 1, 0], [1, 2, 0], [2, 0, -1], [-1, -1, 1]])
    with pytest.raises(InputError, match="a ids: got 1 repeated rows"):
        Pairs.from_tables((a, b, c))
    with pytest.raises(InputError, match="ids: got a strings .*, c numbers .*, b strings .*; wanted one kind in all tables"):
        Pairs.from_tables((a.subset([0, 2]), Table(np.ones((1, 2)), [3], "c"), b.subset([0, 1])))


@pytest.mark.parametrize("mode", ["independent", "same_set", "none"])
def test_parts_are_apart_and_tuples_have_at_least_two(mode):
    data = build(unpaired=mode)
    assert data.names == NAMES and (len(data.pairs), len(data.val), len(data.test)) == (30, 10, 20)
    parts = [set().union(*items(data, part)) for part in (data.pairs, data.val.rows, data.test.rows)]
    assert sum(map(len, parts)) == 60 == len(set().union(*parts)) and all(
        len(i) == 1 for part in (data.pairs, data.val.rows) for i in items(data, part)
    )
    for part in (data.pairs, data.val.rows, data.test.rows):
        assert ((part >= 0).sum(1) >= 2).all() and (part < 0).any()
    for column, name in enumerate(NAMES):
        pool, known = data.pool[name], data.pairs[:, column]
        assert not set(data.tables[name].ids[pool].astype(str)) & (parts[1] | parts[2])
        np.testing.assert_array_equal(pool, np.union1d(data.unpaired[name], known[known >= 0]))
        alone = {f"{name}{i}" for i in range(4)} & set(data.tables[name].ids[data.unpaired[name]].astype(str))
        assert len(alone) == (0 if mode == "none" else 4)


def test_unpaired_rows_are_handed_round_so_that_no_item_gives_two():
    given = {}
    for mode in ("independent", "same_set"):
        data = build(unpaired=mode)
        given[mode] = [set(data.tables[name].ids[data.unpaired[name]].astype(str)) for name in NAMES]
    a, b, c = given["independent"]
    assert not (a & b or a & c or b & c) and len(a | b | c) == 30 + 12  # 90 - 30 known - 30 held, and those that are alone
    assert min(map(len, (a, b, c))) >= 10
    a, b, c = given["same_set"]
    assert a & b and a & c and len(a | b | c) == 42


def test_more_pairs_only_take_rows_away():
    few, many = build(pairs=10), build(pairs=40)
    np.testing.assert_array_equal(many.pairs[:10], few.pairs)
    for name in NAMES:
        assert set(many.unpaired[name]) <= set(few.unpaired[name])


def test_batches_mask_what_an_item_lacks():
    data = build()
    one, many = (Sampler(data, seed=0, batch_size=16, unpaired=8, shards=shards) for shards in (1, 8))
    lacks = {name: (data.pairs[:, column] < 0) for column, name in enumerate(NAMES)}
    seen = 0
    for step in range(one.steps_per_epoch):
        batch, cut = one.batch(step), many.batch(step)
        item = batch["groups"][0]
        position = [
            list(
                np.max(
                    [np.where(data.pairs[:, c] >= 0, data.groups[n][data.pairs[:, c]], -1) for c, n in enumerate(NAMES)], axis=0
                )
            ).index(i)
            for i in item
        ]
        for column, name in enumerate(NAMES):
            mask = batch[f"mask.{name}"][0]
            np.testing.assert_array_equal(mask, ~lacks[name][position])
            np.testing.assert_array_equal(cut[f"mask.{name}"].ravel(), mask)
            rows = batch[f"rows.{name}"][0][batch[f"pairs.{name}"][0]]
            wanted = data.features[name].take(data.pairs[position, column][mask])
            np.testing.assert_array_equal(rows[mask], wanted)
            seen += (~mask).sum()
    assert seen > 5


def test_own_test_files_may_lack_rows_too(tmp_path):
    paths = {}
    for part, tables in (("train", three()), ("test", three(seed=1))):
        for side, table in zip("xyw", tables, strict=True):
            ids = [i if part == "train" else f"t{i}" for i in table.ids]
            np.savez(tmp_path / f"{part}_{side}.npz", rows=table.rows.astype(np.float32), ids=ids)
            paths[part, side] = dict(path=str(tmp_path / f"{part}_{side}.npz"), key="rows")
    block = dict(
        source="files",
        pairs=30,
        split=dict(val=10),
        test={side: paths["test", side] for side in "xyw"},
        **{side: {**paths["train", side], "name": name} for side, name in zip("xyw", NAMES, strict=True)},
    )
    data = build_data(block)
    test = data.test.rows
    assert len(test) == N and (test < 0).any() and ((test >= 0).sum(1) >= 2).all()
    ids = [{str(t.ids[row]) for t, row in zip(data.test.tables, rows, strict=True) if row >= 0} for rows in test]
    assert all(len(i) == 1 and next(iter(i)).startswith("t") for i in ids)
    assert shapes(*cut(block, rows=False))["test/speech"][1] == 4
    block["test"].pop("w")
    with pytest.raises(
        InputError, match="data.test: got a path of x and y only; wanted test.x.path, test.y.path and test.w.path, or none"
    ):
        build_data(block)


def test_the_third_slot_is_absent_unless_it_has_a_name():
    c = config_lib.embedding_pair("emoji3", pairs=50)
    assert (c.x.name, c.y.name, c.w.name) == NAMES and c.preprocess.w.standardize
    data = build_data(c)
    assert data.names == NAMES and (data.pairs >= 0).all() and len(data.pairs) == 50
    two = config_lib.embedding_pair("emoji", pairs=50)
    assert two.w.name == "" and build_data(two).names == ("image", "text")
    with pytest.raises(InputError, match=r'data.w.name: got "speech"; wanted "", as emoji has two modalities'):
        build_data(config_lib.embedding_pair("emoji", w=dict(name="speech")))
    with pytest.raises(InputError, match='got "text" twice; wanted three names'):
        build_data(config_lib.embedding_pair("emoji3", w=dict(name="text")))


def test_a_modality_without_training_rows_is_said():
    image, text, _ = three()
    speech = Table(np.ones((2, 4)) + np.eye(2, 4), ["s0", "s1"], "speech")
    with pytest.raises(InputError, match="pairs: got 0 ids of speech in image or text .*; wanted at least 1. Write the same id"):
        build_data({"pairs": 10, "split": SPLIT, "unpaired": "none"}, tables=(image, text, speech))
