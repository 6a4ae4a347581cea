"""Several tables of a modality: joined by id, prepared table by table as a slow loop says, the same in every door."""

from __future__ import annotations

import numpy as np
import pytest

import gera_jax as gj
from gera_jax.checks import InputError
from gera_jax.cli.main import main
from gera_jax.data import Pairs, Preprocessor, Table
from gera_jax.data.side_by_side import side_by_side
from gera_jax.data.tables import load_table


def matrices(n=60, widths=(5, 7), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(2.0, 1.0, (n, width)) * (10.0**i) for i, width in enumerate(widths)]


def unit(row):
    length = np.sqrt(sum(float(v) ** 2 for v in row))
    return row / length if length > 0 else row


def prepared(tables, new, pca, weights):
    """Oracle: each table is centred, cut to its leading directions and scaled by itself, from the rows that it has."""
    found = []
    for index in range(len(new[0])):
        pieces = []
        for rows, fresh, weight in zip(tables, new, weights, strict=True):
            there = np.array([row for row in rows if np.any(row != 0)])
            mean = there.mean(axis=0)
            _, values, directions = np.linalg.svd(there - mean, full_matrices=False)
            keep = directions[: min(pca, len(values))]
            for direction in keep:
                direction *= np.sign(direction[np.argmax(np.abs(direction))])
            row = fresh[index]
            pieces.append(np.sqrt(weight) * (unit(keep @ (row - mean)) if np.any(row != 0) else np.zeros(len(keep))))
        found.append(unit(np.concatenate(pieces)))
    return np.array(found)


@pytest.mark.parametrize(("pca", "weights"), [(3, [1.0, 1.0]), (4, [0.2, 1.8]), (512, [1.0, 0.0])])
def test_rows_are_prepared_table_by_table(pca, weights):
    tables, new = matrices(), matrices(9, seed=1)
    tables[1][:20], new[0][2] = 0, 0  # items that a table lacks
    made = Preprocessor(pca=pca, parts=[5, 7], weights=weights).fit(np.concatenate(tables, axis=1))
    got = made(np.concatenate(new, axis=1))
    want = prepared(tables, new, pca, weights)
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert made.dim == got.shape[1] == min(5, pca) + min(7, pca)
    again = Preprocessor.from_arrays(made.to_arrays())
    np.testing.assert_array_equal(again(np.concatenate(new, axis=1)), got)
    whole = Preprocessor(pca=pca).fit(np.concatenate(tables, axis=1))(np.concatenate(new, axis=1))  # companion: as one table
    assert whole.shape != got.shape or np.abs(whole - got).max() > 0.1
    other = Preprocessor(pca=pca, parts=[5, 7], weights=[1.0, 0.5]).fit(
        np.concatenate(tables, axis=1)
    )  # companion: other weights
    assert np.abs(other(np.concatenate(new, axis=1)) - want).max() > 0.05


def test_what_a_table_lacks_is_in_no_statistic():
    tables = matrices()
    full = Preprocessor(parts=[5, 7]).fit(np.concatenate([tables[0][20:], tables[1][20:]], axis=1))
    tables[0][:20] = 0
    tables[1][:20] = 0
    tables[0][0, 0] = 1.0  # a row of zeros in both is no item; this one is in the first table alone
    holes = Preprocessor(parts=[5, 7]).fit(np.concatenate(tables, axis=1), np.arange(1, 60))
    np.testing.assert_allclose(holes.tables[1].mean, full.tables[1].mean)
    assert (
        np.abs(holes.tables[0].mean - Preprocessor(parts=[5, 7]).fit(np.concatenate(tables, axis=1)).tables[0].mean).max() > 1e-3
    )


def test_tables_are_joined_by_id_as_a_loop_does():
    rng = np.random.default_rng(0)
    ids = [f"i{k}" for k in range(30)]
    own = [list(rng.permutation(ids)[:count]) for count in (25, 20, 30)]
    tables = [
        Table(rng.normal(size=(len(names), width)), names, f"t{width}") for names, width in zip(own, (3, 1, 4), strict=True)
    ]
    joined = side_by_side(tables, "image")
    assert joined.parts == (3, 1, 4) and joined.name == "image" and set(joined.ids) == set(ids) and len(joined) == 30
    for item, row in zip(joined.ids, joined.rows, strict=True):
        want = []
        for names, table in zip(own, tables, strict=True):
            want += list(table.rows[names.index(item)]) if item in names else [0.0] * table.dim
        np.testing.assert_array_equal(row, want)


def test_tables_of_the_same_ids_may_hold_an_item_often():
    ids = ["a", "a", "b"]
    joined = side_by_side([Table(np.ones((3, 2)), ids), Table(np.zeros((3, 1)) + 2, ids)], "text")
    assert joined.ids.tolist() == ids and joined.rows[1].tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([Table(np.ones((3, 2)), list("abc")), Table(np.ones((3, 2)), list("xyz"))], "whose ids are in no other table"),
        (
            [Table(np.ones((3, 2)), list("abc")), Table(np.ones((3, 2)))],
            "ids in some tables and none in table .2.*Name the array",
        ),
        ([Table(np.ones((3, 2))), Table(np.ones((4, 2)))], "tables of 3, 4 rows without ids; wanted equal lengths, or ids"),
        ([Table(np.ones((3, 2)), list("aab")), Table(np.ones((2, 2)), list("ab"))], "1 repeated rows"),
        ([Table(np.ones((3, 2)))] * 65, "got 65 tables; wanted 1 to 64"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tables, words):
    with pytest.raises(InputError, match=words):
        side_by_side(tables, "image")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(parts=[5]), "parts: got .5.; wanted widths of at least two tables"),
        (dict(parts=[5, 0]), "parts: got"),
        (dict(parts=[5, 6]), r"parts: got \[5, 6\]; wanted widths whose sum is 12"),
        (dict(parts=[5, 7], weights=[1.0]), "weights: got .1.0.; wanted 2 numbers"),
        (dict(parts=[5, 7], weights=[0.0, 0.0]), "not all 0"),
        (dict(parts=[5, 7], weights=[1.0, -1.0]), "of at least 0"),
        (dict(weights=[1.0, 2.0]), r"parts: got \[\]; wanted widths whose sum is 12"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        Preprocessor(**options).fit(np.concatenate(matrices(), axis=1))


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(260, 4))
    ids = np.array([f"item{k}" for k in range(260)])
    tables = [z @ rng.normal(size=(4, width)) + 0.3 * rng.normal(size=(260, width)) for width in (6, 9)]
    y = z @ rng.normal(size=(4, 5)) + 0.3 * rng.normal(size=(260, 5))
    order = rng.permutation(260)
    np.savez(tmp_path / "a.npz", rows=tables[0], ids=ids, other=np.ones((260, 2)))
    np.savez(tmp_path / "b.npz", rows=tables[1][order], ids=ids[order])
    np.savez(tmp_path / "y.npz", rows=y, ids=ids)
    np.save(tmp_path / "layers.npy", np.stack([tables[0], 2 * tables[0]], axis=1))
    return tmp_path, tables, y, ids


def test_files_side_by_side(files, monkeypatch):
    folder, tables, _, ids = files
    monkeypatch.chdir(folder)
    table = load_table("a.npz:rows+b.npz")
    assert table.parts == (6, 9) and table.ids.tolist() == ids.tolist()
    np.testing.assert_array_equal(table.rows, np.concatenate(tables, axis=1))
    np.save("a+b.npy", tables[0])
    assert load_table("a+b.npy").parts == ()  # the name of a file that is there
    assert load_table("layers.npy").parts == (6, 6) and load_table("layers.npy", layer=1).parts == ()
    with pytest.raises(InputError, match="key behind each"):
        load_table("a.npz+b.npz", key="rows")
    with pytest.raises(InputError, match=r"c\.npz"):
        load_table("a.npz:rows+c.npz")


def test_every_door_gives_the_same_number(files, monkeypatch, capsys):
    """A fit from files on the command line, a fit in memory, and a comparison's cell."""
    folder, tables, y, ids = files
    monkeypatch.chdir(folder)
    argv = ["--x", "a.npz:rows", "--x", "b.npz", "--y", "y.npz", "--test", "60"]
    assert main(["fit", "--method", "ridge_cca", *argv, "--output", "model"]) == 0
    model = gj.load("model")
    assert gj.evaluate("model")["mean/R@10"] == pytest.approx(float(model.score(held(folder)[1])), abs=0)
    pairs = Pairs.from_arrays([Table(tables[0], ids), Table(tables[1], ids)], Table(y, ids), names=("x", "y"))
    train, test = pairs.split(test=60)
    in_memory = gj.Aligner("ridge_cca").fit(train)
    assert float(in_memory.score(test)) == float(model.score(held(folder)[1]))
    again = model.transform_x([tables[0][:4], tables[1][:4]])
    np.testing.assert_allclose(again, in_memory.transform_x(np.concatenate(tables, axis=1)[:4]), atol=1e-6)
    with pytest.raises(InputError, match=r"tables of widths \[9, 6\]; wanted widths \[6, 9\], as were fitted"):
        model.transform_x(tables[::-1])
    found = gj.compare(pairs, methods=["ridge_cca"], counts=[120], seeds=1, budget=1, test=60, jobs=1)
    assert 0.3 < found.mean("ridge_cca", 120, "mean/R@10").mean <= 1
    capsys.readouterr()


def held(folder):
    return gj.load_pairs(f"{folder}/a.npz:rows+{folder}/b.npz", f"{folder}/y.npz").split(test=60)


def test_three_layers_in_memory_are_three_tables():
    rng = np.random.default_rng(0)
    pairs = Pairs.from_arrays(rng.normal(size=(40, 3, 5)), rng.normal(size=(40, 6)))
    assert pairs.tables[0].parts == (5, 5, 5) and pairs.preprocess["x"]["parts"] == [5, 5, 5]
    aligner = gj.Aligner("procrustes").fit(pairs)
    assert aligner.transform_x(rng.normal(size=(2, 3, 5))).shape[0] == 2


def test_a_trained_config_takes_them_too(files, monkeypatch):
    folder, tables, _, _ = files
    monkeypatch.chdir(folder)
    result = gj.train(
        "contrastive",
        folder / "run",
        overrides={"total_steps": "2", "log_every_steps": "0"},
        x="a.npz:rows+b.npz",
        y="y.npz",
        test=60,
        val=20,
    )
    assert "mean/R@10" in result.evaluate()
    run = gj.load(folder / "run")
    assert run.transform_x([tables[0][:3], tables[1][:3]]).shape[0] == 3


def test_items_that_a_table_lacks_are_counted():
    first, second = Table(np.ones((3, 2)) * [[1], [2], [3]], list("abc")), Table(np.ones((2, 2)) * [[1], [2]], list("bd"))
    y = Table(np.arange(8.0).reshape(4, 2) + 1, list("abcd"), "y")
    warnings = gj.load_pairs([first, second], y).warnings
    assert "x: 1 of 4 rows are not in table 1." in warnings and "x: 2 of 4 rows are not in table 2." in warnings
    whole = gj.load_pairs([first, Table(first.rows, list("abc"))], y.subset([0, 1, 2])).warnings
    assert not any("not in table" in line for line in whole)


def test_steps_of_time_are_no_tables():
    with pytest.raises(InputError, match="x parts: got 65; wanted at most 64. Pool over time"):
        Pairs.from_arrays(np.ones((4, 65, 2)), np.ones((4, 3)))
