"""The pairwise sigmoid contrastive loss: every (query, candidate) cell is its own yes-or-no question."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax.losses.inputs import check_pair, compute_dtype, scalar
from gera_jax.losses.positives import check_matching, find_positives
from gera_jax.losses.reduction import Reduction, check_reduction, reduce_rows, row_weights
from gera_jax.ops import gather_rows, sanitize


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
    axis_name: str | None = None,
) -> Array:
    """Binary cross-entropy of every (query, candidate) cell, summed over the candidates.

    l_i = sum_j softplus(-(2 T_ij - 1)(logit_scale x_i.y_j + logit_bias)), where T_ij is 1 for a match and 0 otherwise. Nothing is
    normalised inside: pass unit rows. Gradients reach x, y, logit_scale and logit_bias (and weights, if they depend on
    parameters).

    Args:
      x: [n, d] queries.
      y: [m, d] candidates; row i matches row i (so m = n) unless groups are given.
      logit_scale: 1 / temperature, a positive scalar.
      logit_bias: scalar added to every score; about -log(n) makes few matches among many cells the starting belief.
      x_groups: [n] integers; T_ij = [x_groups_i = y_groups_j].
      y_groups: [m] integers.
      x_mask: [n] bool, True = a real query.
      y_mask: [m] bool, True = a candidate that exists. A query with no positive left counts as masked.
      weights: [n] >= 0.
      reduction: "mean" is sum(w l) / sum(w) over the rows of all devices, "sum" is sum(w l); "none" is w_i l_i of this
        device [n], 0 where masked.
      axis_name: mapped axis over which the rows of the batch are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar ([n] for "none") >= 0, float32 (float64 for float64 inputs); m log 2 when every logit is 0; 0 if everything is
      masked. O(n m d) time, O(n m) memory.

    Raises:
      ValueError: for wrong ranks, widths or rows, a logit_scale <= 0, one group without the other, an unknown reduction.

    >>> import jax.numpy as jnp
    >>> print(f"{sigmoid_contrastive(jnp.zeros((3, 4)), jnp.zeros((3, 4)), logit_bias=0.0):.6f}")  # 3 log 2
    2.079442
    >>> print(f"{sigmoid_contrastive(jnp.eye(3), jnp.eye(3), logit_scale=20.0):.6f}")  # 3 log(1 + exp(-10))
    0.000136

    Source: Zhai et al. 2023 (SigLIP), arXiv 2303.15343, equation 1.
    """
    check_reduction(reduction)
    check_pair(x, y, paired=x_groups is None and y_groups is None)
    check_matching(
        len(x), len(y), x_groups=x_groups, y_groups=y_groups, x_mask=x_mask, y_mask=y_mask, weights=weights, axis_name=axis_name
    )
    x, y = jnp.asarray(x), jnp.asarray(y)
    dtype = compute_dtype(x, y)
    scale = scalar(logit_scale, dtype, "logit_scale", positive=True)
    bias = scalar(logit_bias, dtype, "logit_bias", positive=False)
    x, y = sanitize(x.astype(dtype), x_mask), gather_rows(sanitize(y.astype(dtype), y_mask), axis_name)
    n, m = len(x), len(y)
    positives = find_positives(
        n, m, targets=None, x_groups=x_groups, y_groups=y_groups, x_mask=x_mask, y_mask=y_mask, axis_name=axis_name, dtype=dtype
    )
    match = positives.mass
    if match is None:
        match = positives.columns[:, None] == jnp.arange(m, dtype=jnp.int32)[None, :]
    logits = (x * scale) @ y.T + bias
    # The sign goes inside softplus: softplus(l) - l would lose all digits of a confident match.
    cells = jax.nn.softplus(jnp.where(match, -logits, logits))
    if y_mask is not None:
        cells = jnp.where(gather_rows(y_mask, axis_name)[None, :], cells, jnp.zeros((), dtype))
    losses = cells.sum(1)
    if positives.valid is not None:
        losses = jnp.where(positives.valid, losses, jnp.zeros_like(losses))
    return reduce_rows(losses, row_weights(positives.valid, weights, n, dtype), reduction, axis_name)
