"""Generalised CCA: one shared space of any number of modalities, from rows of which some may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.solvers.linear import from_mean, mean_row, require_varied, unit_rows, wide_rows
from gera_jax.solvers.ridge_cca import regularization_rule, whitener
from gera_jax.solvers.settings import check_auto, check_dim, check_number


class GeneralizedCCA:
    """The directions in which whitened modalities agree most, with a ridge (MAX-VAR generalised CCA).

    >>> z = np.random.default_rng(0).normal(size=(100, 3))
    >>> rows = {"a": z, "b": z[:, ::-1], "c": 2 * z}
    >>> GeneralizedCCA(regularization=1e-6).fit(rows).correlations.round(4).tolist()
    [1.0, 1.0, 1.0]

    With means over rows, whiteners L_m = (S_mm + g_m I)^-1/2, g_m = regularization * trace(S_mm) / d_m, and cross-covariances
    S_ab over the items that have both a and b, the block matrix R of R_ab = L_a S_ab L_b (a != b), R_mm = I has the leading
    eigenvectors V = [V_1; ...; V_M] and eigenvalues lambda <= M; rho = (lambda - 1) / (M - 1) is the mean correlation of a
    direction, and weights_m = L_m V_m diag(rho)^correlation_power sqrt(M). For two modalities with no row missing this is
    `RidgeCCA`.

    Args:
      dim: width r; None = all directions with rho > 0. Always r < the number of items.
      regularization: >= 0, relative to trace(covariance) / d, or "auto" = `regularization_rule` of the number of rows that a
        modality has.
      correlation_power: >= 0, weight of a direction by its mean correlation.

    Attributes after fit:
      weights (name -> [d, r]), offsets (name -> [r]), correlations [r] descending.

    Cost: O(sum_m n d_m^2 + D^3) in float64, D the sum of the ranks of the modalities.

    Source: Kettenring, "Canonical analysis of several sets of variables" (Biometrika 1971), MAXVAR.
    """

    weights: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray]
    correlations: np.ndarray

    def __init__(self, dim: int | None = None, regularization: float | Literal["auto"] = "auto", correlation_power: float = 1.0):
        check_dim(dim)
        check_auto(regularization, "regularization")
        check_number(correlation_power, "correlation_power")
        self.dim, self.regularization, self.correlation_power = dim, regularization, correlation_power

    def fit(self, rows: Mapping[str, Any], masks: Mapping[str, np.ndarray] | None = None) -> GeneralizedCCA:
        """Fit on items' rows.

        Args:
          rows: modality -> [n, d_m]; row i of each belongs to item i.
          masks: modality -> [n] bool, False where an item lacks it (its row is not read); absent = all there.

        Raises:
          InputError: fewer than two modalities, unequal rows, fewer than two rows of a modality, no item in common with
            another, or a modality whose rows are all equal, or vary with no other.
        """
        names, masks = list(rows), dict(masks or {})
        require(len(names) >= 2, "rows", got=f"{len(names)} modalities", wanted="at least 2")
        for name in masks:
            require_known(name, names, "mask of modality")
        wide = {name: wide_rows(rows[name], name, where=masks.get(name)) for name in names}
        counts = {name: len(wide[name]) for name in names}
        require(len(set(counts.values())) == 1, "rows", got=counts, wanted="as many of each modality, row i of item i")
        n = counts[names[0]]
        has = {name: np.asarray(masks.get(name, np.ones(n)), bool) for name in names}
        means, whiteners, white = {}, {}, {}
        for name in names:
            require(has[name].sum() >= 2, name, got=f"{has[name].sum()} rows", wanted="at least 2 pairs")
            real = wide[name][has[name]]
            require_varied(real, name)
            means[name] = mean_row(real)
            ridge = regularization_rule(len(real)) if isinstance(self.regularization, str) else float(self.regularization)
            whiteners[name] = whitener(from_mean(real, means[name]), ridge, name)
            white[name] = np.zeros((n, whiteners[name].shape[1]))
            white[name][has[name]] = from_mean(real, means[name]) @ whiteners[name]
        ends = np.cumsum([white[name].shape[1] for name in names])
        where = dict(zip(names, map(slice, [0, *ends[:-1]], ends), strict=True))
        agreement = np.eye(ends[-1])
        for i, a in enumerate(names):
            together = {b: has[a] & has[b] for b in names if b != a}
            got, wanted = "no item in common with another modality", "items that have two modalities"
            remedy = "Are ids written alike in all files?"
            require(any(both.any() for both in together.values()), a, got=got, wanted=wanted, remedy=remedy)
            for b in names[i + 1 :]:
                both = together[b]
                block = white[a][both].T @ white[b][both] / max(1, both.sum())
                agreement[where[a], where[b]], agreement[where[b], where[a]] = block, block.T
        values, vectors = np.linalg.eigh(agreement)
        rho = (values[::-1] - 1) / (len(names) - 1)
        r = min(n - 1, int((rho > 1e-9).sum()), len(rho) if self.dim is None else self.dim)
        remedy = "Does row i of each belong to one item?"
        require(r >= 1, "rows", got="modalities that do not vary together", wanted="at least one common direction", remedy=remedy)
        scale = np.maximum(rho[:r], 0) ** self.correlation_power * np.sqrt(len(names))
        leading = vectors[:, ::-1][:, :r] * scale
        self.correlations = rho[:r]
        self.weights = {name: whiteners[name] @ leading[where[name]] for name in names}
        self._means = means
        self.offsets = {name: -means[name] @ self.weights[name] for name in names}
        return self

    def transform(self, name: str, rows: Any) -> np.ndarray:
        """Unit rows [n, r] of the shared space."""
        remedy = "Call .fit(rows) first."
        require(hasattr(self, "weights"), "GeneralizedCCA", got="a call before fit", wanted="a fitted object", remedy=remedy)
        require_known(name, self.weights, "modality")
        weights = self.weights[name]
        return unit_rows(from_mean(wide_rows(rows, name, width=len(weights), least=0), self._means[name]) @ weights)
