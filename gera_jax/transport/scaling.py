"""Sinkhorn's sweeps as products with a kernel into which the potentials are absorbed, and their gradient.

A sweep in the log domain takes two exponentials a cell; as scaling of a kernel it takes two matrix-vector products, but leaves
the range of floats at small epsilon. So sweeps are taken in the log domain until they move the potentials little; those go into a
kernel exp(scaled + u + v), whose entries are at most the masses; and it is scaled until the factors leave a safe range, where the
log domain has its turn again. The gradient goes back the same way over the potentials of each sweep, which alone are stored.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

CALM = 10.0  # change of a potential, in units of epsilon, below which a sweep is left to the kernel
FACTOR = 23.0  # logarithm of the largest factor: then what the kernel lost below 1e-38 is below 1e-28 ...
LEAST = 1e-18  # ... and no sum is near that
TOGETHER = 32  # half sweeps whose gradients are added to the scores' as one product of low rank


class Problem(NamedTuple):
    """log P = scaled + u + v with sums a and b; masked rows have scaled far below all others, log mass 0, and the potential 0."""

    scaled: Array  # [n, m]
    log_a: Array  # [n]
    log_b: Array  # [m]
    x_mask: Any  # [n]; None in a cotangent, which masks have none of
    y_mask: Any

    def rows(self, v: Array) -> Array:
        return jnp.where(self.x_mask, self.log_a - jax.nn.logsumexp(self.scaled + v[None, :], axis=1), jnp.zeros_like(self.log_a))

    def columns(self, u: Array) -> Array:
        return jnp.where(self.y_mask, self.log_b - jax.nn.logsumexp(self.scaled + u[:, None], axis=0), jnp.zeros_like(self.log_b))

    def masses(self) -> tuple[Array, Array]:
        return jnp.exp(self.log_a), jnp.exp(self.log_b)

    def kernel(self, u: Array, v: Array) -> Array:
        return jnp.exp(self.scaled + u[:, None] + v[None, :])


class Sweeps(NamedTuple):
    """Where the sweeps are: how many, the potentials, whether they are calm, and those after each sweep where that is wanted."""

    count: Array
    u: Array
    v: Array
    calm: Array
    seen: Any = None  # ([sweeps, n], [sweeps, m])

    def after(self, u: Array, v: Array, calm: Array) -> Sweeps:
        """One more, at u and v."""
        seen = None
        if self.seen is not None:
            seen = tuple(
                lax.dynamic_update_index_in_dim(all_, new, self.count, 0) for all_, new in zip(self.seen, (u, v), strict=True)
            )
        return Sweeps(self.count + 1, u, v, calm, seen)


def begin(problem: Problem, sweeps: int = 0) -> Sweeps:
    """No sweep yet; room for `sweeps` of them."""
    u, v = jnp.zeros_like(problem.log_a), jnp.zeros_like(problem.log_b)
    zero = jnp.zeros_like(problem.scaled[0, 0])  # of the scores, so that it varies over the devices as they do
    seen = tuple(jnp.zeros((sweeps, len(start)), start.dtype) + zero for start in (u, v)) if sweeps else None
    return Sweeps(zero.astype(jnp.int32), u + zero, v + zero, zero > 0, seen)


def advance(problem: Problem, state: Sweeps, count: Array) -> Sweeps:
    """Sweeps up to `count`: rows, then columns."""
    masses = problem.masses()

    def in_logs(state):
        u = problem.rows(state.v)
        v = problem.columns(u)
        return state.after(u, v, jnp.abs(v - state.v).max() < CALM)

    def with_kernel(state):
        kernel, u, v = problem.kernel(state.u, state.v), state.u, state.v

        def scale(carry):
            state, factors, _ = carry
            sums = _times(kernel, factors)
            a = _divided(masses[0], sums, problem.x_mask)
            back = _times(a, kernel)
            b = _divided(masses[1], back, problem.y_mask)
            log_a, log_b = (
                jnp.log(jnp.where(mask, factor, jnp.ones_like(factor)))
                for factor, mask in ((a, problem.x_mask), (b, problem.y_mask))
            )
            safe = (jnp.abs(log_a).max() < FACTOR) & (jnp.abs(log_b).max() < FACTOR)
            for total, mask in ((sums, problem.x_mask), (back, problem.y_mask)):
                safe &= jnp.where(mask, total, jnp.ones_like(total)).min() > LEAST
            new = state.after(u + log_a, v + log_b, safe)
            swept, to_u, to_v = jax.tree.map(partial(jnp.where, safe), new[:3], state[:3])
            return Sweeps(swept, to_u, to_v, safe, new.seen), jnp.where(safe, b, factors), safe

        def going_on(carry):
            return (carry[0].count < count) & carry[2]

        return lax.while_loop(going_on, scale, (state, jnp.exp(v - v), state.count == state.count))[0]

    def both(state):
        return with_kernel(lax.while_loop(lambda s: (s.count < count) & ~s.calm, in_logs, state))

    return lax.while_loop(lambda s: s.count < count, both, state)


@partial(jax.jit, static_argnums=1)
def potentials(problem: Problem, sweeps: int) -> tuple[Array, Array]:
    """u and v after so many sweeps from 0."""
    return _potentials(problem, sweeps)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _potentials(problem: Problem, sweeps: int) -> tuple[Array, Array]:
    state = advance(problem, begin(problem), jnp.int32(sweeps))
    return state.u, state.v


def _forward(problem: Problem, sweeps: int) -> tuple[tuple[Array, Array], Any]:
    state = advance(problem, begin(problem, sweeps), jnp.int32(sweeps))
    return (state.u, state.v), (problem, state.seen)


def _backward(sweeps: int, saved: Any, slopes: tuple[Array, Array]) -> tuple[Problem]:
    """Back over the sweeps, some halves at a time: their softmaxes are the kernel at the last of them, between factors.

    Half a sweep adds -kernel * p q^T to the slope of `scaled`; the p and q of some halves are added as one product of low rank.
    """
    problem, (us, vs) = saved
    masses = problem.masses()
    zero = jnp.zeros_like(us[0, 0])
    vs = jnp.concatenate([jnp.zeros_like(vs[:1]), vs])  # vs[t] is before sweep t, vs[t + 1] after it

    def at(half):
        """The potentials that half a sweep is a softmax of: the even ones found v from u, the odd ones u from v."""
        return us[(half - 1) // 2], vs[half // 2]

    def some(state):
        half, *slopes, to_scaled = state
        u, v = at(half)
        kernel = problem.kernel(u, v)

        def back(carry):
            half, done, to_u, to_v, to_a, to_b, left, right = carry
            rows, columns = (jnp.exp(new - base) for new, base in zip(at(half), (u, v), strict=True))

            def found_v(_):
                outer = columns * _divided(to_v, masses[1], problem.y_mask)
                return to_u - rows * _times(kernel, outer), jnp.zeros_like(to_v), to_a, to_b + to_v, rows, outer

            def found_u(_):
                inner = rows * _divided(to_u, masses[0], problem.x_mask)
                return jnp.zeros_like(to_u), to_v - columns * _times(inner, kernel), to_a + to_u, to_b, inner, columns

            *slopes, p, q = lax.cond(half % 2 == 0, found_v, found_u, None)
            return half - 1, done + 1, *slopes, left.at[done].set(p), right.at[done].set(q)

        def going_on(carry):
            half, done = carry[:2]
            far = [jnp.abs(new - base).max() for new, base in zip(at(half), (u, v), strict=True)]
            return (half > 0) & (done < TOGETHER) & ((done == 0) | (jnp.maximum(*far) < FACTOR))  # the first is the kernel's own

        room = [jnp.zeros((TOGETHER, len(factor)), factor.dtype) + zero for factor in (u, v)]
        half, _, *slopes, left, right = lax.while_loop(going_on, back, (half, zero.astype(jnp.int32), *slopes, *room))
        return half, *slopes, to_scaled - kernel * _times(left.T, right)

    to_u, to_v = (slope + zero for slope in slopes)
    start = (zero.astype(jnp.int32) + 2 * sweeps, to_u, to_v, to_u * 0, to_v * 0, jnp.zeros_like(problem.scaled))
    *_, to_a, to_b, to_scaled = lax.while_loop(lambda state: state[0] > 0, some, start)
    return (Problem(to_scaled, to_a, to_b, None, None),)


_potentials.defvjp(_forward, _backward)


def _times(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _divided(of: Array, by: Array, mask: Array) -> Array:
    return jnp.where(mask, of / jnp.where(mask, by, jnp.ones_like(by)), jnp.zeros_like(by))
