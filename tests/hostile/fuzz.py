"""Mutated files through the command line's own entry point: words and an exit code, or a fault.

    python -m tests.hostile.fuzz --seed 0 --cases 10000     # in worker processes with a limit of memory and time; faults.jsonl
    python -m tests.hostile.fuzz --seed 7 --case 1234       # one case again, with all that it says; --keep FOLDER leaves it there

A fault: an exception out of `main`, an exit code other than 0, 1, 2, a traceback, no words with a failure, rows that are no numbers
written without a word, over 2 GiB, over 20 s of CPU, a file written, changed or removed outside the folder that the command named.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.cases import Case, make
from tests.hostile.ground import ROOT, ground, inside

SECONDS, GIB = 20.0, 1 << 30
GROWTH = 1.5 * GIB  # beyond what the imported packages take, half a GiB
Main = Callable[[Sequence[str]], int]


@dataclasses.dataclass
class Outcome:
    """How a case ended; `fault` is empty where all is well, `where` names the place that a fault comes from."""

    code: Any
    seconds: float
    words: str
    fault: str = ""
    where: str = ""


class Writes:
    """What Python opens for writing, makes, moves or removes outside the allowed folders, told by the interpreter's own audit."""

    EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
    current: Writes | None = None
    hooked = False

    def __init__(self, *allowed: Path):
        caches = (os.environ.get("JAX_COMPILATION_CACHE_DIR", "~/.cache"), "~/.cache", "~/.config/matplotlib", "/dev", "/proc")
        self.allowed = tuple(str(Path(p).expanduser().resolve()) for p in (*allowed, *caches))
        self.found: list[str] = []

    def __enter__(self) -> Writes:
        if not Writes.hooked:
            sys.addaudithook(Writes.heard)
            Writes.hooked = True
        Writes.current = self
        return self

    def __exit__(self, *error: object) -> None:
        Writes.current = None

    @staticmethod
    def heard(event: str, given: tuple) -> None:
        watch = Writes.current
        writing = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if watch is None or not (writing or event in Writes.EVENTS) or not isinstance(given[0], str | bytes):
            return
        names = given[:2] if event == "os.rename" else given[1:2] if event in ("os.symlink", "os.link") else given[:1]
        inside_open = event in ("os.mkdir", "os.remove", "os.rmdir") and given[-1] >= 0  # of a folder that is open
        base = os.readlink(f"/proc/self/fd/{given[-1]}") if inside_open else ""
        for name in map(os.fsdecode, names):
            path = os.path.abspath(os.path.join(base, name))
            where = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if not where.startswith(watch.allowed):
                watch.found.append(f"{event} {name}")


@contextlib.contextmanager
def listening(file: Any) -> Iterator[None]:
    """Both streams of this process and its log into `file`, of Python and of what lies under it."""
    sys.stdout.flush(), sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    text = open(file.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    log = logging.getLogger()
    handlers, log.handlers = log.handlers, [logging.StreamHandler(text)]  # not those of the test session, nor of the call before
    os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            yield
    finally:
        log.handlers = handlers
        text.flush()
        os.dup2(kept[0], 1), os.dup2(kept[1], 2)
        os.close(kept[0]), os.close(kept[1])


def memory(field: str) -> int:
    """Bytes of this process by the kernel's count: VmRSS, or VmHWM, its peak."""
    status = Path("/proc/self/status")
    found = re.search(rf"{field}:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) << 10 if found else 0


def things(folder: Path) -> dict[str, tuple]:
    """Every file and folder with its size and time; a reader changes none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        found[path.relative_to(folder).as_posix()] = () if path.is_dir() else (stat.st_mode, stat.st_size, stat.st_mtime_ns)
    return found


def run(case: Case, world: Path, main: Main) -> Outcome:
    """One case, here and now."""
    named = case.writes
    before = {name: thing for name, thing in things(world).items() if not name.startswith(named)}
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is held now
    held, began = memory("VmRSS"), time.process_time()
    fault = where = ""
    code: Any = None
    with (
        tempfile.TemporaryFile() as said,
        inside(world),
        warnings.catch_warnings(),
        Writes(world / named, world / "temp") as writes,
    ):
        warnings.simplefilter("ignore")
        tempfile.tempdir = str(world / "temp")
        try:
            with listening(said):
                code = main(case.argv)
        except SystemExit as stop:  # what the interpreter makes an exit code of
            code = stop.code or 0
        except BaseException as error:
            fault, where = f"exception {type(error).__name__}: {str(error)[:150]}", place_of(error)
        finally:
            tempfile.tempdir = None
        said.seek(0)
        words = said.read().decode(errors="backslashreplace")
    seconds, grown = time.process_time() - began, memory("VmHWM") - held
    after = {name: thing for name, thing in things(world).items() if not name.startswith(named)}
    changed = [f"{name} changed" for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    fault = fault or next(
        (
            text
            for text, true in (
                (f"exit code {code}", code not in (0, 1, 2)),
                ("a traceback", "Traceback (most recent call last)" in words),
                ("no words", code != 0 and not words.strip()),
                ("rows that are no numbers", code == 0 and not finite(world / named)),
                (f"outside {named}: {', '.join([*writes.found, *changed][:3])}", bool(writes.found or changed)),
                (f"memory {grown / GIB:.1f} GiB", grown > GROWTH),
                (f"time {seconds:.0f} s", seconds > SECONDS),
            )
            if true
        ),
        "",
    )
    return Outcome(
        code,
        seconds,
        words,
        fault,
        where or re.sub(r"\S*/\S*|\d+", "*", words.strip().splitlines()[-1] if words.strip() else "")[:80],
    )


def place_of(error: BaseException) -> str:
    """The innermost line of ours that an exception passed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "gera_jax/" in f.filename]
    return f"{frames[-1].filename.rpartition('gera_jax/')[2]}:{frames[-1].name}" if frames else "outside gera_jax"


def finite(folder: Path) -> bool:
    """Whether every embedding that was written holds numbers only."""
    arrays = [np.load(path) for path in (folder.glob("*.npy") if folder.is_dir() else ())]
    return all(bool(np.isfinite(array).all()) for array in arrays if array.dtype.kind == "f")  # ids lie beside their rows


def try_case(seed: int, number: int, whole: Path, main: Main, keep: Path | None = None) -> tuple[Case, Outcome]:
    """Lay out, run and judge case `number` of `seed`."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        world = keep or Path(folder).resolve()
        case = make(seed, number, whole, world)
        return case, run(case, world, main)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="run this one here, and tell all")
    parser.add_argument("--keep", type=Path, help="with --case: the folder to lay it out in")
    parser.add_argument("--ground", type=Path, default=ROOT / ".cache" / "hostile", help="where the whole files are kept")
    parser.add_argument("--output", type=Path, help="a line of JSON for each fault")
    args = parser.parse_args()
    if args.case is None:
        from tests.hostile.watch import watch

        sys.exit(watch(args.seed, range(args.first, args.first + args.cases), args.ground, args.output))
    from gera_jax.cli import main as entry

    whole = ground(args.ground)
    case, outcome = try_case(args.seed, args.case, whole, entry, args.keep and args.keep.resolve())
    print(
        case,
        outcome.words,
        json.dumps(dict(code=outcome.code, seconds=outcome.seconds, fault=outcome.fault, where=outcome.where)),
        sep="\n",
    )
    sys.exit(bool(outcome.fault))


if __name__ == "__main__":
    main()
