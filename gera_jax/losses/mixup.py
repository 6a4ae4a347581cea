"""Contrastive losses whose negatives, or whose rows, are mixed along arcs of the unit sphere."""

from __future__ import annotations

import numbers
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import (
    check_mask,
    check_pair,
    check_same_rows,
    clean_rows,
    compute_dtype,
    keep_logits,
    keep_rows,
    reduce_rows,
    row_weights,
)
from gera_jax.ops.collectives import gather_rows, meets_itself, row_offset
from gera_jax.ops.geometry import slerp
from gera_jax.ops.numerics import scalar

KINDS = ("m2", "v", "l", "vl")
TARGETS = ("identity", "both")


def geodesic_mixup_contrastive(
    x: Array,
    y: Array,
    *,
    kind: Literal["m2", "v", "l", "vl"] = "m2",
    lam: ArrayLike,
    logit_scale: ArrayLike = 1 / 0.07,
    target: Literal["identity", "both"] = "identity",
    mask: Array | None = None,
    reduction: Literal["mean", "sum"] = "mean",
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of finding the partner when some of the rows are mixed along the great circle.

    >>> import jax.numpy as jnp
    >>> x, y = jnp.eye(2), jnp.array([[0.8, 0.6], [-0.6, 0.8]])
    >>> print(f"{geodesic_mixup_contrastive(x, y, lam=0.5, logit_scale=1.0):.6f}")
    0.763542
    >>> print(f"{geodesic_mixup_contrastive(x, y, kind='v', lam=1.0, logit_scale=1.0):.6f}")  # nothing is mixed
    0.409278
    >>> from gera_jax.losses import symmetric_info_nce
    >>> print(f"{symmetric_info_nce(x, y, logit_scale=1.0):.6f}")
    0.409278

    With mix(a, b) the point of the arc at weight lam on a (lam = 1 is a: `slerp(a, b, 1 - lam)`), logits = logit_scale times
    inner products, and i' = n - 1 - i the row at the same place from the end of the whole batch:

      "m2"  negatives lie between the modalities: m_j = mix(x_j, y_j); l_i is the sum of both directions,
            CE([x_i.y_i, x_i.m_j for j != i], i) + CE([y_i.x_i, y_i.m_j for j != i], i)
      "v"   a_i = mix(x_i, x_i'), b = y; soft target lam on i and 1 - lam on i'; l_i is the mean of both directions
      "l"   a = x, b_i = mix(y_i, y_i'); as "v"
      "vl"  a_i = mix(x_i, x_i'), b_i = mix(y_i, y_i') with one lam; target i, or i and i' (weight 2 in all) with target="both"

    Mixed rows are of unit length; the others are taken as they are: pass unit rows. Gradients reach x and y (through the mixed
    rows as well), logit_scale and lam.

    Args:
      x: [n, d] rows of the first modality.
      y: [n, d] rows of the second; row i matches row i.
      kind: what is mixed.
      lam: scalar in [0, 1], the weight on x ("m2") or on the row itself ("v", "l", "vl"); drawn once per step and term.
      logit_scale: 1 / temperature, a positive scalar.
      target: for "vl" alone. "identity": mixed pair i is the only match. "both": i' is a second match, since it holds the same
        two items in swapped shares; the rows of the target then sum to 2, and so does the loss's weight.
      mask: [n] bool, True = a real pair. Except in "m2", a pair whose partner i' is masked counts as masked.
      reduction: "mean" or "sum" of l_i over the pairs of all devices.
      axis_name: as in every loss; the reversal is that of the whole batch.

    Returns:
      >= 0; when all scores are alike 2 log n ("m2", "vl" with "both") or log n; 0 for n = 1. O(n^2 d) time, O(n^2 + n d) memory.

    Source: Oh et al. 2023 (Geodesic Multi-Modal Mixup), arXiv 2203.03897; read from the authors' code. It draws lam ~
    Beta(alpha, alpha) for each term, weighs the terms 1 / (1 + epoch), and has target="both" (an earlier copy "identity").
    Differs from the authors' code in that equal or opposite rows, and the middle row of an odd batch, are no NaN.
    """
    _check(x, y, kind, lam, target, mask, reduction)
    dtype = compute_dtype(x, y)
    scale = scalar(logit_scale, dtype, "logit_scale", positive=True)
    lam = scalar(lam, dtype, "lam", positive=False)
    if mask is not None and kind != "m2":  # a row without its partner has no part, so its own numbers must not count either
        mask = mask & gather_rows(mask, axis_name)[::-1][_own(len(x), axis_name)]
    x, y = clean_rows((x, y), (mask, mask))
    if kind == "m2":
        losses = _between(x, y, lam, scale, mask, axis_name)
    else:
        losses = _within(x, y, kind, lam, scale, target, mask, axis_name)
    return reduce_rows(keep_rows(losses, mask), row_weights(mask, None, len(x), dtype), reduction, axis_name)


def _between(x, y, lam, scale, mask, axis_name) -> Array:
    """Both directions against the same mixed rows of all devices."""
    mixed = gather_rows(_mix(x, y, lam), axis_name)
    own = meets_itself((len(x), len(mixed)), axis_name)
    exists = None if mask is None else gather_rows(mask, axis_name)[None, :]
    positive = scale * (x * y).sum(1)
    losses = jnp.zeros_like(positive)
    for rows in (x, y):
        logits = jnp.where(own, positive[:, None], (rows * scale) @ mixed.T)
        losses = losses + jax.nn.logsumexp(keep_logits(logits, exists), axis=1) - positive
    return losses


def _within(x, y, kind, lam, scale, target, mask, axis_name) -> Array:
    """Rows mixed with their partners; own and partner's columns are the two targets of each row."""
    n = len(x)
    own = _own(n, axis_name)
    exists = None if mask is None else gather_rows(mask, axis_name)[None, :]

    def mixed(rows):
        return _mix(rows, gather_rows(rows, axis_name)[::-1][own], lam)

    a = mixed(x) if kind in ("v", "vl") else x
    b = mixed(y) if kind in ("l", "vl") else y
    one = jnp.ones_like(lam)
    on_own, on_partner = (lam, one - lam) if kind != "vl" else (one, one if target == "both" else jnp.zeros_like(one))
    losses = jnp.zeros(n, x.dtype)
    for rows, candidates in ((a, b), (b, a)):
        candidates = gather_rows(candidates, axis_name)
        logits = (rows * scale) @ candidates.T
        total = len(candidates)
        found = on_own * _at(logits, own) + on_partner * _at(logits, total - 1 - own)
        losses = losses + ((on_own + on_partner) * jax.nn.logsumexp(keep_logits(logits, exists), axis=1) - found) / 2
    return losses


def _mix(a: Array, b: Array, lam: Array) -> Array:
    return slerp(a, b, 1 - lam)


def _own(n: int, axis_name: str | None) -> Array:
    return row_offset(n, axis_name) + jnp.arange(n, dtype=jnp.int32)


def _at(logits: Array, columns: Array) -> Array:
    return jnp.take_along_axis(logits, columns[:, None], axis=1, mode="clip")[:, 0]


def _check(x, y, kind, lam, target, mask, reduction) -> None:
    checks.require_known(kind, KINDS, "kind")
    checks.require_known(target, TARGETS, "target")
    checks.require_known(reduction, ("mean", "sum"), "reduction")
    fits, remedy = target == "identity" or kind == "vl", 'Two matches belong to kind="vl", where both sides are mixed.'
    checks.require(fits, "target", got=f'"{target}" with kind="{kind}"', wanted='"identity"', remedy=remedy)
    check_pair(x, y)
    check_same_rows(x, y, "y")
    check_mask(mask, (len(x),), "mask")
    if isinstance(lam, numbers.Real):
        checks.require(0 <= lam <= 1, "lam", got=f"{lam:g}", wanted="a weight in [0, 1]")
