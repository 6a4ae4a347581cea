"""Softmax contrastive losses: InfoNCE one way, both ways, and over two views of one set (NT-Xent)."""

from __future__ import annotations

import numbers

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_pair, check_shape, compute_dtype, scalar
from gera_jax.losses.positives import Positives, check_matching, find_positives, positive_cells, positive_mean
from gera_jax.losses.reduction import Reduction, check_reduction, reduce_rows, row_weights
from gera_jax.ops import gather_rows, row_offset, sanitize


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

    With a margin, S_ij = logit_scale (x_i.y_j - margin) where j is a positive of i: it has to win by that much. Nothing is
    normalised inside: pass unit rows for cosine similarities. Gradients reach x, y, logit_scale, margin (and targets and weights,
    if they depend on parameters).

    Args:
      x: [n, d] queries.
      y: [m, d] candidates; row i matches row i (so m = n) unless targets or groups are given.
      logit_scale: 1 / temperature, a positive scalar.
      margin: scalar taken off the positives' similarities, before the scale; positives are the entries with a target above 0.
      targets: [n, m] >= 0, rows sum to 1 (rows are renormalised over the candidates that exist). Under `axis_name` the
        columns are the candidates of all devices.
      x_groups: [n] integers; the positives of query i are all j with y_groups_j = x_groups_i, with equal shares.
      y_groups: [m] integers.
      x_mask: [n] bool, True = a real query.
      y_mask: [m] bool, True = a candidate that exists. A query with no positive left counts as masked.
      weights: [n] >= 0.
      reduction: "mean" is sum(w l) / sum(w), "sum" is sum(w l), both over all devices; "none" is w_i l_i of this device [n],
        0 where masked.
      axis_name: mapped axis over which the rows of the batch are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar ([n] for "none") >= 0, float32 (float64 for float64 inputs); log m when all candidates score alike; 0 if
      everything is masked. O(n m d) time, O(n m) memory.

    Raises:
      ValueError: for wrong ranks, widths or rows, a logit_scale <= 0, targets together with groups, one group without the
        other, an unknown reduction.

    >>> import jax.numpy as jnp
    >>> print(f"{info_nce(jnp.eye(3), jnp.eye(3), logit_scale=1.0):.6f}")  # log(1 + 2 / e)
    0.551445
    >>> print(f"{info_nce(jnp.eye(3), jnp.ones((3, 3)), logit_scale=1.0):.6f}")  # no information: log 3
    1.098612

    Source: van den Oord et al. 2018, arXiv 1807.03748; both ways in CLIP, arXiv 2103.00020. The margin: additive margin softmax,
    as in Ilharco et al. 2019 (masked margin softmax), arXiv 1909.08782.
    """
    _check(x, y, targets, x_groups, y_groups, x_mask, y_mask, weights, reduction, axis_name)
    x, y, scale = _prepare(x, y, logit_scale, x_mask, y_mask)
    logits = _logits(x, gather_rows(y, axis_name), scale)
    lead = _lead(margin, scale)
    positives, losses = _find(logits, 1, lead, targets, x_groups, y_groups, x_mask, y_mask, axis_name)
    return reduce_rows(losses, row_weights(positives.valid, weights, len(x), x.dtype), reduction, axis_name)


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

    Two published losses are twice this one, since they sum the directions: NormSoftmax at logit_scale = 1 / 0.05, and the masked
    margin softmax at margin = 0.001, logit_scale = 1. Gradients reach x, y, logit_scale, margin (and targets and weights, if they
    depend on parameters).

    Args:
      x: [n, d] rows of the first modality.
      y: [m, d] rows of the second; row i matches row i (so m = n) unless targets or groups are given.
      logit_scale: 1 / temperature, a positive scalar.
      margin: scalar taken off the positives' similarities, before the scale (see `info_nce`).
      targets: [n, m] >= 0; its rows are normalised for x -> y, its columns for y -> x. Not under `axis_name`: use groups.
      x_groups: [n] integers; all rows of a group match.
      y_groups: [m] integers.
      x_mask: [n] bool, True = a real row.
      y_mask: [m] bool.
      weights: [n] >= 0, weigh the pairs in both directions (so m = n).
      reduction: "mean" or "sum" over all devices in each direction, then the mean of the two; "none": [n] of this device,
        the mean of row i's two terms w_i l_i (so m = n).
      axis_name: mapped axis over which the rows of the batch are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar ([n] for "none") >= 0, float32 (float64 for float64 inputs); log n when all pairs score alike; 0 if everything
      is masked. O(n m d) time, O(n m) memory.

    Raises:
      ValueError: as `info_nce`; also for targets under `axis_name`, and for weights or "none" where m != n.

    >>> import jax.numpy as jnp
    >>> x, y = jnp.eye(2), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    >>> print(f"{symmetric_info_nce(x, y, logit_scale=1.0):.6f}")
    0.753204
    >>> print(f"{(info_nce(x, y, logit_scale=1.0) + info_nce(y, x, logit_scale=1.0)) / 2:.6f}")
    0.753204
    >>> similarities = jnp.array([[0.9, 0.2], [0.1, 0.8]])
    >>> print(f"{2 * symmetric_info_nce(similarities, jnp.eye(2), logit_scale=1.0, margin=0.001):.6f}")
    0.808145

    Source: Radford et al. 2021 (CLIP), arXiv 2103.00020, figure 3.
    """
    _check(x, y, targets, x_groups, y_groups, x_mask, y_mask, weights, reduction, axis_name)
    n, m = len(x), len(y)
    if n != m and (weights is not None or reduction == "none"):
        checks.fail(
            "weights" if weights is not None else "reduction",
            got=f"{n} rows of x and {m} of y",
            wanted="as many rows of y as of x",
            remedy="Use info_nce for each direction.",
        )
    if targets is not None and axis_name is not None:
        checks.fail(
            "targets",
            got=f'targets under axis_name="{axis_name}"',
            wanted="groups there",
            remedy="Pass x_groups and y_groups: no device holds the columns of all targets.",
        )
    x, y, scale = _prepare(x, y, logit_scale, x_mask, y_mask)
    back_targets = None if targets is None else jnp.asarray(targets).T
    logits = back_logits = _logits(x, gather_rows(y, axis_name), scale)
    if axis_name is not None:  # each way needs its own gathered candidates; one device reads the same product down its columns
        back_logits = _logits(y, gather_rows(x, axis_name), scale)
    lead, back_axis = _lead(margin, scale), int(axis_name is not None)
    ways = (
        (n, *_find(logits, 1, lead, targets, x_groups, y_groups, x_mask, y_mask, axis_name)),
        (m, *_find(back_logits, back_axis, lead, back_targets, y_groups, x_groups, y_mask, x_mask, axis_name)),
    )
    first, second = (
        reduce_rows(losses, row_weights(positives.valid, weights, rows, x.dtype), reduction, axis_name)
        for rows, positives, losses in ways
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

    S = logit_scale z z^T; a pair's loss is the mean of its two views'. Nothing is normalised inside. Gradients reach x, y and
    logit_scale (and weights, if they depend on parameters).

    Args:
      x: [n, d] first views.
      y: [n, d] second views; row i is the partner of row i.
      logit_scale: 1 / temperature, a positive scalar.
      mask: [n] bool, True = a real pair.
      weights: [n] >= 0, one per pair.
      reduction: "mean" is sum(w l) / sum(w) over the pairs of all devices, "sum" is sum(w l); "none" is w_i l_i [n].
      axis_name: mapped axis over which the pairs are spread; average the gradients over it (`lax.pmean`).

    Returns:
      A scalar ([n] for "none") >= 0, float32 (float64 for float64 inputs); log(2n - 1) when all views score alike; 0 for
      n = 1 and if everything is masked. O(n^2 d) time, O(n^2) memory.

    Raises:
      ValueError: for wrong ranks, widths or rows, a logit_scale <= 0, an unknown reduction.

    >>> import jax.numpy as jnp
    >>> print(f"{nt_xent(jnp.eye(2), jnp.eye(2), logit_scale=1.0):.6f}")  # log(1 + 2 / e)
    0.551445

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, equation 1.
    """
    check_reduction(reduction)
    check_pair(x, y, paired=True)
    check_mask(mask, (len(x),), "mask")
    check_shape(weights, (len(x),), "weights", "One weight per pair.")
    x, y, scale = _prepare(x, y, logit_scale, mask, mask)
    n = len(x)
    candidates = jnp.concatenate([gather_rows(x, axis_name), gather_rows(y, axis_name)])
    exists = None if mask is None else jnp.tile(gather_rows(mask, axis_name), 2)
    first = row_offset(n, axis_name) + jnp.arange(n, dtype=jnp.int32)
    second = first + candidates.shape[0] // 2
    own, partner = jnp.concatenate([first, second]), jnp.concatenate([second, first])
    logits = _logits(jnp.concatenate([x, y]), candidates, scale)
    logits = _drop(logits, own[:, None] != jnp.arange(candidates.shape[0], dtype=jnp.int32)[None, :])
    if exists is not None:
        logits = _drop(logits, exists[None, :])
    losses = _cross_entropy(logits, Positives(partner, None, None if mask is None else jnp.tile(mask, 2)))
    pairs = (losses[:n] + losses[n:]) / 2
    return reduce_rows(pairs, row_weights(mask, weights, n, x.dtype), reduction, axis_name)


def _check(x, y, targets, x_groups, y_groups, x_mask, y_mask, weights, reduction, axis_name) -> None:
    check_reduction(reduction)
    check_pair(x, y, paired=targets is None and x_groups is None and y_groups is None)
    check_matching(
        len(x),
        len(y),
        targets=targets,
        x_groups=x_groups,
        y_groups=y_groups,
        x_mask=x_mask,
        y_mask=y_mask,
        weights=weights,
        axis_name=axis_name,
    )


def _prepare(x, y, logit_scale, x_mask, y_mask) -> tuple[Array, Array, Array]:
    x, y = jnp.asarray(x), jnp.asarray(y)
    dtype = compute_dtype(x, y)
    scale = scalar(logit_scale, dtype, "logit_scale", positive=True)
    return sanitize(x.astype(dtype), x_mask), sanitize(y.astype(dtype), y_mask), scale


def _lead(margin: ArrayLike, scale: Array) -> Array | None:
    """The margin in units of the logits; None for no margin, which then costs nothing."""
    if isinstance(margin, numbers.Real) and margin == 0:
        return None
    return scale * scalar(margin, scale.dtype, "margin", positive=False)


def _find(logits, axis, lead, targets, x_groups, y_groups, x_mask, y_mask, axis_name) -> tuple[Positives, Array]:
    """Positives and losses of the queries x; the candidates y of all devices lie along `axis` of `logits`."""
    positives = find_positives(
        logits.shape[1 - axis],
        logits.shape[axis],
        targets=targets,
        x_groups=x_groups,
        y_groups=y_groups,
        x_mask=x_mask,
        y_mask=y_mask,
        axis_name=axis_name,
        dtype=logits.dtype,
    )
    if lead is not None:
        logits = logits - jnp.where(positive_cells(positives, logits.shape, axis), lead, jnp.zeros((), lead.dtype))
    if y_mask is not None:
        logits = _drop(logits, jnp.expand_dims(gather_rows(y_mask, axis_name), 1 - axis))
    return positives, _cross_entropy(logits, positives, axis)


def _logits(x: Array, y: Array, scale: Array) -> Array:
    # The scale goes onto the rows: n d products instead of n m, and its gradient needs no second n m array.
    return (x * scale) @ y.T


def _drop(logits: Array, keep: Array) -> Array:
    # A finite floor instead of -inf: logsumexp over nothing then has a finite value and a zero gradient.
    return jnp.where(keep, logits, jnp.asarray(jnp.finfo(logits.dtype).min / 2, logits.dtype))


def _cross_entropy(logits: Array, positives: Positives, axis: int = 1) -> Array:
    losses = jax.nn.logsumexp(logits, axis=axis) - positive_mean(logits, positives, axis)
    return losses if positives.valid is None else jnp.where(positives.valid, losses, jnp.zeros_like(losses))
