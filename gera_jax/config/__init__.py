"""Blocks that configs are made of, and how a config is found, changed and checked.

A config is plain data (an `ml_collections.ConfigDict`): it prints, diffs, hashes and reloads. This is the only module of
the package that a file in `configs/` imports.
"""

from gera_jax.config.blocks import (
    DURATIONS,
    SLOTS,
    adamw,
    base,
    comparison,
    each_pair,
    embedding_pair,
    geometry,
    graph,
    graph_filter,
    grounding,
    matched_pairs,
    modalities,
    optimizer,
    own_or_catalog,
    pairs,
    preprocess,
    set_space,
    sides,
    smoke,
    smoothed_inputs,
    structure,
    views_term,
)
from gera_jax.config.fields import require_fields
from gera_jax.config.files import load, names, read
from gera_jax.config.values import differences, name_and_argument, override, parse_arg, path_and_key, to_json, with_arguments

__all__ = [
    "DURATIONS",
    "SLOTS",
    "adamw",
    "base",
    "comparison",
    "differences",
    "each_pair",
    "embedding_pair",
    "geometry",
    "graph",
    "graph_filter",
    "grounding",
    "load",
    "matched_pairs",
    "modalities",
    "name_and_argument",
    "names",
    "optimizer",
    "override",
    "own_or_catalog",
    "pairs",
    "parse_arg",
    "path_and_key",
    "preprocess",
    "read",
    "require_fields",
    "set_space",
    "sides",
    "smoke",
    "smoothed_inputs",
    "structure",
    "to_json",
    "views_term",
    "with_arguments",
]
