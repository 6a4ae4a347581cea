"""Views: features of a row on which heads are fitted. They are made from the pool, all training rows of a modality."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gera_jax.solvers.linear import from_mean, mean_row, unit_rows

Array = np.ndarray
BLOCK = 1024  # rows of a score matrix in memory at once
HUB = 10  # best scores whose mean is a density
NUGGET = 1e-6  # on the diagonal of a kernel of n rows, times n, which no eigenvalue exceeds: directions below are rounding


class Pool:
    """Rows of one modality, known pairs first: mean, principal directions and unit coordinates [n, r].

    Args:
      paired: [p, d].
      unpaired: [n - p, d].
      dim: principal directions kept at most.
    """

    def __init__(self, paired: Array, unpaired: Array, dim: int):
        rows = np.concatenate([paired, unpaired])
        self.pairs, self.mean = len(paired), mean_row(rows)
        centred = from_mean(rows, self.mean)
        values, vectors = np.linalg.eigh(centred.T @ centred)
        keep = min(dim, len(rows) - 1, int(np.sum(values > 1e-10 * values[-1])))
        self.directions = vectors[:, ::-1][:, :keep]
        self.rows = self.coordinates(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def coordinates(self, rows: Array) -> Array:
        """Unit rows [n, r] in float32; a row that lies at the mean stays zero."""
        return unit_rows(from_mean(rows, self.mean) @ self.directions).astype(np.float32)


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

    P is the softmax of cosines / temperature. A row of the pool is left out of its own mean, because a new row is not in its
    mean either.
    """

    def __init__(self, pool: Pool, k: int = 10, temperature: float = 0.1, strength: float = 0.5):
        self._rows, self._k, self._temperature, self._strength = pool.rows, min(k, len(pool) - 1), temperature, strength
        both = self._smooth(pool.rows, exclude_self=True)
        self._mean = both.mean(axis=0)
        self.pool = both - self._mean

    def __call__(self, rows: Array) -> Array:
        return self._smooth(rows) - self._mean

    def _smooth(self, rows: Array, exclude_self: bool = False) -> Array:
        average = neighbour_mean(
            rows, self._rows, self._rows, k=self._k, temperature=self._temperature, exclude_self=exclude_self
        )
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
        from scipy.linalg import solve_triangular

        self._landmarks = pool.rows[: min(max(400, pool.pairs), 2000)]
        n = len(self._landmarks)
        kernel = self._kernel(self._landmarks).astype(np.float64)
        kernel[np.arange(n), np.arange(n)] += NUGGET * n
        self._map = solve_triangular(np.linalg.cholesky(kernel), np.eye(n), lower=True).T.astype(np.float32)
        self._mean = np.zeros(n, np.float32)
        raw = self(pool.rows)
        self._mean = raw.mean(axis=0)
        self.pool = raw - self._mean

    def __call__(self, rows: Array) -> Array:
        return self._kernel(rows) @ self._map - self._mean

    def _kernel(self, rows: Array) -> Array:
        return np.exp((rows @ self._landmarks.T - np.float32(1)) / np.float32(self.width))


class Narrow(Kernel):
    """`Kernel` at half the width: close pairs count more, as in ASIF."""

    width = 0.5


def nearest(
    queries: Array, keys: Array, k: int, *, shift: Array | None = None, exclude_self: bool = False
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
        indices[start : start + BLOCK], values[start : start + BLOCK] = _top(scores, k)
    return indices, values


def nearest_both(
    x: Array, y: Array, k: int, *, x_shift: Array | None = None, y_shift: Array | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`nearest` of each x among y (less y_shift) and of each y among x (less x_shift), from one product of the two."""
    of_x = np.empty((len(x), min(k, len(y))), np.int64), np.empty((len(x), min(k, len(y))), np.float32)
    of_y = np.empty((len(y), 0), np.int64), np.empty((len(y), 0), np.float32)
    for start in range(0, len(x), BLOCK):
        block = slice(start, start + BLOCK)
        scores = x[block] @ y.T
        rows = scores if y_shift is None else scores - y_shift
        of_x[0][block], of_x[1][block] = _top(rows, of_x[0].shape[1])
        columns = scores.T if x_shift is None else scores.T - x_shift[block]
        found = _top(columns, min(k, columns.shape[1]))
        candidates, values = np.concatenate([of_y[0], found[0] + start], axis=1), np.concatenate([of_y[1], found[1]], axis=1)
        best, values = _top(values, min(k, values.shape[1]))
        of_y = np.take_along_axis(candidates, best, axis=1), values
    return of_x, of_y


def _top(scores: Array, k: int) -> tuple[Array, Array]:
    if k < scores.shape[1]:
        chosen = np.argpartition(scores, -k, axis=1)[:, -k:]
    else:
        chosen = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return chosen, np.take_along_axis(scores, chosen, axis=1)


def density(queries: Array, keys: Array) -> Array:
    """[n] mean of the HUB largest scores of each query. It is large for a hub, a row that is close to many others."""
    return nearest(queries, keys, min(HUB, len(keys)))[1].mean(axis=1)


def neighbour_mean(
    queries: Array,
    keys: Array,
    values: Array,
    *,
    k: int,
    temperature: float,
    shift: Array | None = None,
    exclude_self: bool = False,
) -> Array:
    """[n, f] mean of values [m, f] under the softmax of the k best scores (queries @ keys' - shift) / temperature."""
    k = min(k, len(keys) - exclude_self)
    return soft_mean(nearest(queries, keys, k, shift=shift, exclude_self=exclude_self), values, temperature)


def soft_mean(found: tuple[Array, Array], values: Array, temperature: float) -> Array:
    """[n, f] mean of values [m, f] under the softmax of scores / temperature; `found` as `nearest` gives it."""
    import scipy.sparse

    indices, scores = found
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.float32(temperature))
    weights /= weights.sum(axis=1, keepdims=True)
    starts = np.arange(0, indices.size + 1, indices.shape[1])
    return scipy.sparse.csr_matrix((weights.ravel(), indices.ravel(), starts), (len(indices), len(values))) @ values
