"""Inputs at which formulas go wrong while everything stays finite, for comparing the value itself with the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from tests.contracts.tools import matches

N, D = 8, 4


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def nasty(seed: int = 5) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Unit rows x [8, 4], y near x, and what can happen to them; float32 numbers, so that both precisions see the same."""
    rng = np.random.default_rng(seed)
    x = unit(rng.normal(size=(N, D)))
    y = unit(x + 0.6 * rng.normal(size=(N, D)))
    equal = np.tile(x[:1], (N, 1))
    outlier = x.copy()
    outlier[-1] *= 50
    for name, a, b in (
        ("plain", x, y),
        ("x equal", equal, y),
        ("y equal", x, equal),
        ("both equal", equal, equal),
        ("x is y", x, x),
        ("opposite rows in x", np.concatenate([x[: N // 2], -x[: N // 2]]), y),
        ("twins in both", np.repeat(x[::2], 2, axis=0), np.repeat(y[::2], 2, axis=0)),
        ("an outlier", outlier, y),
        ("long and short", 1e2 * x, 1e-2 * y),
        ("shifted", x + 10, y + 10),
        ("nearly equal rows", x[:1] + 0.01 * rng.normal(size=(N, D)), y),
    ):
        yield name, a.astype(np.float32).astype(np.float64), b.astype(np.float32).astype(np.float64)


def differences(loss: Callable, oracle: Callable, skip: tuple[str, ...] = (), rtol: float = 1e-4) -> list[str]:
    """Where the float32 value is not the oracle's, or the float32 gradient not finite. loss(x, y) is compiled once."""
    run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    found = []
    for name, x, y in nasty():
        if name in skip:
            continue
        value, grads = run(jnp.asarray(x, "float32"), jnp.asarray(y, "float32"))
        want = oracle(x, y)
        if not matches(value, want, rtol):
            found.append(f"{name}: got {float(value):.6g}, wanted {want:.6g}")
        if not all(np.all(np.isfinite(g)) for g in grads):
            found.append(f"{name}: gradient")
    return found
