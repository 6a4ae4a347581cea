"""One step of training as a pure function, the same under jit, pmap and shard_map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gera_jax.evaluation import diagnostics
from gera_jax.models import TwoTower
from gera_jax.objectives import Term
from gera_jax.ops import gather_rows

Array = jax.Array
Batch = Mapping[str, Array]


class TrainState(NamedTuple):
    """All that training carries from step to step; saving it and the step number is saving the run."""

    step: Array  # int32
    params: Any
    opt: Any
    ema: Any  # averaged parameters, or () when they are off
    best: Any  # parameters at the best evaluation so far
    buffers: Any  # queues and the like, updated by pure functions; {} for the systems that have none


def make_context(model: TwoTower, params: Any, batch: Batch, *, wanted: set[str], key: Array | None = None) -> dict[str, Array]:
    """Arrays that terms may ask for, from a batch of distinct rows and index blocks.

    Each row of the batch is projected once, however many pairs and neighbourhoods it is part of: on small pools that is
    most of the work.
    """
    context: dict[str, Array] = {"logit_scale": model.logit_scale(params)}
    context.update({name: batch[name] for name in ("groups", "mask") if name in batch})
    for number, name in enumerate(model.widths):
        rows = batch[f"rows.{name}"]
        z = None
        blocks = {"": f"pairs.{name}", "neighbours.": f"neighbours.{name}", "unpaired.": f"unpaired.{name}"}
        for block, index in blocks.items():
            if f"{block or 'features.'}{name}" in wanted:
                context[f"{block or 'features.'}{name}"] = rows[batch[index]]
            if f"z.{block}{name}" in wanted:
                if z is None:
                    z_key = None if key is None else jax.random.fold_in(key, number)
                    z = model.project(params, name, rows, train=key is not None, key=z_key)
                context[f"z.{block}{name}"] = z[batch[index]]
    return context


def make_steps(model: TwoTower, terms: list[Term], optimizer: optax.GradientTransformation, *, seed: int, ema: float
               ) -> tuple[Callable, Callable]:
    """`train_step(state, batch, axis_name) -> (state, metrics)` and `diagnose(state, batch, axis_name) -> metrics`.

    The gradient is averaged over `axis_name`: with losses that equal the loss of the whole batch on every device this is
    the one reduction that is right under pmap and shard_map alike.
    """
    wanted = {key for term in terms for key in term.inputs.values()}

    def values(params, batch, step, axis_name):
        key = jax.random.fold_in(jax.random.key(seed), step)
        if axis_name is not None:
            key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))
        context = make_context(model, params, batch, wanted=wanted, key=key)
        return {term.name: term(context, axis_name=axis_name) for term in terms}

    def objective(params, batch, step, axis_name):
        parts = values(params, batch, step, axis_name)
        return sum(term.weight(step) * parts[term.name] for term in terms), parts

    def mean(tree, axis_name):
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def train_step(state: TrainState, batch: Batch, axis_name: str | None = None):
        (loss, parts), grads = jax.value_and_grad(objective, has_aux=True)(state.params, batch, state.step, axis_name)
        grads = mean(grads, axis_name)
        with jax.numpy_dtype_promotion("standard"):  # optax raises float32 decay rates to int32 counts
            updates, opt = optimizer.update(grads, state.opt, state.params)
        params = optax.apply_updates(state.params, updates)
        average = jax.tree.map(lambda a, p: ema * a + (1 - ema) * p, state.ema, params) if ema else state.ema
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)}
        metrics.update({f"loss/{name}": value for name, value in parts.items()})
        return state._replace(step=state.step + 1, params=params, opt=opt, ema=average), mean(metrics, axis_name)

    def diagnose(state: TrainState, batch: Batch, axis_name: str | None = None):
        metrics = {}
        for term in terms:
            grads = jax.grad(lambda p, term=term: values(p, batch, state.step, axis_name)[term.name])(state.params)
            metrics[f"grad_norm/{term.name}"] = term.weight(state.step) * optax.tree.norm(mean(grads, axis_name))
        x_name, y_name = model.widths
        context = make_context(model, state.params, batch, wanted={f"z.{x_name}", f"z.{y_name}"})
        x, y = (gather_rows(context[f"z.{name}"], axis_name) for name in (x_name, y_name))
        metrics["alignment"] = diagnostics.alignment(x, y)
        metrics["modality_gap"] = diagnostics.modality_gap(x, y)
        for name, z in ((x_name, x), (y_name, y)):
            metrics[f"effective_rank/{name}"] = diagnostics.effective_rank(z)
            metrics[f"mean_cosine/{name}"] = diagnostics.mean_cosine(z)
            metrics[f"uniformity/{name}"] = diagnostics.uniformity(z)
        metrics["temperature"] = 1 / context["logit_scale"]
        return jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), metrics)

    return train_step, diagnose
