"""ASIF: each row is described by its similarities to the known pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.solvers.linear import SharedSpace, check_pairs, directions, from_mean, mean_row, unit_rows
from gera_jax.solvers.settings import check_count, check_number


class ASIF(SharedSpace):
    """Relative representations: r(x) = l2(top_k(max(cos(x, pairs), 0))^power), and likewise for y.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(20, 8))
    >>> ASIF(k=5).fit(x, x).similarity(x, x).argmax(axis=1).tolist() == list(range(20))
    True

    Args:
      k: entries kept, the largest; more than the number of pairs means all.
      power: > 0; sharpens the similarities.
      center: subtract the mean of the pairs and the unpaired rows before the cosine. Not in the original, but
        raw embeddings lie in a cone in which every cosine is high.

    Negative cosines are clipped at 0 before the power: with an even power they would turn positive.

    Cost: O(n p d); the shared space has p dimensions, and transforms are dense [n, p].

    Source: Norelli et al., "ASIF: Coupled Data Turns Unimodal Models to Multimodal Without Training"
    (NeurIPS 2023). Differs from the released code: both sides are normalised; there, the text only.
    """

    def __init__(self, k: int = 800, power: float = 8.0, center: bool = True):
        check_count(k, "k", 1)
        check_number(power, "power", positive=True)
        require(isinstance(center, bool | np.bool_), "center", got=center, wanted="True or False")
        self.k, self.power, self.center = k, power, center

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> ASIF:
        """Remember the pairs [p, dx], [p, dy]; unpaired rows x, y only make the means better.

        Raises:
          InputError: the pairs of a side lie in one direction from the mean.
        """
        x_pairs, y_pairs, x, y = check_pairs(x_pairs, y_pairs, x, y)
        self.x_mean, self.y_mean = mean_row(x_pairs, x) * self.center, mean_row(y_pairs, y) * self.center
        self.x_anchors, self.y_anchors = directions(x_pairs, self.x_mean, "x_pairs"), directions(y_pairs, self.y_mean, "y_pairs")
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, p], at most k of them nonzero; a row without a positive similarity is zero."""
        return self._relative(from_mean(self._checked(x, "x", 0), self.x_mean), self.x_anchors)

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, p], at most k of them nonzero; a row without a positive similarity is zero."""
        return self._relative(from_mean(self._checked(y, "y", 1), self.y_mean), self.y_anchors)

    def _relative(self, rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        cosine = np.maximum(unit_rows(rows) @ anchors.T, 0.0)
        p = len(anchors)
        if self.k < p:
            drop = np.argpartition(cosine, p - self.k, axis=1)[:, : p - self.k]
            np.put_along_axis(cosine, drop, 0.0, axis=1)
        # the largest becomes 1 before the power, so that a high power of a small cosine does not underflow
        largest = cosine.max(axis=1, keepdims=True)
        return unit_rows((cosine / np.where(largest == 0, 1.0, largest)) ** self.power)
