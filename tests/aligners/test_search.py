"""Search against a slow loop: blocks, ties, filters, ids; and the command."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import gera_jax as gj
from gera_jax.aligners import search as searching
from gera_jax.checks import InputError
from gera_jax.cli.main import main
from gera_jax.data import Table


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(150, 5))
    x, y = z @ rng.normal(size=(5, 8)), z @ rng.normal(size=(5, 6))
    y[11] = y[10]  # a tie
    names = np.array([f"item {i}" for i in range(150)])
    folder = tmp_path_factory.mktemp("search")
    gj.Aligner("ridge_cca").fit(x[:60], y[:60]).save(folder / "model")
    np.savez(folder / "x.npz", rows=x, ids=names)
    words = [dict(kind="even" if i % 2 == 0 else "odd", id="its own") for i in range(150)]
    np.savez(folder / "y.npz", rows=y, ids=names, meta=np.array(json.dumps(words)))
    return folder, x, y, names


def loop(folder, x, y, rows, top):
    """Oracle: every score in turn, sorted by (score, row)."""
    model = gj.load(folder / "model")
    found = []
    for row in rows:
        a = model.transform_x(x[row : row + 1])[0]
        scores = [(-float(a @ b), j) for j, b in enumerate(model.transform_y(y))]
        found.append([j for _, j in sorted((round(s, 6), j) for s, j in scores)[:top]])
    return found


@pytest.mark.parametrize("block", [7, 64, 16_384])
def test_hits_are_those_of_a_loop_whatever_the_block(world, block, monkeypatch):
    folder, x, y, names = world
    monkeypatch.setattr(searching, "BLOCK", block)
    rows = [0, 10, 149]
    found = gj.search(folder / "model", folder / "x.npz", folder / "y.npz", rows=names[rows], top=9)
    assert [[int(hit.id.split()[1]) for hit in hits] for hits in found.hits] == loop(folder, x, y, rows, 9)
    assert found.queries == names[rows].tolist()
    assert all(a.score >= b.score for hits in found.hits for a, b in itertools.pairwise(hits))
    wrong = gj.search(folder / "model", -x, y, top=9)  # companion: another query finds other rows
    assert [hit.id for hit in wrong.hits[0]] != loop(folder, x, y, [0], 9)[0]


def test_both_directions_and_a_small_gallery(world):
    folder, x, y, _ = world
    found = gj.search(folder / "model", x[:4], y[:20], query="y", top=10)
    assert len(found.queries) == 20 and all(len(hits) == 4 for hits in found.hits)
    model = gj.load(folder / "model")
    scores = model.transform_y(y[:20]) @ model.transform_x(x[:4]).T
    assert [hits[0].id for hits in found.hits] == scores.argmax(axis=1).tolist()


def test_a_filter_leaves_other_rows_out(world):
    folder, *_ = world
    odd = gj.search(folder / "model", folder / "x.npz", folder / "y.npz", where=dict(kind="odd"), top=200).hits[3]
    assert len(odd) == 75 and all(hit.words["kind"] == "odd" for hit in odd)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(query="w"), 'query: got w; wanted "x" or "y"'),
        (dict(top=0), "top: got 0"),
        (
            dict(rows=["item 3", "item 999"]),
            "rows: got item 999, which no row has; wanted ids of the queries. There are 150 rows",
        ),
        (dict(where=dict(kin="odd")), "kind"),
        (dict(where=dict(kind="both")), "where: got no row with kind=both"),
    ],
)
def test_what_is_not_there_is_refused(world, options, words):
    folder, *_ = world
    with pytest.raises(InputError, match=words):
        gj.search(folder / "model", folder / "x.npz", folder / "y.npz", **options)


def test_rows_of_another_encoder_are_refused(world):
    folder, x, y, _ = world
    with pytest.raises(InputError, match="width"):
        gj.search(folder / "model", x, y[:, :5])


def test_the_command(world, capsys, monkeypatch):
    folder, x, y, _ = world
    monkeypatch.chdir(folder)
    argv = ["search", "model", "--x", "x.npz", "--y", "y.npz", "--row", "item 7", "--top", "3"]
    assert main([*argv, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["query"] == "item 7" and [hit["id"] for hit in found["hits"]] == [
        f"item {j}" for j in loop(folder, x, y, [7], 3)[0]
    ]
    assert found["hits"][0]["words"]["id"] == "its own"  # a word of the gallery hides no id of ours
    assert main([*argv, "--where", "kind=odd"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("item 7\n") and "kind: odd" in out
    assert main([*argv, "--where", "kind"]) == 2


def test_words_go_along_where_the_gallery_has_them(world):
    _, x, y, _ = world
    gallery = Table(y, [str(i) for i in range(150)], "text", [dict(caption=f"c{i}") for i in range(150)])
    found = gj.search(gj.Aligner("procrustes").fit(x[:60], y[:60]), x[:2], gallery, top=1)
    assert found.hits[0][0].words["caption"] == f"c{found.hits[0][0].id}"
    assert f"caption: c{found.hits[0][0].id}" in str(found)
