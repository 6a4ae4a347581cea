"""A small fixed share of the fuzzer in this process, and that its judge sees each kind of fault."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from gera_jax.cli import main
from tests.hostile import fuzz
from tests.hostile.cases import TARGETS, Case, make
from tests.hostile.fuzz import run, try_case
from tests.hostile.ground import ground

ROUNDS = 1  # of all targets; `python -m benchmarks.hostile fuzz` does thousands
# orbax reads in threads of its own; what they say about a damaged file when they end is not asked here
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def whole():
    return ground()


@pytest.mark.parametrize("number", range(ROUNDS * len(TARGETS)))
def test_spoiled_files_end_in_words(number, whole):
    case, outcome = try_case(15, number, whole, main)
    assert not outcome.fault, f"{outcome.fault}\n{case}\n{outcome.words[-1000:]}"


def test_a_case_is_the_same_again(whole, tmp_path):
    for number in (0, 20, 30):
        first, second = (make(7, number, whole, tmp_path / f"{number}-{turn}") for turn in range(2))
        assert first == second
        assert (tmp_path / f"{number}-0" / first.file).read_bytes() == (tmp_path / f"{number}-1" / first.file).read_bytes()
    assert len({str(make(seed, 1, whole, tmp_path / str(seed))) for seed in range(8)}) > 5


def changes_its_input(argv):
    Path("in/x.npy").write_bytes(b"repaired")
    return 0


def removes_a_tree(name):
    """`shutil.rmtree` removes what lies in a folder by its open descriptor: the names that it tells are no paths."""

    def entry(argv):
        shutil.rmtree(name)
        return 0

    return entry


def writes_rows_that_are_no_numbers(argv):
    np.save("out/z.npy", np.full((2, 2), np.nan))
    return 0


def prints_a_traceback(argv):
    os.write(2, b"Traceback (most recent call last):\n")
    return 1


def busy(argv):
    began = time.process_time()
    while time.process_time() < began + 0.3:
        pass
    return 0


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (lambda argv: 1 / 0, "exception ZeroDivisionError"),
        (lambda argv: 3, "exit code 3"),
        (lambda argv: 2, "no words"),
        (prints_a_traceback, "a traceback"),
        (changes_its_input, "outside out: "),
        (lambda argv: Path("in/beside.txt").write_text("x") * 0, "in/beside.txt changed"),
        (lambda argv: Path("../beside.txt").write_text("x") * 0, "open ../beside.txt"),
        (lambda argv: os.mkdir("../other") or 0, "os.mkdir ../other"),
        (removes_a_tree("../beside"), "os.rmdir under"),
        (removes_a_tree("out/beside"), ""),
        (writes_rows_that_are_no_numbers, "rows that are no numbers"),
        (lambda argv: len(np.ones(1 << 24)) * 0, "memory 0.1 GiB"),
        (busy, "time 0 s"),
    ],
)
def test_the_judge_sees_each_kind_of_fault(entry, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "GROWTH", 1 << 26)
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    for folder in ("w/in", "w/out/beside/under", "w/temp", "beside/under"):
        (tmp_path / folder).mkdir(parents=True)
    np.save(tmp_path / "w/in/x.npy", np.ones(3))
    case = Case(0, 0, "x.npy", "in/x.npy", "as it is", ("data", "show", "in/x.npy"), "out")
    found = run(case, tmp_path / "w", entry).fault
    assert fault in found and bool(fault) == bool(found)


def test_the_judge_lets_words_pass(tmp_path):
    for folder in ("in", "out", "temp"):
        (tmp_path / folder).mkdir()

    def words(argv):
        Path("out/z.txt").write_text("z")
        print("gera-jax: x: got nothing; wanted rows.")
        return 2

    case = Case(0, 0, "x.npy", "in/x.npy", "as it is", ("data", "show", "in/x.npy"), "out")
    outcome = run(case, tmp_path, words)
    assert (outcome.fault, outcome.code) == ("", 2) and "wanted rows" in outcome.words
