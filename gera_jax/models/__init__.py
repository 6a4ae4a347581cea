"""Heads and the two-tower model (the only room that imports flax)."""

from gera_jax.models.linear import Identity, Linear
from gera_jax.models.proposal_map import ProposalMap
from gera_jax.models.proposals import Proposals
from gera_jax.models.residual import LowRankResidual, ProjectionMLP, ResidualMLP
from gera_jax.models.two_tower import HEADS, TwoTower

__all__ = [
    "HEADS",
    "Identity",
    "Linear",
    "LowRankResidual",
    "ProjectionMLP",
    "ProposalMap",
    "Proposals",
    "ResidualMLP",
    "TwoTower",
]
