"""The moments of a recording that a sentence is true of: all of G2L but its losses, loaded when asked for."""

from gera_jax.moments.data import GroundingData, Recordings, build_grounding, inspect_grounding
from gera_jax.moments.files import read_annotations, read_clips
from gera_jax.moments.proposal_map import ProposalMap
from gera_jax.moments.proposals import Proposals
from gera_jax.moments.sampling import GroundingSampler

__all__ = [
    "GroundingData",
    "GroundingSampler",
    "ProposalMap",
    "Proposals",
    "Recordings",
    "build_grounding",
    "inspect_grounding",
    "read_annotations",
    "read_clips",
]
