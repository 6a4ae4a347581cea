"""The Python of the README runs as it stands, on small own files, and finds what is in them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.system.pages import ROOT, blocks, write_files

PAGES = ["README.md", "CONTRIBUTING.md", *(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    x, y = write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("README.md")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    pairs, train, test = (names[word] for word in ("pairs", "train", "test"))
    assert (len(pairs), len(train), len(test)) == (120, 90, 30)
    score = names["aligner"].score(test)  # of the model that was read back
    assert score > score.chance["mean/R@10"] + 0.5 and str(score) in capsys.readouterr().out
    np.testing.assert_allclose(np.linalg.norm(names["z"], axis=1), 1, rtol=1e-5)
    assert names["y_like"].shape == (5, 10) and np.corrcoef(names["aligner"].predict_y(x[-40:])[:, 0], y[-40:, 0])[0, 1] > 0.7
    found = names["found"]
    # the rows are linear maps of one another and little noise, where ridge CCA is hard to beat
    assert found.recommended in ("auto", "ridge_cca") and found.counts == (50,) and not found.failures
    assert "procrustes" in (tmp_path / "report.html").read_text().lower()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text())
    wanted = [target.partition("#")[0] for target in targets if not target.startswith("http")]
    assert [target for target in wanted if target and not ((ROOT / page).parent / target).exists()] == []
