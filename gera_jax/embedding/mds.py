"""Metric multidimensional scaling: points whose Euclidean distances are the given ones, as nearly as the dimension allows."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gera_jax.checks import require, require_known
from gera_jax.ops.geometry import squared_distances
from gera_jax.ops.numerics import at_least_float32

Array = jax.Array
HIGHEST = lax.Precision.HIGHEST


class Embedding(NamedTuple):
    """points [n, k], the weighted mean of (|e_i - e_j| - d_ij)^2 over pairs (`stress`), and the sweeps that it took."""

    points: Array
    stress: Array
    sweeps: Array


def classical_mds(distances: Array, *, dim: int = 2) -> Array:
    """Coordinates from the largest eigenpairs of -1/2 J D^2 J, with the sign of each axis fixed by its largest entry.

    Args:
      distances: [n, n] symmetric, >= 0.
      dim: k; axes beyond the rank of the data are 0.

    Returns:
      [n, k], centred, in the units of `distances`; exact if these are Euclidean in k dimensions. Subspace iteration: n^2 k times
      some tens.

    >>> import jax.numpy as jnp
    >>> line = jnp.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    >>> points = classical_mds(line, dim=1)[:, 0]
    >>> jnp.abs(points[:, None] - points).round(4).tolist()
    [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    """
    distances = _square(distances)
    n = distances.shape[0]
    require(dim >= 1, "dim", got=dim, wanted="at least 1")
    width = min(n, 2 * dim + 8)
    # A fixed start with entries in all directions; the iteration does not depend on it in the end.
    start = jnp.asarray(np.cos(np.outer(np.arange(1, n + 1), np.sqrt(np.arange(1, width + 1)))), distances.dtype)
    return _classical(distances, start, dim)


@functools.partial(jax.jit, static_argnames="dim")
def _classical(distances: Array, start: Array, dim: int) -> Array:
    squared = distances * distances
    row = jnp.mean(squared, axis=1, keepdims=True)
    gram = -0.5 * (squared - row - row.T + jnp.mean(squared))

    def improve(_, basis):
        return jnp.linalg.qr(jnp.matmul(gram, basis, precision=HIGHEST))[0]

    basis = lax.fori_loop(0, 30, improve, jnp.linalg.qr(start)[0])
    small = jnp.matmul(basis.T, jnp.matmul(gram, basis, precision=HIGHEST), precision=HIGHEST)
    values, vectors = jnp.linalg.eigh(0.5 * (small + small.T))
    values, vectors = values[::-1][:dim], jnp.matmul(basis, vectors[:, ::-1][:, :dim], precision=HIGHEST)
    sign = jnp.sign(jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), axis=0)[None], axis=0))
    points = vectors * jnp.where(sign == 0, 1.0, sign) * jnp.sqrt(jnp.maximum(values, 0.0))
    return jnp.pad(points, ((0, 0), (0, dim - points.shape[1])))


def smacof(
    distances: Array, start: Array, *, weights: Array | None = None, iterations: int = 300, tolerance: float = 1e-6
) -> Embedding:
    """Guttman's majorisation of sum_{i<j} w_ij (|e_i - e_j| - d_ij)^2: the stress never rises.

    Args:
      distances: [n, n] symmetric, >= 0.
      start: [n, k].
      weights: [n, n] symmetric, >= 0, or None for 1; the graph of the positive weights must be connected.
      iterations: at most so many.
      tolerance: stops when a step lowers the stress by less than this fraction.

    Returns:
      `Embedding`, centred, in the units of `distances`. An iteration costs n^2 k and, with weights, a product with an [n, n]
      inverse made once (n^3).

    >>> import jax.numpy as jnp
    >>> line = jnp.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    >>> print(smacof(line, jnp.array([[0.0], [1.0], [2.0]])).stress < 1e-6)
    True
    """
    distances, start, weights = _problem(distances, start, weights)
    if weights is None:
        return _smacof(distances, start, None, None, iterations, tolerance)
    n = weights.shape[0]
    v = jnp.diag(jnp.sum(weights, axis=1)) - weights
    inverse = jnp.linalg.inv(v + jnp.full_like(v, 1.0 / n)) - jnp.full_like(v, 1.0 / n)  # the pseudo-inverse of a connected graph
    return _smacof(distances, start, weights, inverse, iterations, tolerance)


@jax.jit
def _smacof(distances, start, weights, inverse, iterations, tolerance) -> Embedding:
    n = distances.shape[0]
    target = distances if weights is None else weights * distances

    def lengths(e):
        return jnp.sqrt(squared_distances(e))

    def guttman(e, length):
        ratio = jnp.where(length > 0, target / jnp.where(length > 0, length, 1.0), 0.0)
        moved = jnp.sum(ratio, axis=1, keepdims=True) * e - jnp.matmul(ratio, e, precision=HIGHEST)
        return moved / n if inverse is None else jnp.matmul(inverse, moved, precision=HIGHEST)

    def stop(state):
        _, _, before, now, step = state
        return (step < iterations) & ((step == 0) | (before - now > tolerance * before))

    def go(state):
        e, length, _, now, step = state
        e = guttman(e, length)
        length = lengths(e)
        return e, length, now, _stress(length, distances, weights), step + 1

    e = start - jnp.mean(start, axis=0)
    length = lengths(e)
    now = _stress(length, distances, weights)
    e, _, _, now, steps = lax.while_loop(stop, go, (e, length, now, now, jnp.int32(0)))
    return Embedding(e - jnp.mean(e, axis=0), now, steps)


def sgd_mds(
    distances: Array, start: Array, key: Array, *, weights: Array | None = None, sweeps: int = 30, last_step: float = 0.01
) -> Embedding:
    """Stochastic gradient on pairs: in each sweep every pair is met once and moved towards its distance by min(1, eta w_ij).

    A sweep is a round-robin tournament of the points in a random order: n - 1 rounds of disjoint pairs that move at once, which
    is the same as one pair after the other. eta falls geometrically from 1 / min(w) to last_step / max(w).

    Args:
      distances: [n, n] symmetric, >= 0.
      start: [n, k].
      key: for the order of the points in each sweep.
      weights: [n, n] symmetric, >= 0 (0: the pair does not move), or None for 1.
      sweeps: number of sweeps, >= 1.
      last_step: share of the residual that the last sweep's heaviest pairs still move.

    Returns:
      `Embedding`, centred, in the units of `distances`. n^2 k a sweep.

    Source: Zheng, Pawar and Goodman 2018.

    >>> import jax
    >>> line = jax.numpy.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
    >>> print(sgd_mds(line, jax.numpy.array([[0.0], [1.0], [2.0]]), jax.random.key(0)).stress < 1e-4)
    True
    """
    distances, start, weights = _problem(distances, start, weights)
    require(sweeps >= 1, "sweeps", got=sweeps, wanted="at least 1")
    if distances.shape[0] < 2:
        return Embedding(start * 0, jnp.zeros((), start.dtype), jnp.int32(0))
    return _sgd(distances, start, key, weights, sweeps, last_step)


@functools.partial(jax.jit, static_argnames="sweeps")
def _sgd(distances, start, key, weights, sweeps, last_step) -> Embedding:
    n = distances.shape[0]
    even = n + n % 2  # with an odd number one point a round has no partner: it meets itself
    half = even // 2
    if weights is None:
        low = high = jnp.ones((), distances.dtype)
    else:
        high = jnp.max(weights)
        low = jnp.min(jnp.where(weights > 0, weights, high))
    first, last = 1.0 / low, last_step / high
    place = jnp.arange(half, dtype=jnp.int32)

    def tournament(e, order, eta):
        def play(e, turn):
            # Circle method: seat 0 stays, the others move on by one each round.
            seats = jnp.concatenate([jnp.zeros(1, jnp.int32), 1 + (turn + jnp.arange(even - 1, dtype=jnp.int32)) % (even - 1)])
            i, j = order[seats[place]], order[seats[even - 1 - place]]
            real = (i < n) & (j < n)
            i, j = jnp.where(real, i, 0), jnp.where(real, j, 0)
            apart = e[i] - e[j]
            length = jnp.sqrt(jnp.sum(apart * apart, axis=1))
            share = jnp.minimum(1.0, eta if weights is None else eta * weights[i, j])
            pull = 0.5 * share * (length - distances[i, j]) / jnp.maximum(length, 1e-12)
            move = jnp.where(real, pull, 0.0)[:, None] * apart
            return e.at[i].add(-move).at[j].add(move), None

        return lax.scan(play, e, jnp.arange(even - 1, dtype=jnp.int32))[0]

    def sweep(e, inputs):
        key, eta = inputs
        return tournament(e, jax.random.permutation(key, even).astype(jnp.int32), eta), None

    share = jnp.arange(sweeps, dtype=distances.dtype) / max(sweeps - 1, 1)
    e, _ = lax.scan(sweep, start, (jax.random.split(key, sweeps), first * (last / first) ** share))
    e = e - jnp.mean(e, axis=0)
    return Embedding(e, _stress(jnp.sqrt(squared_distances(e)), distances, weights), jnp.int32(sweeps))


@functools.partial(jax.jit, static_argnames="iterations")
def place(distances: Array, anchors: Array, start: Array, *, weights: Array | None = None, iterations: int = 60) -> Array:
    """Points [q, k] each of which keeps its distances to fixed anchors: argmin_e sum_l w_l (|e - a_l| - d_l)^2, by majorisation.

    Args:
      distances: [q, m] to the anchors.
      anchors: [m, k].
      start: [q, k].
      weights: [q, m] >= 0 with a positive sum in every row, or None for 1.
      iterations: majorisation steps; each costs q m k.
    """
    w = jnp.ones_like(distances) if weights is None else weights
    w = w / jnp.sum(w, axis=1, keepdims=True)
    centre = jnp.matmul(w, anchors, precision=HIGHEST)

    def step(_, e):
        length = jnp.sqrt(squared_distances(e, anchors))
        ratio = w * jnp.where(length > 0, distances / jnp.where(length > 0, length, 1.0), 0.0)
        return centre + jnp.sum(ratio, axis=1, keepdims=True) * e - jnp.matmul(ratio, anchors, precision=HIGHEST)

    return lax.fori_loop(0, iterations, step, start)


def metric_mds(
    distances: Array,
    *,
    dim: int = 2,
    solver: str = "sgd",
    weights: Array | None = None,
    key: Array | None = None,
    start: Array | None = None,
    sweeps: int = 30,
    iterations: int = 300,
) -> Embedding:
    """Metric MDS from the classical start: "smacof", "sgd" (which needs `key`), or "classical" alone.

    Args:
      distances: [n, n] symmetric, >= 0.
      dim: k.
      solver: which.
      weights: [n, n], or None for 1; "classical" alone knows none.
      key: random key of "sgd".
      start: [n, k] instead of the classical start.
      sweeps: of "sgd".
      iterations: of "smacof".

    Raises:
      ValueError: not square, unknown solver, "sgd" without key, wrong shapes.
    """
    require_known(solver, ("classical", "smacof", "sgd"), "solver")
    start = classical_mds(distances, dim=dim) if start is None else start
    if solver != "classical":
        start = _spread(jnp.asarray(start))
    if solver == "smacof":
        return smacof(distances, start, weights=weights, iterations=iterations)
    if solver == "sgd":
        require(key is not None, "key", got=None, wanted='a random key for solver="sgd"', remedy="Give jax.random.key(0).")
        return sgd_mds(distances, start, key, weights=weights, sweeps=sweeps)
    return Embedding(start, _kept(start, _square(distances), weights), jnp.int32(0))


@jax.jit
def _kept(points: Array, distances: Array, weights: Array | None) -> Array:
    return _stress(jnp.sqrt(squared_distances(points)), distances, weights)


def _stress(length: Array, distances: Array, weights: Array | None) -> Array:
    residual = (length - distances) ** 2
    if weights is None:
        n = distances.shape[0]
        return jnp.sum(residual) / max(n * (n - 1), 1)
    off = weights * (1.0 - jnp.eye(weights.shape[0], dtype=weights.dtype))
    total = jnp.sum(off)
    return jnp.sum(off * residual) / jnp.where(total > 0, total, 1.0)


def _square(distances: Array) -> Array:
    distances = at_least_float32(distances)
    shape = distances.shape
    require(len(shape) == 2 and shape[0] == shape[1], "distances", got=f"shape {shape}", wanted="[n, n]")
    return distances


def _problem(distances: Array, start: Array, weights: Array | None) -> tuple[Array, Array, Array | None]:
    distances = _square(distances)
    n = distances.shape[0]
    start = jnp.asarray(start).astype(distances.dtype)
    require(start.ndim == 2 and start.shape[0] == n, "start", got=f"shape {start.shape}", wanted=f"[{n}, dimensions]")
    if weights is not None:
        weights = jnp.asarray(weights).astype(distances.dtype)
        require(weights.shape == (n, n), "weights", got=f"shape {weights.shape}", wanted=f"[{n}, {n}]")
        weights = weights * (1.0 - jnp.eye(n, dtype=weights.dtype))
    return distances, start, weights


@jax.jit
def _spread(start: Array) -> Array:
    """An axis on which all points start at 0 would stay empty: there they take small, fixed places."""
    n, dim = start.shape
    small = (
        1e-2
        * jnp.sqrt(jnp.mean(jnp.sum(start * start, axis=1)))
        * jnp.asarray(np.cos(np.outer(np.arange(1, n + 1), np.sqrt(2 + np.arange(dim)))), start.dtype)
    )
    return jnp.where(jnp.any(start != 0, axis=0), start, small)
