"""STRUCTURE's divergence of multi-step similarity walks, and measures of how alike two geometries are (structure.md B.1, B.3)."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import dot, kept, mean, softmax, squared_distance, unit

RELEASED_FLOOR = 1e-12


def centred_rows(rows, center: str) -> np.ndarray:
    """ "after": unit rows less their mean; "before": unit rows of what is left after the mean; "none": unit rows."""
    rows = np.asarray(rows, np.float64)
    if center == "before":
        rows = rows - sum(rows) / len(rows)
    rows = np.array([unit(r) for r in rows])
    if center == "after":
        rows = rows - sum(rows) / len(rows)
    return rows


def walk(rows, *, temperature=0.05, center="after", similarity="cosine", gamma=1.0, diagonal=True) -> np.ndarray:
    """P: each row the softmax of the similarities over `temperature`; without the diagonal a point never stays."""
    rows = centred_rows(rows, center)
    n = len(rows)
    p = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if diagonal or j != i]
        if not others:
            continue
        if similarity == "rbf":
            values = [math.exp(-gamma * squared_distance(rows[i], rows[j])) / temperature for j in others]
        else:
            values = [dot(rows[i], rows[j]) / temperature for j in others]
        for j, value in zip(others, softmax(values), strict=True):
            p[i, j] = value
    return p


def power(p, steps: int) -> np.ndarray:
    n = len(p)
    out = np.eye(n)
    for _ in range(steps):
        out = np.array([[sum(out[i, u] * p[u, j] for u in range(n)) for j in range(n)] for i in range(n)])
    return out


def _kl(p, q, floor: float = 0.0) -> float:
    """KL(p || q) of two rows; 0 log 0 = 0, and q counts as at least `floor`."""
    return sum(a * math.log(a / max(b, floor)) for a, b in zip(p, q, strict=True) if a > 0)


def row_divergence(p, q, divergence: str) -> float:
    """ "js": half of KL(p||m) + KL(q||m), m their mean; "mixture_first", as released: half of KL(m||p) + KL(m||q), floored."""
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    if divergence == "js":
        return 0.5 * (_kl(p, m) + _kl(q, m))
    return 0.5 * (_kl(m, p, RELEASED_FLOOR) + _kl(m, q, RELEASED_FLOOR))


def structure_divergence(
    x,
    z,
    *,
    divergence="js",
    levels=1,
    level_weights="inverse",
    temperature=0.05,
    center="after",
    similarity="cosine",
    gamma=1.0,
    diagonal=True,
    margin=0.0,
    mask=None,
):
    """(1 / L) sum_l w_l relu(D(P_x^l, P_z^l) - margin), D the mean over rows, w_l = 1 / l or 1; over the rows that exist."""
    rows = kept(mask, len(x))
    if not rows:
        return 0.0
    shared = dict(temperature=temperature, center=center, similarity=similarity, gamma=gamma, diagonal=diagonal)
    p, q = (walk([v[i] for i in rows], **shared) for v in (x, z))
    total = 0.0
    for level in range(1, levels + 1):
        a, b = power(p, level), power(q, level)
        value = mean(row_divergence(a[i], b[i], divergence) for i in range(len(rows)))
        total += (1.0 / level if level_weights == "inverse" else 1.0) * max(value - margin, 0.0)
    return total / levels


def neighbours(a, k: int) -> list[set[int]]:
    """The k nearest other rows by cosine; of equal ones the first."""
    a = [unit(row) for row in np.asarray(a, np.float64)]
    out = []
    for i in range(len(a)):
        order = sorted((j for j in range(len(a)) if j != i), key=lambda j: (-dot(a[i], a[j]), j))
        out.append(set(order[:k]))
    return out


def overlap(a: list[set[int]], b: list[set[int]], k: int) -> float:
    return mean(len(u & v) / k for u, v in zip(a, b, strict=True))


def mutual_knn(a, b, *, k):
    """Mean share of common neighbours."""
    return overlap(neighbours(a, k), neighbours(b, k), k)


def rice(n: int) -> int:
    return math.ceil(2 * round(n ** (1 / 3), 12))


def gram(a) -> np.ndarray:
    return np.array([[dot(u, v) for v in a] for u in a])


def hsic(k, other) -> float:
    """tr(K H L H) / (n - 1)^2, H the centring matrix."""
    n = len(k)
    h = np.eye(n) - 1.0 / n
    return float(np.trace(k @ h @ other @ h)) / (n - 1) ** 2


def unbiased_hsic(k, other) -> float:
    """Song et al. 2012: sums over i, j, q, r that are all different, written as sums over the zero-diagonal matrices."""
    n = len(k)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    trace = sum(k[i, j] * other[j, i] for i, j in pairs)
    total = sum(k[i, j] for i, j in pairs) * sum(other[i, j] for i, j in pairs)
    chain = sum(k[i, j] * other[j, r] for i, j in pairs for r in range(n) if r != j)
    return (trace + total / ((n - 1) * (n - 2)) - 2.0 * chain / (n - 2)) / (n * (n - 3))


def linear_cka(a, b):
    k, other = gram(a), gram(b)
    return hsic(k, other) / math.sqrt(hsic(k, k) * hsic(other, other))


def unbiased_cka(a, b):
    k, other = gram(a), gram(b)
    return unbiased_hsic(k, other) / math.sqrt(unbiased_hsic(k, k) * unbiased_hsic(other, other))


def _local_alignment(k, other, near, other_near) -> float:
    """sum over i and common neighbours j of the row-centred similarities' product (Huh et al. 2024)."""
    n = len(k)
    return sum((k[i, j] - mean(k[i])) * (other[i, j] - mean(other[i])) for i in range(n) for j in near[i] & other_near[i])


def cknna(a, b, *, k):
    """Kernel alignment that counts only pairs which are neighbours in both spaces; unit rows, 1 for equal geometries."""
    a, b = ([unit(row) for row in v] for v in (a, b))
    one, two = gram(a), gram(b)
    near, other = neighbours(a, k), neighbours(b, k)
    norm = _local_alignment(one, one, near, near) * _local_alignment(two, two, other, other)
    return _local_alignment(one, two, near, other) / math.sqrt(norm)
