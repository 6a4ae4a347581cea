"""Queues of past rows in the training state, kept by pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from gera_jax import checks
from gera_jax.ops.collectives import gather_rows
from gera_jax.training.terms import Rows

Array = jax.Array
Buffers = dict[str, Any]


def create(shapes: Mapping[str, list[int]]) -> Buffers:
    """Empty queues: dict of `rows` (key -> [L, d] zeros), `mask` (key -> [L] bool, all False) and `next` (int32 place of the
    next row); {} for no keys.

    >>> create({"z.image": [4, 2]})["mask"]["z.image"].tolist(), create({})
    ([False, False, False, False], {})
    """
    if not shapes:
        return {}
    return {
        "rows": {key: jnp.zeros(shape, jnp.float32) for key, shape in shapes.items()},
        "mask": {key: jnp.zeros(shape[0], bool) for key, shape in shapes.items()},
        "next": jnp.zeros((), jnp.int32),
    }


def push(queues: Buffers, rows: Mapping[str, Array], masks: Mapping[str, Array], *, axis_name: str | None = None) -> Buffers:
    """The queues with the newest rows of a step in place of the oldest.

    All keys move together: a row that exists in any of them takes one place in each, and a place's mask says in which
    it exists; a row that exists in none is not pushed, so that padding changes nothing. Places are a ring: their order is
    not that of age. Of more rows than there are places the last ones stay.

    Args:
      queues: from `create` or `push`.
      rows: key -> [n, d] rows of this device.
      masks: key -> [n] bool; a key that is absent has all its rows.
      axis_name: rows of all devices are pushed, in order; the queues are the same on each.

    >>> queues = create({"z": [3, 1]})
    >>> for value in (1.0, 2.0):
    ...     queues = push(queues, {"z": jnp.full((2, 1), value)}, {})
    >>> sorted(queues["rows"]["z"][:, 0].tolist()), int(queues["next"])
    ([1.0, 2.0, 2.0], 1)
    """
    rows = {key: gather_rows(jax.lax.stop_gradient(rows[key]), axis_name) for key in queues["rows"]}
    n, length = (len(next(iter(tree.values()))) for tree in (rows, queues["rows"]))
    masks = {key: gather_rows(masks[key], axis_name) if key in masks else jnp.ones(n, bool) for key in rows}
    pushed = reduce(jnp.logical_or, masks.values())
    order = jnp.cumsum(pushed, dtype=jnp.int32)
    place = jnp.where(pushed & (order > order[-1] - length), (queues["next"] + order - 1) % length, length)

    def put(old: Array, new: Array) -> Array:
        return old.at[place].set(new.astype(old.dtype), mode="drop")  # a place outside of the ring is no place

    return {
        "rows": {key: put(queues["rows"][key], rows[key]) for key in rows},
        "mask": {key: put(queues["mask"][key], masks[key]) for key in rows},
        "next": (queues["next"] + order[-1]) % length,
    }


def offer(queues: Buffers) -> dict[str, Array]:
    """Context keys of the queues: queue.<key> [L, d], queue.mask.<key> [L], and queue.mask, the rows that exist in every key."""
    if not queues:
        return {}
    context = {f"queue.{key}": value for key, value in queues["rows"].items()}
    context.update({f"queue.mask.{key}": value for key, value in queues["mask"].items()})
    return {**context, "queue.mask": reduce(jnp.logical_and, queues["mask"].values())}


def inputs(block: Mapping) -> dict[str, Rows]:
    """What a term may name under a `buffers` block; see `offer`."""
    if not block["length"]:
        return {}
    known = {f"queue.{key}": Rows(mask=f"queue.mask.{key}") for key in block["of"]}
    return {**known, **{row.mask: Rows() for row in known.values()}, "queue.mask": Rows()}


def shapes(block: Mapping, context: Mapping[str, jax.ShapeDtypeStruct], *, examples: int) -> dict[str, list[int]]:
    """Shape [L, d] of each queue, from the shapes of a step's context; a queue longer than the examples would repeat them."""
    length = min(block["length"], examples)
    return {key: [length, *context[key].shape[1:]] for key in block["of"]} if length else {}


def check(block: Mapping, known: Mapping[str, Rows]) -> None:
    """Raise `InputError` unless the block makes sense beside the keys that a step offers."""
    checks.require(block["length"] >= 0, "buffers.length", got=block["length"], wanted="0 (off) or more")
    if not block["length"]:
        return
    checks.require(
        len(block["of"]) > 0,
        "buffers.of",
        got="no key",
        wanted='keys to keep, such as ("z.image",)',
        remedy="Name them, or set buffers.length=0.",
    )
    for key in block["of"]:
        checks.require_known(key, [name for name, rows in known.items() if rows.queue], "buffers.of")
