"""Sets of rows on which neighbours and distances are easily lost, and the truth about them by slow exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

ROWS, WIDTH = 32, 5


def hard_sets(n: int = ROWS, d: int = WIDTH, seed: int = 0) -> dict[str, np.ndarray]:
    """Named arrays [n, d] of many dtypes; those that float32 products get wrong have names that begin with "hard"."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(n, d))
    half = (np.arange(n) % 2)[:, None]
    last = (np.arange(n) == n - 1)[:, None]
    units = 10.0 ** np.linspace(-6, 6, d)
    few = base[np.arange(n) % 3]
    sets = {
        "plain float32": base.astype(np.float32),
        "plain float16": base.astype(np.float16),
        "near clusters": (base + 10 * half).astype(np.float32),
        "integers": rng.integers(-100, 100, (n, d)),
        "bytes": rng.integers(0, 255, (n, d)).astype(np.uint8),
        "bits": rng.integers(0, 2, (n, d)).astype(bool),
        "duplicates": few.astype(np.float32),
        "constant columns": np.where(np.arange(d) < 2, np.float32(7.3), base.astype(np.float32)),
        "all equal": np.ones((n, d), np.float32),
        "zero rows": np.where(np.arange(n)[:, None] % 6 == 0, 0, base).astype(np.float32),
        "mixed units": base * units,
        "hard: offset in mixed units": base * units + 1e9 * units,
    }
    for gap in (3e3, 1e4, 1e5, 1e6):
        sets[f"hard: clusters {gap:g} apart"] = (base + gap * half).astype(np.float32)
        sets[f"hard: clusters {gap:g} apart, float64"] = base + gap * half
    for gap in (1e9, 1e12):
        sets[f"hard: clusters {gap:g} apart, float64"] = base + gap * half
    for far in (1e6, 1e10, 1e30):
        sets[f"hard: an outlier at {far:g}"] = np.where(last, far, base).astype(np.float32)
        sets[f"hard: an outlier at {far:g}, float64"] = np.where(last, far, base)
    for offset in (4.6e6, 1.7e9, 1e12):
        sets[f"hard: offset {offset:g}"] = base + offset
    for scale in (1e-30, 1e-25, 1e-20, 1e-13, 1e13, 1e20, 1e30):
        sets[f"scale {scale:g}"] = (scale * base).astype(np.float32)
        sets[f"scale {scale:g}, float64"] = scale * base
        sets[f"hard: clusters 1e5 apart, scale {scale:g}"] = scale * (base + 1e5 * half)
    for scale in (1e-200, 1e200):
        sets[f"hard: scale {scale:g}"] = scale * base
    sets["hard: offset, clusters and an outlier"] = np.where(last, 1e9, 4.6e6 + base + 1e4 * half)
    sets["hard: duplicates in far clusters"] = (few + 1e5 * half).astype(np.float32)
    sets["hard: a small cluster far away"] = np.where(half, 1e5 + 1e-3 * base, base)
    sets["hard: int32 with an offset"] = (rng.integers(-50, 50, (n, d)) + 2**30).astype(np.int32)
    sets["hard: int64 above 2^53"] = rng.integers(-50, 50, (n, d)) + 2**60
    sets["hard: int64 clusters"] = rng.integers(-50, 50, (n, d)) + 2**61 * (2 * half - 1)
    sets["hard: uint64 above 2^63"] = rng.integers(0, 99, (n, d)).astype(np.uint64) + np.uint64(2**63 + 2**62)
    sets["hard: float16 with an offset"] = (rng.integers(0, 8, (n, d)) + 2048).astype(np.float16)
    return sets


def exact_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[n, m] float64: sums of squared differences of the very numbers in the arrays, each rounded once; any float or integer."""
    others = _fractions(y)
    return np.array(
        [[_rounded(sum((a - b) ** 2 for a, b in zip(row, other, strict=True))) for other in others] for row in _fractions(x)]
    )


def exact_distances(x: np.ndarray, y: np.ndarray, metric: str = "euclidean") -> np.ndarray:
    """[n, m] float64 distances; "cosine" with 1 where a row is zero."""
    if metric == "euclidean":
        others = _fractions(y)
        return np.array(
            [[_root(sum((a - b) ** 2 for a, b in zip(row, other, strict=True))) for other in others] for row in _fractions(x)]
        )
    zero = ~x.any(axis=1)[:, None] | ~y.any(axis=1)
    return np.where(zero, 1.0, 0.5 * exact_squares(_unit(x), _unit(y)))


def _fractions(rows: np.ndarray) -> list[list[Fraction]]:
    return [[Fraction(entry.item()) for entry in row] for row in rows]


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float64, from exact squares."""
    out = np.zeros(rows.shape)
    for i, row in enumerate(_fractions(rows)):
        largest = max(map(abs, row))
        if largest:
            relative = [entry / largest for entry in row]
            length = float(sum(entry**2 for entry in relative)) ** 0.5
            out[i] = [float(entry) / length for entry in relative]
    return out


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _root(value: Fraction) -> float:
    """Square root of a number that may be beyond float64's range."""
    if not value:
        return 0.0
    shift = (value.numerator.bit_length() - value.denominator.bit_length()) // 2
    return float(np.ldexp(float(value / Fraction(4) ** shift) ** 0.5, shift))
