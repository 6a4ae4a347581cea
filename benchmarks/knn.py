"""Exact nearest neighbours: their price beside a search that proves nothing, and beside faiss IndexFlat, in one process.

    python -m benchmarks.knn --rows 5000 20000 --dim 256 --k 32

"plain" is the float32 search that the library had before it proved its neighbours: products, 8 spare candidates, distances from
float32 differences; on two clusters 10,000 spreads apart it finds a quarter of them. Times are medians of CPU seconds of one
thread each, taken in turn.
"""

from __future__ import annotations

import argparse
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.graphs import knn

BLOCK = 1024
SPARE = 8


def plain(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows as float32 products order them; a frozen copy, not to be improved."""
    x = np.asarray(x, np.float32)
    x = x - x.mean(0, dtype=np.float64).astype(np.float32)
    pool, bias = jnp.asarray(x), jnp.asarray(0.5 * np.einsum("nd,nd->n", x, x))
    blocks = -(-len(x) // BLOCK)
    size = -(-len(x) // blocks)
    indices, distances = np.empty((len(x), k), np.int32), np.empty((len(x), k), np.float32)
    for start in range(0, len(x), size):
        rows = np.arange(start, min(start + size, len(x)), dtype=np.int32)
        query = np.concatenate([x[rows], np.zeros((size - len(rows), x.shape[1]), np.float32)])
        own = np.concatenate([rows, np.full(size - len(rows), -1, np.int32)])
        found = np.asarray(_best(query, own, pool, bias, count=min(k + SPARE, len(x))))[: len(rows)]
        squared = np.empty(found.shape, np.float32)
        for column, chosen in enumerate(found.T):
            difference = x[chosen] - x[rows]
            squared[:, column] = np.einsum("nd,nd->n", difference, difference)
        squared[found == rows[:, None]] = np.inf
        order = np.lexsort((found, squared))[:, :k]
        indices[rows] = np.take_along_axis(found, order, axis=1)
        distances[rows] = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return indices, distances


@functools.partial(jax.jit, static_argnames="count")
def _best(x, own, pool, bias, *, count):
    product = jnp.matmul(x, pool.T, precision=jax.lax.Precision.HIGHEST) - bias
    product = jnp.where(jnp.arange(len(pool)) == own[:, None], -jnp.inf, product)
    return jax.lax.top_k(product, count)[1].astype(jnp.int32)


def measure(rows: int, dim: int, k: int, repeats: int) -> dict[str, float]:
    """Median CPU seconds of each search on the same random rows, and the fraction of equal neighbours."""
    x = np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32)
    searches = {"plain": plain, "jax": functools.partial(knn, backend="jax"), "faiss": functools.partial(knn, backend="faiss")}
    seconds, found = {name: [] for name in searches}, {}
    for turn in range(repeats + 1):  # the first turn compiles
        for name, search in searches.items():
            start = time.process_time()
            found[name], _ = search(x, k=k)
            if turn:
                seconds[name].append(time.process_time() - start)
    agreement = {f"{name} = jax": float(np.mean(found["jax"] == found[name])) for name in ("plain", "faiss")}
    return {**{name: float(np.median(times)) for name, times in seconds.items()}, **agreement}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for rows in args.rows:
        result = measure(rows, args.dim, args.k, args.repeats)
        print(
            f"{rows} x {args.dim}, k {args.k}: plain {result['plain']:.2f} s, jax {result['jax']:.2f} s, faiss "
            f"{result['faiss']:.2f} s, jax / plain {result['jax'] / result['plain']:.2f}, equal neighbours "
            f"{result['plain = jax']:.4f} and {result['faiss = jax']:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
