"""Trained on 8 devices, read on 1, 2 and 8, resumed on 8, then 2, then 1: the table of parameter differences.

python -m benchmarks.hostile devices
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.hostile.ground import ROOT, TRAIN, ground, inside
from tests.hostile.mutate import whole_copy

# What one command says, then the step and the parameters that its folder holds, read on the same devices.
SCRIPT = """
import sys, jax, numpy as np
from gera_jax.cli import main
argv, target = sys.argv[2:], sys.argv[1]
code = main(argv)
if target and code in (0, 1):
    from gera_jax.training import load_run
    run = load_run(argv[argv.index("--workdir") + 1])
    np.savez(target, step=int(run.state.step), *[np.asarray(leaf) for leaf in jax.tree.leaves(run.state.params)])
sys.exit(code)
"""
STOP = """
import os, signal
from gera_jax.training import loop
write, sent = loop._Loop.write, []
def stop(self, step, metrics):
    write(self, step, metrics)
    if step >= {after} and not sent:
        sent.append(step)
        os.kill(os.getpid(), signal.SIGTERM)
loop._Loop.write = stop
"""
TOLERANCE, MODES = 1e-5, ("pmap", "shard_map", "jit")


def command(devices: int, world: Path, argv: tuple[str, ...], target: str, *, before: str = "") -> subprocess.CompletedProcess:
    """A command in a process of its own that sees so many devices; `before` is Python that is run first."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_NUM_CPU_DEVICES", None)
    return subprocess.run(
        [sys.executable, "-c", before + SCRIPT, target, *argv], cwd=world, env=environment, capture_output=True, text=True
    )


def train(steps: int, folder: str, mode: str) -> tuple[str, ...]:
    return (
        *TRAIN,
        "--config.batch.pairs=24",
        "--config.batch.anchors=8",
        f"--config.parallel={mode}",
        f"--config.total_steps={steps}",
        "--workdir",
        folder,
    )


def parameters(path: Path) -> tuple[int, list[np.ndarray]]:
    with np.load(path) as stored:
        return int(stored["step"]), [stored[name] for name in sorted(stored.files) if name != "step"]


def table(modes: Sequence[str] = MODES) -> int:
    """Print the table for each way to be parallel; returns 1 where a line is wrong."""
    wrong = 0
    for mode in modes:
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder, inside(Path(folder)):
            world = Path(folder).resolve()
            whole_copy(ground() / "in", world / "in")
            (world / "out").mkdir()
            wrong += _mode(mode, world)
    return int(wrong > 0)


def _mode(mode: str, world: Path) -> int:
    trained = command(8, world, train(12, "out/whole", mode), "whole.npz")
    if trained.returncode:
        print(f"{mode}: train on 8: {trained.stderr.strip()[-300:]}")
        return 1
    _, wanted = parameters(world / "whole.npz")
    wrong, metrics = 0, {}
    for devices in (8, 2, 1):
        done = command(devices, world, ("evaluate", "--json", "--workdir", "out/whole"), "read.npz")
        metrics[devices] = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else {}
        wrong += _line(mode, f"trained on 8, read on {devices}", done, world / "read.npz", wanted, 12)
    close = all(abs(metrics[d].get(k, np.nan) - v) < 1e-4 for d in metrics for k, v in metrics[8].items())
    print(f"{mode}: metrics alike on 8, 2 and 1: {close}")
    for devices, die in ((8, 4), (2, 8), (1, 0)):
        done = command(devices, world, train(12, "out/parts", mode), "part.npz", before=STOP.format(after=die) if die else "")
        wrong += _line(mode, f"going on with {devices}", done, world / "part.npz", wanted if not die else None, die or 12)
    return wrong + (not close)


def _line(mode: str, told: str, done: subprocess.CompletedProcess, path: Path, wanted: list[np.ndarray] | None, step: int) -> int:
    """Print one line of the table; 1 where it is wrong."""
    if not path.is_file():
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        print(f"{mode}: {told}: exit code {done.returncode}: {words[-1][:160] if words else 'no words'}")
        return 1
    at, found = parameters(path)
    path.unlink()
    going_on = next((line for line in done.stderr.splitlines() if "going on at step" in line), "")
    gap = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True)) if wanted else 0.0
    fine = at == step and gap <= TOLERANCE
    print(
        f"{mode}: {told}: exit code {done.returncode}, step {at} (wanted {step}), largest difference "
        f"{f'{gap:.1e}' if wanted else '-'} {going_on}{'' if fine else '  WRONG'}"
    )
    return int(not fine)
