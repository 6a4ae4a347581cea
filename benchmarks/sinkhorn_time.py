"""CPU time of one thread of Sinkhorn's sweeps: ours, log-sum-exps in JAX, and PyTorch's scaling of a kernel, in one run.

    python -m benchmarks.sinkhorn_time                       # needs torch; 1,024 and 4,096 rows and columns, 100 sweeps
    python -m benchmarks.sinkhorn_time --epsilons 0.05 0.002 --repeats 3

Scores are cosines of unit rows of 64 numbers, and the masses even. PyTorch scales exp(scores / epsilon) by two matrix-vector
products a sweep, which leaves float32 below an epsilon of about 0.02; its slope goes through all sweeps. `off` is the sum of
|plan - plan in float64|, by log-sum-exps.
"""

from __future__ import annotations

from benchmarks import _one_thread  # noqa: F401

# isort: split
import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch

from gera_jax.transport import sinkhorn

torch.set_num_threads(1)


def logs(scores, epsilon, sweeps):
    """log plan by log-sum-exps alone, each sweep recomputed in the gradient."""
    scaled, mass = scores / epsilon, -np.log(len(scores)).astype(scores.dtype)

    def sweep(potentials):
        u = mass - jax.nn.logsumexp(scaled + potentials[1], axis=1)
        return u, mass - jax.nn.logsumexp(scaled + u[:, None], axis=0)

    start = jnp.zeros_like(scaled[:, 0]), jnp.zeros_like(scaled[0])
    (u, v), _ = jax.lax.scan(lambda p, _: (jax.checkpoint(sweep)(p), None), start, length=sweeps)
    return scaled + u[:, None] + v


def scaling(scores, epsilon, sweeps):
    """The plan in PyTorch."""
    kernel, mass = torch.exp(scores / epsilon), 1 / len(scores)
    v = torch.ones(len(scores))
    for _ in range(sweeps):
        u = mass / (kernel @ v)
        v = mass / (kernel.T @ u)
    return u[:, None] * kernel * v


def programs(scores, epsilon, sweeps, slope):
    """name -> a function without arguments that gives the plan, or the slope of its square's sum."""

    def jax_form(plan):
        run = jax.jit(jax.grad(lambda s: jnp.sum(plan(s) ** 2)) if slope else plan)
        ready = jnp.asarray(scores)
        return lambda: np.asarray(run(ready))

    def torch_form():
        given = torch.tensor(scores, requires_grad=slope)
        if not slope:
            return scaling(given, epsilon, sweeps).numpy()
        (scaling(given, epsilon, sweeps) ** 2).sum().backward()
        return given.grad.numpy()

    return {
        "gera_jax": jax_form(lambda s: jnp.exp(sinkhorn(s, epsilon=epsilon, iterations=sweeps).log_plan)),
        "log-sum-exps": jax_form(lambda s: jnp.exp(logs(s, epsilon, sweeps))),
        "torch scaling": torch_form,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.05])
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(f"{'rows':>6}{'epsilon':>9}  {'of':<7}{'form':<15}{'CPU ms':>9}{'of torch':>10}{'off':>10}")
    for rows in args.rows:
        x, y = np.random.default_rng(0).normal(size=(2, rows, 64))
        scores = ((x / np.linalg.norm(x, axis=1, keepdims=True)) @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T).astype("f4")
        for epsilon in args.epsilons:
            with jax.enable_x64(True):
                exact = np.exp(np.asarray(jax.jit(lambda s, e=epsilon: logs(s, e, args.sweeps))(jnp.asarray(scores, "float64"))))
            for slope in (False, True):
                forms, times = programs(scores, epsilon, args.sweeps, slope), {}
                results = {name: act() for name, act in forms.items()}
                for _ in range(args.repeats):  # in turns, so that whatever else the machine does falls on all
                    for name, act in forms.items():
                        began = time.process_time()
                        act()
                        times.setdefault(name, []).append(1e3 * (time.process_time() - began))
                medians = {name: statistics.median(taken) for name, taken in times.items()}
                for name, taken in medians.items():
                    off = "-" if slope else f"{np.abs(results[name] - exact).sum():.1e}"
                    share = taken / medians["torch scaling"]
                    what = "slope" if slope else "plan"
                    print(f"{rows:>6}{epsilon:>9g}  {what:<7}{name:<15}{taken:>9.1f}{share:>10.2f}{off:>10}", flush=True)


if __name__ == "__main__":
    main()
