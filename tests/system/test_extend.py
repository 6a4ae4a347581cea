"""docs/extend.md runs from top to bottom: its files are imported by name, and what they add is compared beside ours."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest

from gera_jax.data import formats
from tests.system.pages import blocks, write_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the page's files lie and can be imported from; tables and modules are as before afterwards."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    table = importlib.import_module("gera_jax.aligners.methods")  # the package has a function of this name
    monkeypatch.setattr(table, "TABLE", dict(table.TABLE))
    monkeypatch.setattr(formats, "READERS", dict(formats.READERS))
    yield tmp_path
    for name in ("my_method", "my_loss", "my_config", "my_format"):
        sys.modules.pop(name, None)


def test_the_page_runs(folder):
    names: dict = {}
    compared = []
    for block in blocks("docs/extend.md"):
        if file := re.match(r"# file: (\S+)\n", block):
            assert len(block.splitlines()) <= 26, "about twenty lines, as the page says"
            (folder / file[1]).write_text(block)
            continue
        exec(compile(block, "docs/extend.md", "exec"), names)
        if "found" in names and names["found"] not in compared:
            compared.append(names["found"])
    rotations, all_three = compared
    assert not rotations.failures + all_three.failures
    wide, narrow = (rotations.mean(name, 50, "mean/R@1").mean for name in ("Rotation", "Rotation-2"))
    assert wide > narrow > 2 / 30  # six directions are shared: three of them find less, and more than guessing
    assert list(all_three.labels.values()) == ["ridge CCA", "rotation", "my_config.py"]
    assert all_three.mean("my_config", 50, "mean/R@10").mean > 0.7
    assert names["aligner"].score(names["test"]) > 0.7
    np.testing.assert_allclose(names["pairs"].x, names["held"]["rows"][40:])


def test_the_loss_is_what_the_page_says(folder):
    """By hand: partners at cosine 1 lose nothing; where the other row is the closer one, margin + 1 each way."""
    names: dict = {}
    exec(next(block for block in blocks("docs/extend.md") if "my_loss.py" in block), names)
    x = np.eye(2, 3, dtype=np.float32)
    assert float(names["hardest_negative"](x, x)) == 0.0
    np.testing.assert_allclose(names["hardest_negative"](x, x[::-1]), 2 * 1.2, rtol=1e-6)
