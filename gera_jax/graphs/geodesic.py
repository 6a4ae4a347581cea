"""Similarity along the surface that the points lie on: shortest paths through nearest neighbours, on the device."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax.checks import fail, require
from gera_jax.ops.geometry import squared_distances
from gera_jax.ops.numerics import at_least_float32, safe_normalize, sanitize, unit_factor


def geodesic_similarity(v: Array, source: Array, *, k: int = 5, cutoff: float = 0.5, mask: Array | None = None) -> Array:
    """g_ij = 1 - D_ij where D_ij <= cutoff, else 0, with D_ij the length of the shortest path from point source_i to point j.

    >>> import jax.numpy as jnp
    >>> angle = jnp.deg2rad(jnp.array([0.0, 20.0, 45.0, 75.0, 120.0, 180.0]))
    >>> v = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    >>> print(*(f"{value:.6f}" for value in geodesic_similarity(v, jnp.array([0]), k=2)[0]))
    1.000000 0.939693 0.846000 0.712026 0.000000 0.000000

    Edges run from each point to its k nearest others by Euclidean distance (of equal distances to the first); an edge is
    1 - cos long. Min-plus relaxation over all edges at once under `lax.while_loop`, until nothing changes: no host, so it runs
    inside of a jitted step and under `vmap` over recordings. No gradient.

    Args:
      v: [N, d] points, not normalised.
      source: [S] integers, positions in v.
      k: neighbours of a point, 1 to N - 1.
      cutoff: longest path that counts, in (0, 1].
      mask: [N] bool, True = a real point; the others are no neighbours, and what they hold does not matter.

    Returns:
      [S, N] in {0} or [1 - cutoff, 1], float32 or better: 1 at the source, 0 where no path within the cutoff leads (points of
      another component, masked points, every point of a masked source). O(N^2 d + hops S N k) time, O(N^2 + S N k) memory.

    Source: G2L, arXiv 2307.14277. Differs from the authors' code (SciPy on the host): equal points are joined by an edge of
    length 0, which a sparse matrix drops without a word.
    """
    v, source = jnp.asarray(v), jnp.asarray(source)
    _check(v, source, k, cutoff, mask)
    v = lax.stop_gradient(sanitize(at_least_float32(v), mask))
    v = v * unit_factor(v)  # nothing here depends on the unit, and squares of any then stay within float32
    neighbours, length = _edges(v, k, mask)
    reached = _relax(neighbours, length, source, v.shape[0], cutoff)
    g = jnp.where(reached <= cutoff, 1.0 - reached, 0.0)
    return g if mask is None else jnp.where(mask[source][:, None], g, 0.0)


def _edges(v: Array, k: int, mask: Array | None) -> tuple[Array, Array]:
    """Neighbours [N, k] of each point and the length of the edge to each, infinity where there is no such point."""
    squared = squared_distances(v)
    never = jnp.eye(len(v), dtype=bool) if mask is None else jnp.eye(len(v), dtype=bool) | ~mask
    negative, neighbours = lax.top_k(jnp.where(never, -jnp.inf, -squared), k)
    unit = safe_normalize(v)
    cosine = jnp.einsum("nd,nkd->nk", unit, unit[neighbours], precision=lax.Precision.HIGHEST)
    return neighbours, jnp.where(jnp.isneginf(negative), jnp.inf, jnp.maximum(1.0 - cosine, 0.0))


def _relax(neighbours: Array, length: Array, source: Array, n: int, cutoff: float) -> Array:
    """Distances [S, N] along the edges; those above the cutoff stay infinite."""
    far = jnp.full((n, source.shape[0]), jnp.inf, length.dtype)
    start = far.at[source, jnp.arange(source.shape[0])].set(0.0)

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        distance, _ = state
        through = distance[:, None, :] + length[:, :, None]  # [N, k, S]
        through = jnp.where(through <= cutoff, through, jnp.inf)
        new = distance.at[neighbours.reshape(-1)].min(through.reshape(-1, source.shape[0]))
        return new, jnp.any(new < distance)

    return lax.while_loop(lambda state: state[1], step, (start, jnp.asarray(True)))[0].T


def _check(v: Array, source: Array, k: int, cutoff: float, mask: Array | None) -> None:
    require(v.ndim == 2, "v", got=f"shape {v.shape}", wanted="[points, features]", remedy="Use jax.vmap over recordings.")
    if source.ndim != 1 or not jnp.issubdtype(source.dtype, jnp.integer):
        fail("source", got=f"{source.dtype} {source.shape}", wanted="integers [S], positions in v")
    remedy = "Lower k or give more points."
    require(1 <= k < max(len(v), 2), "k", got=k, wanted=f"1 to {len(v) - 1}, for {len(v)} points", remedy=remedy)
    remedy = "A path's length is a sum of 1 - cosine."
    require(math.isfinite(cutoff) and 0 < cutoff <= 1, "cutoff", got=cutoff, wanted="above 0 and at most 1", remedy=remedy)
    if mask is not None:
        got, wanted = f"{jnp.asarray(mask).dtype} {jnp.shape(mask)}", f"bool [{len(v)}], True = a real point"
        require(jax.numpy.shape(mask) == (len(v),) and jnp.asarray(mask).dtype == jnp.bool_, "mask", got=got, wanted=wanted)
