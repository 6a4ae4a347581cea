"""The bundled sets as benchmarks split them, and a grid of runs kept as lines of JSON: a sweep runs what its file lacks."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gera_jax.api import use_compilation_cache
from gera_jax.comparison.outcome import Interval

LARGE, SMALL = dict(val=300, test=500), dict(val=150, test=400)
SETS = {
    "clipart": LARGE,
    "clipart_dinov2": LARGE,
    "emoji": SMALL,
    "emoji_speech": SMALL,
    "emoji_speech_image": SMALL,
    "molecule": LARGE,
}


def possible(source: str, pairs: int) -> bool:
    """Has the set so many pairs beside its test and validation items, with some left over as unpaired rows?"""
    return pairs <= (1000 if SETS[source] == SMALL else 2000)


def parser() -> argparse.ArgumentParser:
    """The arguments that every sweep has."""
    new = argparse.ArgumentParser()
    new.add_argument("--output", type=Path, required=True)
    new.add_argument("--part", default="0/1", help="i/n: the i-th of n processes that share the grid, each with its own file")
    new.add_argument("--table", action="store_true", help="print the tables of what the file holds, run nothing")
    return new


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(gains: Sequence[float], unit: float = 100, digits: int = 1) -> str:
    """Mean and half a 95 % Student interval over seeds, in points of a hundredth."""
    found = Interval.of([unit * gain for gain in gains])
    return f"{found.mean:+.{digits}f} ± {found.half:.{digits}f}"


def run_missing(path: Path, names: Sequence[str], cells: Sequence[tuple], run: Callable[..., dict], part: str = "0/1") -> None:
    """Append `run(*cell)` for each cell that the file lacks; `names` are the fields of a row that say which cell it is."""
    use_compilation_cache()
    done = {tuple(row.get(name) for name in names) for row in read(path)}
    first, step = map(int, part.split("/"))
    todo = [cell for cell in cells[first::step] if cell not in done]
    began = time.monotonic()
    with path.open("a") as file:
        for count, cell in enumerate(todo, 1):
            file.write(json.dumps(run(*cell)) + "\n")
            file.flush()
            spent = time.monotonic() - began
            print(f"{count}/{len(todo)} {cell} {spent / count * (len(todo) - count) / 60:.1f} min left", flush=True)
