"""Tables of embeddings with ids, the pairs that are known, their split, preprocessing and batches."""

from gera_jax.data import catalog as catalog
from gera_jax.data.alignment import build_data as build_data
from gera_jax.data.load import load_pairs as load_pairs
from gera_jax.data.pairs import Pairs as Pairs
from gera_jax.data.preprocessing import Preprocessor as Preprocessor
from gera_jax.data.rows import as_rows
from gera_jax.data.tables import Table, load_table

__all__ = ["Table", "as_rows", "load_table"]
