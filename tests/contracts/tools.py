"""How a contract calls a loss and how it compares: one comparison, so that its companions test the same one."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax import losses
from tests.contracts.cases import BY_NAME, Case

TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
TRACES: dict[tuple[str, str], int] = {}


def matches(got, want, rtol: float) -> bool:
    """Every entry within rtol of the largest wanted entry (absolute near zero)."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape or not np.all(np.isfinite(got)):
        return False
    return bool(np.max(np.abs(got - want), initial=0.0) <= rtol * max(np.max(np.abs(want), initial=0.0), 1e-3))


def cast(values: dict, dtype: str) -> dict:
    return {k: jnp.asarray(v, dtype) if np.asarray(v).dtype == np.float64 else jnp.asarray(v) for k, v in values.items()}


def call(case: Case, x, y, arrays: dict, **extra):
    if case.needs and not arrays:
        arrays = cast(case.needs(x, y), "float32")
    return getattr(losses, case.loss)(x, y, **case.static, **arrays, **extra)


@cache
def compiled(name: str, dtype: str):
    """jit(value and both gradients) of a case; every contract that can shares it, since compiling is the cost."""
    case = BY_NAME[name]

    def value(x, y, arrays):
        TRACES[name, dtype] = TRACES.get((name, dtype), 0) + 1
        return call(case, x, y, arrays)

    return jax.jit(jax.value_and_grad(value, argnums=(0, 1)))


def evaluate(case: Case, x, y, arrays: dict | None = None, dtype: str = "float64"):
    """(value, (gradient of the first, of the second)) as NumPy, through the shared compiled function."""
    with jax.enable_x64(dtype == "float64"):
        arrays = cast(case.arrays if arrays is None else arrays, dtype)
        value, grads = compiled(case.name, dtype)(jnp.asarray(x, dtype), jnp.asarray(y, dtype), arrays)
        assert value.dtype == dtype
        return np.asarray(value), tuple(np.asarray(g) for g in grads)
