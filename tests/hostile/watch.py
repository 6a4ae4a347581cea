"""Many cases in one worker process, as imports are dear; a case that takes it down, or over its limits, is named."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.ground import ROOT, TRAIN, ground, inside

MEMORY = 2 << 30  # bytes of a worker
SECONDS, WALL = 20.0, 90.0  # of CPU; and of the clock, for one that waits and does nothing
LIFE = 400  # cases of a worker: compiled programs pile up


def watch(seed: int, numbers: Sequence[int], base: Path, output: Path | None = None) -> int:
    """Run the cases, print each fault and a table of kinds; returns 1 where there was one."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, faults, cpu, todo = time.monotonic(), [], 0.0, list(numbers)
    done = 0
    with contextlib.ExitStack() as closing:
        closing.callback(lambda: summary(faults, done, cpu, time.monotonic() - began))  # also of what was interrupted
        file = closing.enter_context(output.open("w")) if output else None
        while todo:
            for told in worker(seed, todo[:LIFE], base):
                done, cpu = done + 1, cpu + told["seconds"]
                todo.remove(told["number"])
                if done % 200 == 0:
                    print(f"{done} cases, {len(faults)} faults, {cpu:.0f} s of CPU, {time.monotonic() - began:.0f} s", flush=True)
                if told["fault"]:
                    faults.append(told)
                    print(f"{told['fault']} [{told['where']}] {told['case']}", flush=True)
                    if file:
                        file.write(json.dumps(told) + "\n")
                        file.flush()
    return bool(faults)


def summary(faults: Sequence[dict], done: int, cpu: float, seconds: float) -> None:
    """Faults by kind and place, and what the cases took."""
    kinds = collections.Counter((f["fault"].split(":")[0].split(" (")[0], f["where"]) for f in faults)
    for (kind, where), count in kinds.most_common():
        print(f"{count:>6}  {kind:<34} {where}")
    print(f"{done} cases, {len(faults)} faults of {len(kinds)} kinds, {cpu:.0f} s of CPU in cases, {seconds:.0f} s", flush=True)


def worker(seed: int, numbers: Sequence[int], base: Path):
    """Yield what is told of each case; ends early where the worker had to be ended, after the case that did it."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "JAX_PLATFORMS": "cpu",
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_COMPILATION_CACHE_DIR": str(base / "xla"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.hostile.watch", str(seed), json.dumps(list(numbers)), str(base)]
    last_words = tempfile.TemporaryFile()  # noqa: SIM115
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=last_words)
    current, since, spent = None, time.monotonic(), 0.0
    buffer = b""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(0.05):
                    data = os.read(process.stdout.fileno(), 1 << 16)
                    if not data:
                        break
                    *lines, buffer = (buffer + data).split(b"\n")
                    for line in map(json.loads, lines):
                        if "fault" in line:
                            yield line
                        else:
                            current, since, spent = line, time.monotonic(), cpu_seconds(process.pid)
                if current is None:
                    continue
                reasons = {
                    f"memory over {MEMORY >> 30} GiB": resident(process.pid) > MEMORY,
                    f"time over {SECONDS:.0f} s": cpu_seconds(process.pid) - spent > SECONDS + 10,
                    "hangs": time.monotonic() - since > WALL and cpu_seconds(process.pid) - spent < 1,
                }
                if reason := next((text for text, true in reasons.items() if true), ""):
                    process.kill()
                    yield dict(current, fault=reason, where="", seconds=time.monotonic() - since)
                    return
        code = process.wait()
        if code:
            last_words.seek(0)
            where = (last_words.read().decode(errors="replace").strip().splitlines() or [""])[-1][:200]
            yield dict(
                current or dict(number=numbers[0], case="before the first case"),
                fault=f"the process died ({code})",
                where=where,
                seconds=time.monotonic() - since,
            )
    finally:
        process.kill()
        process.wait()
        last_words.close()


def resident(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def serve(seed: int, numbers: Sequence[int], base: Path) -> None:
    """The worker's side: warm up on whole files, then the cases, each told before and after."""
    from gera_jax.cli import main
    from tests.hostile.cases import EMBED_RUN, EVALUATE
    from tests.hostile.fuzz import listening, try_case
    from tests.hostile.mutate import whole_copy

    tell = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    whole = ground(base)
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)), tempfile.TemporaryFile() as said:
        whole_copy(whole / "in", Path("in"))
        Path("out").mkdir()
        with listening(said):
            for argv in (EVALUATE, EMBED_RUN, (*TRAIN, "--workdir", "out/run")):
                main(argv)
    data = (
        int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")).split()[1])
        << 10
    )
    resource.setrlimit(resource.RLIMIT_DATA, (data + 2 * MEMORY, resource.RLIM_INFINITY))
    for number in numbers:
        print(json.dumps(dict(number=number, case=f"--seed {seed} --case {number}")), file=tell)
        case, outcome = try_case(seed, number, whole, main)
        print(
            json.dumps(
                dict(
                    number=number,
                    case=str(case),
                    fault=outcome.fault,
                    where=outcome.where,
                    seconds=outcome.seconds,
                    code=str(outcome.code),
                )
            ),
            file=tell,
        )


if __name__ == "__main__":
    serve(int(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3]))
