"""Losses: pure functions of arrays, one signature for all (see the docstring of `info_nce`)."""

from __future__ import annotations

from gera_jax.losses.contrastive import info_nce, nt_xent, symmetric_info_nce
from gera_jax.losses.diffusion_alignment import diffusion_alignment
from gera_jax.losses.heat_stress import heat_geodesic_stress
from gera_jax.losses.sigmoid import sigmoid_contrastive

__all__ = [
    "diffusion_alignment",
    "heat_geodesic_stress",
    "info_nce",
    "nt_xent",
    "sigmoid_contrastive",
    "symmetric_info_nce",
]
