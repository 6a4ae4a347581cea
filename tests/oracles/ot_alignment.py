"""KL between the transport plans of a teacher's and a student's cosines, in float64 NumPy with plain loops."""

from __future__ import annotations

import numpy as np


def plan(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """Sinkhorn by scaling: diag(a) exp(scores / epsilon) diag(b), rows then columns, masses 1 / n and 1 / m."""
    n, m = scores.shape
    kernel = np.exp((scores - scores.max()) / epsilon)
    a, b = np.ones(n), np.ones(m)
    for _ in range(iterations):
        for i in range(n):
            a[i] = 1 / n / sum(kernel[i, j] * b[j] for j in range(m))
        for j in range(m):
            b[j] = 1 / m / sum(kernel[i, j] * a[i] for i in range(n))
    return a[:, None] * kernel * b


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    out = np.zeros((len(x), len(y)))
    for i, a in enumerate(x):
        for j, b in enumerate(y):
            length = np.linalg.norm(a) * np.linalg.norm(b)
            out[i, j] = a @ b / length if length > 0 else 0.0
    return out


def ot_alignment(
    x, y, *, x_teacher=None, y_teacher=None, epsilon=0.05, teacher_epsilon=0.01, iterations=100, x_mask=None, y_mask=None
):
    keep_x = np.ones(len(x), bool) if x_mask is None else np.asarray(x_mask)
    keep_y = np.ones(len(y), bool) if y_mask is None else np.asarray(y_mask)
    if not keep_x.any() or not keep_y.any():
        return 0.0
    x_teacher, y_teacher = (x, y) if x_teacher is None else (x_teacher, y_teacher)
    teacher = plan(cosines(np.asarray(x_teacher)[keep_x], np.asarray(y_teacher)[keep_y]), teacher_epsilon, iterations)
    student = plan(cosines(np.asarray(x)[keep_x], np.asarray(y)[keep_y]), epsilon, iterations)
    total = 0.0
    for p, q in zip(teacher.ravel(), student.ravel(), strict=True):
        if p > 0:
            total += p * (np.log(p) - np.log(q))
    return total
