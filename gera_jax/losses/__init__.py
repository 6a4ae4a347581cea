"""Losses: pure functions of arrays, one signature for all (see the docstring of `info_nce`)."""

from __future__ import annotations

from gera_jax.losses.anchors import anchor_consistency
from gera_jax.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from gera_jax.losses.density import semantic_density
from gera_jax.losses.diffusion_alignment import diffusion_alignment
from gera_jax.losses.geodesic_contrastive import geodesic_guided_contrastive
from gera_jax.losses.grounding import moment_bce, moment_to_sentence
from gera_jax.losses.heat_stress import heat_geodesic_stress
from gera_jax.losses.mixup import geodesic_mixup_contrastive
from gera_jax.losses.mmd import mk_mmd, mmd
from gera_jax.losses.ot_alignment import ot_alignment
from gera_jax.losses.shapley import shapley_interaction
from gera_jax.losses.sigmoid import sigmoid_contrastive
from gera_jax.losses.structure import structure_divergence

__all__ = [
    "anchor_consistency",
    "diffusion_alignment",
    "geodesic_guided_contrastive",
    "geodesic_mixup_contrastive",
    "heat_geodesic_stress",
    "info_nce",
    "mk_mmd",
    "mmd",
    "moment_bce",
    "moment_to_sentence",
    "nt_xent",
    "ot_alignment",
    "semantic_density",
    "shapley_interaction",
    "sigmoid_contrastive",
    "structure_divergence",
    "symmetric_info_nce",
]
