"""Tables of embeddings with ids, the pairs that are known, their split, preprocessing and batches."""

from gera_jax.data import catalog
from gera_jax.data.alignment import build_data as build_data
from gera_jax.data.load import load_pairs
from gera_jax.data.pairs import Pairs
from gera_jax.data.preprocessing import Preprocessor
from gera_jax.data.rows import as_rows
from gera_jax.data.tables import Table, load_table

__all__ = ["Pairs", "Preprocessor", "Table", "as_rows", "catalog", "load_pairs", "load_table"]
