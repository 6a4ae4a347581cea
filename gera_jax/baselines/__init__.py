"""Closed forms with no training loop: what to beat, and what to fall back on."""

from __future__ import annotations

from gera_jax.baselines.asif import ASIF
from gera_jax.baselines.cotrained import CotrainedHeads
from gera_jax.baselines.csa import CSA
from gera_jax.baselines.generalized_cca import GeneralizedCCA
from gera_jax.baselines.kernel_cca import KernelCCA
from gera_jax.baselines.linear import Baseline, LinearHeads
from gera_jax.baselines.procrustes import Procrustes
from gera_jax.baselines.ridge_cca import RidgeCCA, regularization_rule
from gera_jax.baselines.sue import SUE
from gera_jax.baselines.wasserstein_procrustes import WassersteinProcrustes, quadratic_assignment

__all__ = [
    "ASIF",
    "Baseline",
    "CSA",
    "CotrainedHeads",
    "GeneralizedCCA",
    "KernelCCA",
    "LinearHeads",
    "Procrustes",
    "quadratic_assignment",
    "regularization_rule",
    "RidgeCCA",
    "SUE",
    "WassersteinProcrustes",
]
