"""The sampler: one global draw whatever the shards, a pure function of the step, every pair once an epoch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data import Table, build_data
from gera_jax.data.sampling import EpochOrder, Sampler

N = 60
SIZES = dict(seed=3, batch_size=16, anchors=8, unpaired=8)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x, y = (
        Table(rng.normal(size=(N, d)).astype(np.float16), np.arange(N)[::step], name)
        for d, step, name in ((5, 1, "image"), (4, -1, "text"))
    )
    return build_data(dict(pairs=32, split=dict(val=2, test=2)), tables=(x, y))


@pytest.fixture(scope="module")
def neighbours(data):
    rng = np.random.default_rng(1)
    pool = data.pool["image"]
    return {"image": np.stack([np.concatenate([[row], rng.choice(pool, 3, replace=False)]) for row in pool])}


def gathered(batch, block, name):
    """Rows that an index block points at, shards put together: [global, ..., d]."""
    return np.concatenate([rows[index] for rows, index in zip(batch[f"rows.{name}"], batch[f"{block}.{name}"], strict=True)])


def drawn(sampler, step):
    batch = sampler.batch(step)
    return {
        f"{block}.{name}": gathered(batch, block, name)
        for block, name in (tuple(key.split(".")) for key in batch if "." in key)
        if block != "rows"
    }


@pytest.mark.parametrize("shards", [2, 4, 8])
def test_the_global_draw_does_not_depend_on_the_number_of_shards(data, neighbours, shards):
    one, many = (Sampler(data, neighbours=neighbours, shards=s, **SIZES) for s in (1, shards))
    other = drawn(Sampler(data, neighbours=neighbours, shards=shards, **{**SIZES, "seed": 4}), 5)
    for key, value in drawn(one, 5).items():
        np.testing.assert_array_equal(drawn(many, 5)[key], value)
        assert not np.array_equal(other[key], value)  # another seed must not fit
    np.testing.assert_array_equal(many.batch(5)["groups"].ravel(), one.batch(5)["groups"].ravel())


def test_the_shards_of_two_processes_make_the_whole(data, neighbours):
    whole = Sampler(data, neighbours=neighbours, shards=4, **SIZES).batch(2)
    halves = [
        Sampler(data, neighbours=neighbours, shards=4, local_shards=local, **SIZES).batch(2) for local in (range(2), range(2, 4))
    ]
    for key, value in whole.items():
        np.testing.assert_array_equal(np.concatenate([half[key] for half in halves]), value)
        assert not np.array_equal(np.concatenate([half[key] for half in halves[::-1]]), value) or key == "mask"


def test_index_blocks_give_the_right_rows(data, neighbours):
    sampler = Sampler(data, neighbours=neighbours, shards=2, **SIZES)
    batch = sampler.batch(1)
    x, y = gathered(batch, "pairs", "image"), gathered(batch, "pairs", "text")
    number = {row: i for i, row in enumerate(map(tuple, data.features["image"].take(np.arange(N))))}
    x_rows = np.array([number[tuple(row)] for row in x])
    partner = dict(data.pairs.tolist())
    np.testing.assert_array_equal(y, data.features["text"].take([partner[row] for row in x_rows]))
    np.testing.assert_array_equal(batch["groups"].ravel(), data.groups["image"][x_rows])
    assert not np.array_equal(y, data.features["text"].take(x_rows))  # by row number instead of by pair
    hoods = gathered(batch, "neighbours", "image")
    assert hoods.shape == (8, 4, 5) and "neighbours.text" not in batch
    table = {row[0]: row for row in neighbours["image"]}
    for hood in hoods:
        np.testing.assert_array_equal(hood, data.features["image"].take(table[number[tuple(hood[0])]]))
    for name in data.names:
        allowed = set(map(tuple, data.features[name].take(data.unpaired[name])))
        assert set(map(tuple, gathered(batch, "unpaired", name))) <= allowed


def test_rows_are_distinct_and_of_one_shape(data, neighbours):
    sampler = Sampler(data, neighbours=neighbours, shards=2, **SIZES)
    assert sampler.row_count("image") == 8 + 4 * 4 + 4 and sampler.row_count("text") == 8 + 4
    for step in range(6):
        batch = sampler.batch(step)
        for name in data.names:
            rows = batch[f"rows.{name}"]
            assert rows.shape == (2, sampler.row_count(name), data.features[name].dim)
            for shard in range(2):
                used = np.unique(
                    np.concatenate([v[shard].ravel() for k, v in batch.items() if k.endswith(name) and not k.startswith("rows")])
                )
                assert len(np.unique(rows[shard][used], axis=0)) == len(used)  # no row is projected twice
                np.testing.assert_array_equal(used, np.arange(len(used)))
    small = Sampler(data, neighbours=neighbours, seed=0, batch_size=32, anchors=20)
    assert small.row_count("image") == len(data.pool["image"]) < 32 + 80
    np.testing.assert_array_equal(gathered(small.batch(0), "neighbours", "image").shape, (20, 4, 5))


@pytest.mark.parametrize(("size", "times"), [(8, {1}), (32, {1}), (12, {1, 2})])
def test_every_pair_comes_once_an_epoch_and_never_twice_in_a_batch(data, size, times):
    sampler = Sampler(data, seed=0, batch_size=size)
    for epoch in range(3):
        seen = [sampler.batch(epoch * sampler.steps_per_epoch + i)["groups"].ravel() for i in range(sampler.steps_per_epoch)]
        assert all(len(set(batch)) == size for batch in seen)
        items, counts = np.unique(np.concatenate(seen), return_counts=True)
        assert set(items) == set(data.groups["image"][data.pairs[:, 0]]) and set(counts) == times
    assert not np.array_equal(sampler.batch(0)["groups"], sampler.batch(sampler.steps_per_epoch)["groups"])


def test_a_pure_function_of_the_step(data, neighbours):
    in_order, jumping = (Sampler(data, neighbours=neighbours, **SIZES) for _ in range(2))
    batches = [in_order.batch(step) for step in range(8)]
    for step in (7, 0, 5, 5, 2):
        again = jumping.batch(step)
        for key, value in batches[step].items():
            np.testing.assert_array_equal(again[key], value)
            assert not np.shares_memory(again[key], value)
    assert not np.array_equal(batches[0]["groups"], batches[1]["groups"])


def test_a_batch_above_the_pairs_is_all_pairs_and_padding_is_masked(data):
    sampler = Sampler(data, seed=0, batch_size=1000, shards=5)
    batch = sampler.batch(3)
    assert sampler.batch_size == 32 and batch["mask"].shape == (5, 7)
    np.testing.assert_array_equal(batch["mask"].ravel(), np.arange(35) < 32)
    assert len(set(batch["groups"].ravel()[:32])) == 32
    assert Sampler(data, seed=0, batch_size=16, shards=4).batch(0)["mask"].all()


def test_types(data, neighbours):
    for key, value in Sampler(data, neighbours=neighbours, **SIZES).batch(0).items():
        kind = np.float32 if key.startswith("rows") else bool if key == "mask" else np.int32
        assert value.dtype == kind, key


def test_the_permutation_is_drawn_once_an_epoch(monkeypatch):
    drawn_epochs = []
    real = np.random.default_rng

    def counting(key):
        drawn_epochs.append(key[-1])
        return real(key)

    monkeypatch.setattr(np.random, "default_rng", counting)
    order = EpochOrder(100, size=10, seed=0, stream=1)
    for step in range(30):
        order(step)
    assert drawn_epochs == [0, 1, 2]


def test_order_above_its_length_repeats_evenly():
    counts = np.bincount(EpochOrder(5, size=12, seed=0, stream=1)(4))
    assert sorted(counts) == [2, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(batch_size=0), "batch.pairs: got 0"),
        (dict(unpaired=6, shards=4), "wanted a multiple of the 4 devices. Set it to 4"),
        (dict(shards=2, local_shards=[2]), "shards 0 to 1"),
        (dict(seed=-1), "seed: got -1"),
        (dict(anchors=2, neighbours={"imag": np.zeros((1, 1), int)}), 'Did you mean "image"'),
        (dict(anchors=2, neighbours={"image": np.zeros((3, 2))}), "row numbers"),
        (dict(anchors=2, neighbours={"image": np.full((3, 2), 999)}), "training rows only"),
    ],
)
def test_errors_say_what_to_do(data, change, words):
    with pytest.raises(InputError, match=words):
        Sampler(data, **{"seed": 0, "batch_size": 8, **change})


def test_neighbours_in_validation_are_refused(data):
    with pytest.raises(InputError, match="training rows only"):
        Sampler(data, seed=0, batch_size=8, anchors=1, neighbours={"image": np.full((1, 2), data.val.rows[0, 0])})


def test_no_unpaired_rows_is_said(data):
    bare = dataclasses.replace(data, train=data.train.take(slice(None)))
    with pytest.raises(InputError, match="image has no unpaired training rows"):
        Sampler(bare, seed=0, batch_size=8, unpaired=4)
    with pytest.raises(InputError, match="step: got -1"):
        Sampler(data, seed=0, batch_size=8).batch(-1)
