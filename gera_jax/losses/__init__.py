"""Losses: pure functions of arrays, one signature for all (see the docstring of `info_nce`)."""

from __future__ import annotations

from gera_jax.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from gera_jax.losses.diffusion_alignment import diffusion_alignment
from gera_jax.losses.geodesic_contrastive import geodesic_guided_contrastive
from gera_jax.losses.grounding import moment_bce, moment_to_sentence
from gera_jax.losses.shapley import shapley_interaction
from gera_jax.losses.sigmoid import sigmoid_contrastive

__all__ = [
    "diffusion_alignment",
    "geodesic_guided_contrastive",
    "info_nce",
    "moment_bce",
    "moment_to_sentence",
    "nt_xent",
    "shapley_interaction",
    "sigmoid_contrastive",
    "symmetric_info_nce",
]
