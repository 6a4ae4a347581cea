"""One step of training as a pure function, the same under jit, pmap and shard_map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gera_jax.config.configdict import ConfigDict
from gera_jax.training import buffers
from gera_jax.training.task import Array, Batch, Task
from gera_jax.training.terms import Rows, Term


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
        return {**context, **buffers.offer(state.buffers)}

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
        queues = buffers.push(state.buffers, *kept, axis_name=axis_name) if queued else state.buffers
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
