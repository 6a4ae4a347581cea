"""Time of the geodesic similarity beside SciPy's Dijkstra, and of the Shapley term beside a loop; CPU time of one thread.

    python -m benchmarks.geodesic_time

N = 1104 moments of 64 clips, S = 15 sentences, k = 5, cut-off 0.5; clip features of the bundled recordings, averaged over the
moments' spans and projected to 128 dimensions. Dijkstra three ways: on the dense matrix in which non-edges have length 1, as
the authors hand it over; on the sparse graph; and the sparse search alone, without making the graph. Ours makes the graph too.
The Shapley term: 15 sentences, 14 moments each, value and gradient; the loop evaluates the game once for each pair in NumPy.
"""

from __future__ import annotations

from benchmarks import _one_thread  # noqa: F401

# isort: split
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import dijkstra

from gera_jax.graphs import geodesic_similarity
from gera_jax.losses import shapley_interaction
from gera_jax.moments import Proposals, build_grounding
from gera_jax.moments.proposal_map import mean_moments

K, CUTOFF, SENTENCES, RECORDINGS, REPEATS = 5, 0.5, 15, 8, 15


def cpu_ms(act, repeats: int = REPEATS) -> float:
    act()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        act()
        times.append(1e3 * (time.process_time() - began))
    return statistics.median(times)


def moments() -> tuple[np.ndarray, np.ndarray]:
    """[recordings, N, 128] moments and [recordings, S] sources."""
    data, plan = build_grounding(dict(source="phrases")), Proposals(64, (15, 8, 8))
    project = np.random.default_rng(0).normal(size=(data.clips.shape[2], 128)).astype(np.float32)
    v = np.asarray(mean_moments(jnp.asarray(data.clips[:RECORDINGS] @ project), plan.spans))
    return v, np.random.default_rng(1).integers(0, len(plan), size=(RECORDINGS, SENTENCES)).astype(np.int32)


def neighbours(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [N, k] and lengths [N, k] of the edges, in NumPy."""
    squared = (v * v).sum(1)[:, None] + (v * v).sum(1) - 2 * v @ v.T
    np.fill_diagonal(squared, np.inf)
    near = np.argpartition(squared, K, axis=1)[:, :K]
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    return near, 1 - np.einsum("nd,nkd->nk", unit, unit[near])


def sparse(v: np.ndarray) -> scipy.sparse.csr_array:
    near, length = neighbours(v)
    rows = np.arange(0, near.size + 1, K)
    return scipy.sparse.csr_array((np.maximum(length, 1e-12).ravel(), near.ravel(), rows), shape=(len(v), len(v)))


def dense(v: np.ndarray) -> np.ndarray:
    near, length = neighbours(v)
    matrix = np.ones((len(v), len(v)))
    np.put_along_axis(matrix, near, np.maximum(length, 1e-12), 1)
    return matrix


def similarity(graph, source: np.ndarray) -> np.ndarray:
    distance = dijkstra(graph, indices=source, limit=CUTOFF)
    return np.where(np.isfinite(distance), 1 - distance, 0)


def values(cosines: np.ndarray) -> float:
    a = np.exp(cosines)
    a /= a.sum(1, keepdims=True)
    return 0.5 * (a.max(0).mean() + a.max(1).mean())


def loop(cosines: np.ndarray) -> np.ndarray:
    """The leave-out interactions, one evaluation of the game for each coalition."""
    whole = values(cosines)
    rows = [values(np.delete(cosines, i, 0)) for i in range(cosines.shape[0])]
    columns = [values(np.delete(cosines, j, 1)) for j in range(cosines.shape[1])]
    return np.array(
        [
            [whole - r - c + values(np.delete(np.delete(cosines, i, 0), j, 1)) for j, c in enumerate(columns)]
            for i, r in enumerate(rows)
        ]
    )


def main() -> None:
    v, source = moments()
    one = jax.jit(lambda v, s: geodesic_similarity(v, s, k=K, cutoff=CUTOFF))
    every = jax.jit(jax.vmap(lambda v, s: geodesic_similarity(v, s, k=K, cutoff=CUTOFF)))
    off = np.abs(np.asarray(one(v[0], source[0])) - similarity(sparse(v[0]), source[0]))
    graph = sparse(v[0])
    rng = np.random.default_rng(2)
    s, m = (jnp.asarray(rng.normal(size=(n, 128)), "float32") for n in (SENTENCES, 14 * SENTENCES))
    step = jax.jit(jax.value_and_grad(shapley_interaction, argnums=(0, 1)))
    cosines = np.asarray(rng.uniform(-1, 1, size=(SENTENCES, 14 * SENTENCES)))
    result = dict(
        moments=v.shape[1],
        reached=float(np.mean(np.asarray(one(v[0], source[0])) > 0)),
        largest_difference=float(off.max()),
        ours_ms=cpu_ms(lambda: jax.block_until_ready(one(v[0], source[0]))),
        ours_8_recordings_ms=cpu_ms(lambda: jax.block_until_ready(every(v, source))) / RECORDINGS,
        scipy_dense_ms=cpu_ms(lambda: similarity(dense(v[0]), source[0]), 5),
        scipy_sparse_ms=cpu_ms(lambda: similarity(sparse(v[0]), source[0])),
        scipy_search_alone_ms=cpu_ms(lambda: similarity(graph, source[0])),
        shapley_ms=cpu_ms(lambda: jax.block_until_ready(step(s, m))),
        shapley_loop_ms=cpu_ms(lambda: loop(cosines), 3),
    )
    result["ours_over_dense"] = result["ours_ms"] / result["scipy_dense_ms"]
    result["ours_over_sparse"] = result["ours_ms"] / result["scipy_sparse_ms"]
    result["shapley_over_loop"] = result["shapley_ms"] / result["shapley_loop_ms"]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
