"""The pairwise sigmoid contrastive loss: every (query, candidate) cell is its own yes-or-no question."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import clean_rows, keep_rows, scalar
from gera_jax.losses.positives import Matching, check_matching
from gera_jax.losses.reduction import REDUCTIONS, Reduction, reduce_rows, row_weights
from gera_jax.losses.tiles import Folds, Side, check_block_size, fold


def sigmoid_contrastive(
    x: Array,
    y: Array,
    *,
    logit_scale: ArrayLike = 10.0,
    logit_bias: ArrayLike = -10.0,
    x_groups: Array | None = None,
    y_groups: Array | None = None,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    block_size: int | None = None,
    axis_name: str | None = None,
) -> Array:
    """Binary cross-entropy of every (query, candidate) cell, summed over the candidates.

    >>> import jax.numpy as jnp
    >>> print(f"{sigmoid_contrastive(jnp.zeros((3, 4)), jnp.zeros((3, 4)), logit_bias=0.0):.6f}")  # 3 log 2
    2.079442
    >>> print(f"{sigmoid_contrastive(jnp.eye(3), jnp.eye(3), logit_scale=20.0):.6f}")  # 3 log(1 + exp(-10))
    0.000136

    l_i = sum_j softplus(-(2 T_ij - 1)(logit_scale x_i.y_j + logit_bias)), where T_ij is 1 for a match and 0 otherwise. Nothing is
    normalised inside: pass unit rows. Gradients reach x, y, logit_scale and logit_bias (and weights, if they depend on
    parameters).

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, d] queries.
      y: [m, d] candidates; row i matches row i (so m = n) unless groups are given.
      logit_scale: 1 / temperature, a positive scalar.
      logit_bias: scalar added to every score; about -log(n) makes few matches among many cells the starting belief.
      x_groups, y_groups: [n], [m] integers; T_ij = [x_groups_i = y_groups_j].
      x_mask, y_mask: a query with no positive left counts as masked.

    Returns:
      >= 0; m log 2 when every logit is 0. O(n m d) time, O(n m) memory, in tiles O((n + m) d).

    Raises:
      InputError: one group without the other.

    Source: Zhai et al. 2023 (SigLIP), arXiv 2303.15343, equation 1.
    """
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_block_size(block_size)
    matching = Matching(None, x_groups, y_groups, x_mask, y_mask, axis_name)
    check_matching(x, y, matching, weights)
    x, y = clean_rows((x, y), (x_mask, y_mask))
    scale = scalar(logit_scale, x.dtype, "logit_scale", positive=True)
    bias = scalar(logit_bias, x.dtype, "logit_bias", positive=False)
    x_items, y_items = matching.items(len(x), len(y))
    row = Side((x * scale, jnp.broadcast_to(bias, len(x))), x_items, x_mask)
    column = Side(y, y_items, y_mask)
    folds = fold(_Questions(counted=not matching.alone()), row, column, block_size=block_size, axis_name=axis_name)
    losses, *mass = folds.row_sum
    valid = matching.counted(x_mask, *mass or (None,))
    return reduce_rows(keep_rows(losses, valid), row_weights(valid, weights, len(x), x.dtype), reduction, axis_name)


@dataclass(frozen=True)
class _Questions:
    """Cross-entropies of all cells and, where `counted`, how many positives a row has."""

    counted: bool

    def __call__(self, row: Side, column: Side, _: None) -> Folds:
        rows, bias = row.values
        logits, positive = rows @ column.values.T + bias[:, None], row.marks[:, None] == column.marks[None, :]
        # The sign goes inside softplus: softplus(l) - l would lose all digits of a confident match.
        cells = jax.nn.softplus(jnp.where(positive, -logits, logits))
        return Folds(row_sum=(cells, positive.astype(cells.dtype)) if self.counted else (cells,))
