"""Softmax contrastive losses: InfoNCE one way, both ways, and over two views of one set (NT-Xent)."""

from __future__ import annotations

import numbers

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_pair, check_same_rows, clean_rows, keep_logits, keep_rows, scalar
from gera_jax.losses.positives import (
    Matching,
    Positives,
    check_matching,
    find_positives,
    keep_candidates,
    positive_cells,
    positive_mean,
)
from gera_jax.losses.reduction import REDUCTIONS, Reduction, reduce_rows, row_weights
from gera_jax.ops.collectives import gather_rows, row_offset


def info_nce(
    x: Array,
    y: Array,
    *,
    logit_scale: ArrayLike = 1 / 0.07,
    margin: ArrayLike = 0.0,
    targets: Array | None = None,
    x_groups: Array | None = None,
    y_groups: Array | None = None,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding each query's positive: l_i = logsumexp_j S_ij - sum_j targets_ij S_ij, S = logit_scale x y^T.

    >>> import jax.numpy as jnp
    >>> print(f"{info_nce(jnp.eye(3), jnp.eye(3), logit_scale=1.0):.6f}")  # log(1 + 2 / e)
    0.551445
    >>> print(f"{info_nce(jnp.eye(3), jnp.ones((3, 3)), logit_scale=1.0):.6f}")  # no information: log 3
    1.098612

    With a margin, S_ij = logit_scale (x_i.y_j - margin) where j is a positive of i: it has to win by that much. Nothing is
    normalised inside: pass unit rows for cosine similarities. Gradients reach x, y, logit_scale, margin (and targets and weights,
    if they depend on parameters).

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, d] queries.
      y: [m, d] candidates; row i matches row i (so m = n) unless targets or groups are given.
      logit_scale: 1 / temperature, a positive scalar.
      margin: scalar taken off the positives' similarities, before the scale; positives are the entries with a target above 0.
      targets: [n, m] >= 0, rows sum to 1 (rows are renormalised over the candidates that exist). Under `axis_name` the
        columns are the candidates of all devices.
      x_groups, y_groups: [n], [m] integers; the positives of query i are all j with y_groups_j = x_groups_i, with equal shares.
      x_mask, y_mask: a query with no positive left counts as masked.

    Returns:
      >= 0; log m when all candidates score alike. O(n m d) time, O(n m) memory.

    Raises:
      InputError: targets together with groups, or one group without the other.

    Source: van den Oord et al. 2018, arXiv 1807.03748; both ways in CLIP, arXiv 2103.00020. The margin: additive margin softmax,
    as in Ilharco et al. 2019 (masked margin softmax), arXiv 1909.08782.
    """
    matching = Matching(targets, x_groups, y_groups, x_mask, y_mask, axis_name)
    x, y, scale = _prepare(x, y, logit_scale, matching, weights, reduction)
    valid, losses = _losses(_logits(x, gather_rows(y, axis_name), scale), _lead(margin, scale), matching)
    return reduce_rows(losses, row_weights(valid, weights, len(x), x.dtype), reduction, axis_name)


def symmetric_info_nce(
    x: Array,
    y: Array,
    *,
    logit_scale: ArrayLike = 1 / 0.07,
    margin: ArrayLike = 0.0,
    targets: Array | None = None,
    x_groups: Array | None = None,
    y_groups: Array | None = None,
    x_mask: Array | None = None,
    y_mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | None = None,
) -> Array:
    """Mean of both directions: (info_nce(x, y) + info_nce(y, x)) / 2, from one product x y^T.

    >>> import jax.numpy as jnp
    >>> x, y = jnp.eye(2), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    >>> print(f"{symmetric_info_nce(x, y, logit_scale=1.0):.6f}")
    0.753204
    >>> print(f"{(info_nce(x, y, logit_scale=1.0) + info_nce(y, x, logit_scale=1.0)) / 2:.6f}")
    0.753204
    >>> similarities = jnp.array([[0.9, 0.2], [0.1, 0.8]])
    >>> print(f"{2 * symmetric_info_nce(similarities, jnp.eye(2), logit_scale=1.0, margin=0.001):.6f}")
    0.808145

    Two published losses are twice this one, since they sum the directions: NormSoftmax at logit_scale = 1 / 0.05, and the masked
    margin softmax at margin = 0.001, logit_scale = 1. Gradients are those of `info_nce`.

    Args (the others are those of `info_nce`):
      x, y: [n, d], [m, d] rows of two modalities; row i matches row i (so m = n) unless targets or groups are given.
      targets: [n, m] >= 0; its rows are normalised for x -> y, its columns for y -> x. Not under `axis_name`: use groups.
      weights: [n] >= 0, weigh the pairs in both directions (so m = n).
      reduction: "mean" or "sum" in each direction, then the mean of the two; "none" is the mean of row i's two terms (so m = n).

    Returns:
      >= 0; log n when all pairs score alike. O(n m d) time, O(n m) memory.

    Raises:
      InputError: as `info_nce`; also for targets under `axis_name`, and for weights or "none" where m != n.

    Source: Radford et al. 2021 (CLIP), arXiv 2103.00020, figure 3.
    """
    matching = Matching(targets, x_groups, y_groups, x_mask, y_mask, axis_name)
    n, m = len(x), len(y)
    fine, name = n == m or (weights is None and reduction != "none"), "reduction" if weights is None else "weights"
    x, y, scale = _prepare(x, y, logit_scale, matching, weights, reduction)
    remedy = "Use info_nce for each direction."
    checks.require(fine, name, got=f"{n} rows of x and {m} of y", wanted="as many rows of y as of x", remedy=remedy)
    got, remedy = f'targets under axis_name="{axis_name}"', "Pass groups: no device holds the columns of all targets."
    checks.require(targets is None or axis_name is None, "targets", got=got, wanted="x_groups and y_groups there", remedy=remedy)
    logits = back_logits = _logits(x, gather_rows(y, axis_name), scale)
    if axis_name is not None:  # each way needs its own gathered candidates; one device reads the same product down its columns
        back_logits = _logits(y, gather_rows(x, axis_name), scale)
    lead, back_axis = _lead(margin, scale), int(axis_name is not None)
    ways = (n, *_losses(logits, lead, matching)), (m, *_losses(back_logits, lead, matching.turned(), back_axis))
    first, second = (
        reduce_rows(losses, row_weights(valid, weights, rows, x.dtype), reduction, axis_name) for rows, valid, losses in ways
    )
    return (first + second) / 2


def nt_xent(
    x: Array,
    y: Array,
    *,
    logit_scale: ArrayLike = 1 / 0.5,
    mask: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | None = None,
) -> Array:
    """Each of 2n views finds its partner among the 2n - 1 others: l_i = logsumexp_{j != i} S_ij - S_i,partner, z = [x; y].

    >>> import jax.numpy as jnp
    >>> print(f"{nt_xent(jnp.eye(2), jnp.eye(2), logit_scale=1.0):.6f}")  # log(1 + 2 / e)
    0.551445

    S = logit_scale z z^T; a pair's loss is the mean of its two views'. Nothing is normalised inside. Gradients reach x, y and
    logit_scale (and weights, if they depend on parameters).

    Args (the others are those of every loss, see `gera_jax.losses`; mask, weights and reduction are of pairs):
      x, y: [n, d] first and second views; row i of y is the partner of row i of x.
      logit_scale: 1 / temperature, a positive scalar.

    Returns:
      >= 0; log(2n - 1) when all views score alike; 0 for n = 1. O(n^2 d) time, O(n^2) memory.

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, equation 1.
    """
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_pair(x, y)
    check_same_rows(x, y, "y")
    n = len(x)
    check_mask(mask, (n,), "mask")
    checks.require_shape(weights, (n,), "weights", remedy="One weight per pair.")
    x, y = clean_rows((x, y), (mask, mask))
    scale = scalar(logit_scale, x.dtype, "logit_scale", positive=True)
    candidates = jnp.concatenate([gather_rows(x, axis_name), gather_rows(y, axis_name)])
    exists = None if mask is None else jnp.tile(gather_rows(mask, axis_name), 2)[None, :]
    first = row_offset(n, axis_name) + jnp.arange(n, dtype=jnp.int32)
    second = first + candidates.shape[0] // 2
    own, partner = jnp.concatenate([first, second]), jnp.concatenate([second, first])
    logits = _logits(jnp.concatenate([x, y]), candidates, scale)
    logits = keep_logits(logits, own[:, None] != jnp.arange(candidates.shape[0], dtype=jnp.int32)[None, :])
    logits = keep_logits(logits, exists)
    losses = _cross_entropy(logits, Positives(partner, None, None if mask is None else jnp.tile(mask, 2)))
    pairs = (losses[:n] + losses[n:]) / 2
    return reduce_rows(pairs, row_weights(mask, weights, n, x.dtype), reduction, axis_name)


def _prepare(x, y, logit_scale, matching, weights, reduction) -> tuple[Array, Array, Array]:
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_matching(x, y, matching, weights)
    x, y = clean_rows((x, y), (matching.x_mask, matching.y_mask))
    return x, y, scalar(logit_scale, x.dtype, "logit_scale", positive=True)


def _lead(margin: ArrayLike, scale: Array) -> Array | None:
    """The margin in units of the logits; None for no margin, which then costs nothing."""
    if isinstance(margin, numbers.Real) and margin == 0:
        return None
    return scale * scalar(margin, scale.dtype, "margin", positive=False)


def _losses(logits: Array, lead: Array | None, matching: Matching, axis: int = 1) -> tuple[Array | None, Array]:
    """Which queries count and their losses; the candidates of all devices lie along `axis` of `logits`."""
    positives = find_positives(logits.shape[1 - axis], matching, logits.dtype)
    if lead is not None:
        logits = logits - jnp.where(positive_cells(positives, logits.shape, axis), lead, jnp.zeros((), lead.dtype))
    return positives.valid, _cross_entropy(keep_candidates(logits, matching, axis), positives, axis)


def _logits(x: Array, y: Array, scale: Array) -> Array:
    # The scale goes onto the rows: n d products instead of n m, and its gradient needs no second n m array.
    return (x * scale) @ y.T


def _cross_entropy(logits: Array, positives: Positives, axis: int = 1) -> Array:
    return keep_rows(jax.nn.logsumexp(logits, axis=axis) - positive_mean(logits, positives, axis), positives.valid)
