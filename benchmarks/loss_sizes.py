"""Contrastive losses of many rows: the matrix of all pairs, its tiles, and the three matrix products that no form can do without.

    python -m benchmarks.loss_sizes                                  # 1,024, 4,096 and 16,384 rows of 512
    python -m benchmarks.loss_sizes --rows 65536 --forms tiles --repeats 1

CPU time of one thread, median, of value and gradient; `products` are x y^T and the two that its gradient needs, with the matrix
stored. Each form runs in a process of its own. `MiB` is what the process took at most beyond what it had before the call, inputs
and compilation included there, and `planned` is what the compiled program asks for beyond inputs and results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

FORMS = ("products", "matrix", "tiles")
LOSSES = ("info_nce", "symmetric_info_nce", "sigmoid_contrastive", "nt_xent")


def measure(loss: str, form: str, rows: int, width: int, repeats: int) -> dict[str, float]:
    """Runs in a process of its own."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})

    import resource
    import statistics
    import time
    from pathlib import Path

    import jax
    import jax.numpy as jnp
    import numpy as np

    from gera_jax import losses
    from gera_jax.losses import tiles

    def products(x, y):
        scores = x @ y.T
        return scores @ y, scores.T @ x

    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.standard_normal((rows, width), np.float32)) for _ in range(2))
    x, y = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (x, x + 0.3 * y))
    if form == "matrix":
        tiles.LARGEST = float("inf")
    size = tiles.BLOCK["cpu"] if form == "tiles" else None
    function = getattr(losses, loss)
    run = products if form == "products" else jax.value_and_grad(lambda x, y: function(x, y, block_size=size), argnums=(0, 1))
    compiled = jax.jit(run).lower(x, y).compile()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    times = []
    for _ in range(repeats):
        began = time.process_time()
        jax.block_until_ready(compiled(x, y))
        times.append(time.process_time() - began)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    planned = compiled.memory_analysis().temp_size_in_bytes
    return dict(seconds=statistics.median(times), peak_mib=(peak - resident) / 2**20, planned_mib=planned / 2**20)


def apart(*task) -> dict[str, float]:
    """`measure` in a fresh process of one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = {**os.environ, **threads, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "benchmarks.loss_sizes", "--child", json.dumps(task)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", default=["symmetric_info_nce"], help=f"of {', '.join(LOSSES)}")
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=FORMS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(*json.loads(args.child))))
        return
    print(f"{'loss':<22}{'rows':>8}  {'form':<10}{'CPU s':>9}{'of products':>13}{'MiB':>8}{'planned':>9}")
    for loss in args.losses:
        for rows in args.rows:
            alone = None
            for form in args.forms:
                found = apart(loss, form, rows, args.width, args.repeats)
                # NT-Xent's rows are both views of each pair, so that it needs four times the products.
                seconds = found["seconds"]
                alone = seconds * (4 if loss == "nt_xent" else 1) if form == "products" else alone
                share = "-" if alone is None else f"{seconds / alone:.2f}"
                memory = f"{found['peak_mib']:>8.0f}{found['planned_mib']:>9.0f}"
                print(f"{loss:<22}{rows:>8}  {form:<10}{seconds:>9.3f}{share:>13}{memory}", flush=True)


if __name__ == "__main__":
    main()
