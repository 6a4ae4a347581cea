"""What the oracles share: plain arithmetic on rows, and the comparison that their own tests and companions use."""

from __future__ import annotations

import math

import numpy as np


def kept(mask, n: int) -> list[int]:
    """The positions that exist."""
    return [i for i in range(n) if mask is None or bool(mask[i])]


def dot(a, b) -> float:
    return sum(float(u) * float(v) for u, v in zip(a, b, strict=True))


def squared_distance(a, b) -> float:
    return sum((float(u) - float(v)) ** 2 for u, v in zip(a, b, strict=True))


def unit(row) -> np.ndarray:
    """The row over its length; a zero row stays zero."""
    row = np.asarray(row, np.float64)
    length = math.sqrt(dot(row, row))
    return row / length if length > 0 else 0.0 * row


def cosine(a, b) -> float:
    return dot(unit(a), unit(b))


def logsumexp(values) -> float:
    values = [float(v) for v in values]
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def softmax(values) -> list[float]:
    top = logsumexp(values)
    return [math.exp(v - top) for v in values]


def softplus(v: float) -> float:
    return max(v, 0.0) + math.log1p(math.exp(-abs(v)))


def sigmoid(v: float) -> float:
    return 1.0 / (1.0 + math.exp(-v)) if v >= 0 else math.exp(v) / (1.0 + math.exp(v))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def median(values) -> float:
    values = sorted(values)
    half = len(values) // 2
    return values[half] if len(values) % 2 else 0.5 * (values[half - 1] + values[half])


def turned(degrees) -> np.ndarray:
    """Unit vectors of the plane at these angles."""
    radians = np.deg2rad(np.asarray(degrees, np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def agrees(got, want, digits: int) -> bool:
    """Every entry is the printed one: within 0.6 of a unit in the last of `digits` decimals."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return got.shape == want.shape and bool(np.all(np.isfinite(got)) and np.max(np.abs(got - want)) <= 0.6 * 10.0**-digits)


def accepted_faults(want, digits: int, **others) -> list[str]:
    """Which wrong results the same comparison would let pass: it must be none.

    Every number is tried doubled, halved, with the wrong sign and shifted by the tolerance's own size; an array also
    constant, in reversed order and, where it is square and not symmetric, transposed. `others` are wrong results of the test's own.
    """
    want = np.asarray(want, np.float64)
    wrong = dict(others)
    if np.any(want):
        wrong |= {"factor 2": 2 * want, "half": want / 2, "sign": -want}
    wrong["shifted"] = want + 2 * 10.0**-digits
    if want.size > 1 and np.ptp(want) > 0:
        wrong["constant"] = np.full_like(want, want.mean())
        if not np.array_equal(want, np.flip(want)):
            wrong["reversed"] = np.flip(want)
    if want.ndim == 2 and want.shape[0] == want.shape[1] and not np.array_equal(want, want.T):
        wrong["transposed"] = want.T
    return [name for name, value in wrong.items() if agrees(value, want, digits)]


def check(got, want, digits: int, **others) -> None:
    """The printed number is reached, and no fault reaches it."""
    assert agrees(got, want, digits), f"got {np.asarray(got)!r}, wanted {np.asarray(want)!r} to {digits} decimals"
    assert accepted_faults(want, digits, **others) == []
