"""Closed forms with no training loop: what to beat, and what to fall back on."""

from __future__ import annotations

from gera_jax.baselines.asif import ASIF
from gera_jax.baselines.generalized_cca import GeneralizedCCA
from gera_jax.baselines.linear import Baseline, LinearHeads
from gera_jax.baselines.procrustes import Procrustes
from gera_jax.baselines.ridge_cca import RidgeCCA, regularization_rule

__all__ = ["ASIF", "Baseline", "GeneralizedCCA", "LinearHeads", "Procrustes", "RidgeCCA", "regularization_rule"]
