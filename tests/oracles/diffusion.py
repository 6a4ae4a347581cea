"""Diffusion operators and their comparison as loops (gera.md A.2 b, c)."""

from __future__ import annotations

import numpy as np


def squared_distances(points) -> np.ndarray:
    """d2_ij = sum_k (p_ik - p_jk)^2, entry by entry."""
    m = len(points)
    out = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            out[i, j] = sum((float(a) - float(b)) ** 2 for a, b in zip(points[i], points[j], strict=True))
    return out


def bandwidth_eps(points, *, bandwidth="median", scale=2.0) -> float:
    """eps of exp(-d2 / eps): scale times the off-diagonal median of d2, or scale times a length squared."""
    if bandwidth != "median":
        return scale * float(bandwidth) ** 2
    d2 = squared_distances(points)
    off = sorted(d2[i, j] for i in range(len(d2)) for j in range(len(d2)) if i != j)
    if not off:
        return 1.0
    half = len(off) // 2
    return scale * (off[half] if len(off) % 2 else 0.5 * (off[half - 1] + off[half]))


def operator(points, *, eps: float, alpha=1.0, t=1, form="symmetric") -> np.ndarray:
    """W or P of gera.md A.2b, multiplied out t times."""
    d2 = squared_distances(points)
    m = len(d2)
    k = np.array([[np.exp(-d2[i, j] / eps) for j in range(m)] for i in range(m)])
    q = [sum(k[i, j] for j in range(m)) for i in range(m)]
    k = np.array([[k[i, j] / (q[i] ** alpha * q[j] ** alpha) for j in range(m)] for i in range(m)])
    d = [sum(k[i, j] for j in range(m)) for i in range(m)]
    left, right = (1.0, 0.0) if form == "markov" else (0.5, 0.5)
    one = np.array([[k[i, j] / (d[i] ** left * d[j] ** right) for j in range(m)] for i in range(m)])
    out = np.eye(m)
    for _ in range(t):
        out = np.array([[sum(out[i, u] * one[u, j] for u in range(m)) for j in range(m)] for i in range(m)])
    return out


def matrix_log(w: np.ndarray) -> np.ndarray:
    """sum_k log(lambda_k) v_k v_k^T of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh((w + w.T) / 2)
    return sum(np.log(v) * np.outer(u, u) for v, u in zip(values, vectors.T, strict=True))


def _one(x, z, z_eps, *, form, operator_form, alpha, t, bandwidth, scale, normalization, gamma, lost=False):
    """One set of points, already without its masked rows. `lost` puts the identity for the operator of z."""
    m = len(x)
    kind = "markov" if form == "row" else operator_form
    a = operator(x, eps=bandwidth_eps(x, bandwidth=bandwidth, scale=scale), alpha=alpha, t=t, form=kind)
    b = np.eye(m) if lost else operator(z, eps=z_eps, alpha=alpha, t=t, form=kind)
    if form == "log_euclidean":
        a, b = (matrix_log(v + gamma * np.eye(m)) for v in (a, b))
    rows = [0] if form == "row" else range(m)
    error = sum((a[i, j] - b[i, j]) ** 2 for i in rows for j in range(m))
    if normalization == "none":
        return error / (m * m)  # also for one row: every form averages over m^2 (design.md)
    entries = [a[i, j] for i in rows for j in range(m) if i != j]
    if not entries:
        return error / 1e-3
    mean = sum(entries) / len(entries)
    varied = sum((value - mean) ** 2 for value in entries)
    return error / max(varied, 0.01 * sum(value**2 for value in entries), 1e-3)


def eps_of(z, *, form="neighbourhood", bandwidth="median", scale=2.0, mask=None) -> list[float]:
    """The bandwidths of the projected sets: constants in the gradient, so differences must hold them still."""
    sets = [z] if form == "batch" else z
    masks = [mask] if form == "batch" else (mask if mask is not None else [None] * len(z))
    out = []
    for points, keep in zip(sets, masks, strict=True):
        rows = [p for i, p in enumerate(points) if keep is None or keep[i]]
        out.append(bandwidth_eps(rows, bandwidth=bandwidth, scale=scale) if rows else 1.0)
    return out


def diffusion_alignment(
    x,
    z,
    *,
    form="neighbourhood",
    operator="symmetric",
    alpha=1.0,
    t=1,
    bandwidth="median",
    scale=2.0,
    normalization="relative",
    gamma=1e-6,
    mask=None,
    weights=None,
    reduction="mean",
    z_eps=None,
    lost=False,
):
    """Squared difference of the operators of x and z: mean over entries, or relative to how x's off-diagonal varies."""
    if z_eps is None:
        z_eps = eps_of(z, form=form, bandwidth=bandwidth, scale=scale, mask=mask)
    shared = dict(
        form=form,
        operator_form=operator,
        alpha=alpha,
        t=t,
        bandwidth=bandwidth,
        scale=scale,
        normalization=normalization,
        gamma=gamma,
        lost=lost,
    )
    batch = form == "batch"
    xs, zs = ([x], [z]) if batch else (x, z)
    masks = [mask] if batch else (mask if mask is not None else [None] * len(x))
    losses = np.zeros(len(xs))
    total = mass = 0.0
    for a, (px, pz, keep) in enumerate(zip(xs, zs, masks, strict=True)):
        rows = [i for i in range(len(px)) if keep is None or keep[i]]
        if not rows:
            continue
        losses[a] = _one([px[i] for i in rows], [pz[i] for i in rows], z_eps[a], **shared)
        w = 1.0 if weights is None else float(weights[a])
        total, mass = total + w * losses[a], mass + w
    if batch:
        return losses[0]
    if reduction == "none":
        return losses
    return total if reduction == "sum" else (total / mass if mass > 0 else 0.0)
