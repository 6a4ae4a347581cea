"""Configs with one field spoilt: `check` says what is wrong in words, or builds the run; it never does anything else.

A sample by a fixed seed runs here; GERA_JAX_MUTANTS=all runs every one (`python -m tests.system.test_config_mutants` prints them).
"""

from __future__ import annotations

import copy
import functools
import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gera_jax import api, checks
from gera_jax import config as config_lib

GONE = object()
VALUES = (GONE, None, "", "x", -1, 0, 0.5, 1e400, float("nan"), [], {}, [1], {"a": 1}, 10**30, -(10**30), True, 2**31 - 1, 1e38)
SAMPLE = 24
SLOW = 60.0  # seconds of the process; a check takes about one


def leaves(block: Any, path: tuple = ()) -> Iterator[tuple]:
    """Paths of all fields, blocks too."""
    for name, value in block.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))


def mutants() -> list[tuple[str, tuple, Any]]:
    """(config, path, value) of all."""
    return [(name, path, value) for name in config_lib.names() for path in leaves(plain(name)) for value in VALUES]


@functools.cache
def plain(name: str) -> dict:
    return config_lib.load(name).to_dict()


def spoilt(name: str, path: tuple, value: Any) -> dict:
    config = copy.deepcopy(plain(name))
    node = config
    for word in path[:-1]:
        node = node[word]
    if value is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return config


def outcome(name: str, path: tuple, value: Any) -> str:
    """ "ok", "refused", or what is wrong with how `check` took it."""
    began = time.process_time()
    try:
        api.check(spoilt(name, path, value))
        said = "ok"
    except checks.InputError as error:
        said = "refused" if len(str(error)) < 3_000 else f"refused in {len(str(error))} letters"
    except Exception as error:
        said = f"{type(error).__name__}: {checks.in_words(error)}"
    spent = time.process_time() - began
    return said if spent < SLOW else f"{said} after {spent:.0f} s"


def test_no_mutant_ends_otherwise():
    every = mutants()
    chosen = every if os.environ.get("GERA_JAX_MUTANTS") == "all" else random.Random(7).sample(every, SAMPLE)
    wrong = {
        (name, ".".join(path), repr(value)): said
        for name, path, value in chosen
        if (said := outcome(name, path, value)) not in ("ok", "refused")
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("data.split.seed", GONE, "data.split.seed: got no such field; wanted a value such as 0"),
        ("model", None, "model: got None; wanted a block with"),
        ("model.dim", 10**30, "model.dim: got a number of 100 bits; wanted a whole number below 2"),
        ("model.dim", True, "model.dim: got True; wanted a whole number such as 256"),
        ("optimizer.lr", 1e400, "optimizer.lr: got inf; wanted a finite number"),
        ("optimizer.lr", 1e-50, "optimizer.lr: got 1e-50; wanted a finite number that float32 holds"),
        ("losses.contrastive", 3, "losses.contrastive: got 3; wanted a block of fields"),
        ("losses.contrastive.kwargs", {"logit_scale": "x"}, "losses.contrastive"),
        ("optimizer.options", {"b1": "x"}, r"optimizer: got adamw with \{'b1': 'x'\}"),
        ("graphs.image.metric", "cosin", 'graphs.image.metric: got "cosin".*Did you mean "cosine"'),
        (
            "data.preprocess.x.filter.k",
            10**6,
            r"data.preprocess.x.filter.k: got 1000000; wanted fewer neighbours than the 3012 rows",
        ),
        ("task", [], r"task: got \[\]; wanted a text"),
        ("task", "alinement", 'task: got "alinement".*Did you mean "alignment"'),
        ("evals.metric", "mean/R@11", 'evals.metric: got "mean/R@11".*Did you mean "mean/R@1'),
        (
            "evals.metric",
            "mean/mean_rank",
            'evals.metric: got "mean/mean_rank"',
        ),  # the best step would be that of the worst ranks
        ("data.unpaired", "nothing", "data.unpaired"),
        ("model.init_options", {"regularisation": 1.0}, "model.init_options"),
    ],
)
def test_a_spoilt_field_is_named(field, value, words):
    with pytest.raises(checks.InputError, match=words):
        api.check(spoilt("gera", tuple(field.split(".")), value))


def test_json_files_are_held_against_the_fields_too(tmp_path):
    path = tmp_path / "c.json"
    for text, words in (
        ("[1]", "got a list"),
        ("{", "with Expecting"),
        ("[" * 100_000, "recursion"),
        ("\xff", "with 'utf-8' codec"),
        (json.dumps({"model.dim": 3}), "without dots"),
        ('{"seed": 1, "seed": 2}', 'the field "seed" is given twice'),
        ("{}", "got no such field"),
    ):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(checks.InputError, match=words):
            api.check(str(path))


def test_a_config_that_leaves_is_no_success(tmp_path):
    path = tmp_path / "c.py"
    for text in ("raise SystemExit(0)", "def get_config(arg=None):\n    raise SystemExit(0)"):
        path.write_text(text)
        with pytest.raises(checks.InputError, match="config: got"):
            api.check(str(path))


if __name__ == "__main__":
    for mutant in mutants():
        if (found := outcome(*mutant)) not in ("ok", "refused"):
            print(mutant[0], ".".join(mutant[1]), repr(mutant[2]) if mutant[2] is not GONE else "gone", found, flush=True)
