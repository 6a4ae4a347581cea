"""One step of training as a pure function, the same under jit, pmap and shard_map, and the queues of past rows in its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gera_jax import checks
from gera_jax.config.files import ConfigDict
from gera_jax.ops.collectives import gather_rows
from gera_jax.training.task import Array, Batch, Task
from gera_jax.training.terms import Rows, Term

Buffers = dict[str, Any]


def create_queues(shapes: Mapping[str, list[int]]) -> Buffers:
    """Empty queues: dict of `rows` (key -> [L, d] zeros), `mask` (key -> [L] bool, all False) and `next` (int32 place of the
    next row); {} for no keys.

    >>> create_queues({"z.image": [4, 2]})["mask"]["z.image"].tolist(), create_queues({})
    ([False, False, False, False], {})
    """
    if not shapes:
        return {}
    return {
        "rows": {key: jnp.zeros(shape, jnp.float32) for key, shape in shapes.items()},
        "mask": {key: jnp.zeros(shape[0], bool) for key, shape in shapes.items()},
        "next": jnp.zeros((), jnp.int32),
    }


def push_rows(queues: Buffers, rows: Mapping[str, Array], masks: Mapping[str, Array], *, axis_name: str | None = None) -> Buffers:
    """The queues with the newest rows of a step in place of the oldest.

    All keys move together: a row that exists in any of them takes one place in each, and a place's mask says in which
    it exists; a row that exists in none is not pushed, so that padding changes nothing. Places are a ring: their order is
    not that of age. Of more rows than there are places the last ones stay.

    Args:
      queues: from `create_queues` or `push_rows`.
      rows: key -> [n, d] rows of this device.
      masks: key -> [n] bool; a key that is absent has all its rows.
      axis_name: rows of all devices are pushed, in order; the queues are the same on each.

    >>> queues = create_queues({"z": [3, 1]})
    >>> for value in (1.0, 2.0):
    ...     queues = push_rows(queues, {"z": jnp.full((2, 1), value)}, {})
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


def offer_queues(queues: Buffers) -> dict[str, Array]:
    """Context keys of the queues: queue.<key> [L, d], queue.mask.<key> [L], and queue.mask, the rows that exist in every key."""
    if not queues:
        return {}
    context = {f"queue.{key}": value for key, value in queues["rows"].items()}
    context.update({f"queue.mask.{key}": value for key, value in queues["mask"].items()})
    return {**context, "queue.mask": reduce(jnp.logical_and, queues["mask"].values())}


def queue_inputs(block: Mapping) -> dict[str, Rows]:
    """What a term may name under a `buffers` block; see `offer_queues`."""
    if not block["length"]:
        return {}
    known = {f"queue.{key}": Rows(mask=f"queue.mask.{key}") for key in block["of"]}
    return {**known, **{row.mask: Rows() for row in known.values()}, "queue.mask": Rows()}


def queue_shapes(block: Mapping, context: Mapping[str, jax.ShapeDtypeStruct], *, examples: int) -> dict[str, list[int]]:
    """Shape [L, d] of each queue, from the shapes of a step's context; a queue longer than the examples would repeat them."""
    length = min(block["length"], examples)
    return {key: [length, *context[key].shape[1:]] for key in block["of"]} if length else {}


def check_buffers(block: Mapping, known: Mapping[str, Rows]) -> None:
    """Raise `InputError` unless the block makes sense beside the keys that a step offers."""
    checks.require(block["length"] >= 0, "buffers.length", got=block["length"], wanted="0 (off) or more")
    if not block["length"]:
        return
    remedy = "Name them, or set length=0."
    checks.require(len(block["of"]) > 0, "buffers.of", got="no key", wanted='keys to keep, such as ("z.image",)', remedy=remedy)
    for key in block["of"]:
        checks.require_known(key, [name for name, rows in known.items() if rows.queue], "buffers.of")


class TrainState(NamedTuple):
    """All that training carries from step to step; saving it and the step number is saving the run."""

    step: Array  # int32
    params: Any
    opt: Any
    ema: Any  # averaged parameters, or () when they are off
    best: Any  # parameters at the best evaluation so far
    buffers: Any  # queues and the like, updated by pure functions; {} for the systems that have none


def make_steps(
    config: ConfigDict,
    task: Task,
    model: Any,
    terms: list[Term],
    inputs: Mapping[str, Rows],
    optimizer: optax.GradientTransformation,
) -> tuple[Callable, Callable]:
    """`train_step(state, batch, axis_name) -> (state, metrics)` and `diagnose(state, batch, axis_name) -> metrics`.

    The gradient is averaged over `axis_name`: with losses that equal the loss of the whole batch on every device this is
    the one reduction that is right under pmap and shard_map alike. Queues take the step's rows once its losses are computed.

    Args:
      inputs: `task.inputs` of this run's masked inputs; what is pushed to queues goes by their masks.
    """
    queued = tuple(config.buffers.of) if config.buffers.length else ()
    masks = {key: inputs[key].mask for key in queued if inputs[key].mask}
    wanted = {key for term in terms for key in term.keys} | {*queued, *masks.values()}
    ema = config.optimizer.ema

    def context_of(params, state, batch, wanted, axis_name):
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        context = task.context(config, model, params, batch, wanted=wanted, key=key, axis_name=axis_name)
        return {**context, **offer_queues(state.buffers)}

    def objective(params, state, batch, axis_name):
        context = context_of(params, state, batch, wanted, axis_name)
        parts = {term.name: term(context, axis_name=axis_name) for term in terms}
        kept = {key: context[key] for key in queued}, {key: context[mask] for key, mask in masks.items()}
        return sum(term.weight(state.step) * parts[term.name] for term in terms), (parts, kept)

    def mean(tree, axis_name):
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def train_step(state: TrainState, batch: Batch, axis_name: str | None = None):
        (loss, (parts, kept)), grads = jax.value_and_grad(objective, has_aux=True)(state.params, state, batch, axis_name)
        grads = mean(grads, axis_name)
        with jax.numpy_dtype_promotion("standard"):  # optax raises float32 decay rates to int32 counts
            updates, opt = optimizer.update(grads, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        average = jax.tree.map(lambda a, p: ema * a + (1 - ema) * p, state.ema, params) if ema else state.ema
        queues = push_rows(state.buffers, *kept, axis_name=axis_name) if queued else state.buffers
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        metrics.update({f"loss/{name}": value for name, value in parts.items()})
        state = state._replace(step=state.step + 1, params=params, opt=opt, ema=average, buffers=queues)
        return state, mean(metrics, axis_name)

    def diagnose(state: TrainState, batch: Batch, axis_name: str | None = None):
        metrics = {}
        for term in terms:  # each with nothing but its own inputs, so that what is traced does not grow with their square

            def value(params, term=term):
                return term(context_of(params, state, batch, set(term.keys), axis_name), axis_name=axis_name)

            grads = jax.grad(value)(state.params)
            metrics[f"grad_norm/{term.name}"] = term.weight(state.step) * optax.tree.norm(mean(grads, axis_name))
        metrics.update(task.diagnose(model, state.params, batch, axis_name=axis_name))
        return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), metrics)

    return train_step, diagnose
