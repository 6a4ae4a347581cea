"""Tables of embeddings with ids, their split, preprocessing and batches."""

from gera_jax.data import catalog, synthetic
from gera_jax.data.alignment import AlignmentData, build_data, inspect_data
from gera_jax.data.builder import build_dataset
from gera_jax.data.features import Features
from gera_jax.data.preprocessing import Preprocessor
from gera_jax.data.rows import as_rows
from gera_jax.data.sampling import EpochOrder, Sampler
from gera_jax.data.splits import Split, nested_order, split_by_group, split_by_ids, split_by_ratio
from gera_jax.data.tables import Join, Table, inspect_table, join, load_layers, load_table
from gera_jax.data.validation import Report, validate_join, validate_table

__all__ = [
    "AlignmentData",
    "EpochOrder",
    "Features",
    "Join",
    "Preprocessor",
    "Report",
    "Sampler",
    "Split",
    "Table",
    "as_rows",
    "build_data",
    "build_dataset",
    "catalog",
    "inspect_data",
    "inspect_table",
    "join",
    "load_layers",
    "load_table",
    "nested_order",
    "split_by_group",
    "split_by_ids",
    "split_by_ratio",
    "synthetic",
    "validate_join",
    "validate_table",
]
