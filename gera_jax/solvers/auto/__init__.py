"""The recipe `auto`: views of the rows, heads on each, their combination by held-out pairs."""

from gera_jax.solvers.auto.recipe import CotrainedHeads

__all__ = ["CotrainedHeads"]
