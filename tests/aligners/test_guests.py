"""Methods, losses and formats from outside: in this process, in a saved folder and in a new process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import gera_jax
from gera_jax import Aligner
from gera_jax.aligners import methods as table
from gera_jax.checks import InputError
from gera_jax.data import formats, load_pairs
from tests.aligners.guests import Centred, LeastSquares, squared_distance

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 6))
Y = X @ RNG.normal(size=(6, 5)) + 0.1 * RNG.normal(size=(100, 5))
PATH = "tests.aligners.guests:LeastSquares"


@pytest.mark.parametrize("method", [LeastSquares, LeastSquares(), PATH, Centred()])
def test_an_object_a_class_or_its_name_stands_where_a_name_does(method, tmp_path):
    aligner = Aligner(method).fit(X[:60], Y[:60], X[60:70])
    score = aligner.score(X[70:], Y[70:])
    assert score > 2 * score.chance["mean/R@10"] * 0.9 > Aligner(method).fit(X[:60], Y[:60][::-1]).score(X[70:], Y[70:])
    aligner.save(tmp_path / "model")
    for other in (gera_jax.load(tmp_path / "model"), pickle.loads(pickle.dumps(aligner))):
        np.testing.assert_array_equal(other.similarity(X, Y), aligner.similarity(X, Y))
    if isinstance(method, Centred):
        assert aligner._model.model.seen == [10, 0] and aligner.predict_y(X).shape == Y.shape
        assert not hasattr(method, "seen")  # the caller's object is not touched
    else:
        with pytest.raises(InputError, match="no transform_x and transform_y; wanted a method with a shared space"):
            aligner.transform_x(X)


def test_a_folder_of_a_guest_is_read_in_a_new_process(tmp_path):
    aligner = Aligner(PATH, settings=dict(ridge=0.5)).fit(X[:60], Y[:60])
    aligner.save(tmp_path / "model")
    np.savez(tmp_path / "rows.npz", x=X, y=Y)
    code = (
        "import sys, numpy as np, gera_jax; folder, rows = sys.argv[1], np.load(sys.argv[2]); a = gera_jax.load(folder)\n"
        "print(a.method, a.settings, a.similarity(rows['x'], rows['y']).sum())"
    )
    root = Path(gera_jax.__file__).parent.parent
    words = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "rows.npz")]
    said = subprocess.run(words, capture_output=True, text=True, cwd=root, check=True).stdout.split()
    assert said[0] == PATH and float(said[-1]) == pytest.approx(aligner.similarity(X, Y).sum())


def test_registered_and_installed_methods_have_names(monkeypatch):
    monkeypatch.setattr(table, "TABLE", dict(table.TABLE))
    gera_jax.register_method("least_squares", LeastSquares, label="least squares", settings=[{}, dict(ridge=1.0)])
    assert Aligner("least_squares", settings=dict(ridge=2.0)).fit(X[:50], Y[:50])._model.model.ridge == 2.0
    with pytest.raises(InputError, match='setting of LeastSquares: got "ridg"; wanted a known name. Did you mean "ridge"'):
        Aligner("least_squares", settings=dict(ridg=2.0))
    with pytest.raises(InputError, match='name: got "ridge_cca", which is taken'):
        gera_jax.register_method("ridge_cca", LeastSquares)
    with pytest.raises(InputError, match="wanted an object with fit"):
        gera_jax.register_method("nothing", dict)
    points = metadata.EntryPoints([metadata.EntryPoint("installed", PATH, table.GROUP)])
    monkeypatch.setattr(table.metadata, "entry_points", lambda group: points.select(group=group))
    monkeypatch.setattr(table, "_installed", table._installed.__wrapped__)  # what is remembered stays as it was
    assert "installed" in table.method_names() and Aligner("installed").fit(X[:50], Y[:50]).score(X[50:], Y[50:]) > 0.4
    for name, words in (("nowhere.at.all:X", "No module named"), ("tests.aligners.guests:Y", "has no attribute")):
        with pytest.raises(InputError, match=words):
            Aligner(name)
    with pytest.raises(InputError, match="method: got a int; wanted a name, a config, or an object"):
        Aligner(3)


def test_guests_are_compared_beside_ours():
    methods = ["ridge_cca", LeastSquares(), LeastSquares(ridge=1e6), Centred]
    found = gera_jax.compare(x=X, y=Y, methods=methods, counts=(40,), seeds=2, budget=1, jobs=1)
    assert list(found.labels.values()) == ["ridge CCA", "LeastSquares", "LeastSquares-2", "Centred"] and not found.failures
    assert found.mean("LeastSquares", 40, "mean/R@1").mean > found.mean("LeastSquares-2", 40, "mean/R@1").mean


def test_a_loss_of_ones_own_trains_by_its_path_and_by_a_registered_name(monkeypatch):
    from gera_jax import training
    from gera_jax.training import terms

    monkeypatch.setattr(terms, "LOSSES", dict(terms.LOSSES))
    gera_jax.register_loss("my_distance", squared_distance)
    found = []
    for fn in ("tests.aligners.guests:squared_distance", "my_distance"):
        config = gera_jax.config.load(
            "contrastive:x=own,y=own,smoke", {"parallel": "jit", "data.split.val": "10", "data.split.test": "0"}
        )
        config.losses.contrastive.fn, config.losses.contrastive.kwargs = fn, dict(scale=2.0)
        config.data.source, config.data.x.path, config.data.y.path, config.data.pairs = "arrays", "", "", 0
        for side in "xy":
            config.data.preprocess[side].filter.strength = 0.0
        found.append(training.train(config, tables=gera_jax.Pairs.from_arrays(X[:40], Y[:40])))
    losses = [[entry["loss/contrastive"] for entry in run.history if "loss/contrastive" in entry] for run in found]
    assert losses[0] == losses[1] and len(losses[0]) == 4
    with pytest.raises(InputError, match="takes no axis_name, on several devices.*parallel=.jit"):
        terms.Term("mine", squared_distance, "squared_distance", dict(x="x", y="y"), {}, {}, float)(
            dict(x=X, y=X), axis_name="devices"
        )
    with pytest.raises(InputError, match='"info_nce", which is taken'):
        gera_jax.register_loss("info_nce", squared_distance)


def test_a_format_of_ones_own_is_read_wherever_a_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "READERS", dict(formats.READERS))
    gera_jax.register_format(".emb", lambda path: (np.loadtxt(path), [f"id{i}" for i in range(20)]))
    np.savetxt(tmp_path / "x.emb", X[:20])
    np.savez(tmp_path / "y.npz", rows=Y[:20][::-1], ids=[f"id{i}" for i in range(20)][::-1])
    pairs = load_pairs(tmp_path / "x.emb", tmp_path / "y.npz")
    np.testing.assert_allclose(pairs.x, X[:20])
    np.testing.assert_allclose(pairs.y, Y[:20])
    (tmp_path / "bad.emb").write_text("no numbers")
    with pytest.raises(InputError, match=r"a truncated or damaged \.emb file"):
        load_pairs(tmp_path / "bad.emb", tmp_path / "y.npz")
    with pytest.raises(InputError, match='suffix: got ".npy", which is taken'):
        gera_jax.register_format(".npy", np.loadtxt)
