"""Sparse neighbour graphs of many points on the host: points in, a symmetric scipy CSR matrix of weights out."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from gera_jax.checks import require, require_known
from gera_jax.graphs.knn import nearest

Graph = Literal["alpha_decay", "self_tuning", "knn", "fuzzy"]


def neighbour_graph(
    x: Any,
    *,
    k: int = 10,
    kind: Graph = "alpha_decay",
    decay: float = 40.0,
    floor: float = 1e-4,
    lengths: Literal["local", "global"] = "local",
    metric: Literal["euclidean", "cosine"] = "euclidean",
) -> sp.csr_array:
    """Weights of the graph of near neighbours, without self-loops; e_i is the distance from i to its k-th neighbour.

    >>> import numpy as np
    >>> neighbour_graph(np.array([[0.0], [1.0], [3.0]]), k=1, kind="knn").toarray().tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.5, 0.0]]

    "alpha_decay" K_ij = exp(-(d_ij / e_i)^decay), kept where >= floor, then (K + K^T) / 2: nearly 0/1 with a soft edge.
    "self_tuning" exp(-d_ij^2 / (e_i e_j)) where one of the two is among the other's k nearest.
    "knn" 1 among the k nearest of both, 1/2 of one of them.
    "fuzzy" the union a + b - a b of K_ij = exp(-max(0, d_ij - r_i) / s_i), r_i the distance to the nearest other point and s_i
    such that the k weights sum to log2(k).

    Args:
      x: [n, d] array or memory map.
      k: neighbours, 1 <= k < n.
      kind: which weights.
      decay: exponent of "alpha_decay".
      floor: smallest weight that "alpha_decay" keeps, in (0, 1).
      lengths: "local" leaves the weights alone, so that heat counts a step between neighbours as one step wherever they are: a
        distance on the graph is in units of the local spacing. "global" divides w_ij by e_i e_j (relative to the mean of e^2),
        which makes heat travel in the units of x whatever the density.
      metric: of the neighbours, as in `knn`.

    Returns:
      CSR [n, n], float64, symmetric, zero diagonal, weights in (0, 1] for "local". A row may be empty only if no weight
      reaches it, which the four kinds exclude for k >= 1. Duplicate points have weight 1 ("local"). Memory n k; time of `knn`,
      plus a second search for the few rows with more neighbours above `floor` than the first one looked at.

    Source: Moon et al. 2019 (alpha decay), Zelnik-Manor & Perona 2004 (self-tuning), McInnes et al. 2018 (fuzzy).
    """
    require_known(kind, _KINDS, "kind")
    require_known(lengths, ("local", "global"), "lengths")
    require(math.isfinite(decay) and decay > 0, "decay", got=decay, wanted="a finite number above 0")
    require(0 < floor < 1, "floor", got=floor, wanted="a number between 0 and 1")
    x = x if isinstance(x, np.ndarray) else np.asarray(x)
    require(x.ndim == 2, "x", got=f"shape {x.shape}", wanted="[rows, features]")
    n = len(x)
    remedy = "Lower k or give more points."
    require(1 <= k < n, "k", got=k, wanted=f"1 to {n - 1}, for {n} points without the point itself", remedy=remedy)
    # Twice as many neighbours as asked: "alpha_decay" reaches a little beyond the k-th.
    reach = min(2 * k, n - 1) if kind == "alpha_decay" else k
    indices, distances = nearest(x, k=reach, metric=metric)
    length = _lengths(distances[:, k - 1])
    w = _KINDS[kind](x, indices, distances, length, k=k, decay=decay, floor=floor, metric=metric)
    if lengths == "global":
        w = w.tocoo()
        w.data *= np.mean(length**2) / (length[w.row] * length[w.col])
        w = w.tocsr()
    w.setdiag(0)
    w.eliminate_zeros()
    w.sort_indices()
    return w


def component_count(w: sp.csr_array) -> int:
    """Number of connected components of a symmetric sparse graph.

    >>> component_count(sp.csr_array(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])))
    2
    """
    return int(sp.csgraph.connected_components(w, directed=False)[0])


def sparse_laplacian(
    w: sp.sparray | sp.spmatrix, *, normalization: Literal["symmetric", "random_walk", "none"] = "symmetric"
) -> sp.csr_array:
    """`laplacian` of a scipy sparse graph: the same three forms and the same zero row for an isolated node, as CSR.

    >>> path = sp.csr_array(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    >>> sparse_laplacian(path).toarray().tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    require_known(normalization, _NORMALIZED, "normalization")
    require(w.shape[0] == w.shape[1], "w", got=f"shape {w.shape}", wanted="[m, m]")
    w = sp.csr_array(w)
    w = w if w.dtype in (np.float32, np.float64) else w.astype(np.float64)
    degree = np.asarray(w.sum(axis=1)).ravel()
    left, right, diagonal = _NORMALIZED[normalization](degree)
    scaled = sp.diags_array(left) @ w @ sp.diags_array(right)
    return sp.csr_array(sp.diags_array(diagonal) - scaled).astype(w.dtype)


def _lengths(kth: np.ndarray) -> np.ndarray:
    """Distance to the k-th neighbour; a point with k duplicates takes the smallest length of the others."""
    positive = kth[kth > 0]
    return np.where(kth > 0, kth, positive.min() if len(positive) else 1.0)


def _csr(indices: np.ndarray, values: np.ndarray, n: int) -> sp.csr_array:
    rows = np.repeat(np.arange(len(indices), dtype=np.int64), indices.shape[1])
    keep = values.ravel() > 0
    return sp.csr_array((values.ravel()[keep], (rows[keep], indices.ravel()[keep])), shape=(n, n))


def _mean(directed: sp.csr_array) -> sp.csr_array:
    return sp.csr_array((directed + directed.T) * 0.5)


def _alpha_decay(x, indices, distances, length, *, k, decay, floor, metric) -> sp.csr_array:
    n = len(x)
    edge = (-math.log(floor)) ** (1 / decay)  # in lengths: the farthest neighbour that is kept
    rows = np.arange(n)
    parts = []
    while True:
        ratio = distances / length[rows, None]
        inside = ratio <= edge
        complete = ~inside[:, -1] if indices.shape[1] < n - 1 else np.ones(len(rows), bool)
        weight = np.where(inside, np.exp(-(np.where(inside, ratio, 0.0) ** decay)), 0.0)
        directed = _csr(indices[complete], weight[complete], n).tocoo()
        parts.append((directed.data, rows[complete][directed.row], directed.col))
        rows = rows[~complete]
        if not len(rows):
            break
        wider = min(4 * indices.shape[1], n - 1)
        indices, distances = nearest(x[rows], x, k=wider, metric=metric, exclude_self=rows)
    data, row, col = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _mean(sp.csr_array((data, (row, col)), shape=(n, n)))


def _self_tuning(x, indices, distances, length, **_) -> sp.csr_array:
    directed = _csr(indices, np.exp(-(distances**2) / (length[:, None] * length[indices])), len(x))
    return directed.maximum(directed.T).tocsr()


def _plain(x, indices, distances, length, **_) -> sp.csr_array:
    return _mean(_csr(indices, np.ones_like(distances), len(x)))


def _fuzzy(x, indices, distances, length, *, k, **_) -> sp.csr_array:
    nearest = np.min(np.where(distances > 0, distances, np.inf), axis=1, keepdims=True)
    beyond = np.maximum(distances - np.where(np.isfinite(nearest), nearest, 0.0), 0.0)
    low, high = np.full((len(x), 1), 1e-6), np.full((len(x), 1), 1e6)
    scale = length[:, None]
    for _step in range(64):  # bisection on a log scale: the sum of the weights grows with the width
        middle = np.sqrt(low * high)
        enough = np.exp(-beyond / (middle * scale)).sum(axis=1, keepdims=True) >= math.log2(k + 1e-12)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    a = _csr(indices, np.exp(-beyond / (high * scale)), len(x))
    return sp.csr_array(a + a.T - a.multiply(a.T))


def _inverse(degree: np.ndarray, power: float) -> np.ndarray:
    return np.where(degree > 0, np.where(degree > 0, degree, 1.0) ** -power, 0.0)


_KINDS = {"alpha_decay": _alpha_decay, "self_tuning": _self_tuning, "knn": _plain, "fuzzy": _fuzzy}
_NORMALIZED = {  # left factor, right factor and diagonal
    "symmetric": lambda degree: (_inverse(degree, 0.5), _inverse(degree, 0.5), (degree > 0).astype(degree.dtype)),
    "random_walk": lambda degree: (_inverse(degree, 1.0), np.ones_like(degree), (degree > 0).astype(degree.dtype)),
    "none": lambda degree: (np.ones_like(degree), np.ones_like(degree), degree),
}
