"""Heads and the two-tower model (with the moments' map the only ones that import flax)."""

from gera_jax.models.linear import Identity, Linear
from gera_jax.models.residual import LowRankResidual, ProjectionMLP, ResidualMLP
from gera_jax.models.two_tower import HEADS, TwoTower

__all__ = [
    "HEADS",
    "Identity",
    "Linear",
    "LowRankResidual",
    "ProjectionMLP",
    "ResidualMLP",
    "TwoTower",
]
