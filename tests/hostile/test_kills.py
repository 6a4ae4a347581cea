"""What the kills compare: equal but for times, never equal with a file lost, left over or altered; and processes that live on."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

from benchmarks._hostile_kills import changes, contents, differences, of_session


@pytest.fixture
def folder(tmp_path):
    def write(name, seconds=1.0, score=0.5):
        made = tmp_path / name
        (made / "checkpoints").mkdir(parents=True)
        np.savez(made / "rows.npz", rows=np.arange(6.0) * score)
        (made / "results.json").write_text(
            json.dumps(dict(seconds=seconds, mean=score, trials=[[{}, score, seconds]], half=float("nan")))
        )
        (made / "cells.jsonl").write_text(json.dumps(dict(key="a", cpu_seconds=seconds, score=score)) + "\n")
        (made / "checkpoints" / str(seconds)).write_text("named by chance")
        return made

    return write


def test_times_are_not_compared(folder):
    assert differences(contents(folder("a")), contents(folder("b", seconds=2.0))) == []


def test_everything_else_is(folder):
    whole = contents(folder("a"))
    assert differences(contents(folder("b", score=0.25)), whole) == [
        "cells.jsonl: other content",
        "results.json: other content",
        "rows.npz: other content",
    ]
    disturbed = folder("c")
    (disturbed / "rows.npz").unlink()
    (disturbed / ".rows.12.part.npz").write_bytes(b"half")
    (disturbed / "results.json").write_text("")
    assert differences(contents(disturbed), whole) == [
        ".rows.12.part.npz: left over",
        "results.json: other content",
        "rows.npz: missing",
    ]


def test_a_change_is_seen(tmp_path):
    before = changes(tmp_path)
    (tmp_path / "half").write_bytes(b"1")
    between = changes(tmp_path)
    (tmp_path / "half").rename(tmp_path / "whole")
    assert len({before, between, changes(tmp_path)}) == 3


def test_a_process_that_lives_on_is_seen():
    parent = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], start_new_session=True, stdout=subprocess.PIPE, text=True)
    try:
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        assert of_session(parent.pid) == [child]
    finally:
        subprocess.run(["kill", str(child)], check=False)
        parent.stdout.close()
