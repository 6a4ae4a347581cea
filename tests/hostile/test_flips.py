"""A few flipped bits of every kind of stored file, and that the judge tells found, the same, silent and a traceback apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gera_jax.cli import main
from tests.hostile import flips
from tests.hostile.ground import ground

FIXED = range(12)
# orbax reads in threads of its own; what they say about a damaged file when they end is not asked here
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def whole():
    return ground()


def test_no_flip_is_silent(whole):
    calm, found = {}, []
    for number in FIXED:
        flip = flips.flip(2, number, whole, main, calm)
        if flip.outcome not in ("found", "the same"):
            found.append(flip)
    assert found == []
    assert len(calm) >= 4  # kinds of stored files


def reads_without_a_look(argv):
    print(json.dumps(dict(sum=sum(Path("in/fit/aligner.npz").read_bytes()))))
    return 0


def says_it(argv):
    if sum(Path("in/fit/aligner.npz").read_bytes()) != says_it.whole:
        print("gera-jax: in/fit/aligner.npz: got a damaged file")
        return 2
    print(json.dumps(dict(sum=1)))
    return 0


def breaks(argv):
    if sum(Path("in/fit/aligner.npz").read_bytes()) != says_it.whole:
        raise ValueError("cannot reshape")
    return 0


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [(reads_without_a_look, "silent"), (says_it, "found"), (breaks, "traceback"), (lambda argv: 0, "the same")],
)
def test_the_judge_tells_outcomes_apart(entry, outcome, whole, monkeypatch):
    says_it.whole = sum((whole / "in/fit/aligner.npz").read_bytes())
    kind = flips.Stored(("fit/aligner.npz",), 1, (("embed",),), ())
    monkeypatch.setattr(flips, "KINDS", {"a fit": kind})
    assert [flips.flip(0, number, whole, entry, {}).outcome for number in range(3)] == [outcome] * 3
