"""How far parameters drift apart between one device, pmap and shard_map on 8 virtual devices, and 1 and 2 processes.

    python -m benchmarks.parallel_gap

Largest absolute difference of any parameter from the jit run on one device; the tests demand 1e-5.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

STEPS = 20
CHILD = f"""
import sys
import jax, numpy as np
mode, port, count, number, target = sys.argv[1:]
if int(count) > 1:
    jax.distributed.initialize(f"127.0.0.1:{{port}}", num_processes=int(count), process_id=int(number))
from gera_jax import config, training
c = config.load("gera:source=clipart,pairs=1000")
c.parallel = mode
c.batch.update(pairs=256, anchors=64)
experiment = training.build(c)
state = experiment.init_state()
for step in range({STEPS}):
    state, _ = experiment.train_step(state, experiment.batch(step))
if int(number) == 0:
    np.savez(target, *[np.asarray(leaf.addressable_data(0)) for leaf in jax.tree.leaves(state.params)])
"""


def parameters(mode: str, devices: int, processes: int) -> list[np.ndarray]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices // processes)}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "parameters.npz"
        running = [
            subprocess.Popen([sys.executable, "-c", CHILD, mode, str(port), str(processes), str(i), str(target)], env=environment)
            for i in range(processes)
        ]
        if sum(process.wait() != 0 for process in running):  # waits for all of them
            raise RuntimeError(f"{mode} on {devices} devices of {processes} processes failed; see above")
        with np.load(target) as arrays:
            return [arrays[name] for name in arrays]


def main() -> None:
    one = parameters("jit", 1, 1)
    print("| parallel | devices | processes | largest difference |\n|---|---|---|---|")
    for mode in ("pmap", "shard_map"):
        for devices, processes in ((8, 1), (4, 2)):
            gap = max(float(np.abs(a - b).max()) for a, b in zip(one, parameters(mode, devices, processes), strict=True))
            print(f"| {mode} | {devices} | {processes} | {gap:.1e} |", flush=True)


if __name__ == "__main__":
    main()
