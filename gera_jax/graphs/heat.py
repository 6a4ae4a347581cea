"""The heat kernel exp(-t L) of a graph: of a sparse Laplacian on the host in NumPy, of a dense one in JAX with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax
from scipy.sparse.linalg import ArpackError, eigsh, splu
from scipy.special import ive

from gera_jax.checks import fail, require, require_known
from gera_jax.ops.numerics import at_least_float32

Method = Literal["chebyshev", "euler", "exact", "lowrank"]
Array = jax.Array


def heat_kernel(
    laplacian: Any,
    b: Any = None,
    *,
    t: Any,
    method: Method = "chebyshev",
    tolerance: float = 1e-6,
    steps: int = 10,
    rank: int = 64,
    lambda_max: float | None = None,
) -> Any:
    """exp(-t L) B: heat that starts as the columns of B and spreads over the graph for the time t.

    >>> import jax.numpy as jnp
    >>> pair = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> [[f"{v:.4f}" for v in row] for row in heat_kernel(pair, t=1.0, method="exact")]
    [['0.5677', '0.4323'], ['0.4323', '0.5677']]

    "chebyshev" sum_k c_k T_k(2 L / lambda_max - I) B with c_k = 2 ive(k, -t lambda_max / 2) (c_0 halved); the degree is the
    smallest whose remainder sum |c_k| is below `tolerance`, about sqrt(t lambda_max log(1 / tolerance)). All t share one
    recurrence. "euler" (I + t L / steps)^-steps B: an M-matrix, so that B >= 0 gives a result >= 0 entry by entry, positive
    within a component (for combinatorial, random-walk and symmetric Laplacians alike); error O(t^2 / steps). "exact" by a dense
    eigendecomposition.
    "lowrank" by the `rank` smallest eigenpairs.

    Args:
      laplacian: [n, n]; a scipy sparse matrix or a dense array with eigenvalues >= 0, symmetric unless method is "chebyshev" or
        "euler". Sparse stays sparse: nothing of size n^2 is made but the result for b=None (and by "exact").
      b: [n, q], or [n]; None is the identity, an n x n result. Blocks of q columns keep memory at n q.
      t: time >= 0 in units of 1 / L as given, never rescaled; a sequence of T times adds a leading axis [T, ...].
      method: how.
      tolerance: "chebyshev": bound of the spectral-norm error (for a symmetric L). Entries far out in the tail are as exact
        as their own size if it is far below them, since c_k reaches k steps and no farther.
      steps: of "euler".
      rank: of "lowrank", the number of eigenpairs.
      lambda_max: upper bound of the eigenvalues; None computes one (sparse: Lanczos or row sums; dense: row sums).

    Returns:
      [n, q] (or [n], [T, ...]): a JAX array for a dense L, differentiable in L, B and, but for the degree, t; NumPy for a sparse
      L. float32 inputs are computed in float32, others in float64 where the route has it (JAX: with x64).

    Raises:
      ValueError: not square, t < 0 or NaN, unknown method, steps or rank below 1, a non-symmetric sparse L for "exact" or
        "lowrank", "chebyshev" of a traced dense L without lambda_max.

    Source: Marcotte et al. 2021 (Chebyshev), Huguet et al. 2023. Differs from the authors' code: the degree follows t and is
    not a constant, and "euler" runs.
    """
    require_known(method, SPARSE, "method")
    shape = np.shape(laplacian)
    require(len(shape) == 2 and shape[0] == shape[1], "laplacian", got=f"shape {shape}", wanted="[n, n]")
    require(steps >= 1, "steps", got=steps, wanted="at least 1")
    require(rank >= 1, "rank", got=rank, wanted="at least 1")
    require(0 < tolerance < 1, "tolerance", got=tolerance, wanted="a number between 0 and 1")
    if b is not None:
        wanted = f"[{shape[0]}, columns], one row per node"
        require(np.ndim(b) in (1, 2) and np.shape(b)[0] == shape[0], "b", got=f"shape {np.shape(b)}", wanted=wanted)
    times = _times(t)
    options = dict(tolerance=tolerance, steps=steps, rank=min(rank, shape[0]), lambda_max=lambda_max)
    if sp.issparse(laplacian):
        block = None if b is None else np.asarray(b)
        block = block[:, None] if block is not None and block.ndim == 1 else block
        out = SPARSE[method](sp.csr_array(laplacian), block, np.atleast_1d(times), **options)
    else:
        matrix = at_least_float32(laplacian)
        block = jnp.eye(shape[0], dtype=matrix.dtype) if b is None else jnp.asarray(b).astype(matrix.dtype)
        block = block[:, None] if block.ndim == 1 else block
        out = _DENSE[method](matrix, block, times if np.ndim(times) else times[None], **options)
    if b is not None and np.ndim(b) == 1:
        out = out[..., 0]
    return out if np.ndim(t) else out[0]


def _times(t: Any) -> Any:
    """Checked where the values are known; a traced time is the caller's word."""
    require(np.ndim(t) <= 1, "t", got=f"shape {np.shape(t)}", wanted="a number or a sequence of numbers")
    if isinstance(t, jax.core.Tracer):
        return t
    times = np.asarray(t, np.float64)
    require(
        times.size > 0 and bool(np.all(np.isfinite(times) & (times >= 0))), "t", got=t, wanted="a finite time >= 0, or several"
    )
    return times


def _dense_chebyshev(matrix, block, times, *, tolerance, lambda_max, **_):
    if isinstance(times, jax.core.Tracer):
        remedy = 'Use method="exact" or "euler".'
        fail("t", got="a traced time", wanted="a number: the degree of the polynomial follows from it", remedy=remedy)
    if lambda_max is None:
        if isinstance(matrix, jax.core.Tracer):
            remedy = 'Give lambda_max, or use method="exact" or "euler".'
            fail("lambda_max", got="None under jit or grad", wanted="an upper bound of the eigenvalues", remedy=remedy)
        lambda_max = float(jnp.max(jnp.sum(jnp.abs(matrix), axis=1)))
    lambda_max = max(float(lambda_max), 1e-30)
    c = jnp.asarray(chebyshev_table(times, lambda_max, tolerance), matrix.dtype)

    def shifted(v):
        return (2.0 / lambda_max) * jnp.matmul(matrix, v, precision=lax.Precision.HIGHEST) - v

    def step(carry, c_k):
        before, now, total = carry
        after = 2.0 * shifted(now) - before
        return (now, after, total + c_k[:, None, None] * after), None

    first = shifted(block)
    total = c[:, 0, None, None] * block + c[:, 1, None, None] * first
    (_, _, total), _ = lax.scan(step, (block, first, total), c.T[2:])
    return total


def _dense_euler(matrix, block, times, *, steps, **_):
    def one(t):
        system = jnp.eye(matrix.shape[0], dtype=matrix.dtype) + (t / steps) * matrix
        factor = jax.scipy.linalg.lu_factor(system)
        return lax.fori_loop(0, steps, lambda _, v: jax.scipy.linalg.lu_solve(factor, v), block)

    return lax.map(one, jnp.asarray(times).astype(matrix.dtype))


def _dense_exact(matrix, block, times, *, rank=None, **_):
    values, vectors = jnp.linalg.eigh(matrix)
    values, vectors = values[:rank], vectors[:, :rank]
    part = jnp.matmul(vectors.T, block, precision=lax.Precision.HIGHEST)
    decay = jnp.exp(-jnp.asarray(times).astype(matrix.dtype)[:, None] * values)
    return jnp.einsum("nk,tk,kq->tnq", vectors, decay, part, precision=lax.Precision.HIGHEST)


_DENSE = {
    "chebyshev": _dense_chebyshev,
    "euler": _dense_euler,
    "exact": lambda matrix, block, times, **_: _dense_exact(matrix, block, times),
    "lowrank": _dense_exact,
}


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
