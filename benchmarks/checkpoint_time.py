"""What checkpoints with digests cost, beside orbax's manager without them, in turn, in one process.

    python benchmarks/checkpoint_time.py --millions 10

The state is that of adamw: parameters, two moments, the best parameters. Times are of the CPU (all threads) and of the wall;
ratios are of medians.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from gera_jax.training import checkpoints


def state_of(parameters: int) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    width = int((parameters / 2) ** 0.5)
    return {
        part: {name: rng.normal(size=(width, width)).astype(np.float32) for name in ("x", "y")}
        for part in ("params", "mu", "nu", "best")
    }


def timed(act: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    return time.process_time() - cpu, time.perf_counter() - wall


class Before:
    """As it was without digests: orbax's manager, compressed, arrays on the device."""

    def __init__(self, folder: Path, state: Any, abstract: Any):
        self._state, self._abstract = jax.tree.map(jax.numpy.asarray, state), abstract
        self._manager = ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=1))

    def save(self, step: int) -> None:
        args = ocp.args.Composite(state=ocp.args.StandardSave(self._state), loop=ocp.args.JsonSave(dict(last_metric=1.0)))
        self._manager.save(step, args=args)
        self._manager.wait_until_finished()

    def read(self, step: int) -> None:
        args = ocp.args.Composite(state=ocp.args.StandardRestore(self._abstract), loop=ocp.args.JsonRestore())
        jax.block_until_ready(self._manager.restore(step, args=args).state)


class Now:
    def __init__(self, folder: Path, state: Any, abstract: Any):
        self._state, self._abstract, self._folder = jax.tree.map(jax.numpy.asarray, state), abstract, folder
        self._checkpoints = checkpoints.Checkpoints(folder, latest=1)

    def save(self, step: int) -> None:
        self._checkpoints.save(step, self._state, dict(last_metric=float(step)))
        self._checkpoints.wait()

    def read(self, step: int) -> None:
        state = checkpoints.read(self._folder / str(step), self._abstract).state
        jax.block_until_ready(jax.tree.map(jax.numpy.asarray, state))


def measure(parameters: int, repeats: int) -> dict[str, float]:
    state = state_of(parameters)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state)
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        both = {kind.__name__: kind(Path(folder) / kind.__name__, state, abstract) for kind in (Before, Now)}
        for step in range(1, repeats + 2):
            for kind, store in both.items():
                for what, act in (("save", store.save), ("read", store.read)):
                    times.setdefault((what, kind), []).append(timed(functools.partial(act, step)))
    found = dict(parameters=parameters, megabytes=sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6)
    for what in ("save", "read"):
        for at, clock in enumerate(("cpu", "wall")):
            before, now = (statistics.median(row[at] for row in times[what, kind][1:]) for kind in both)
            found |= {f"{what}_{clock}_seconds": round(now, 3), f"{what}_{clock}_ratio": round(now / before, 3)}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=10, help="parameters")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(json.dumps(measure(int(args.millions * 1e6), args.repeats)))
