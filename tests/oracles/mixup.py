"""Geodesic mixup of matched rows, and the measures that go with it, as loops (m2mix.md 1.2-1.5, 1.9, 1.10)."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.tools import dot, kept, logsumexp, mean, softmax, squared_distance, unit


def slerp(x, y, lam) -> np.ndarray:
    """The point at `lam` of the arc from x (lam = 0) to y (lam = 1), of one row each; a row with itself is that row."""
    x, y = unit(x), unit(y)
    angle = 2 * math.atan2(math.sqrt(squared_distance(x, y)), math.sqrt(squared_distance(x, -y)))
    if math.sin(angle) < 1e-12:  # equal rows, or opposite ones, which have no unique arc: the straight line
        return unit((1 - lam) * x + lam * y)
    return unit(math.sin((1 - lam) * angle) * x + math.sin(lam * angle) * y)  # over sin(angle), which is its length


def cross_entropy(logits, target) -> float:
    """-sum_j target_j log softmax(logits)_j; the target need not sum to 1."""
    top = logsumexp(logits)
    return sum(t * (top - v) for t, v in zip(target, logits, strict=True))


def _m2(x, y, lam: float, scale: float) -> list[float]:
    """Per row the sum of the two directions; every negative is a mixed row, the positive is the original one."""
    n = len(x)
    mixed = [slerp(x[j], y[j], 1 - lam) for j in range(n)]
    out = []
    for i in range(n):
        both = 0.0
        for me, other in ((x, y), (y, x)):
            logits = [scale * (dot(me[i], other[i]) if j == i else dot(me[i], mixed[j])) for j in range(n)]
            both += cross_entropy(logits, [1.0 if j == i else 0.0 for j in range(n)])
        out.append(both)
    return out


def _within(x, y, kind: str, lam: float, scale: float, target: str) -> list[float]:
    """Per row the mean of the two directions; the partner is the row at the same place from the end."""
    n = len(x)

    def mixed(rows):
        return [slerp(rows[i], rows[n - 1 - i], 1 - lam) for i in range(n)]

    a = mixed(x) if kind in ("v", "vl") else x
    b = mixed(y) if kind in ("l", "vl") else y
    own, flipped = {"identity": (1.0, 0.0), "both": (1.0, 1.0)}[target] if kind == "vl" else (lam, 1 - lam)
    want = [[own * (i == j) + flipped * (i + j == n - 1) for j in range(n)] for i in range(n)]
    logits = [[scale * dot(a[i], b[j]) for j in range(n)] for i in range(n)]
    return [
        0.5 * (cross_entropy(logits[i], want[i]) + cross_entropy([row[i] for row in logits], [row[i] for row in want]))
        for i in range(n)
    ]


def geodesic_mixup_contrastive(x, y, *, kind="m2", lam, logit_scale=1 / 0.07, target="identity", mask=None, reduction="mean"):
    """`lam` weighs x in m2 and the row itself elsewhere. A row counts if it exists and, except in m2, its partner does."""
    n = len(x)
    rows = kept(mask, n)
    if kind != "m2":
        rows = [i for i in rows if n - 1 - i in rows]
    if not rows:
        return 0.0
    x, y = ([np.asarray(v[i], np.float64) for i in rows] for v in (x, y))
    losses = _m2(x, y, lam, logit_scale) if kind == "m2" else _within(x, y, kind, lam, logit_scale, target)
    return sum(losses) if reduction == "sum" else mean(losses)


def relative_alignment(x, y, *, query="x"):
    """-mean_i (|q_i - c_i|^2 - min_{k != i} |q_i - c_k|^2): the larger, the better; the query's side is named."""
    q, c = (x, y) if query == "x" else (y, x)
    n = len(q)
    return -mean(squared_distance(q[i], c[i]) - min(squared_distance(q[i], c[k]) for k in range(n) if k != i) for i in range(n))


def set_uniformity(x, y, *, pairs="cross"):
    """-log mean exp(-2 d^2): over all x-y pairs ("cross"), over pairs p < q of both sets ("union"), or of y twice ("released")."""
    if pairs == "cross":
        values = [squared_distance(u, v) for u in x for v in y]
    else:
        pool = [*x, *y] if pairs == "union" else [*y, *y]
        values = [squared_distance(pool[p], pool[q]) for q in range(len(pool)) for p in range(q)]
    return -math.log(mean(math.exp(-2 * v) for v in values))


def expected_calibration_error(scores, *, targets=None, bins=10):
    """sum over bins of |B| / n |accuracy - confidence|; confidence = the largest softmax of a row, bins (b / B, (b + 1) / B]."""
    n = len(scores)
    filled: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for i, row in enumerate(scores):
        p = softmax(row)
        best = max(range(len(p)), key=lambda j: p[j])
        hit = best == (i if targets is None else targets[i])
        place = min(max(math.ceil(p[best] * bins) - 1, 0), bins - 1)
        filled[place].append((float(hit), p[best]))
    return sum(len(b) / n * abs(mean(h for h, _ in b) - mean(c for _, c in b)) for b in filled if b)
