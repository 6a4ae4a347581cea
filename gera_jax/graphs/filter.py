"""Smoothing of rows by the graph of a pool: a low-pass filter that also works for new rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.graphs.knn import knn
from gera_jax.graphs.screens import unit_rows


def diffusion_filter(
    x: Any,
    pool: Any,
    *,
    k: int = 10,
    temperature: float = 0.1,
    strength: float = 0.5,
    exclude_self: Any = False,
    block_size: int = 1024,
) -> np.ndarray:
    """l2((1 - strength) x_i + strength sum_j P_ij pool_j), P = row-normalised exp((cos(x_i, pool_j) - 1) / temperature).

    >>> import numpy as np
    >>> pool = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> diffusion_filter(pool, pool, k=1, strength=0.5, exclude_self=np.arange(2))
    array([[0.70710677, 0.70710677],
           [0.70710677, 0.70710677]], dtype=float32)

    The sum runs over the k nearest rows of the pool by cosine. A new row looks at pool rows only, so nothing is refitted.

    Args:
      x: [n, d] array or memory map; unit rows make `strength` a fraction.
      pool: [N, d], for example the training rows.
      k: number of pool rows to average.
      temperature: of the weights, > 0; small = the nearest row only.
      strength: 0 (x itself, normalised) to 1 (the average alone).
      exclude_self: False, or an int array [n] with the pool position of each row (-1 = not in the pool): a row is then
        left out of its own average, as every new row is.
      block_size: rows per block. Memory block_size * k * d beside that of `knn`.

    Returns:
      float32 [n, d] of unit rows (a zero row stays 0). NumPy in, NumPy out; no gradient.
    """
    require(temperature > 0, "temperature", got=temperature, wanted="a number above 0")
    require(0 <= strength <= 1, "strength", got=strength, wanted="a number from 0 to 1")
    x, pool = (a if isinstance(a, np.ndarray) else np.asarray(a) for a in (x, pool))
    if strength == 0:
        return np.concatenate([unit_rows(x[start : start + block_size]) for start in range(0, len(x), block_size)])
    indices, distances = knn(x, pool, k=k, metric="cosine", exclude_self=exclude_self, block_size=block_size)
    out = np.empty(x.shape, np.float32)
    for start in range(0, len(x), block_size):
        rows = slice(start, start + block_size)
        # Distances are sorted, so subtracting the first one keeps the largest weight at 1 for any temperature.
        weights = np.exp((distances[rows, :1] - distances[rows]) / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        average = np.einsum("nk,nkd->nd", weights, np.asarray(pool[indices[rows]], np.float64))
        out[rows] = unit_rows((1.0 - strength) * np.asarray(x[rows], np.float64) + strength * average)
    return out
