"""Exact nearest neighbours: the blocked JAX search against faiss IndexFlat, in one process.

    python -m benchmarks.knn --rows 5000 20000 --dim 256 --k 32

gave, on 2 cores shared with a load of 5 (best of 2): 5,000 rows jax 0.48 s, faiss 1.25 s; 20,000 rows jax 10.7 s, faiss 12.1 s;
all neighbours equal. `graphs.knn.FAISS_ROWS` rests on this.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gera_jax.graphs import knn


def measure(rows: int, dim: int, k: int, repeats: int) -> dict[str, float]:
    """Best wall seconds of each backend on the same random rows, and the fraction of equal neighbours."""
    x = np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32)
    seconds, found = {}, {}
    for backend in ("jax", "faiss"):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            found[backend], _ = knn(x, k=k, metric="cosine", backend=backend)
            times.append(time.perf_counter() - start)
        seconds[backend] = min(times)
    return {**seconds, "agreement": float(np.mean(found["jax"] == found["faiss"]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    for rows in args.rows:
        result = measure(rows, args.dim, args.k, args.repeats)
        print(f"{rows} x {args.dim}, k {args.k}: jax {result['jax']:.2f} s, faiss {result['faiss']:.2f} s, "
              f"agreement {result['agreement']:.4f}", flush=True)


if __name__ == "__main__":
    main()
