"""Commands killed, and disks full, at random moments: the same command again ends with the outputs of a run never disturbed.

    python -m benchmarks.hostile kills --kills 100
    python -m benchmarks.hostile disks --fulls 30

Half of the kills come at a random moment of a command's life, half at a random change of its folder, where half files would be.
Outputs are compared to the last bit: parameters, embeddings, cells, tables, logs without their times; and no further file may lie
there, and no process may live on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.ground import FIT, ROOT, SPLIT, TRAIN, X, Y, ground, inside
from tests.hostile.mutate import whole_copy

LONG_TRAIN = (*TRAIN, "--config.total_steps=60", "--config.checkpoint.every_steps=5", "--config.evals.every_steps=5")
JOBS: dict[str, tuple[str, ...]] = {
    "train": (*LONG_TRAIN, "--workdir", "out/run"),
    "fit": (*FIT, "--output", "out/fit"),
    "trained fit": (
        "fit",
        "--method",
        "contrastive",
        *X,
        *Y,
        "--set",
        "total_steps=40",
        "--set",
        "checkpoint.every_steps=5",
        "--output",
        "out/fit",
    ),
    "compare": (
        "compare",
        *X,
        *Y,
        *SPLIT,
        "--methods",
        "ridge_cca,procrustes,kernel_cca,asif",
        "--seeds",
        "3",
        "--budget",
        "2",
        "--counts",
        "10,20",
        "--jobs",
        "2",
        "--output",
        "out/cmp",
    ),
    "embed": ("embed", "--workdir", "in/fit", "--modality", "x", "--input", "in/long.npy", "--output", "out/z.npy"),
    "data build": ("data", "build", "in/x.npz:image", "out/built"),
    "select-layers": (
        "select-layers",
        "--x",
        "in/layers.npz:image",
        "--y",
        "in/layers.npz:image",
        "--pairs",
        "0",
        "--config",
        "in/small.json",
        "--output",
        "out/chosen.json",
    ),
    "quickstart": ("quickstart", "--source", "emoji", "--smoke", "--output", "out/quickstart"),
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
ENDS, CLEARS, LONGEST = 60.0, 10.0, 900.0  # seconds to end after SIGTERM; for workers to go; for a command


def lay_out(world: Path) -> None:
    """in/ with the whole files; some are longer here, so that writing them takes time."""
    from gera_jax import config

    whole_copy(ground() / "in", world / "in")
    (world / "out").mkdir()
    np.save(world / "in" / "long.npy", np.random.default_rng(0).normal(size=(400_000, 9)).astype(np.float32))
    small = config.load("gera")
    small.data.split.update(val=10, test=10)
    (world / "in" / "small.json").write_text(config.to_json(small))


@contextlib.contextmanager
def alive(argv: tuple[str, ...], world: Path) -> Iterator[subprocess.Popen]:
    """The command in a session of its own; whatever is left of it goes at the end."""
    said = (world / "said").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "gera_jax", *argv], cwd=world, env=ENVIRONMENT, start_new_session=True, stdout=said, stderr=said
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said.close()


def finish(argv: tuple[str, ...], world: Path) -> tuple[int, str]:
    """Run to the end: exit code and words."""
    with alive(argv, world) as process:
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            code = -1
        return code, (world / "said").read_text(errors="replace")


def of_session(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state not in "ZX":
                found.append(int(entry.name))
    return found


def contents(folder: Path) -> dict[str, Any]:
    """What a folder holds, by file, in a form that is equal where nothing but times differs."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if "checkpoints/" not in name and "tfevents" not in name:
            found[name] = content(path)
        if path.name == "run.json":
            found[f"{name}: parameters"] = parameters(path.parent)
    return found


def content(path: Path) -> Any:
    from gera_jax.data import load_table

    try:
        if path.suffix in (".npz", ".npy"):
            loaded = np.load(path, allow_pickle=False)
            arrays = dict(loaded) if path.suffix == ".npz" else {"": loaded}
            return {name: (a.shape, a.dtype.str, hashlib.sha256(a.tobytes()).hexdigest()) for name, a in arrays.items()}
        if path.name == "cells.jsonl":  # in the order in which they were done
            return {cell["key"]: without_times(cell) for cell in map(json.loads, path.read_text().splitlines())}
        if path.name == "digests.json":  # of bytes that differ from time to time; reading the rows checks them
            return sorted(json.loads(path.read_text()))
        if ".array_record" in path.name:  # its bytes differ from time to time
            table = load_table(path.parent)
            return table.ids.tolist(), table.rows.dtype.str, hashlib.sha256(table.rows.tobytes()).hexdigest(), table.meta
        if path.suffix in (".json", ".jsonl"):
            text = path.read_text()
            return without_times(json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()])
    except Exception as error:
        return f"unreadable: {type(error).__name__}: {error}"
    return "a page" if path.suffix == ".html" else hashlib.sha256(path.read_bytes()).hexdigest()


def without_times(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: [trial[:2] for trial in value] if key == "trials" else without_times(value)
            for key, value in node.items()
            if not any(word in key.lower() for word in ("second", "time", "digest", "downloadsize"))
        }
    return [without_times(value) for value in node] if isinstance(node, list) else str(node) if node != node else node


def parameters(folder: Path) -> str:
    import jax

    from gera_jax.training import load_run

    try:
        run = load_run(folder)
    except Exception as error:
        return f"unreadable: {type(error).__name__}: {error}"
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((run.params, run.state.params, run.state.step))]
    return hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).hexdigest()


def differences(got: dict[str, Any], want: dict[str, Any]) -> list[str]:
    """Files that are missing, left over or other, in words."""
    return [
        f"{name}: {'missing' if name not in got else 'left over' if name not in want else 'other content'}"
        for name in sorted({*got, *want})
        if got.get(name) != want.get(name)
    ]


def changes(folder: Path) -> int:
    """A number that is another one whenever something in `folder` was made, moved or written to."""
    seen = []
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                stat = os.stat(os.path.join(base, name), follow_symlinks=False)
                seen.append((base, name, stat.st_size, stat.st_mtime_ns))
    return hash(tuple(sorted(seen)))


@dataclasses.dataclass
class Undisturbed:
    """A run to its end: what it leaves, how long it takes, how often its folder changes."""

    contents: dict[str, Any]
    seconds: float
    changes: int
    size: int


def undisturbed(argv: tuple[str, ...], world: Path) -> Undisturbed:
    began, seen, last = time.monotonic(), 0, changes(world / "out")
    with alive(argv, world) as process:
        while process.poll() is None:
            if (now := changes(world / "out")) != last:
                seen, last = seen + 1, now
            time.sleep(0.0005)
        assert process.returncode == 0, (world / "said").read_text()
    size = sum(p.stat().st_size for p in (world / "out").rglob("*") if p.is_file())
    return Undisturbed(contents(world / "out"), time.monotonic() - began, max(1, seen), size)


def kill_once(argv: tuple[str, ...], world: Path, whole: Undisturbed, rng: random.Random) -> tuple[str, list[str]]:
    """Start the command, kill it; when it was, and what was wrong about how it ended. "" where it ended before."""
    number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
    moment, change = rng.uniform(0.1, 1.0) * whole.seconds, rng.randrange(1, whole.changes + 1)
    by_change, wrong = rng.random() < 0.5, []
    with alive(argv, world) as process:
        began, seen, last = time.monotonic(), 0, changes(world / "out")
        while process.poll() is None and (seen < change if by_change else time.monotonic() - began < moment):
            if by_change and (now := changes(world / "out")) != last:
                seen, last = seen + 1, now
            time.sleep(0.0005)
        if process.poll() is not None:
            return "", []
        process.send_signal(number)
        told = f"{signal.Signals(number).name} {f'at change {change}' if by_change else f'after {moment:.1f} s'}"
        try:
            code = process.wait(ENDS)
        except subprocess.TimeoutExpired:
            return told, [f"does not end within {ENDS:.0f} s"]
        if number == signal.SIGTERM and code == 0 and (lost := differences(contents(world / "out"), whole.contents)):
            wrong.append(f"exit code 0 though killed, without {lost[:2]}")
        if "Traceback" in (world / "said").read_text(errors="replace"):
            wrong.append("a traceback")
        until = time.monotonic() + CLEARS
        while (left := of_session(process.pid)) and time.monotonic() < until:
            time.sleep(0.1)
        if left:
            wrong.append(f"{len(left)} processes live on")
    return told, wrong


def recover(argv: tuple[str, ...], world: Path, whole: Undisturbed) -> list[str]:
    """The same command until it is done; what differs from the undisturbed run afterwards."""
    found = differences(contents(world / "out"), whole.contents)
    if not found:
        return []  # killed after its last write: whether the command then refuses its own whole output is not asked here
    code, words = finish(argv, world)
    wrong = [f"again: exit code {code}: {words.strip().splitlines()[-1][-200:] if words.strip() else 'no words'}"] if code else []
    return wrong + differences(contents(world / "out"), whole.contents)


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def each(disturb: Callable[..., tuple[str, list[str]]], count: int, seed: int, names: list[str]) -> int:
    """Disturb the commands in turn `count` times, let each go on, and print what was wrong; returns how many were."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing that was started here is left when this is ended
    rng, faults, done, late = random.Random(seed), 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        world = Path(folder).resolve()
        lay_out(world)
        whole = {}
        with inside(world):
            while done < count:
                name = names[(done + late) % len(names)]
                if name not in whole:
                    whole[name] = undisturbed(JOBS[name], world)
                    clear(world / "out")
                with disk(world / "out", disturb) as limit:
                    told, wrong = disturb(JOBS[name], world, whole[name], rng, **limit)
                    if told:
                        done += 1
                        wrong += recover(JOBS[name], world, whole[name])
                        faults += bool(wrong)
                        print(f"{done:>4} {name}: {told}: {'; '.join(wrong[:4]) or 'as if nothing had been'}", flush=True)
                    late += not told
                    clear(world / "out")
    print(f"{done} disturbed, {late} came too late, {faults} with faults")
    return faults


@contextlib.contextmanager
def disk(folder: Path, disturb: Callable) -> Iterator[dict[str, Any]]:
    """For full disks: a disk of its own in the place of `folder`, and what makes it small or large."""
    if disturb is not fill_once:
        yield {}
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        raise SystemExit("hostile disks: needs the right to mount a small tmpfs (root).")
    try:
        yield dict(resize=lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_once(
    argv: tuple[str, ...], world: Path, whole: Undisturbed, rng: random.Random, *, resize: Callable
) -> tuple[str, list[str]]:
    """Run the command on a disk that is too small; it must end in words. Then there is room again."""
    size = rng.randrange(1, max(2, whole.size // 4096)) * 4096
    resize(size)
    code, words = finish(argv, world)
    resize("64m")
    if code == 0:
        return "", []  # it kept less than it left in the undisturbed run, and fits
    wrong = ["a traceback"] if "Traceback" in words else []
    wrong += [f"exit code {code}"] if code not in (1, 2) else []
    wrong += [] if "space" in words or "full" in words else [f"other words: {words.strip()[-150:]}"]
    return f"{size >> 10} KiB", wrong
