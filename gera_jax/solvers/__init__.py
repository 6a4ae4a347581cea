"""Closed forms: methods that are fitted on pairs without a training loop.

    >>> import numpy as np
    >>> from gera_jax.solvers import RidgeCCA
    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> RidgeCCA().fit(x[:30], 2 * x[:30]).similarity(x[30:], 2 * x[30:]).shape
    (20, 20)

`fit(x_pairs, y_pairs, x=None, y=None)` takes known pairs [p, dx] and [p, dy], where row i belongs to row i, and unpaired rows x
[n, dx] and y [m, dy]. Every `fit` raises `InputError` for pairs of unequal row counts, fewer than two pairs, unpaired rows of
another width, NaN or infinity, and a side whose pairs are all equal. Settings out of range raise it when the object is made.
"""

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
