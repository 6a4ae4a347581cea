"""Views: features of a row on which heads are fitted. They are made from the pool, all training rows of a modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from gera_jax.solvers.auto.search import nearest_within, neighbour_mean, soft_weights
from gera_jax.solvers.linear import ROWS, from_mean, mean_row, unit_rows

Array = np.ndarray
KEPT = 6e7  # entries of one view's features of a pool that are kept while the heads are fitted
LEADING = 256  # coordinates that trained heads see
NUGGET = 1e-6  # on the diagonal of a kernel of n rows, times n, which no eigenvalue exceeds: directions below are rounding


def blocks(n: int) -> Iterator[slice]:
    """Slices of ROWS that cover n rows."""
    return (slice(i, min(i + ROWS, n)) for i in range(0, n, ROWS))


class Pool:
    """Rows of one modality, known pairs first: mean, principal directions and unit coordinates [n, r].

    Args:
      paired: [p, d].
      unpaired: [n - p, d]. Either may be a memory map: no copy of them is made.
      dim: principal directions kept at most.
    """

    def __init__(self, paired: Array, unpaired: Array, dim: int):
        parts = [part[block] for part in (paired, unpaired) for block in blocks(len(part))]
        n, d = len(paired) + len(unpaired), paired.shape[1]
        self.pairs, self.mean = len(paired), mean_row(*parts)
        gram = np.zeros((d, d))
        for part in parts:
            centred = from_mean(part.astype(np.float64), self.mean)
            gram += centred.T @ centred
        values, vectors = np.linalg.eigh(gram)
        keep = min(dim, n - 1, int(np.sum(values > 1e-10 * values[-1])))
        self.directions = vectors[:, ::-1][:, :keep]
        self.rows = np.concatenate([self.coordinates(part) for part in parts])

    def __len__(self) -> int:
        return len(self.rows)

    def coordinates(self, rows: Array) -> Array:
        """Unit rows [n, r] in float32; a row that lies at the mean stays zero."""
        return unit_rows(from_mean(rows.astype(np.float64), self.mean) @ self.directions).astype(np.float32)


class View(Protocol):
    """Features of the pool's rows, `pool` [n, f] with mean zero, and of new unit coordinates."""

    pool: Any  # an array, or what gives rows of it by `[...]`

    def __call__(self, rows: Array) -> Array: ...


class Streamed:
    """Features [n, f] of a pool that are computed when they are asked for, as rows of an array too large to keep."""

    def __init__(self, compute: Callable[[Any], Array], shape: tuple[int, int]):
        self._compute, self.shape = compute, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        return self._compute(index)


def features(compute: Callable[[Any], Array], n: int, width: int) -> Any:
    """The features of all n rows in one array, or streamed where it would be larger than KEPT."""
    lazy = Streamed(compute, (n, width))
    if n * width > KEPT:
        return lazy
    return np.concatenate([lazy[block] for block in blocks(n)])


class Plain:
    """The coordinates themselves."""

    def __init__(self, pool: Pool):
        self._mean = pool.rows.mean(axis=0)
        self.pool = features(lambda index: self(pool.rows[index]), *pool.rows.shape)

    def __call__(self, rows: Array) -> Array:
        return rows - self._mean


class Leading:
    """The LEADING coordinates, the principal ones of the pool."""

    def __init__(self, pool: Pool):
        self._mean = pool.rows[:, :LEADING].mean(axis=0)
        self.pool = features(lambda index: self(pool.rows[index]), len(pool), len(self._mean))

    def __call__(self, rows: Array) -> Array:
        return rows[:, : len(self._mean)] - self._mean


class Smoothed:
    """[x, l2((1 - strength) x + strength P x)]: a row beside its diffusion over the k nearest rows of the pool.

    P is the softmax of cosines / temperature. A row of the pool is left out of its own mean, because a new row is not in its
    mean either.
    """

    def __init__(self, pool: Pool, k: int = 10, temperature: float = 0.1, strength: float = 0.5):
        (n, width), self._rows = pool.rows.shape, pool.rows
        self._k, self._temperature, self._strength = min(k, n - 1), temperature, strength
        diffusion = soft_weights(nearest_within(pool.rows, self._k), n, temperature)
        both = features(lambda index: self._beside(pool.rows[index], diffusion[index] @ pool.rows), n, 2 * width)
        self._mean = sum(both[block].sum(axis=0) for block in blocks(n)) / np.float32(n)
        if isinstance(both, Streamed):
            self.pool: Any = Streamed(lambda index: both[index] - self._mean, both.shape)
        else:
            both -= self._mean
            self.pool = both

    def __call__(self, rows: Array) -> Array:
        average = neighbour_mean(rows, self._rows, self._rows, k=self._k, temperature=self._temperature)
        return self._beside(rows, average) - self._mean

    def _beside(self, rows: Array, average: Array) -> Array:
        smooth = unit_rows((1 - self._strength) * rows + self._strength * average)
        return np.concatenate([rows, smooth], axis=1) / np.sqrt(np.float32(2))


class Kernel:
    """Nystrom features of the kernel exp(-(1 - cos) / width), with the first rows of the pool as landmarks.

    Landmarks are all pairs up to 2,000, because the relation of x and y is known only there. Unpaired rows fill them up to 400.
    With K = L L' between landmarks, the features of a row are K(row, landmarks) L^-T. They equal those of an inverse square
    root up to a rotation, and cost less.
    """

    width = 1.0

    def __init__(self, pool: Pool):
        from scipy.linalg.lapack import dtrtri

        self._landmarks = pool.rows[: min(max(400, pool.pairs), 2000)]
        n = len(self._landmarks)
        kernel = self._kernel(self._landmarks).astype(np.float64)
        kernel[np.arange(n), np.arange(n)] += NUGGET * n
        self._map = dtrtri(np.linalg.cholesky(kernel), lower=1)[0].T.astype(np.float32, order="C")
        self._mean = np.zeros(n, np.float32)
        self.pool = features(lambda index: self(pool.rows[index]), len(pool), n)
        total = sum(self.pool[block].sum(axis=0, dtype=np.float64) for block in blocks(len(pool)))
        self._mean = (total / len(pool)).astype(np.float32)
        if not isinstance(self.pool, Streamed):
            self.pool -= self._mean

    def __call__(self, rows: Array) -> Array:
        return self._kernel(rows) @ self._map - self._mean

    def _kernel(self, rows: Array) -> Array:
        return np.exp((rows @ self._landmarks.T - np.float32(1)) / np.float32(self.width))


class Narrow(Kernel):
    """`Kernel` at half the width: close pairs count more, as in ASIF."""

    width = 0.5
