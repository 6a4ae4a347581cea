"""The command line as a user meets it: files in, files out, words on faults, exit codes."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gera_jax.cli import main


@pytest.fixture
def own_files(tmp_path):
    """Two tables with partly shared ids, in different order: 60 pairs, 20 rows on one side only."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(80, 4))
    ids = np.array([f"item-{i}" for i in range(80)])
    x_rows, y_rows = rng.permutation(70), rng.permutation(np.arange(10, 80))
    np.savez(tmp_path / "x.npz", image=(hidden @ rng.normal(size=(4, 9)))[x_rows].astype(np.float32), ids=ids[x_rows])
    np.savez(tmp_path / "y.npz", text=(hidden @ rng.normal(size=(4, 6)))[y_rows], ids=ids[y_rows])
    return f"{tmp_path}/x.npz:image", f"{tmp_path}/y.npz:text", tmp_path


SMALL = [
    "--config.data.split.val=15",
    "--config.data.split.test=15",
    "--config.total_steps=6",
    "--config.evals.every_steps=3",
    "--config.batch.anchors=8",
    "--config.model.dim=4",
    "--config.data.preprocess.x.pca=0",
    "--config.data.preprocess.y.pca=0",
    "--config.graphs.x.knn=4",
    "--config.graphs.y.knn=4",
    "--config.tensorboard=off",
    "--config.parallel=jit",
]


def run(capsys, *argv):
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def test_own_files_from_check_to_embedding(own_files, capsys):
    x, y, folder = own_files
    own = ["--x", x, "--y", y, "--pairs", "0"]
    code, out, _ = run(capsys, "check", "--config", "gera", *own, *SMALL)
    assert code == 0 and "x: 70 rows of 9" in out and out.endswith("ok\n")
    workdir = str(folder / "run")
    code, out, err = run(capsys, "train", "--json", *own, *SMALL, "--workdir", workdir)
    assert code == 0, err
    trained = json.loads(out)
    assert trained["metrics"]["mean/R@10"] > 0.5
    code, out, _ = run(capsys, "evaluate", "--json", "--workdir", workdir)
    assert code == 0 and json.loads(out) == pytest.approx(trained["metrics"], abs=1e-6)
    target = str(folder / "z.npy")
    code, out, _ = run(capsys, "embed", "--workdir", workdir, "--modality", "x", "--input", x, "--output", target)
    z = np.load(target)
    assert code == 0 and z.shape == (70, 4) and np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)
    np.savez(folder / "bad.npz", rows=np.where(np.arange(70)[:, None] == 3, np.nan, np.load(x[:-6])["image"]))
    code, _, err = run(
        capsys, "embed", "--workdir", workdir, "--modality", "x", "--input", f"{folder}/bad.npz", "--output", target
    )
    assert code == 2 and "rows of x: got 1 row with NaN or infinity (row 3)" in err
    np.testing.assert_array_equal(np.load(target), z)  # the older file stays
    assert np.load(folder / "z.ids.npy").tolist() == np.load(x[:-6])["ids"].tolist()
    code, out, _ = run(capsys, "train", "--json", "--config", f"{workdir}/config.json", "--workdir", str(folder / "again"))
    assert code == 0 and json.loads(out)["metrics"] == trained["metrics"]


def test_a_json_config_takes_no_arguments(tmp_path, capsys):
    (tmp_path / "c.json").write_text("{}")
    for given in (["--config", f"{tmp_path}/c.json", "--pairs", "5"], ["--config", f"{tmp_path}/c.json:pairs=5"]):
        code, _, err = run(capsys, "check", *given)
        assert code == 2 and 'config: got arguments "pairs=5" for' in err and "--config.data.pairs=100" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["train", "--config", "gerra", "--workdir", "w"], 'Did you mean "gera"'),
        (["check", "--config", "gera:pears=4"], 'Did you mean "pairs"'),
        (["check", "--config", "gera", "--config.losses.contrastive.wieght=2"], 'Did you mean "weight"'),
        (["check", "--config", "gera:source=clipper"], 'data.source: got "clipper"'),
        (["check", "--x", "no_such_file.npy", "--y", "neither.npy"], "no_such_file.npy"),
        (["check", "--x", "only.npy"], "x, y: got"),
        (["check", "--config", "gera", "--config.total_epochs=4"], "wanted exactly one of"),
        (["evaluate", "nowhere"], "folder: got nowhere without run.json or aligner.npz"),
        (["data", "show", "no_such.npz"], "no_such.npz"),
    ],
)
def test_faults_end_with_two_and_words(argv, words, capsys):
    code, _, err = run(capsys, *argv)
    assert code == 2 and words in err and "Traceback" not in err


def test_faults_as_json(capsys):
    code, out, _ = run(capsys, "check", "--json", "--config", "gerra")
    assert code == 2 and json.loads(out)["code"] == 2 and "gera" in json.loads(out)["error"]


def test_usage_faults_end_with_two(capsys):
    assert run(capsys, "trian")[0] == 2
    assert run(capsys, "train")[0] == 2
    assert run(capsys, "data")[0] == 2


def test_help_and_version(capsys):
    assert run(capsys)[0] == 0 and run(capsys, "--version")[0] == 0 and run(capsys, "train", "--help")[0] == 0


def test_data_list_show_build(capsys, tmp_path):
    code, out, _ = run(capsys, "data", "list", "--json")
    assert code == 0 and {"clipart", "emoji", "molecule"} <= {entry["name"] for entry in json.loads(out)}
    np.savez(tmp_path / "bad.npz", bad=np.stack([np.ones(3), np.full(3, np.nan), np.zeros(3)]))
    code, out, _ = run(capsys, "data", "show", str(tmp_path / "bad.npz"))
    assert code == 0 and out.count("error: ") == 2 and "Report(" not in out
    code, out, _ = run(capsys, "data", "show", "clipart")
    assert code == 0 and "3012 rows of 1280" in out
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    code, out, _ = run(capsys, "data", "build", "--json", str(tmp_path / "rows.npy"), str(tmp_path / "built"))
    assert code == 0
    from gera_jax.data import load_table

    (path,) = json.loads(out)["paths"]
    np.testing.assert_array_equal(load_table(path).rows, rows)
    before = sorted((tmp_path / "built").rglob("*"))
    code, out, _ = run(capsys, "data", "build", "--json", str(tmp_path / "rows.npy"), str(tmp_path / "built"))
    assert code == 0 and json.loads(out)["paths"] == [path] and sorted((tmp_path / "built").rglob("*")) == before
    np.save(tmp_path / "rows.npy", rows + 1)
    code, _, err = run(capsys, "data", "build", str(tmp_path / "rows.npy"), str(tmp_path / "built"))
    assert code == 2 and "which is there already" in err
    for rows_, words in ((rows[:, :0], "at least one row and one column"), (rows.astype(np.int32), "got dtype int32")):
        np.save(tmp_path / "rows.npy", rows_)
        code, _, err = run(capsys, "check", "--x", str(tmp_path / "rows.npy"), "--y", str(tmp_path / "rows.npy"), "--pairs", "0")
        assert code == 2 and words in err


def test_module_and_python_functions_have_the_same_names():
    import gera_jax

    for name in ("train", "evaluate", "embed", "check", "quickstart"):
        assert callable(getattr(gera_jax, name))
    done = subprocess.run([sys.executable, "-m", "gera_jax", "check", "--config", "nope"], capture_output=True, text=True)
    assert done.returncode == 2 and "config" in done.stderr


def test_import_is_light():
    code = "import sys, gera_jax; print([m for m in ('jax', 'flax', 'orbax', 'tensorflow_datasets', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
