"""What is no setting at all, in every door that takes one: an error that names it, never one from inside NumPy, JAX or Python."""

from __future__ import annotations

import numpy as np
import pytest

import gera_jax as gj
from gera_jax import evaluation, graphs
from gera_jax.checks import InputError

ROWS = np.random.default_rng(0).normal(size=(60, 6))
HEAT = np.full((3, 3), 1 / 3, np.float32)


def compared(**options):
    return gj.compare(x=ROWS, y=ROWS, **{**dict(methods="procrustes", counts=10, seeds=1, test=10, jobs=1), **options})


@pytest.mark.parametrize("wrong", [0.5, True, [1], {}, ""])
@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("folder", lambda path: gj.Aligner("procrustes", folder=path).fit(ROWS, ROWS)),
        ("folder", lambda path: gj.Aligner("procrustes").fit(ROWS, ROWS).save(path)),
        ("folder", gj.load),
        ("folder", lambda path: gj.evaluate(path)),
        ("folder", lambda path: gj.export(gj.Aligner("procrustes").fit(ROWS, ROWS), path)),
        ("output", lambda path: compared(output=path)),
        ("output", lambda path: gj.fit("procrustes", x=ROWS, y=ROWS, output=path)),
        ("workdir", lambda path: gj.train("procrustes", path, x=ROWS, y=ROWS)),
    ],
)
def test_what_is_no_path(name, door, wrong):
    with pytest.raises(InputError, match=f"{name}: got .*; wanted a path"):
        door(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(methods=3), "methods: got 3; wanted names of methods"),
        (dict(methods=0.5), "methods: got 0.5; wanted names of methods"),
        (dict(seeds=2**31 - 1), "seeds: got 2147483647; wanted a whole number, at most 10000"),
        (dict(seeds=10**30), "seeds: got 10{30}; wanted a whole number, at most 10000"),
    ],
)
def test_what_no_comparison_can_be(options, words):
    with pytest.raises(InputError, match=words):
        compared(**options)


@pytest.mark.parametrize("name", ["hubness", "shrink", "matching"])
@pytest.mark.parametrize("wrong", [10**30, 1e300])
def test_numbers_that_no_array_holds(name, wrong):
    with pytest.raises(InputError, match=rf"{name}: got .*; wanted a number >= 0, at most 1e\+18,"):
        gj.Aligner("auto", settings={name: wrong}).fit(ROWS, ROWS)


@pytest.mark.parametrize("wrong", ["x", None, [], {}, (1, 2)])
def test_numbers_of_metrics(wrong):
    for name, metric in (
        ("t", lambda: evaluation.uniformity(ROWS, wrong)),
        ("power", lambda: evaluation.fuse_scores(HEAT, HEAT, power=wrong)),
        ("floor", lambda: graphs.heat_entropy(HEAT, floor=wrong)),
    ):
        with pytest.raises(InputError, match=f"{name}: got "):
            metric()


@pytest.mark.parametrize("wrong", ["x", 10**30, {}, [1] * 60])
def test_masks_of_metrics(wrong):
    for metric in (evaluation.uniformity, evaluation.mean_cosine, evaluation.effective_rank):
        with pytest.raises(InputError, match=r"mask: got .*; wanted bool \(60,\)"):
            metric(ROWS, mask=wrong)
