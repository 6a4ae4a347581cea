"""The house rules that imports can break, read with `ast`: who imports whom, what is optional, how long a file is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEFT = {"checks", "ops", "graphs", "transport"}
PIECES = LEFT | {"losses", "data", "models", "evaluation", "solvers"}
EDGE = {"config", "files", "writers", "workers", "plots", "export", "encoders"}
ALLOWED = {  # room -> rooms it may import (itself always; checks is free for all)
    "_version": set(),
    "_lazy": {"checks"},
    "checks": set(),
    "files": {"checks"},
    "workers": {"checks"},
    "ops": {"checks"},
    "graphs": {"checks", "ops"},
    "transport": {"checks", "ops"},
    "losses": LEFT,
    "data": {"checks", "config", "files", "graphs"},  # graphs: in the diffusion filter alone
    "models": LEFT,
    "evaluation": LEFT | {"_lazy"},
    "solvers": LEFT | {"data", "losses", "models"},  # losses and models: in the recipe's trained view alone
    "embedding": LEFT | {"data"},
    "config": {"checks", "files"},  # files: to read a config.json with its digest
    "writers": {"checks", "files", "_version"},
    "plots": {"checks", "ops"},
    "encoders": {"checks", "data"},
    "training": PIECES | {"config", "writers", "files", "_version"},
    "export": PIECES | {"training", "config", "_version"},
}
ALLOWED["moments"] = ALLOWED["training"] | {"training", "plots"}
ALLOWED["aligners"] = PIECES | EDGE | {"embedding", "training", "_version"}
ALLOWED["comparison"] = ALLOWED["aligners"] | {"aligners"}
ALLOWED["reports"] = ALLOWED["comparison"] | {"comparison"}
ALLOWED["bridge"] = ALLOWED["comparison"] | {"comparison"}  # comparison: the learning curve
ALLOWED["api"] = ALLOWED["reports"] | {"reports"}
ALLOWED["cli"] = {"_version", "api", "aligners", "bridge", "config", "files", "reports"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["__init__"] = {"_lazy", "_version", "checks"}
PURE = {"ops", "graphs", "transport", "losses"}
PLAIN = {"config", "data"}  # rooms without jax
OWNERS = {  # package -> where alone it may be imported (a room, or a file)
    "flax": ("models/", "moments/proposal_map.py"),
    "orbax": ("training/checkpoints.py",),
    "optax": ("training/", "solvers/auto/trained.py"),
}
OPTIONAL = {
    "tensorflow",
    "tensorflow_datasets",
    "array_record",
    "pyarrow",
    "safetensors",
    "faiss",
    "matplotlib",
    "tensorboardX",
    "orbax",
    "ott",
    "transformers",
    "torch",
    "h5py",
    "PIL",
    "soundfile",
    "flatbuffers",
    "sklearn",
    "jupytext",
    "nbclient",
}
SYSTEMS = {
    "gera",
    "m2mix",
    "heat_geodesic",
    "heatgeo",
    "g2l",
    "structure",
    "sspc",
    "gentle_clip",
    "gentleclip",
    "clip",
    "siglip",
    "contrastive",
    "asif",
    "csa",
    "procrustes",
}
LINES = 400


def imports(source: str) -> list[tuple[str, bool]]:
    """(dotted name, at module level) of every import in a source text; `from a import b` gives a.b."""
    tree = ast.parse(source)
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test).endswith("TYPE_CHECKING")
        for node in ast.walk(test)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) not in lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            found += [(f"{base}.{alias.name}", id(node) not in lazy) for alias in node.names]
    return found


def room_of(path: str) -> str:
    first = path.split("/")[0]
    return first.removesuffix(".py")


def import_faults(path: str, source: str) -> list[str]:
    """What is wrong with the imports of gera_jax/<path>."""
    room, faults = room_of(path), []
    for name, top in imports(source):
        parts = name.split(".")
        package = parts[0]
        if name.startswith("."):
            faults.append(f"{path}: relative import {name}")
        elif package == "gera_jax":
            target = parts[1] if len(parts) > 1 else "__init__"
            if target == "__version__":
                target = "_version"
            if target not in {room, "checks"} | ALLOWED.get(room, set()):
                faults.append(f"{path}: {room} may not import {target}")
        elif package not in sys.stdlib_module_names:
            own_search = room == "graphs" and package == "faiss" and not top  # the optional search of graphs.knn
            allowed = {"jax", "numpy"} | ({"scipy"} if room == "graphs" else set())
            if room in PURE and package not in allowed and not own_search:
                faults.append(f"{path}: {room} may not import {package}")
            if room in PLAIN and package in {"jax", "flax", "optax"}:
                faults.append(f"{path}: {room} may not import {package}")
            if package in OWNERS and not path.startswith(OWNERS[package]):
                faults.append(f"{path}: only {OWNERS[package]} may import {package}")
            if package in OPTIONAL and top:
                faults.append(f"{path}: {package} is optional or heavy: import it in the function that needs it")
        elif room in PURE and package in {"random", "logging", "io", "pathlib", "os", "subprocess"}:
            faults.append(f"{path}: {room} has no randomness, files or logging, so no {package}")
    return faults


def branch_faults(path: str, source: str) -> list[str]:
    """Branches on a system's name: `if method == "gera"`, `match method: case "gera"`, `name in ("gera", ...)`."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            left = ast.unparse(node.left)
            words = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
            if words & SYSTEMS or ("method" in left and words and isinstance(node.ops[0], ast.Eq | ast.NotEq)):
                faults.append(f"{path}:{node.lineno}: branch on a system's name: {ast.unparse(node)}")
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in SYSTEMS:
            faults.append(f"{path}:{node.lineno}: branch on a system's name: {node.value.value}")
    return faults


def config_faults(path: str, source: str) -> list[str]:
    allowed = ("ml_collections", "gera_jax.config", "__future__.", "configs.")
    return [f"{path}: a config may not import {name}" for name, _ in imports(source) if not name.startswith(allowed)]


PACKAGE = {p.relative_to(ROOT / "gera_jax").as_posix(): p for p in sorted((ROOT / "gera_jax").rglob("*.py"))}
CONFIGS = {p.relative_to(ROOT).as_posix(): p for p in sorted((ROOT / "configs").rglob("*.py"))}


def everything() -> list[Path]:
    folders = ("gera_jax", "configs", "tests", "benchmarks", "notebooks")
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def test_every_room_is_in_the_table():
    assert sorted({room_of(path) for path in PACKAGE} - set(ALLOWED)) == []


def test_imports_follow_the_table():
    assert [fault for path, file in PACKAGE.items() for fault in import_faults(path, file.read_text())] == []


def test_no_branch_on_a_systems_name():
    assert [fault for path, file in PACKAGE.items() for fault in branch_faults(path, file.read_text())] == []


def test_configs_import_only_configuration():
    assert [fault for path, file in CONFIGS.items() for fault in config_faults(path, file.read_text())] == []


def test_files_stay_short():
    long = {p.relative_to(ROOT).as_posix(): n for p in everything() if (n := len(p.read_text().splitlines())) >= LINES}
    assert long == {}


def test_the_table_has_no_circle():
    """A room's allowed rooms never lead back to it."""

    def reach(room, seen):
        for other in ALLOWED.get(room, set()) - seen:
            seen |= {other} | reach(other, seen | {other})
        return seen

    assert [room for room in ALLOWED if room in reach(room, set())] == []


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("ops/x.py", "from gera_jax.graphs import knn", "ops may not import graphs"),
        ("ops/x.py", "from gera_jax import losses", "ops may not import losses"),
        ("losses/x.py", "import optax", "losses may not import optax"),
        ("losses/x.py", "def f():\n  import flax.linen as nn", "losses may not import flax"),
        ("losses/x.py", "import scipy", "losses may not import scipy"),
        ("losses/x.py", "import logging", "no randomness, files or logging"),
        ("losses/x.py", "from gera_jax.models import TwoTower", "losses may not import models"),
        ("graphs/x.py", "import faiss", "graphs may not import faiss"),
        ("data/x.py", "import pyarrow.parquet", "optional or heavy"),
        ("data/x.py", "from gera_jax.training import train", "data may not import training"),
        ("data/x.py", "def f():\n  import jax.numpy", "data may not import jax"),
        ("config/x.py", "from gera_jax.data import catalog", "config may not import data"),
        ("evaluation/x.py", "from flax import linen", "may import flax"),
        ("training/loop.py", "def f():\n  import orbax.checkpoint", "may import orbax"),
        ("training/checkpoints.py", "import orbax.checkpoint", "optional or heavy"),
        ("losses/x.py", "from ..data import Table", "relative import"),
    ],
)
def test_wrong_imports_are_seen(path, source, words):
    assert any(words in fault for fault in import_faults(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("losses/x.py", "import jax\nimport numpy as np\nfrom gera_jax.ops import slerp\nfrom gera_jax import checks"),
        ("graphs/x.py", "import scipy.sparse\ndef f():\n  import faiss"),
        ("training/checkpoints.py", "def f():\n  import orbax.checkpoint"),
        ("cli/x.py", "from gera_jax.reports import write"),
    ],
)
def test_right_imports_pass(path, source):
    assert import_faults(path, source) == []


@pytest.mark.parametrize(
    "source", ['if method == "anything": pass', 'x = name in ("gera", "b")', 'match m:\n  case "sspc": pass']
)
def test_branches_are_seen(source):
    assert branch_faults("x.py", source)
    assert branch_faults("x.py", 'if form == "row": pass') == []


def test_wrong_configs_are_seen():
    assert config_faults("configs/x.py", "import jax")
    assert config_faults("configs/x.py", "from gera_jax import losses")
    assert not config_faults("configs/x.py", "from ml_collections import ConfigDict\nfrom gera_jax import config")
