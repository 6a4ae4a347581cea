"""Heat kernels on graphs, heat-geodesic distances and the stress of an embedding, as loops (heat_geodesic.md A.1-A.8)."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import kept, mean, median, squared_distance

LOG_FLOOR = 1e-16


def laplacian(w, *, normalization="none") -> np.ndarray:
    """D - W ("none"), I - D^-1/2 W D^-1/2 ("symmetric") or I - D^-1 W ("random_walk"); an isolated node's row is 0."""
    w = np.asarray(w, np.float64)
    n = len(w)
    degree = [sum(w[i]) for i in range(n)]
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if normalization == "none":
                out[i, j] = degree[i] * (i == j) - w[i, j]
            elif degree[i] > 0 and degree[j] > 0:
                by = degree[i] if normalization == "random_walk" else math.sqrt(degree[i] * degree[j])
                out[i, j] = float(i == j) - w[i, j] / by
    return out


def bessel_i(k: int, x: float) -> float:
    """Modified Bessel function of the first kind, by its power series."""
    return sum(math.exp((2 * m + k) * math.log(x / 2) - math.lgamma(m + 1) - math.lgamma(m + k + 1)) for m in range(200))


def chebyshev_coefficients(t: float, phi: float, degree: int) -> list[float]:
    """c_k = 2 e^(-t phi) (-1)^k I_k(t phi)."""
    return [2 * math.exp(-t * phi) * (-1) ** k * bessel_i(k, t * phi) for k in range(degree + 1)]


def heat_kernel(laplacian, b=None, *, t, method="exact", steps=10, degree=30) -> np.ndarray:
    """exp(-t L) b: by eigenvectors, by `steps` backward Euler steps, or by `degree` Chebyshev polynomials on [0, max]."""
    lap = np.asarray(laplacian, np.float64)
    n = len(lap)
    out = np.eye(n) if b is None else np.asarray(b, np.float64)
    values, vectors = np.linalg.eigh(lap)
    if method == "exact":
        return sum(math.exp(-t * v) * np.outer(u, u) @ out for v, u in zip(values, vectors.T, strict=True))
    if method == "euler":
        for _ in range(steps):
            out = np.linalg.solve(np.eye(n) + (t / steps) * lap, out)
        return out
    phi = values[-1] / 2
    c = chebyshev_coefficients(t, phi, degree)
    before, now = out, lap @ out / phi - out
    total = 0.5 * c[0] * before
    for k in range(1, degree + 1):
        total = total + c[k] * now
        before, now = now, 2 * (lap @ now / phi - now) - before
    return total


def heat_geodesic_distance(heat, *, t, sigma=1.0, rho=0.0) -> np.ndarray:
    """(1 - rho) d + rho |d_i - d_j|, d^2 = 4 t (-log H_ij + sigma log((H_ii + H_jj) / 2)), not below 0."""
    n = len(heat)
    d = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            shape = -math.log(max(heat[i][j], 0.0) + LOG_FLOOR)
            volume = math.log((heat[i][i] + heat[j][j]) / 2 + LOG_FLOOR)
            d[i, j] = math.sqrt(max(4 * t * (shape + sigma * volume), 0.0))
    if rho == 0:
        return d
    rows = [[math.sqrt(squared_distance(d[i], d[j])) for j in range(n)] for i in range(n)]
    return (1 - rho) * d + rho * np.array(rows)


def entropy(heat) -> float:
    """-sum_ij H_ij log H_ij, not divided by n."""
    return -sum(h * math.log(h) for row in np.asarray(heat, np.float64) for h in row if h > 0)


def knee(x, y, *, sensitivity=0.5) -> float | None:
    """Kneedle of an increasing concave curve: the first maximum of y - x after which it drops by sensitivity mean steps."""
    u, v = ([(w - min(a)) / (max(a) - min(a)) for w in a] for a in (list(x), list(y)))
    rise = [b - a for a, b in zip(u, v, strict=True)]
    n = len(u)
    step = abs(mean(u[i + 1] - u[i] for i in range(n - 1)))
    found = None
    for i in range(1, n - 1):
        if rise[i] >= rise[i - 1] and rise[i] >= rise[i + 1]:
            found = i
        elif rise[i] <= rise[i - 1] and rise[i] <= rise[i + 1]:
            found = None
        if found is not None and rise[i + 1] < rise[found] - sensitivity * step:
            return x[found]
    return None


def classical_mds(distances, *, dim) -> np.ndarray:
    """Principal coordinates of -1/2 J D^2 J."""
    d2 = np.asarray(distances, np.float64) ** 2
    n = len(d2)
    j = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * j @ d2 @ j)
    order = np.argsort(values)[::-1][:dim]
    return np.stack([math.sqrt(max(values[o], 0.0)) * vectors[:, o] for o in order], axis=1)


def stress(z, distances, *, weights=None) -> float:
    """Mean over pairs i < j of w_ij (|z_i - z_j| - d_ij)^2 (weighted: over the sum of the weights)."""
    n = len(z)
    pairs = [(i, j) for j in range(n) for i in range(j)]
    w = [1.0 if weights is None else float(weights[i][j]) for i, j in pairs]
    terms = [v * (math.sqrt(squared_distance(z[i], z[j])) - distances[i][j]) ** 2 for v, (i, j) in zip(w, pairs, strict=True)]
    return sum(terms) / sum(w) if pairs else 0.0


def gaussian_graph(points, *, bandwidth="median", k=7, floor=1e-5) -> np.ndarray:
    """exp(-d^2 / (2 b^2)) with a zero diagonal; b^2 the median of d^2 between points, b given, or b_i the k-th neighbour's distance."""
    n = len(points)
    d2 = np.array([[squared_distance(points[i], points[j]) for j in range(n)] for i in range(n)])
    largest = d2.max(initial=0.0)
    if bandwidth == "self_tuning":
        near = [sorted(d2[i, j] for j in range(n) if j != i) for i in range(n)]
        own = [max(row[min(k, n - 1) - 1], floor * largest) if row else 1.0 for row in near]
        scale = [[math.sqrt((a if a > 0 else 1.0) * (b if b > 0 else 1.0)) for b in own] for a in own]
    else:
        off = [d2[i, j] for i in range(n) for j in range(i)]
        square = (max(median(off), floor * largest) if off else 1.0) if bandwidth == "median" else float(bandwidth) ** 2
        scale = [[2.0 * (square if square > 0 else 1.0)] * n for _ in range(n)]
    return np.array([[0.0 if i == j else math.exp(-d2[i, j] / scale[i][j]) for j in range(n)] for i in range(n)])


def neighbourhood_distances(points, *, t=1.0, sigma=1.0, bandwidth="median") -> np.ndarray:
    """Heat-geodesic distances on the Gaussian graph, its Laplacian divided by the mean degree."""
    w = gaussian_graph(points, bandwidth=bandwidth)
    degree = mean(sum(row) for row in w)
    lap = laplacian(w) / (degree if degree > 0 else 1.0)
    return heat_geodesic_distance(heat_kernel(lap, t=t), t=t, sigma=sigma)


def _one(x, z, *, t, sigma, bandwidth, normalization) -> float:
    n = len(x)
    pairs = [(i, j) for j in range(n) for i in range(j)]
    if not pairs:
        return 0.0
    d = neighbourhood_distances(x, t=t, sigma=sigma, bandwidth=bandwidth)
    length = {(i, j): math.sqrt(squared_distance(z[i], z[j])) for i, j in pairs}
    if normalization == "none":
        return mean((length[p] - d[p]) ** 2 for p in pairs)
    total, own = sum(d[p] ** 2 for p in pairs), sum(v**2 for v in length.values())
    if total == 0:
        return 0.0
    scale = sum(length[p] * d[p] for p in pairs) / own if own > 0 else 0.0
    return sum((scale * length[p] - d[p]) ** 2 for p in pairs) / total


def heat_geodesic_stress(
    x,
    z,
    *,
    form="neighbourhood",
    t=1.0,
    sigma=1.0,
    bandwidth="median",
    normalization="relative",
    mask=None,
    weights=None,
    reduction="mean",
):
    """Per set: mean over pairs of (|z_i - z_j| - d_ij)^2, or at the best scale of z and over the mean of d^2. Empty sets have no part."""
    options = dict(t=t, sigma=sigma, bandwidth=bandwidth, normalization=normalization)
    if form == "batch":
        rows = kept(mask, len(x))
        return _one([x[i] for i in rows], [z[i] for i in rows], **options)
    losses, total, mass = np.zeros(len(x)), 0.0, 0.0
    for a in range(len(x)):
        rows = kept(None if mask is None else mask[a], len(x[a]))
        if not rows:
            continue
        losses[a] = _one([x[a][i] for i in rows], [z[a][i] for i in rows], **options)
        w = 1.0 if weights is None else float(weights[a])
        total, mass = total + w * losses[a], mass + w
    if reduction == "none":
        return losses
    return total if reduction == "sum" else (total / mass if mass > 0 else 0.0)
