"""What a pool of rows tells about a row: the features that co-trained heads are fitted on."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gera_jax.baselines.linear import unit_rows
from gera_jax.baselines.soft_cca import largest
from gera_jax.checks import require

Array = np.ndarray
BLOCK = 1024  # rows of a score matrix in memory at once


class Pool:
    """Rows of one modality, known pairs first: mean, principal directions and unit coordinates [n, r].

    Args:
      paired: [p, d].
      unpaired: [n - p, d].
      dim: principal directions kept at most.
      name: the modality, for messages.
    """

    def __init__(self, paired: Array, unpaired: Array, dim: int, name: str):
        rows = np.concatenate([paired, unpaired])
        self.pairs, self.mean = len(paired), rows.mean(axis=0)
        centred = rows - self.mean
        values, vectors = np.linalg.eigh(centred.T @ centred)
        keep = min(dim, len(rows) - 1, int(np.sum(values > 1e-10 * values[-1])))
        require(values[-1] > 0 and keep >= 1, name, got="rows that are all equal", wanted="rows that differ",
                remedy="Are the right array and the right rows given?")
        self.directions = vectors[:, ::-1][:, :keep]
        self.rows = self.coordinates(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def coordinates(self, rows: Array) -> Array:
        """Unit rows [n, r] in float32; a row that lies at the mean stays zero."""
        return unit_rows((rows - self.mean) @ self.directions).astype(np.float32)


class View(Protocol):
    """Features of the pool's rows, `pool` [n, f] with mean zero, and of new unit coordinates."""

    pool: Array

    def __call__(self, rows: Array) -> Array: ...


class Plain:
    """The coordinates themselves."""

    def __init__(self, pool: Pool):
        self._mean = pool.rows.mean(axis=0)
        self.pool = self(pool.rows)

    def __call__(self, rows: Array) -> Array:
        return rows - self._mean


class Smoothed:
    """[x, l2((1 - strength) x + strength P x)]: a row beside its diffusion over the k nearest rows of the pool.

    P = softmax of cosines / temperature; a row of the pool is left out of its own mean, as every new row is.
    """

    def __init__(self, pool: Pool, k: int = 10, temperature: float = 0.1, strength: float = 0.5):
        self._rows, self._k, self._temperature, self._strength = pool.rows, min(k, len(pool) - 1), temperature, strength
        both = self._smooth(pool.rows, exclude_self=True)
        self._mean = both.mean(axis=0)
        self.pool = both - self._mean

    def __call__(self, rows: Array) -> Array:
        return self._smooth(rows) - self._mean

    def _smooth(self, rows: Array, exclude_self: bool = False) -> Array:
        average = neighbour_mean(rows, self._rows, self._rows, k=self._k, temperature=self._temperature,
                                 exclude_self=exclude_self)
        smooth = unit_rows((1 - self._strength) * rows + self._strength * average)
        return np.concatenate([rows, smooth], axis=1) / np.sqrt(np.float32(2))


class Kernel:
    """Nystrom features of exp(-(1 - cos) / width) on the first rows of the pool: the pairs, then unpaired rows.

    All pairs up to 2,000 are landmarks, since a relation is known only there, and at least 400 rows. The `dim` largest
    directions are kept.
    """

    width = 1.0

    def __init__(self, pool: Pool, dim: int = 512):
        self._landmarks = pool.rows[: min(max(400, pool.pairs), 2000)]
        kernel = self._kernel(self._landmarks)
        # float32 is twice as fast, and what it loses lies far below the `dim` largest of many
        values, vectors = largest(kernel.astype(np.float64) if len(kernel) <= 600 else kernel, dim)
        keep = values > 1e-6 * values[0]
        self._map = (vectors[:, keep] / np.sqrt(values[keep])).astype(np.float32)
        self._mean = np.zeros(int(keep.sum()), np.float32)
        raw = self(pool.rows)
        self._mean = raw.mean(axis=0)
        self.pool = raw - self._mean

    def __call__(self, rows: Array) -> Array:
        return self._kernel(rows) @ self._map - self._mean

    def _kernel(self, rows: Array) -> Array:
        return np.exp((rows @ self._landmarks.T - np.float32(1)) / np.float32(self.width))


class Narrow(Kernel):
    """The same at half the width: close pairs count more, as in ASIF."""

    width = 0.5


def nearest(queries: Array, keys: Array, k: int, *, shift: Array | None = None, exclude_self: bool = False
            ) -> tuple[Array, Array]:
    """The k largest entries a row of queries @ keys' - shift: indices and values [n, k], in no order.

    Memory BLOCK x m beside the result; time n m d.
    """
    indices, values = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), BLOCK):
        scores = queries[start : start + BLOCK] @ keys.T
        if shift is not None:
            scores -= shift
        if exclude_self:
            here = np.arange(len(scores))
            scores[here, start + here] = -np.inf
        if k < len(keys):
            chosen = np.argpartition(scores, -k, axis=1)[:, -k:]
        else:
            chosen = np.broadcast_to(np.arange(len(keys)), scores.shape)
        indices[start : start + BLOCK] = chosen
        values[start : start + BLOCK] = np.take_along_axis(scores, chosen, axis=1)
    return indices, values


def density(queries: Array, keys: Array, k: int) -> Array:
    """[n] mean of the k largest scores of each query: how much of a hub a row is."""
    return nearest(queries, keys, min(k, len(keys)))[1].mean(axis=1)


def neighbour_mean(queries: Array, keys: Array, values: Array, *, k: int, temperature: float,
                   shift: Array | None = None, exclude_self: bool = False) -> Array:
    """[n, f] mean of values [m, f] under the softmax of the k best scores (queries @ keys' - shift) / temperature."""
    import scipy.sparse

    k = min(k, len(keys) - exclude_self)
    indices, scores = nearest(queries, keys, k, shift=shift, exclude_self=exclude_self)
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.float32(temperature))
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.arange(0, len(queries) * k + 1, k)
    return scipy.sparse.csr_matrix((weights.ravel(), indices.ravel(), rows), (len(queries), len(keys))) @ values
