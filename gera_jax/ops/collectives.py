"""Sums and gathers over devices that cost nothing, and change nothing, when there is one device (`axis_name=None`)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def gather_rows(x: Array, axis_name: str | None) -> Array:
    """Rows of every device, in device order.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.arange(4.0).reshape(2, 2)  # two devices of two rows
    >>> jax.vmap(lambda r: gather_rows(r, "devices"), axis_name="devices")(x).tolist()
    [[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]]

    Args:
      x: [n, ...] rows of this device.
      axis_name: name of the mapped axis (pmap, shard_map, vmap), or None for `x` itself.

    Returns:
      [devices * n, ...]. The gradient goes back to the device that a row came from.
    """
    if axis_name is None:
        return x
    return lax.all_gather(x, axis_name, axis=0, tiled=True)


def global_sum(x: Array, axis_name: str | None) -> Array:
    """Sum of `x` over the devices of `axis_name`; `x` itself for None.

    >>> import jax, jax.numpy as jnp
    >>> jax.vmap(lambda r: global_sum(r, "devices"), axis_name="devices")(jnp.arange(3.0)).tolist()
    [3.0, 3.0, 3.0]
    """
    if axis_name is None:
        return x
    return lax.psum(x, axis_name)


def row_offset(n: int, axis_name: str | None) -> Array:
    """Position of this device's first row among the gathered rows, int32; `n` is the number of rows per device.

    >>> int(row_offset(5, None))
    0
    """
    if axis_name is None:
        return jnp.zeros((), jnp.int32)
    return lax.axis_index(axis_name).astype(jnp.int32) * jnp.asarray(n, jnp.int32)


def meets_itself(shape: tuple[int, int], axis_name: str | None) -> Array:
    """[n, N] bool: where a row of this device meets itself among the rows of all devices.

    >>> meets_itself((2, 2), None).tolist()
    [[True, False], [False, True]]
    """
    rows = row_offset(shape[0], axis_name) + jnp.arange(shape[0], dtype=jnp.int32)
    return rows[:, None] == jnp.arange(shape[1], dtype=jnp.int32)[None, :]
