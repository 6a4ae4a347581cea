"""What can be known of a run from its config and the headers of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gera_jax.data import inspect_data
from gera_jax.objectives import build_terms, describe_terms
from gera_jax.training.experiment import available_inputs, build_model, check_config, duration
from gera_jax.training.step import make_context


def preflight(config: ConfigDict) -> dict[str, Any]:
    """Tables, steps and terms of a config, without reading a row.

    Returns:
      dict of `tables` (name -> shape), `steps`, `terms` (text).
    """
    check_config(config)
    tables = inspect_data(config.data.to_dict())
    names = (config.data.x.name, config.data.y.name)
    widths = {name: width_after(config.data.preprocess[side], tables[name][1])
              for side, name in zip(("x", "y"), names, strict=True)}
    model = build_model(config, widths)
    known = available_inputs(config, names)
    pairs = config.data.pairs or min(tables[name][0] for name in names)
    steps = duration(config, pairs=pairs)
    batch = min(config.batch.pairs, pairs)

    def shape(*dims: int, dtype: Any = jnp.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(dims, dtype)

    blocks = {"groups": shape(batch), "mask": shape(batch, dtype=jnp.bool_)}
    for name in names:
        neighbours = 1 + config.graphs[name].knn if name in config.graphs else 1
        blocks[f"rows.{name}"] = shape(batch, widths[name], dtype=jnp.float32)
        blocks[f"pairs.{name}"] = shape(batch)
        blocks[f"neighbours.{name}"] = shape(config.batch.anchors, neighbours)
        blocks[f"unpaired.{name}"] = shape(config.batch.unpaired)
    context = jax.eval_shape(
        lambda values: make_context(model, model.init(jax.random.key(0)), values, wanted=known), blocks)
    terms = build_terms(config.losses.to_dict(), known, total_steps=steps)
    return dict(tables={name: list(shape) for name, shape in tables.items()}, steps=steps, terms=describe_terms(terms, context))


def width_after(preprocess: Mapping[str, Any], width: int) -> int:
    """Width of features once they are prepared."""
    width = min(preprocess["pca"], width) if preprocess["pca"] else width
    smoothing = preprocess["filter"]
    return 2 * width if smoothing["strength"] and smoothing["concatenate"] else width
