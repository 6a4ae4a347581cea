"""Peak memory of a run over a pair of 1,000,000 x 512 float32 memory-mapped tables, and rows per second of the sampler there.

python benchmarks/large_tables.py            # writes 4 GB into --folder (default: a temporary one)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, WIDTH = 1_000_000, 512
CHILD = """
import json, resource, sys, threading, time
import jax, gera_jax, gera_jax.training
jax.numpy.zeros(1).block_until_ready()

def resident(kind):  # anonymous pages are the run's own; file pages are the map, which the system takes back when it likes
    lines = open("/proc/self/status").read().splitlines()
    return int(next(l for l in lines if l.startswith(kind)).split()[1]) / 2**20

base = resident("RssAnon")
peak = [base, resident("VmRSS")]
def watch():
    while True:
        peak[0], peak[1] = max(peak[0], resident("RssAnon")), max(peak[1], resident("VmRSS"))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
c = gera_jax.config.load("gera:x=%(x)s,y=%(y)s,pairs=100000")
for side in ("x", "y"):
    c.data.preprocess[side].filter.strength = 0.0
    c.data.preprocess[side].pca = 0
for graph in c.graphs.values():
    graph.max_rows = %(graph_rows)d
c.batch.update(pairs=1024, anchors=256)
c.total_steps = 30
c.evals.every_steps = 15
began = time.monotonic()
result = gera_jax.training.train(c, %(workdir)r)
seconds = time.monotonic() - began
sampler = result.experiment.problem.sampler
sampler.batch(0)
began = time.monotonic(); rows = 0
for step in range(40):
    batch = sampler.batch(1000 + step)
    rows += sum(batch[f"rows.{n}"].shape[0] * batch[f"rows.{n}"].shape[1] for n in result.experiment.data.names)
rate = rows / (time.monotonic() - began)
print(json.dumps(dict(base_gib=base, peak_above_base_gib=peak[0] - base, peak_with_map_gib=peak[1], run_seconds=seconds,
                      sampler_rows_per_second=rate)))
"""


def main(folder: Path, graph_rows: int) -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(64, WIDTH)).astype(np.float32)
    for name in ("x", "y"):
        path = folder / f"{name}.npy"
        if not path.exists():
            table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(ROWS, WIDTH))
            for start in range(0, ROWS, 50_000):
                hidden = np.random.default_rng(start).normal(size=(50_000, 64)).astype(np.float32)
                table[start : start + 50_000] = hidden @ mix + 0.3 * rng.normal(size=(50_000, WIDTH)).astype(np.float32)
            table.flush()
            del table
    workdir = str(folder / f"run-{time.time_ns()}")
    code = CHILD % dict(x=folder / "x.npy", y=folder / "y.npy", workdir=workdir, graph_rows=graph_rows)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    print(json.dumps({k: round(v, 3) for k, v in json.loads(done.stdout.splitlines()[-1]).items()}, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--graph-rows", type=int, default=20_000)
    args = parser.parse_args()
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        main(args.folder, args.graph_rows)
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made), args.graph_rows)
