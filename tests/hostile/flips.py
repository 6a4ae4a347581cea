"""One bit of one stored file flipped, then read by the commands that read it: said, or the same output as undisturbed; never another in silence."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.hostile.cases import EMBED_FIT, EMBED_RUN, EVALUATE, OF_RUN, Command
from tests.hostile.fuzz import Main, listening
from tests.hostile.ground import COMPARE, TRAIN, ground, inside
from tests.hostile.mutate import whole_copy

ENOUGH = ("run", "fit", "cmp", "built", "x.npz", "y.npz")


@dataclasses.dataclass(frozen=True)
class Stored:
    """Files that a command has written, how they are weighed, and the commands that read them.

    Args:
      without: pattern of what is taken away first, so that the commands must use the rest.
      result: what the commands' output is besides what they print.
    """

    files: tuple[str, ...]
    weight: int
    commands: tuple[Command, ...]
    result: tuple[str, ...]
    without: str = ""
    state: bool = False  # whether all that a run's checkpoint holds is compared, beside what the commands make of it


KINDS: dict[str, Stored] = {
    "checkpoints": Stored(OF_RUN[5:], 6, (EVALUATE, EMBED_RUN), ("out/z.npy",), state=True),
    "header of a run": Stored(OF_RUN[:3], 4, (EVALUATE, EMBED_RUN), ("out/z.npy",)),
    "neighbour cache": Stored(
        ("run/cache/**/*",), 2, ((*TRAIN, "--workdir", "in/run"), EMBED_RUN), ("out/z.npy",), without="run/checkpoints"
    ),
    "a fit": Stored(("fit/*",), 4, (EMBED_FIT,), ("out/z.npy",)),
    "cells": Stored(("cmp/cells.jsonl",), 3, ((*COMPARE, "--output", "in/cmp"),), ("in/cmp/results.json",)),
    "a data set": Stored(
        ("built/**/*",),
        1,
        (("data", "build", "in/built", "out/again"), (*EMBED_FIT[:6], "in/built", *EMBED_FIT[7:])),
        ("out/z.npy",),
    ),
}


@dataclasses.dataclass(frozen=True)
class Flip:
    """What became of one flip: "found", "the same" or "silent"; a "traceback" is found, but not in words."""

    kind: str
    file: str
    bit: int
    outcome: str
    words: str


def output(kind: Stored, world: Path, main: Main) -> tuple[list[Any], list[Any], str]:
    """Exit codes, results and words of the commands of a kind."""
    codes: list[Any] = []
    with inside(world), tempfile.TemporaryFile() as said, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with listening(said):
            for argv in kind.commands:
                try:
                    codes.append(main([*argv, "--json"]))
                except SystemExit as stop:
                    codes.append(stop.code or 0)
                except Exception as error:
                    print(f"{type(error).__name__}: {error}")
                    codes.append("a traceback")
            state = whole_state() if kind.state and codes == [0] * len(codes) else None
        said.seek(0)
        words = said.read().decode(errors="replace").replace(str(world), "")
    results = (
        [state]
        + [value(world / name) for name in kind.result]
        + [value(line) for line in words.splitlines() if line.startswith("{")]
    )
    return codes, results, words


def whole_state() -> list[str]:
    """Every array of the checkpoint that a reader takes, the optimiser's too."""
    import jax

    from gera_jax.files import digest
    from gera_jax.training import load_run

    return [digest(np.asarray(leaf)) for leaf in jax.tree.leaves(load_run("in/run").state)]


def value(source: Path | str) -> Any:
    """A result without its times, in a form that can be compared."""
    if isinstance(source, Path):
        if not source.is_file():
            return None
        if source.suffix == ".npy":
            rows = np.load(source)
            return rows.shape, rows.dtype.str, rows.tobytes()
        source = source.read_text()
    try:
        return without_times(json.loads(source))
    except ValueError:
        return source


def without_times(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: [trial[:2] for trial in item] if key == "trials" else without_times(item)
            for key, item in node.items()
            if "second" not in key and "version" not in key and key != "digest"
        }
    return [without_times(item) for item in node] if isinstance(node, list) else repr(node)


def lay_out(kind: Stored, whole: Path, world: Path) -> None:
    for name in ENOUGH:
        whole_copy(whole / "in" / name, world / "in" / name)
    if kind.without:
        shutil.rmtree(world / "in" / kind.without)


def flip(seed: int, number: int, whole: Path, main: Main, calm: dict[str, Any]) -> Flip:
    """Flip number `number` of `seed`; `calm` keeps what each kind gives undisturbed."""
    rng = Random(f"{seed}/flip/{number}")
    name = rng.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
    kind = KINDS[name]
    for disturbed in (False, True) if name not in calm else (True,):
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            world = Path(folder).resolve()
            (world / "in").mkdir()
            (world / "out").mkdir()
            lay_out(kind, whole, world)
            file, bit = world, 0
            if disturbed:
                files = sorted(
                    {f for pattern in kind.files for f in (world / "in").glob(pattern) if f.is_file() and f.stat().st_size}
                )
                file = rng.choice(files)
                bit = rng.randrange(8 * file.stat().st_size)
                data = bytearray(file.read_bytes())
                data[bit // 8] ^= 1 << bit % 8
                file.write_bytes(bytes(data))
            codes, results, words = output(kind, world, main)
            if not disturbed:
                assert codes == [0] * len(codes), words
                calm[name] = results, words
    told, was = words.splitlines(), calm[name][1].splitlines()
    new = [line for line in told if line not in was and not line.startswith("{")]
    said = any(code != 0 for code in codes) or any(re.search(rf"damaged|altered|{re.escape(file.name)}", line) for line in new)
    outcome = (
        "traceback"
        if "a traceback" in codes or 3 in codes
        else "found"
        if said
        else "the same"
        if results == calm[name][0]
        else "silent"
    )
    return Flip(name, file.relative_to(world).as_posix(), bit, outcome, " ".join(new[-1:])[:160])


def report(
    seed: int, count: int, numbers: Sequence[int] = (), main: Main | None = None, tell: Callable[[str], None] = print
) -> int:
    """Make the flips and print a line for each that went wrong and the table; returns 1 where one was silent or no words."""
    from gera_jax.cli import main as entry

    began, calm, table = time.process_time(), {}, collections.Counter()
    whole = ground()
    for number in numbers or range(count):
        found = flip(seed, number, whole, main or entry, calm)
        table[found.kind, found.outcome] += 1
        if found.outcome in ("silent", "traceback"):
            tell(f"{found.outcome}: flip {number} of seed {seed}: bit {found.bit} of {found.file}: {found.words}")
    outcomes = ("found", "the same", "silent", "traceback")
    tell(f"{'':<18}" + "".join(f"{outcome:>11}" for outcome in outcomes))
    for kind in [*KINDS, "all"]:
        counts = [
            sum(n for (of, outcome), n in table.items() if outcome == wanted and kind in (of, "all")) for wanted in outcomes
        ]
        tell(f"{kind:<18}" + "".join(f"{n:>11}" for n in counts))
    tell(f"{sum(table.values())} flips, {time.process_time() - began:.0f} s of CPU")
    return int(any(outcome in ("silent", "traceback") for _, outcome in table))
