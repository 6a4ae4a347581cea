"""exp(-t L) B for a scipy sparse Laplacian, in NumPy: the work of `heat_kernel` for large graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, eigsh, splu
from scipy.special import ive

from gera_jax.checks import require

_SMALL = 64  # below this many nodes a dense decomposition is quicker than Lanczos


def largest_eigenvalue(laplacian: sp.csr_array) -> float:
    """An upper bound of the eigenvalues: the largest absolute row sum, or 1 % above Lanczos' value if that is less."""
    bound = float(np.max(abs(laplacian).sum(axis=1), initial=0.0))
    n = laplacian.shape[0]
    if n < _SMALL or bound == 0 or not _is_symmetric(laplacian):
        return bound
    start = np.cos(np.arange(n, dtype=np.float64))  # fixed: the same graph gives the same bound
    try:
        found = eigsh(laplacian.astype(np.float64), k=1, which="LA", tol=1e-3, v0=start, return_eigenvectors=False)[0]
    except ArpackError:
        return bound
    return min(bound, 1.01 * float(found))


def chebyshev_coefficients(t: float, lambda_max: float, tolerance: float) -> np.ndarray:
    """c_0 ... c_K of exp(-t lambda) on [0, lambda_max] (c_0 halved), K the smallest degree with sum_{k > K} |c_k| <= tolerance.

    >>> chebyshev_coefficients(1.0, 3.0, 0.02).round(6).tolist()
    [0.367434, -0.438079, 0.150762, -0.036046]
    """
    z = 0.5 * t * lambda_max
    # ive(k, z) falls like exp(-k^2 / 2z) for k < z and faster than 2^-k beyond 3 z.
    reach = int(np.sqrt(2 * z * (3 - np.log(tolerance))) + 3 * (3 - np.log(tolerance))) + 10
    c = 2.0 * ive(np.arange(reach + 1), z)
    c[0] *= 0.5
    remainder = np.append(np.cumsum(c[::-1])[::-1], 0.0)  # remainder[k] = sum_{j >= k} c_j
    degree = max(int(np.argmax(remainder <= tolerance)) - 1, 0)
    return c[: degree + 1] * (-1.0) ** np.arange(degree + 1)


def chebyshev_table(times: np.ndarray, lambda_max: float, tolerance: float) -> np.ndarray:
    """Coefficients [T, degree + 1] of several times, at least two columns, padded with zeros."""
    rows = [chebyshev_coefficients(float(t), lambda_max, tolerance) for t in times]
    table = np.zeros((len(rows), max(2, *map(len, rows))))
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def _chebyshev(laplacian, block, times, *, tolerance, lambda_max, **_) -> np.ndarray:
    dtype = _dtype(laplacian, block)
    if lambda_max is None:
        lambda_max = largest_eigenvalue(laplacian)
    lambda_max = max(float(lambda_max), 1e-30)
    n = laplacian.shape[0]
    table = chebyshev_table(times, lambda_max, tolerance).astype(dtype)
    # x = (2 / lambda_max) L - I has its spectrum in [-1, 1]; doubled, it is the matrix of the recurrence.
    doubled = sp.csr_array((4.0 / lambda_max) * laplacian - 2.0 * sp.eye_array(n)).astype(dtype)
    before = np.eye(n, dtype=dtype) if block is None else np.asarray(block, dtype)
    now = 0.5 * (doubled @ before)
    total = table[:, 0, None, None] * before + table[:, 1, None, None] * now
    for column in table.T[2:]:
        after = doubled @ now
        after -= before
        before, now = now, after
        for i, c in enumerate(column):
            if c:
                total[i] += c * now
    return total


def _euler(laplacian, block, times, *, steps, **_) -> np.ndarray:
    n, dtype = laplacian.shape[0], _dtype(laplacian, block)
    start = np.eye(n) if block is None else np.asarray(block, np.float64)
    out = np.empty((len(times), *start.shape), dtype)
    for i, t in enumerate(times):
        system = sp.csc_array(sp.eye_array(n) + (t / steps) * laplacian)
        # Diagonal pivots only: the factors of an M-matrix then have its signs, and solving adds non-negative numbers.
        factor = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=dict(SymmetricMode=True))
        now = start
        for _step in range(steps):
            now = factor.solve(now)
        out[i] = now
    return out


def _exact(laplacian, block, times, **_) -> np.ndarray:
    _require_symmetric(laplacian)
    values, vectors = np.linalg.eigh(laplacian.toarray().astype(np.float64))
    return _synthesis(values, vectors, block, times, _dtype(laplacian, block))


def _lowrank(laplacian, block, times, *, rank, **_) -> np.ndarray:
    _require_symmetric(laplacian)
    n = laplacian.shape[0]
    if n < _SMALL or rank >= n - 1:
        values, vectors = np.linalg.eigh(laplacian.toarray().astype(np.float64))
        values, vectors = values[:rank], vectors[:, :rank]
    else:
        shift = -1e-3 * max(float(laplacian.diagonal().mean()), 1e-12)  # just below 0, where L - shift can be factored
        values, vectors = eigsh(laplacian.astype(np.float64), k=rank, sigma=shift, v0=np.cos(np.arange(n, dtype=np.float64)))
    return _synthesis(np.maximum(values, 0.0), vectors, block, times, _dtype(laplacian, block))


def _synthesis(values, vectors, block, times, dtype) -> np.ndarray:
    part = vectors.T if block is None else vectors.T @ np.asarray(block, np.float64)
    return np.stack([(vectors * np.exp(-t * values)) @ part for t in times]).astype(dtype)


def _dtype(laplacian: sp.csr_array, block: Any) -> np.dtype:
    """float32 only if nothing is wider."""
    single = laplacian.dtype == np.float32 and (block is None or block.dtype == np.float32)
    return np.dtype(np.float32 if single else np.float64)


def _is_symmetric(matrix: sp.csr_array) -> bool:
    difference = abs(matrix - matrix.T)
    return difference.nnz == 0 or bool(difference.max() <= 1e-6 * abs(matrix).max())


def _require_symmetric(laplacian: sp.csr_array) -> None:
    wanted, remedy = "a symmetric one for this method", 'Use method="chebyshev" or "euler".'
    require(_is_symmetric(laplacian), "laplacian", got="a matrix that is not symmetric", wanted=wanted, remedy=remedy)


SPARSE: dict[str, Callable[..., np.ndarray]] = {"chebyshev": _chebyshev, "euler": _euler, "exact": _exact, "lowrank": _lowrank}
