"""Tables of embeddings with ids, the pairs that are known, their split, preprocessing and batches."""

from gera_jax.data import catalog, synthetic
from gera_jax.data.alignment import AlignmentData, build_data, inspect_data
from gera_jax.data.builder import build_dataset
from gera_jax.data.features import Features
from gera_jax.data.load import load_pairs
from gera_jax.data.pairs import Pairs
from gera_jax.data.preprocessing import Preprocessor
from gera_jax.data.rows import as_rows
from gera_jax.data.sampling import EpochOrder, Sampler
from gera_jax.data.tables import Table, inspect_table, load_layers, load_table
from gera_jax.data.validation import Report, validate_table

__all__ = [
    "AlignmentData",
    "EpochOrder",
    "Features",
    "Pairs",
    "Preprocessor",
    "Report",
    "Sampler",
    "Table",
    "as_rows",
    "build_data",
    "build_dataset",
    "catalog",
    "inspect_data",
    "inspect_table",
    "load_layers",
    "load_pairs",
    "load_table",
    "synthetic",
    "validate_table",
]
