"""The moments of a recording that a sentence is true of: all of G2L but its losses, loaded when asked for."""

from gera_jax.moments.data import build_grounding
from gera_jax.moments.proposal_map import ProposalMap, Proposals

__all__ = ["ProposalMap", "Proposals", "build_grounding"]
