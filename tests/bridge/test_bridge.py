"""Maps, plans and the three commands, on made-up models whose spaces are known functions of one another."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from gera_jax import bridge
from gera_jax.aligners.outputs import Predictor
from gera_jax.bridge import fitting, matching
from gera_jax.bridge.fitting import fit_rows
from gera_jax.bridge.folder import Bridge
from gera_jax.bridge.plan import plan_rows
from gera_jax.bridge.rows import Rows
from gera_jax.checks import InputError
from gera_jax.cli.main import main
from gera_jax.solvers.linear import unit_rows


@pytest.fixture(autouse=True)
def few_landmarks(monkeypatch):
    monkeypatch.setattr(fitting, "LANDMARKS", 150)


def world(n=1500, p=60, queries=0, seed=0, foreign=False, latent=16):
    """Clustered documents in two spaces: a rotation, a bend and noise lie between them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, latent)) ** 3
    rows = unit_rows(centres[rng.integers(40, size=n + queries)] + rng.normal(size=(n + queries, latent)))
    wide = latent + 8
    turn = np.linalg.qr(rng.normal(size=(wide, wide)))[0]
    old = unit_rows(rows @ np.linalg.qr(rng.normal(size=(latent + 4, latent)))[0].T)
    new = unit_rows(
        np.concatenate([rows, 0.3 * np.tanh(3 * rows[:, :8])], axis=1) @ turn + 0.02 * rng.normal(size=(len(rows), wide))
    )
    asked = unit_rows(rng.normal(size=(queries, wide)) ** 3) if foreign else new[n:]
    at = np.sort(rng.permutation(n)[:p])
    old, new, asked = (rows.astype(np.float32) for rows in (old, new, asked))
    return Rows(old[:n], at, new[at], asked, np.array([f"id {i}" for i in range(n)])), new[:n]


def recall(new, mapped, k=10):
    """Oracle: of each tenth document's first ten in the new space, how many are among the first ten of the mapped rows."""
    hits = [len({*np.argsort(-new @ q)[:k]} & {*np.argsort(-mapped @ q)[:k]}) for q in new[::10]]
    return np.mean(hits) / k


def test_the_old_index_does_no_harm_and_queries_help():
    rows, new = world(p=25, queries=700, latent=40)
    line = unit_rows(Predictor.fit(rows.pairs, rows.new)(rows.old))
    alone = Rows(rows.old, rows.at, rows.new, rows.queries[:0], rows.ids)
    made = fit_rows(rows, ways=("forward",))
    found = [
        recall(new, mapped) for mapped in (line, fit_rows(alone, ways=("forward",)).forward(rows.old), made.forward(rows.old))
    ]
    assert found[0] - 0.02 < found[1] and found[1] + 0.05 < found[2], found
    assert made.card["maps"]["forward"]["chosen"].startswith("0.7 of a matched rotation")
    shuffled = Rows(rows.old, rows.at, rows.new[::-1], rows.queries[:0], rows.ids)  # companion: wrong pairs lose it all
    assert recall(new, fit_rows(shuffled, ways=("forward",)).forward(rows.old)) < found[0] / 2


def test_foreign_queries_are_seen_by_held_out_pairs():
    rows, _ = world(p=60, queries=600, foreign=True)
    alone = Rows(rows.old, rows.at, rows.new, rows.queries[:0], rows.ids)
    with_them, without = (fit_rows(one, ways=("forward",)) for one in (rows, alone))
    np.testing.assert_array_equal(with_them.forward(rows.old), without.forward(rows.old))
    assert with_them.card["maps"]["forward"]["chosen"].startswith("ridge")


def test_a_matching_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    x, y = (unit_rows(rng.normal(size=(n, 5))).astype(np.float32) for n in (12, 14))
    to_y, to_x = matching._weights(x, y, 0.3)
    scores = x.astype(np.float64) @ y.T
    near = np.sort(scores, axis=1)[:, -10:].mean(axis=1), np.sort(scores, axis=0)[-10:].mean(axis=0)
    for found, s, hub in ((to_y, scores, near[1]), (to_x, scores.T, near[0])):
        want = np.zeros(s.shape)
        for i, row in enumerate(s):
            best = np.argsort(-row)[:10]
            e = np.exp([(2 * row[j] - hub[j]) / 0.3 for j in best])
            want[i, best] = e / e.sum()
        np.testing.assert_allclose(found.toarray(), want, atol=1e-5)
    cross = rng.normal(size=(4, 6))
    u, _, vt = np.linalg.svd(cross, full_matrices=False)
    np.testing.assert_allclose(matching._polar(cross), u @ vt, atol=1e-5)


def test_few_rows_and_one_direction_alone():
    rows, new = world(n=200, p=40)  # no neighbours are used below fitting.SMOOTHED rows
    made = fit_rows(rows, ways=("forward",))
    assert made.backward is None and made.card["maps"]["forward"]["error"] < 0.9
    assert recall(new, made.forward(rows.old)) > 0.2
    assert fitting.SMOOTHED > 200


def test_both_directions_are_saved_read_and_run_without_gera_jax(tmp_path):
    rows, _ = world(p=60)
    made = fit_rows(rows)
    made.save(tmp_path / "map")
    again = Bridge.load(tmp_path / "map")
    np.savez(tmp_path / "rows.npz", forward=rows.old[:50], backward=rows.new[:50])
    code = (
        "import sys, numpy as np; sys.modules['gera_jax'] = sys.modules['jax'] = None; sys.path.insert(0, 'map')\n"
        "from load_maps import load; rows = np.load('rows.npz')\n"
        "np.savez('out.npz', **{name: run(rows[name]) for name, run in load('map').items()})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    alone = np.load(tmp_path / "out.npz")
    for name, given in (("forward", rows.old[:50]), ("backward", rows.new[:50])):
        want = getattr(made, name)(given)
        np.testing.assert_array_equal(getattr(again, name)(given), want)
        np.testing.assert_allclose(alone[name], want, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(want, axis=1), 1, atol=1e-5)
    with pytest.raises(InputError, match="an empty folder"):
        made.save(tmp_path / "map")
    content = bytearray((tmp_path / "map" / "maps.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "map" / "maps.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="a damaged file"):
        Bridge.load(tmp_path / "map")


def test_a_plan_tells_what_a_bridge_keeps():
    rows, new = world(n=1200, p=200, queries=300)
    found = plan_rows(rows, want=0.3)
    truth = recall(new, fit_rows(rows).forward(rows.old))
    assert abs(found.kept["forward"].mean - truth) < 0.15
    assert found.chance == 10 / 1200 and found.more[2].mean > 0
    assert found.verdict in ("bridge", "keep")
    text = str(found)
    assert "documents mapped to the new model" in text and "guessing" in text and "verdict:" in text
    wrong = Rows(rows.old, rows.at, rows.new[np.random.default_rng(0).permutation(200)], rows.queries, rows.ids)
    assert plan_rows(wrong, want=0.3).kept["forward"].mean < 0.05  # companion: what are no pairs keep nothing


def files(folder, rows):
    np.savez(folder / "old.npz", rows=rows.old, ids=rows.ids)
    np.savez(folder / "new.npz", rows=rows.new, ids=rows.ids[rows.at])
    np.save(folder / "queries.npy", rows.queries)
    return [f"--old={folder}/old.npz", f"--new={folder}/new.npz"]


def test_the_three_commands(tmp_path, capsys):
    rows, new = world(n=1200, p=120, queries=200)
    given = [*files(tmp_path, rows), f"--queries={tmp_path}/queries.npy"]
    code = main(["bridge", "plan", *given, "--want", "0.99", "--old-model-gone", "--output", f"{tmp_path}/plan.json"])
    assert code == 11 and "verdict: re-embed (99 % is wanted" in capsys.readouterr().out
    stored = json.loads((tmp_path / "plan.json").read_text())
    assert stored["verdict"] == "reembed" and stored["exit_code"] == 11 and set(stored["kept"]) == {"forward", "backward"}
    assert main(["bridge", "plan", *given, "--want", "0.01", "--old-model-gone", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "bridge"
    assert main(["bridge", "fit", *given, "--output", f"{tmp_path}/map"]) == 0
    assert "20 -> 24 from 120 pairs, 1,200 rows of the index, 200 queries" in capsys.readouterr().out
    assert main(["bridge", "fit", *given, "--output", f"{tmp_path}/map"]) == 2 and "holds maps" in capsys.readouterr().err
    assert main(["bridge", "plan", *given, "--output", f"{tmp_path}/none/plan.json"]) == 2
    assert "whose folder is not there" in capsys.readouterr().err
    made = [
        "bridge",
        "apply",
        "--index",
        f"{tmp_path}/old.npz:rows",
        "--map",
        f"{tmp_path}/map",
        "--output",
        f"{tmp_path}/new.parquet",
    ]
    assert main(made) == 0 and "1,200 rows of width 24" in capsys.readouterr().out
    from gera_jax.data import load_table

    mapped = load_table(tmp_path / "new.parquet")
    np.testing.assert_allclose(mapped.rows, Bridge.load(tmp_path / "map").forward(rows.old), atol=1e-5)
    assert mapped.ids.tolist() == rows.ids.tolist() and recall(new, mapped.rows) > 0.3
    assert main(made) == 2 and "which is there" in capsys.readouterr().err


def test_rows_of_another_model_are_found_with_their_ids(tmp_path, capsys):
    rows, _ = world(n=1200, p=150)
    slipped = [20, 77, 130]
    rows.new[slipped] = -rows.new[slipped]
    given = files(tmp_path, rows)
    assert main(["bridge", "fit", *given, "--output", f"{tmp_path}/map"]) == 2
    said = capsys.readouterr().err
    assert "3 of 150 rows that lie far from where" in said and all(f"{rows.ids[rows.at[i]]}" in said for i in slipped)
    assert main(["bridge", "fit", *given, "--drop-suspects", "--output", f"{tmp_path}/map"]) == 0
    assert "from 147 pairs" in capsys.readouterr().out
    assert len(world(n=1200, p=150)[0].suspects()) == 0  # companion: right pairs are not accused


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(new_ids=[*range(11), 999]), "new ids: got 1 of 12 that the index lacks (such as 999)"),
        (dict(new_ids=[*range(11), 3]), "id"),
        (dict(new=np.ones((4, 6)) + np.eye(4, 6), new_ids=range(4)), "new: got 4 rows; wanted at least 10"),
        (dict(queries=np.ones((5, 7))), "queries"),
        (dict(seed=-1), "seed: got -1; wanted a whole number, at least 0"),
        (dict(queries=np.eye(5)), "queries: got width 5; wanted width 6, that of the new model"),
    ],
)
def test_what_is_refused(change, words):
    rng = np.random.default_rng(0)
    given = dict(old=rng.normal(size=(50, 4)), new=rng.normal(size=(12, 6)), old_ids=range(50), new_ids=range(12))
    with pytest.raises(InputError) as error:
        bridge.fit(**{**given, **change})
    assert words in str(error.value)


def test_rows_that_are_not_numbers_are_named():
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(50, 4)), rng.normal(size=(12, 6))
    for name, rows in (("old", old), ("new", new)):
        broken = rows.copy()
        broken[7, 1] = np.nan
        with pytest.raises(InputError, match=name):
            bridge.fit(**{"old": old, "new": new, name: broken}, old_ids=range(50), new_ids=range(12))
