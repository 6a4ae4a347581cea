"""The label-efficiency benchmark in its small form: what `make bench-label-efficiency ARGS=--smoke` runs."""

from __future__ import annotations

import json

from benchmarks import label_efficiency


def test_the_small_form_ends_with_its_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["label_efficiency", "--smoke", "--jobs", "1", "--output", str(tmp_path), "--method", "asif"])
    label_efficiency.main()
    out = capsys.readouterr().out
    assert "| ridge CCA | " in out and "### emoji_speech" in out
    assert "Learning curve of mean/R@10, largest count hidden: 2 curves" in out
    words = json.loads((tmp_path / "summary.json").read_text())["emoji_speech"]
    assert len(words) == 4 and set(words) <= {"won", "tied", "lost", "reference"}
    assert (tmp_path / "emoji_speech-random-independent" / "report.html").is_file()
