"""Own files: names that shells and configs stumble over, ids, what is written, and advice that works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import gera_jax
from gera_jax import checks, files
from gera_jax import config as config_lib
from gera_jax.aligners.doors import configure
from gera_jax.cli import main
from gera_jax.cli.main import split_overrides
from gera_jax.cli.parser import make_parser
from gera_jax.data import builder as vectors
from gera_jax.data import load_table

NAMES = ["a,b.npz", "10:30.npz", "two words.npz", "it's.npz", 'say "x".npz', "a=b,c=d.npz", "\udcff.npz", "back\\slash.npz"]
SMALL = ["--config.data.split.val=0.1", "--config.data.split.test=0.2", "--config.graphs.x.knn=4", "--config.graphs.y.knn=4"]


def write(path, **arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)
    return str(path)


@pytest.fixture
def table(tmp_path):
    """A file of 60 pairs whose ids stand in an array of another name."""
    rng = np.random.default_rng(0)
    hidden, ids = rng.normal(size=(60, 4)), np.array([f"item {i}" for i in range(60)])
    rows = {name: (hidden @ rng.normal(size=(4, width))).astype(np.float32) for name, width in (("x", 9), ("y", 6))}
    return lambda name: write(tmp_path / name, **rows, ids=ids, key=ids)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_works(name, table):
    path = table(name)
    made = configure("gera", x=f"{path}:x", y=f"{path}:y", pairs=0).config
    assert (made.data.x.path, made.data.x.key, made.data.y.key) == (path, "x", "y")
    assert config_lib.path_and_key(path) == (path, "")
    again = config_lib.load("configs/ablations/gera_heat.py:" + config_lib.with_arguments("", x=f"{path}:x", y=f"{path}:y")[1:])
    assert again.data.x.path == path


def test_check_with_hostile_names_and_ids(table, capsys):
    path = table("a, 10:30 'b'.npz")
    argv = [
        "check",
        "--method",
        "gera",
        "--x",
        f"{path}:x",
        "--x-ids",
        "key",
        "--y",
        f"{path}:y",
        "--y-ids",
        "key",
        "--pairs",
        "0",
        *SMALL,
    ]
    assert main(argv) == 0
    assert capsys.readouterr().out.endswith("ok\n")
    assert configure("gera", x=f"{path}:x", y=f"{path}:y", x_ids="key", pairs=0).config.data.x.ids == "key"
    assert main(["data", "show", f"{path}:x", "--ids", "key"]) == 0
    assert "item 0" in capsys.readouterr().out


def test_configs_that_take_no_files_say_so(table, tmp_path):
    path = table("t.npz")
    own = tmp_path / "own.py"
    own.write_text("from gera_jax import config\ndef get_config(arg=None):\n    return config.load('gera')\n")
    given = dict(x=f"{path}:x", y=f"{path}:y")
    for config, words in (
        ("g2l", 'argument of the config: got "x"'),
        (str(own), "own.py does not read; wanted a config that takes files"),
        (config_lib.load("gera"), "beside a config in memory"),
    ):
        with pytest.raises(checks.InputError, match=words):
            configure(config, **given)
    with pytest.raises(checks.InputError, match=r"pairs: got 7, which .*own.py does not read.*--config.data.pairs=7"):
        configure(str(own), pairs=7)
    with pytest.raises(checks.InputError, match=r'x_ids: got "key" without x; .*Give --x FILE too'):
        configure("gera", x_ids="key")
    own.write_text("def get_config(arg=None):\n    return 1 / 0\n")
    with pytest.raises(checks.InputError, match=r"get_config of .*own.py \(division by zero\)"):
        configure(str(own))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["own.py", "t.npz"]  # no cache of bytecode beside it


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize("ids", [np.array(["a", "b:c", "ü"]), np.array([7, 2**62, 9]), None], ids=["texts", "numbers", "none"])
def test_what_embed_writes_is_read_again(suffix, ids, tmp_path):
    z = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    path = tmp_path / f"z{suffix}"
    for values in (z + 1, z):
        vectors.write(path, values, ids)
    read = load_table(path)
    np.testing.assert_array_equal(read.rows, z)
    assert read.ids.tolist() == ([0, 1, 2] if ids is None else ids.tolist())


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_a_write_that_fails_leaves_the_older_file(suffix, tmp_path, monkeypatch):
    path, z = tmp_path / f"z{suffix}", np.eye(3, dtype=np.float32)
    vectors.write(path, z, None)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        vectors.write(path, 2 * z, None)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(load_table(path).rows, z)


def test_embed_of_a_model(table, tmp_path, capsys):
    path = table("t.npz")
    model = str(tmp_path / "a model")
    assert main(["fit", "--method", "procrustes", "--x", f"{path}:x", "--y", f"{path}:y", "--output", model]) == 0
    capsys.readouterr()
    embed = ["embed", "--workdir", model, "--modality", "x", "--input", f"{path}:x"]
    assert main([*embed, "--output", f"{tmp_path}/z.parquet"]) == 0
    assert load_table(tmp_path / "z.parquet").ids[3] == "item 3"
    for output, words in (
        ("z.txt", 'output: got "z.txt"; wanted a name that ends in .npy, .npz, .parquet'),
        ("none/z.npy", "mkdir -p"),
        ("", "output: got"),
    ):
        assert main([*embed, "--output", f"{tmp_path}/{output}"]) == 2
        assert words in capsys.readouterr().err
    rows = np.ones((5, 9), np.float32)
    rows[1] = np.nan
    np.save(tmp_path / "bad.npy", rows)
    assert main([*embed[:-1], f"{tmp_path}/bad.npy", "--output", f"{tmp_path}/b.npy"]) == 2
    assert "row 1" in capsys.readouterr().err and not (tmp_path / "b.npy").exists()
    assert main(["evaluate", "--workdir", model]) == 2
    assert "a model that held out no test rows" in capsys.readouterr().err


def test_printed_commands_are_commands(table, tmp_path, capsys):
    path, model = table("it's a, b.npz"), f"{tmp_path}/it's a model"
    words = ["--x", f"{path}:x", "--y", f"{path}:y", "--pairs", "my pairs.csv"]
    assert main(["train", *words, "--workdir", f"{tmp_path}/w"]) == 2 and "my pairs.csv" in capsys.readouterr().err
    assert main(["fit", "--method", "procrustes", *words[:4], "--output", model]) == 0
    (said,) = [shlex.split(line)[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("gera-jax ")]
    assert make_parser().parse_args(said).folder == model and said[0] == "embed"


@pytest.mark.parametrize(
    ("argv", "follow"),
    [
        (["--config.data.split.val=300", "--config.data.split.test=500"], []),  # "leave them out"
        (["--config.views.noise=0", "--config.data.split.val=6", "--config.data.split.test=6", "--config.model.dim=0"], None),
    ],
)
def test_advice_can_be_followed(argv, follow, table, capsys):
    path = table("t.npz")
    base = [
        "check",
        "--method",
        "gera",
        "--x",
        f"{path}:x",
        "--y",
        f"{path}:y",
        "--pairs",
        "0",
        "--config.graphs.x.knn=4",
        "--config.graphs.y.knn=4",
    ]
    assert main([*base, *argv]) == 2
    said = capsys.readouterr().err
    if follow is not None:
        assert "leave them out" in said
        assert main([*base, *follow]) == 0


def test_fields_named_in_the_sources_are_fields():
    """Every `--config.a.b` that a message or a page names is a field of some config."""
    root = Path(gera_jax.__file__).parent
    texts = [p.read_text() for p in [*root.rglob("*.py"), *(root.parent / "docs").rglob("*.md"), root.parent / "README.md"]]
    named = {field for text in texts for field in re.findall(r"--config\.([a-z_]+(?:\.[a-z_]+)*)=", text)} - {"field"}
    configs = [config_lib.load(name) for name in config_lib.names()]

    def there(config, field):
        for word in field.split("."):
            if word not in config:
                return False
            config = config[word]
        return True

    assert [field for field in sorted(named) if not any(there(config, field) for config in configs)] == []
    assert named and split_overrides(["--config.seed=3", "check"]) == (["check"], {"seed": "3"})
