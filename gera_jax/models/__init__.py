"""Heads and the two-tower model (with the moments' map the only ones that import flax)."""

from gera_jax.models.two_tower import TwoTower

__all__ = ["TwoTower"]
