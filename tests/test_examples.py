"""The programs in docs/examples run, and a type checker finds the package's real types in them."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
WRONG = """
import gera_jax
gera_jax.Aligner("ridge_cca").fitt
gera_jax.Alinger
gera_jax.losses.info_nec
reveal_type(gera_jax.Aligner("ridge_cca"))
"""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_finds_the_pairs(path):
    found = runpy.run_path(str(path))["main"]()
    assert found == "ridge_cca" if path.stem == "compare_methods" else found > 0.5


def test_types_are_seen(tmp_path):
    """0 errors in the examples; in a companion every mistake is found, which a name of type Any would hide."""
    companion = tmp_path / "wrong.py"
    companion.write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *map(str, EXAMPLES), str(companion)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    said = [(Path(one["file"]).name, one["severity"], one["message"]) for one in found]
    assert [one for one in said if one[0] != "wrong.py" and one[1] == "error"] == []
    mistakes = [message for name, severity, message in said if name == "wrong.py" and severity == "error"]
    for word in ("fitt", "Alinger", "info_nec"):
        assert any(word in message for message in mistakes), word
    assert any('Aligner"' in message for name, severity, message in said if severity == "information")
