"""Closed forms with no training loop: what to beat, and what to fall back on."""

from __future__ import annotations

from gera_jax.solvers.asif import ASIF
from gera_jax.solvers.auto.recipe import CotrainedHeads
from gera_jax.solvers.csa import CSA
from gera_jax.solvers.generalized_cca import GeneralizedCCA
from gera_jax.solvers.kernel_cca import KernelCCA
from gera_jax.solvers.linear import Baseline, LinearHeads
from gera_jax.solvers.procrustes import Procrustes
from gera_jax.solvers.ridge_cca import RidgeCCA, regularization_rule
from gera_jax.solvers.sue import SUE
from gera_jax.solvers.wasserstein_procrustes import WassersteinProcrustes, quadratic_assignment

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
