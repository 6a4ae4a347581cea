"""Pages and texts of results: one look for all, made from a `Comparison` or its `results.json` alone."""

from gera_jax.reports.page import write
from gera_jax.reports.words import next_steps as next_steps
from gera_jax.reports.words import text

__all__ = ["text", "write"]
