"""A run that trains on 8 devices is read on 1, 2 and 8 and goes on from 8 to 2 to 1; the largest difference of a parameter.

    python benchmarks/checkpoint_devices.py --modes auto shard_map jit

Each line is a process of its own, with that number of virtual CPU devices. The undisturbed run has 8 devices to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

WORKER = """
import sys
import jax, numpy as np
from gera_jax import checks, config, training
mode, stop, workdir, target = sys.argv[1:]
settings = config.load("contrastive:source=sphere,pairs=48", {
    "parallel": mode, "total_steps": "30", "checkpoint.every_steps": "5", "evals.every_steps": "5", "tensorboard": "off",
    "data.split.val": "24", "data.split.test": "24", "batch.pairs": "24", "model.init": "random"})
def hook(step, state, metrics):
    if 0 < int(stop) <= step:
        raise KeyboardInterrupt
if int(stop):
    try:
        training.train(settings, workdir, hooks=[hook])
    except KeyboardInterrupt:
        pass
run = training.load_run(workdir)
run.evaluate("test")
np.savez(target, int(run.state.step), *jax.tree.leaves((run.params, run.state)))
"""


def work(devices: int, mode: str, stop: int, workdir: Path) -> tuple[int, list[np.ndarray]]:
    """Train until `stop` (0: only read); the newest checkpoint's step and arrays."""
    target = workdir.with_suffix(".npz")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    subprocess.run([sys.executable, "-c", WORKER, mode, str(stop), str(workdir), str(target)], env=environment, check=True)
    with np.load(target) as stored:
        step, *arrays = (stored[name] for name in stored)
    return int(step), arrays


def table(mode: str) -> list[dict]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole, moved = Path(folder) / "whole", Path(folder) / "moved"
        _, wanted = work(8, mode, 999, whole)
        for devices in (1, 2, 8):
            step, arrays = work(devices, mode, 0, whole)
            rows.append(dict(mode=mode, what="read", devices=devices, step=step, difference=difference(arrays, wanted)))
        for devices, stop in ((8, 12), (2, 22), (1, 999)):
            step, arrays = work(devices, mode, stop, moved)
            last = difference(arrays, wanted) if stop == 999 else None
            rows.append(dict(mode=mode, what="train", devices=devices, step=step, difference=last))
    return rows


def difference(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return max(float(np.abs(x.astype(float) - y.astype(float)).max()) for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", nargs="+", default=["auto", "shard_map", "jit"])
    for each in parser.parse_args().modes:
        for row in table(each):
            print(json.dumps(row), flush=True)
