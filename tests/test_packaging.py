from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gera_jax

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "gera_jax" / "reports" / "templates"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(code, cwd=ROOT):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_setup_is_one_call_and_the_metadata_lives_in_pyproject():
    tree = ast.parse((ROOT / "setup.py").read_text())
    statements = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    assert len(statements) == 1 and isinstance(statements[0], ast.Expr)
    call = statements[0].value
    assert isinstance(call, ast.Call) and getattr(call.func, "id", "") == "setup"
    assert {keyword.arg for keyword in call.keywords} <= {"packages", "package_dir"}


def test_every_extra_that_an_error_names_exists():
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"tensorboard", "plots", "formats", "knn", "export", "ot", "encoders", "notebooks", "dev"} <= set(extras)
    pattern = re.compile(r"gera_jax\[([\w,-]+)\]")
    files = [*(ROOT / "gera_jax").rglob("*.py"), ROOT / "pyproject.toml"]
    named = {name for file in files for found in pattern.findall(file.read_text()) for name in found.split(",")}
    assert {"plots", "tensorboard"} <= named  # the pattern finds something
    assert named - {"extra"} <= set(extras)


def test_dev_holds_what_the_tests_need():
    dev = " ".join(PROJECT["project"]["optional-dependencies"]["dev"])
    for word in (
        "pytest",
        "hypothesis",
        "ruff",
        "pyright",
        "nbmake",
        "plots",
        "tensorboard",
        "export",
        "knn",
        "formats",
    ):
        assert word in dev


def test_every_lower_bound_is_the_one_that_was_tried():
    constraints = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "constraints" / "lower.txt").read_text(), re.M))
    bounds = dict(re.findall(r"^([\w-]+)>=([\d.]+)", "\n".join(PROJECT["project"]["dependencies"]), re.M))
    for name, tried in constraints.items():
        if name != "jaxlib":  # comes with jax
            short = bounds[name]
            assert tried == short or tried == short + ".0", name


def test_importing_the_package_imports_nothing_heavy():
    heavy = {
        "jax",
        "flax",
        "optax",
        "orbax",
        "tensorflow_datasets",
        "numpy",
        "scipy",
        "matplotlib",
        "ml_collections",
    }
    loaded = run("import sys, gera_jax; dir(gera_jax); gera_jax.checks, gera_jax.writers; print(*sys.modules)").split()
    assert "gera_jax.writers" in loaded  # the list is the real one
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import gera_jax.cli.main", {"jax", "scipy"}),
        ("import gera_jax.config, gera_jax.data; gera_jax.config.load('gera'); gera_jax.data.catalog.load('emoji')", {"jax"}),
        ("import gera_jax.solvers, gera_jax.evaluation", {"jax", "flax", "optax", "scipy.optimize"}),
        ("from gera_jax import Aligner, Pairs, load_pairs; Aligner('ridge_cca'); Aligner()", {"jax", "flax", "optax"}),
        ("import gera_jax.losses, gera_jax.graphs, gera_jax.transport", {"flax", "optax"}),
    ],
)
def test_a_room_loads_what_it_needs_and_no_more(code, heavy):
    loaded = set(run(f"import sys; {code}; print(*sys.modules)").split())
    assert "gera_jax" in loaded
    assert sorted(heavy & loaded) == []


def test_a_closed_form_is_fitted_and_scored_without_jax():
    loaded = run(
        "import sys; import numpy as np; from gera_jax import Aligner;"
        "x = np.random.default_rng(0).normal(size=(60, 4)); y = x[:, :3]; m = Aligner('ridge_cca').fit(x, y);"
        "m.score(x, y), m.predict_y(x); print(*sys.modules)"
    ).split()
    assert "gera_jax.solvers.ridge_cca" in loaded
    assert sorted({"jax", "flax", "optax", "orbax", "gera_jax.training", "gera_jax.embedding"} & set(loaded)) == []


@pytest.mark.parametrize("module", [gera_jax, gera_jax.evaluation])
def test_type_checkers_see_what_loads_on_use(module):
    tree = ast.parse(Path(module.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    said = {alias.name: node.module for node in block.body for alias in node.names}
    own = {name for name, home in said.items() if home != "gera_jax"}
    assert own <= set(module.__all__) and set(said) <= set(dir(module))
    if module is gera_jax:
        assert own == {*module.__all__} - {"__version__"} and "losses" in said
        for room in set(said) - own:
            assert getattr(gera_jax, room).__name__ == f"gera_jax.{room}"


def test_every_public_name_resolves():
    for name in gera_jax.__all__:
        assert getattr(gera_jax, name) is not None, name
        assert name in dir(gera_jax)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match=r'has no attribute \'loses\'. Did you mean "losses"'):
        gera_jax.loses  # noqa: B018
    assert not hasattr(gera_jax, "no_such_thing")


def test_version_is_told_once():
    assert gera_jax.__version__ == run("from gera_jax._version import __version__; print(__version__)")
    assert PROJECT["project"]["dynamic"] == ["version"]


def test_the_wheel_holds_the_package_its_configs_and_its_data(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("setup.py", "pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    for name in ("gera_jax", "configs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path / "wheel"
    out.mkdir()
    run(f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})", cwd=tree)
    (wheel,) = out.glob("gera_jax-*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    expected = {"gera_jax/" + str(f.relative_to(ROOT / "gera_jax")) for f in (ROOT / "gera_jax").rglob("*.py")}
    expected |= {
        "gera_jax/configs/" + str(f.relative_to(ROOT / "configs"))
        for f in (ROOT / "configs").rglob("*.py")
        if "__pycache__" not in f.parts
    }
    expected |= {"gera_jax/data/files/" + f.name for f in (ROOT / "gera_jax" / "data" / "files").glob("*")}
    expected |= {"gera_jax/py.typed", *("gera_jax/reports/templates/" + file.name for file in TEMPLATES.iterdir())}
    assert expected <= set(held)
    others = [name for name in held if not name.startswith("gera_jax/") and ".dist-info/" not in name]
    assert others == [] and not any("__pycache__" in name for name in held)
    entry = zipfile.ZipFile(wheel).read(next(name for name in held if name.endswith("entry_points.txt"))).decode()
    assert "gera-jax = gera_jax.cli:main" in entry


def test_make_finds_a_python_that_runs_and_names_no_machine():
    text = (ROOT / "Makefile").read_text() + (ROOT / ".ci" / "run").read_text()
    assert not re.search(r"/root|/home/|/work", text)
    # make hands what it was given down to its children: this one must find a Python by itself
    alone = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name not in ("MFLAGS", "PYTHON")
    }
    dry = subprocess.run(
        ["make", "--dry-run", "test", "VENV=.venv-none"],
        env=alone,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert dry.returncode == 0 and re.search(r"python3(\.1[12])? -m venv \.venv-none", dry.stdout)
