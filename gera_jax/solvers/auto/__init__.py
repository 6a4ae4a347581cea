"""The recipe `auto`: views of the rows, ridge CCA on each view, and weights of the views estimated from held-out pairs."""

from gera_jax.solvers.auto.recipe import CotrainedHeads

__all__ = ["CotrainedHeads"]
