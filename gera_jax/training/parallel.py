"""Running one step function on one device or on many."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gera_jax import checks

AXIS = "devices"
MODES = ("auto", "jit", "pmap", "shard_map")


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How `step(state, batch, axis_name)` is compiled.

    A batch has a leading axis of shards, one for each device of this process; the state is the same on all devices.
    `jit` runs on one device; `pmap` and `shard_map` on all of them, with the same result.
    """

    mode: str

    @classmethod
    def choose(cls, mode: str) -> Parallel:
        """`auto` is plain jit on one device and pmap on several."""
        checks.require_known(mode, MODES, "parallel")
        if mode == "auto":
            mode = "jit" if jax.device_count() == 1 else "pmap"
        checks.require(
            mode != "jit" or jax.process_count() == 1,
            "parallel",
            got='"jit" with several processes',
            wanted='"pmap" or "shard_map"',
        )
        return cls(mode)

    @property
    def shards(self) -> int:
        return 1 if self.mode == "jit" else jax.device_count()

    @property
    def local_shards(self) -> range:
        if self.mode == "jit":
            return range(1)
        first = jax.process_index() * jax.local_device_count()
        return range(first, first + jax.local_device_count())

    def wrap(self, step: Callable) -> Callable[[Any, dict[str, np.ndarray]], Any]:
        """`step` as a compiled function of the state and a batch of NumPy arrays [local shards, ...]."""
        if self.mode == "jit":
            compiled = jax.jit(step)
            return lambda state, batch: compiled(state, {name: value[0] for name, value in batch.items()})
        if self.mode == "pmap":
            return jax.pmap(lambda state, batch: step(state, batch, AXIS), axis_name=AXIS, in_axes=(None, 0), out_axes=None)
        mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
        everywhere, split = PartitionSpec(), PartitionSpec(AXIS)

        def local(state, batch):
            return step(state, {name: value[0] for name, value in batch.items()}, AXIS)

        compiled = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(everywhere, split), out_specs=everywhere, check_vma=False))
        sharding = NamedSharding(mesh, split)

        def run(state, batch):
            place = jax.make_array_from_process_local_data
            return compiled(state, {name: place(sharding, value) for name, value in batch.items()})

        return run
