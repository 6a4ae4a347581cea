"""Contrastive losses as loops: every sum is written out, masked rows are skipped."""

from __future__ import annotations

import math

import numpy as np


def _keep(mask, n: int) -> list[bool]:
    return [True] * n if mask is None else [bool(v) for v in mask]


def _weights(weights, n: int) -> list[float]:
    return [1.0] * n if weights is None else [float(v) for v in weights]


def _dot(a, b) -> float:
    return sum(float(u) * float(v) for u, v in zip(a, b, strict=True))


def _logsumexp(values: list[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def _reduce(losses: dict[int, float], weights: list[float], n: int, reduction: str):
    """`losses` holds the rows that count; the mean is sum(w l) / sum(w)."""
    if reduction == "none":
        return np.array([losses.get(i, 0.0) for i in range(n)])
    total = sum(weights[i] * loss for i, loss in losses.items())
    if reduction == "sum":
        return total
    mass = sum(weights[i] for i in losses)
    return total / mass if mass > 0 else 0.0


def _targets(i: int, n: int, m: int, targets, x_groups, y_groups, y_keep) -> dict[int, float]:
    """Row i of T over the candidates that exist; empty when the query has no positive left."""
    if targets is not None:
        return {j: float(targets[i][j]) for j in range(m) if y_keep[j] and targets[i][j] != 0}
    if x_groups is not None:
        hits = [j for j in range(m) if y_keep[j] and x_groups[i] == y_groups[j]]
        return {j: 1.0 / len(hits) for j in hits}
    return {i: 1.0} if y_keep[i] else {}


def info_nce(
    x,
    y,
    *,
    logit_scale,
    margin=0.0,
    targets=None,
    x_groups=None,
    y_groups=None,
    x_mask=None,
    y_mask=None,
    weights=None,
    reduction="mean",
):
    """Row i: logsumexp_j s<x_i, y_j> - sum_j T_ij s<x_i, y_j>, over unmasked j; a positive's similarity is less by `margin`."""
    n, m = len(x), len(y)
    x_keep, y_keep = _keep(x_mask, n), _keep(y_mask, m)
    losses = {}
    for i in range(n):
        target = _targets(i, n, m, targets, x_groups, y_groups, y_keep)
        if not x_keep[i] or not target:
            continue
        logits = {j: logit_scale * (_dot(x[i], y[j]) - margin * (j in target)) for j in range(m) if y_keep[j]}
        losses[i] = _logsumexp(list(logits.values())) - sum(t * logits[j] for j, t in target.items())
    return _reduce(losses, _weights(weights, n), n, reduction)


def symmetric_info_nce(
    x,
    y,
    *,
    logit_scale,
    margin=0.0,
    targets=None,
    x_groups=None,
    y_groups=None,
    x_mask=None,
    y_mask=None,
    weights=None,
    reduction="mean",
):
    """Half of x -> y plus half of y -> x; targets row-normalised in each direction."""
    there = back = None
    if targets is not None:
        there = np.array([[t / sum(row) for t in row] for row in np.asarray(targets, np.float64)])
        back = np.array([[t / sum(col) for t in col] for col in np.asarray(targets, np.float64).T])
    shared = dict(logit_scale=logit_scale, margin=margin, weights=weights, reduction=reduction)
    one = info_nce(x, y, targets=there, x_groups=x_groups, y_groups=y_groups, x_mask=x_mask, y_mask=y_mask, **shared)
    two = info_nce(y, x, targets=back, x_groups=y_groups, y_groups=x_groups, x_mask=y_mask, y_mask=x_mask, **shared)
    return 0.5 * (one + two)


def _softplus(v: float) -> float:
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


def sigmoid_contrastive(
    x,
    y,
    *,
    logit_scale=10.0,
    logit_bias=-10.0,
    x_groups=None,
    y_groups=None,
    x_mask=None,
    y_mask=None,
    weights=None,
    reduction="mean",
):
    """Row i: sum_j softplus(-(2 T_ij - 1) (s<x_i, y_j> + b)), T_ij in {0, 1}."""
    n, m = len(x), len(y)
    x_keep, y_keep = _keep(x_mask, n), _keep(y_mask, m)
    losses = {}
    for i in range(n):
        if not x_keep[i]:
            continue
        if not _targets(i, n, m, None, x_groups, y_groups, y_keep):
            continue
        total = 0.0
        for j in range(m):
            if not y_keep[j]:
                continue
            same = (i == j) if x_groups is None else (x_groups[i] == y_groups[j])
            sign = 1.0 if same else -1.0
            total += _softplus(-sign * (logit_scale * _dot(x[i], y[j]) + logit_bias))
        losses[i] = total
    return _reduce(losses, _weights(weights, n), n, reduction)


def nt_xent(x, y, *, logit_scale, mask=None, weights=None, reduction="mean"):
    """2n views; each picks its partner among all the other views; a pair's loss is the mean of its two."""
    n = len(x)
    keep = _keep(mask, n)
    views = [(i, side) for i in range(n) for side in (0, 1) if keep[i]]
    rows = (x, y)
    losses = {}
    for i in range(n):
        if not keep[i]:
            continue
        total = 0.0
        for side in (0, 1):
            me = rows[side][i]
            logits = [logit_scale * _dot(me, rows[s][j]) for j, s in views if (j, s) != (i, side)]
            total += _logsumexp(logits) - logit_scale * _dot(me, rows[1 - side][i])
        losses[i] = total / 2
    return _reduce(losses, _weights(weights, n), n, reduction)
