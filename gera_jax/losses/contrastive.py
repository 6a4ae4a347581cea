"""Contrastive losses: softmax one way (InfoNCE), both ways and over two views (NT-Xent), and a sigmoid for each cell."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import (
    REDUCTIONS,
    Reduction,
    check_mask,
    check_pair,
    check_same_rows,
    clean_rows,
    keep_logits,
    keep_rows,
    reduce_rows,
    row_weights,
)
from gera_jax.losses.positives import Matching, check_matching, positive_mass, row_numbers
from gera_jax.losses.tiles import Folds, Side, check_block_size, fold
from gera_jax.ops.collectives import global_sum
from gera_jax.ops.numerics import scalar


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
    block_size: int | None = None,
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
      >= 0; log m when all candidates score alike. O(n m d) time, O(n m) memory, in tiles O((n + m) d).

    Raises:
      InputError: targets together with groups, or one group without the other.

    Source: van den Oord et al. 2018, arXiv 1807.03748; both ways in CLIP, arXiv 2103.00020. The margin: additive margin softmax,
    as in Ilharco et al. 2019 (masked margin softmax), arXiv 1909.08782.
    """
    matching = Matching(targets, x_groups, y_groups, x_mask, y_mask, axis_name)
    x, y, scale = _prepare(x, y, logit_scale, matching, weights, reduction, block_size)
    ((valid, losses),) = _ways(x, y, scale, margin, matching, False, block_size)
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
    block_size: int | None = None,
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
      >= 0; log n when all pairs score alike. O(n m d) time, O(n m) memory, in tiles O((n + m) d).

    Raises:
      InputError: as `info_nce`; also for targets under `axis_name`, and for weights or "none" where m != n.

    Source: Radford et al. 2021 (CLIP), arXiv 2103.00020, figure 3.
    """
    matching = Matching(targets, x_groups, y_groups, x_mask, y_mask, axis_name)
    n, m = len(x), len(y)
    fine, name = n == m or (weights is None and reduction != "none"), "reduction" if weights is None else "weights"
    x, y, scale = _prepare(x, y, logit_scale, matching, weights, reduction, block_size)
    remedy = "Use info_nce for each direction."
    checks.require(fine, name, got=f"{n} rows of x and {m} of y", wanted="as many rows of y as of x", remedy=remedy)
    got, remedy = f'targets under axis_name="{axis_name}"', "Pass groups: no device holds the columns of all targets."
    checks.require(targets is None or axis_name is None, "targets", got=got, wanted="x_groups and y_groups there", remedy=remedy)
    first, second = (
        reduce_rows(losses, row_weights(valid, weights, len(losses), x.dtype), reduction, axis_name)
        for valid, losses in _ways(x, y, scale, margin, matching, True, block_size)
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
    block_size: int | None = None,
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
      >= 0; log(2n - 1) when all views score alike; 0 for n = 1. O(n^2 d) time, O(n^2) memory, in tiles O(n d).

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, equation 1.
    """
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_block_size(block_size)
    check_pair(x, y)
    check_same_rows(x, y, "y")
    n = len(x)
    check_mask(mask, (n,), "mask")
    checks.require_shape(weights, (n,), "weights", remedy="One weight per pair.")
    x, y = clean_rows((x, y), (mask, mask))
    scale = scalar(logit_scale, x.dtype, "logit_scale", positive=True)
    views, numbers_of_pairs = jnp.concatenate([x, y]), row_numbers(n, axis_name)
    second = numbers_of_pairs + global_sum(jnp.int32(n), axis_name)
    own, partner = jnp.concatenate([numbers_of_pairs, second]), jnp.concatenate([second, numbers_of_pairs])
    exists = None if mask is None else jnp.tile(mask, 2)
    row, column = Side(views * scale, (own, partner), exists), Side(views, own, exists)
    folds = fold(_other_views, row, column, block_size=block_size, axis_name=axis_name)
    losses = keep_rows(folds.row_lse[0] - folds.row_sum[0], exists)
    pairs = (losses[:n] + losses[n:]) / 2
    return reduce_rows(pairs, row_weights(mask, weights, n, x.dtype), reduction, axis_name)


def _prepare(x, y, logit_scale, matching, weights, reduction, block_size) -> tuple[Array, Array, Array]:
    checks.require_known(reduction, REDUCTIONS, "reduction")
    check_block_size(block_size)
    check_matching(x, y, matching, weights)
    x, y = clean_rows((x, y), (matching.x_mask, matching.y_mask))
    return x, y, scalar(logit_scale, x.dtype, "logit_scale", positive=True)


def _ways(x, y, scale, margin, matching, both, block_size) -> list[tuple[Array | None, Array]]:
    """Which queries count, and their losses, for x -> y and, where `both`, y -> x."""
    # The scale goes onto the rows: n d products instead of n m, and its gradient needs no second n m array.
    values = dict(rows=x * scale)
    if not (isinstance(margin, numbers.Real) and margin == 0):  # no margin costs nothing
        values["lead"] = jnp.broadcast_to(scale * scalar(margin, x.dtype, "margin", positive=False), len(x))
    x_items, y_items = matching.items(len(x), len(y))
    row, column = Side(values, x_items, matching.x_mask), Side(y, y_items, matching.y_mask)
    cells = _Candidates(both, counted=not matching.alone())
    folds = fold(cells, row, column, grid=matching.shares(x.dtype), block_size=block_size, axis_name=matching.axis_name)
    ways = [(matching.x_mask, folds.row_lse, folds.row_sum), (matching.y_mask, folds.column_lse, folds.column_sum)]
    return [_cross_entropy(matching, *way) for way in ways[: 1 + both]]


@dataclass(frozen=True)
class _Candidates:
    """Logits of every query and candidate, those of the positives, and, where `counted`, how many positives there are."""

    both: bool
    counted: bool

    def __call__(self, row: Side, column: Side, shares: Array | None) -> Folds:
        logits = row.values["rows"] @ column.values.T
        mass, positive = positive_mass(row.marks, column.marks, shares)
        if "lead" in row.values:
            logits = logits - jnp.where(positive, row.values["lead"][:, None], jnp.zeros((), logits.dtype))
        found = jnp.where(positive, logits, jnp.zeros((), logits.dtype)) if shares is None else mass * logits
        sums = (found, mass.astype(logits.dtype)) if self.counted else (found,)
        return Folds((logits,), (logits,), sums, sums) if self.both else Folds(row_lse=(logits,), row_sum=sums)


def _other_views(row: Side, column: Side, _: None) -> Folds:
    """Logits of every two views but a view and itself, and those of the partners."""
    logits, (own, partner) = row.values @ column.values.T, row.marks
    found = jnp.where(partner[:, None] == column.marks[None, :], logits, jnp.zeros((), logits.dtype))
    return Folds(row_lse=(keep_logits(logits, own[:, None] != column.marks[None, :]),), row_sum=(found,))


def _cross_entropy(
    matching: Matching, mask: Array | None, lse: tuple[Array], sums: tuple[Array, ...]
) -> tuple[Array | None, Array]:
    """Which queries of one way count, and their losses."""
    found, *mass = sums
    valid = matching.counted(mask, *mass or (None,))
    mean = found / jnp.where(mass[0] == 0, jnp.ones_like(found), mass[0]) if mass else found
    return valid, keep_rows(lse[0] - mean, valid)


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
