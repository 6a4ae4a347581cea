"""CPU time of one thread, value and gradient of a loss, beside idiomatic PyTorch in the same run.

    python -m benchmarks.loss_time                     # needs torch; every loss below
    python -m benchmarks.loss_time mk_mmd --repeats 9 --json

An entry is a function that returns a `Race`: the JAX loss, what one writes for it in PyTorch, its arrays and which of them get a
gradient. Both run on the same numbers, in turns, and their values must agree before anything is timed. `products` is the time
that the matrix products alone take, where each is needed whole (a Gram matrix is symmetric and can be had for half).
"""

from __future__ import annotations

from benchmarks import _one_thread  # noqa: F401

# isort: split
import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from gera_jax import losses, transport

torch.set_num_threads(1)


@dataclass(frozen=True)
class Race:
    """Two programs for one number, and the arrays that both get.

    Args:
      ours, theirs: functions of the arrays that return a scalar (anything, where `gradient` is empty).
      gradient: positions that are differentiated; () times the value alone.
      rtol: how far the two values may lie apart; None where they are not meant to be equal.
      products: (times, n, k, m) of each matrix product [n, k] [k, m] that value and gradient cannot do without; () = not counted.
    """

    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    gradient: tuple[int, ...]
    rtol: float | None = 1e-3
    products: tuple[tuple[int, int, int, int], ...] = ()


def unit_rows(seed: int, n: int, d: int, shift: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)) + shift
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def squared(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    # Not cdist(a, b)**2: its gradient makes no use of matrix products and is several times slower.
    return ((a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T).clamp_min(0)


def mk_mmd() -> Race:
    """5 kernels, 2048 x 512 both sets."""
    multipliers = (0.25, 0.5, 1.0, 2.0, 4.0)

    def theirs(x, y):
        blocks = squared(x, x), squared(y, y), squared(x, y)
        n, m = len(x), len(y)
        total = sum(weight * block.detach().sum() for weight, block in zip((1, 1, 2), blocks, strict=True))
        scale = total / ((n + m) * (n + m - 1))
        within_x, within_y, between = (
            sum(torch.exp(-block / (2 * factor * scale)) for factor in multipliers).mean() / len(multipliers) for block in blocks
        )
        return within_x + within_y - 2 * between

    return Race(losses.mk_mmd, theirs, (unit_rows(0, 2048, 512), unit_rows(1, 2048, 512, 0.3)), (0, 1))


def semantic_density() -> Race:
    """1024 x 256 both sets."""

    def log_density(at, points, itself):
        n = len(points)
        exponents = -squared(at, points) / points.var(0).sum()  # 4 h^2 = 1
        if itself:
            exponents = exponents.masked_fill(torch.eye(n, dtype=torch.bool), -torch.inf)
        return torch.logsumexp(exponents, 1) - np.log(n - itself)

    def one_way(a, b):
        p, q = log_density(a, a, True), log_density(a, b, False)
        return ((p.exp() - q.exp()) * (p - q)).mean()

    def theirs(x, y):
        spread_x, spread_y = ((v.max(0).values - v.min(0).values).square().sum() for v in (x, y))
        return (one_way(x, y) + one_way(y, x)) * (1 / spread_x + 1 / spread_y)

    return Race(losses.semantic_density, theirs, (unit_rows(0, 1024, 256), unit_rows(1, 1024, 256, 0.3)), (0, 1))


def structure_divergence() -> Race:
    """2048 rows of 512, 3 levels."""

    def walk(v):
        v = F.normalize(v, dim=1)
        v = v - v.mean(0)
        return torch.softmax(v @ v.T / 0.05, 1)

    def theirs(x, z):
        p, q = walk(x), walk(z)
        first_p, first_q, total = p, q, 0.0
        for level in (1, 2, 3):
            log_mean = ((p + q) / 2).clamp_min(1e-38).log()
            js = (F.kl_div(log_mean, p, reduction="sum") + F.kl_div(log_mean, q, reduction="sum")) / 2 / len(p)
            total = total + js / level
            if level < 3:
                p, q = p @ first_p, q @ first_q
        return total / 3

    classes = unit_rows(0, 64, 512)[np.arange(2048) % 64]  # walks that go somewhere: rows far apart all stay where they are
    x, z = classes + unit_rows(1, 2048, 512), classes + unit_rows(2, 2048, 512)
    return Race(lambda x, z: losses.structure_divergence(x, z, levels=3), theirs, (x, z), (1,))


def m2() -> Race:
    """2048 x 512, lam 0.3."""
    lam, scale = 0.3, 1 / 0.07

    def theirs(x, y):
        a, b = F.normalize(x, dim=1), F.normalize(y, dim=1)
        angle = torch.arccos((a * b).sum(1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6))
        mixed = (torch.sin(lam * angle) * a + torch.sin((1 - lam) * angle) * b) / torch.sin(angle)
        rows, positive = torch.arange(len(x)), scale * (x * y).sum(1)
        total = 0.0
        for side in (x, y):
            logits = scale * side @ mixed.T
            logits = logits.masked_fill(torch.eye(len(x), dtype=torch.bool), 0.0) + torch.diag(positive)
            total = total + F.cross_entropy(logits, rows)
        return total

    x = unit_rows(0, 2048, 512)
    y = F.normalize(torch.tensor(x + unit_rows(1, 2048, 512)), dim=1).numpy()
    return Race(
        lambda x, y: losses.geodesic_mixup_contrastive(x, y, lam=lam, logit_scale=scale),
        theirs,
        (x, y),
        (0, 1),
        products=((6, 2048, 512, 2048),),
    )  # two matrices of logits, two gradients each


def balanced(scores: torch.Tensor, scales: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The published iteration; slice s stands for counts[s] equal ones."""
    epsilon, delta, (b, k) = 0.07, 1e-5, scores.shape
    counts = counts[:, None, None]
    a = torch.exp(scales[:, None, None] * scores / epsilon)
    a /= (counts * a).sum()
    for _ in range(20):
        a *= (b / k) / (a.sum(1, keepdim=True) + delta)
        a /= (counts * a).sum(0, keepdim=True) + delta
        a /= a.sum(2, keepdim=True) + delta
    a /= a.sum(2, keepdim=True)
    return a


def multi_assignment() -> Race:
    """64 anchors, 4096 rows, 20 iterations, against 64 slices."""

    def theirs(scores):
        return balanced(scores, torch.tensor([0.25] * 32 + [1.0] * 32), torch.ones(64))[32:].sum(0)

    return Race(_codes, theirs, (unit_rows(0, 4096, 64),), ())


def multi_assignment_two_slices() -> Race:
    """The same against 2 slices in PyTorch."""

    def theirs(scores):
        return 32 * balanced(scores, torch.tensor([0.25, 1.0]), torch.tensor([32.0, 32.0]))[1]

    return Race(_codes, theirs, (unit_rows(0, 4096, 64),), ())


def _codes(scores):
    return transport.multi_assignment(scores, assignments=32).codes


RACES = {
    entry.__name__: entry
    for entry in (mk_mmd, semantic_density, structure_divergence, m2, multi_assignment, multi_assignment_two_slices)
}


def programs(race: Race) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Both as functions without arguments that return when the result is there."""
    arrays = [jnp.asarray(v) for v in race.arrays]
    compiled = jax.jit(jax.value_and_grad(race.ours, argnums=race.gradient) if race.gradient else race.ours)

    def ours():
        return jax.block_until_ready(compiled(*arrays))

    tensors = [torch.tensor(v, requires_grad=i in race.gradient) for i, v in enumerate(race.arrays)]

    def theirs():
        for tensor in tensors:
            tensor.grad = None
        if not race.gradient:
            with torch.no_grad():
                return race.theirs(*tensors)
        value = race.theirs(*tensors)
        value.backward()
        return value.detach(), tuple(tensors[i].grad for i in race.gradient)

    return ours, theirs


def check(name: str, race: Race, ours: Any, theirs: Any) -> None:
    """Stop unless value and gradients agree."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if race.rtol is not None and np.max(np.abs(a - b)) > race.rtol * np.max(np.abs(b)):
            raise SystemExit(f"{name}: the two programs differ: {a.ravel()[:3]} and {b.ravel()[:3]}")


def measure(name: str, repeats: int) -> dict[str, Any]:
    race = RACES[name]()
    ours, theirs = programs(race)
    check(name, race, ours(), theirs())
    times: dict[str, list[float]] = dict(gera_jax_ms=[], torch_ms=[])
    for _ in range(repeats + 1):  # in turns, so that whatever else the machine does falls on both; the first round warms up
        for key, act in (("gera_jax_ms", ours), ("torch_ms", theirs)):
            began = time.process_time()
            act()
            times[key].append(1e3 * (time.process_time() - began))
    medians = {key: statistics.median(values[1:]) for key, values in times.items()}
    products = sum(count * product_ms(*size, repeats) for count, *size in race.products) if race.products else None
    size = (RACES[name].__doc__ or "").rstrip(".")
    return dict(loss=name, size=size, **medians, products_ms=products, ratio=medians["gera_jax_ms"] / medians["torch_ms"])


def product_ms(n: int, k: int, m: int, repeats: int) -> float:
    """CPU milliseconds of one product, the faster of JAX's and PyTorch's medians."""
    a, b = np.random.default_rng(0).normal(size=(n, k)).astype(np.float32), np.ones((k, m), np.float32)
    product, pair, tensors = jax.jit(jnp.matmul), (jnp.asarray(a), jnp.asarray(b)), (torch.tensor(a), torch.tensor(b))
    medians = []
    for act in (lambda: product(*pair).block_until_ready(), lambda: torch.matmul(*tensors)):
        times = []
        for _ in range(repeats + 1):
            began = time.process_time()
            act()
            times.append(1e3 * (time.process_time() - began))
        medians.append(statistics.median(times[1:]))
    return min(medians)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", help=f"of {', '.join(RACES)}; default: all")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    unknown = set(args.losses) - set(RACES)
    if unknown:
        parser.error(f"got {sorted(unknown)}; wanted some of {', '.join(RACES)}")
    rows = [measure(name, args.repeats) for name in args.losses or RACES]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{'loss':<28}{'gera_jax ms':>12}{'torch ms':>10}{'ratio':>7}{'products ms':>13}  size")
    for row in rows:
        products = "-" if row["products_ms"] is None else f"{row['products_ms']:.1f}"
        print(
            f"{row['loss']:<28}{row['gera_jax_ms']:>12.1f}{row['torch_ms']:>10.1f}{row['ratio']:>7.2f}"
            f"{products:>13}  {row['size']}"
        )


if __name__ == "__main__":
    main()
