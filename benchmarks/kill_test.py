"""Kill a training run at random moments until it is through; its parameters must be those of the run never killed.

    python benchmarks/kill_test.py --kills 20

Each round starts the same command line and sends SIGKILL after a random time; rounds whose process ended first do not count.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Evaluations and saves every few steps, so that kills fall into them as well; more steps than one life has time for.
COMMAND = (
    "-m",
    "gera_jax",
    "train",
    "--json",
    "--config",
    "gera:pairs=300",
    "--config.evals.every_steps=7",
    "--config.checkpoint.every_steps=5",
    "--config.log_every_steps=3",
    "--config.tensorboard=off",
)


def launch(workdir: Path, steps: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *COMMAND, f"--config.total_steps={steps}", "--workdir", str(workdir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def final_state(workdir: Path) -> list[np.ndarray]:
    import jax

    from gera_jax.training import load_run

    run = load_run(workdir)
    return [np.asarray(leaf) for leaf in jax.tree.leaves((run.params, run.state))]


def log_without_time(workdir: Path) -> list[dict]:
    from gera_jax.writers import read_json_lines

    return [
        {k: v for k, v in row.items() if "time" not in k and "second" not in k}
        for row in read_json_lines(workdir / "metrics.jsonl")
    ]


def kill_until(
    start: Callable[[], subprocess.Popen], *, kills: int, life: float, rng: random.Random, through: Callable[[], None]
) -> list[float]:
    """Start a command again and again and kill it at random moments of its `life` seconds; the moments.

    Args:
      through: called where the command ended before its time: compares what it made, and clears it away.
    """
    moments: list[float] = []
    while len(moments) < kills:
        process, moment = start(), rng.uniform(0.25, 0.95) * life
        try:
            _, errors = process.communicate(timeout=moment)
            assert process.returncode == 0, errors.decode()[-2000:]
            through()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            moments.append(round(moment, 2))
            print(f"kill {len(moments)} after {moment:.1f} s", file=sys.stderr, flush=True)
    return moments


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]


def run(kills: int, steps: int, seed: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        began = time.monotonic()
        finish(launch(whole, steps))
        life = time.monotonic() - began
        wanted = final_state(whole), log_without_time(whole)

        def compare() -> None:
            _require_equal((final_state(broken), log_without_time(broken)), wanted)

        def through() -> None:
            compare()
            shutil.rmtree(broken)

        moments = kill_until(lambda: launch(broken, steps), kills=kills, life=life, rng=random.Random(seed), through=through)
        finish(launch(broken, steps))
        compare()
    return dict(kills=len(moments), seconds_of_a_life=round(life, 1), moments=moments, identical=True)


def _require_equal(a: tuple, b: tuple) -> None:
    for left, right in zip(a[0], b[0], strict=True):
        np.testing.assert_array_equal(left, right)
    assert a[1] == b[1], "the logs differ"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(run(**vars(parser.parse_args()))))
