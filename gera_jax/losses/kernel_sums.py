"""Sums of Gaussian kernels over all pairs of rows, strip by strip, with the gradient written out.

No matrix is kept for the way back, symmetric halves are computed once, and a strip stays in the cache between its products and
its exponentials; differentiating whole matrices takes about twice as long.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

MAX_SQUARINGS = 3  # from one kernel to the next: each doubles its relative rounding
_BLOCK, _STRIPS = 256, 8  # rows of a strip at least, strips at most


class Mixture(NamedTuple):
    """share * sum_u exp(-d^2 / (2 factor_u scale)).

    >>> import jax.numpy as jnp
    >>> print(f"{Mixture((1.0, 2.0), 0.5).value_and_slope(jnp.float32(2.0), jnp.float32(1.0))[0]:.6f}")  # (e^-1 + e^-1/2) / 2
    0.487205
    """

    factors: tuple[float, ...]
    share: float
    drop_rounding: bool = False  # whether squared distances within the rounding of the products count as 0

    @property
    def at_zero(self) -> float:
        """Its value at distance 0."""
        return self.share * len(self.factors)

    def value_and_slope(self, squared: Array, scale: Array) -> tuple[Array, Array]:
        """Its values at squared distances and their derivatives with respect to these, from the same exponentials."""
        value = slope = jnp.zeros((), squared.dtype)
        for number, chain in enumerate(self._chains()):
            if number:  # add up before the next exponential: many kernels then need no more memory than few
                value, slope = _once((value, slope))
            power = _once(jnp.exp(squared * (-0.5 / (chain[0][0] * scale))))
            for factor, squarings in chain:
                for _ in range(squarings):
                    power = power * power
                value, slope = value + power, slope + power * (1 / factor)
        return self.share * value, (-0.5 * self.share / scale) * slope

    def _chains(self) -> list[list[tuple[float, int]]]:
        """Factors in falling order with the squarings from the one before, since the kernel of half the variance is the square
        of the kernel; a chain begins where that does not work."""
        chains: list[list[tuple[float, int]]] = []
        for factor in sorted(self.factors, reverse=True):
            halvings = math.log2(chains[-1][-1][0] / factor) if chains else -1.0
            if halvings in range(MAX_SQUARINGS + 1):
                chains[-1].append((factor, int(halvings)))
            else:
                chains.append([(factor, 0)])
        return chains


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def kernel_sum_within(mixture: Mixture, x: Array, weights: Array, scale: Array) -> Array:
    """sum_ij w_i w_j k(|x_i - x_j|^2) over all pairs of rows of one set [n, d], a row and itself too; gradient to x alone."""
    return _within(mixture, x, weights, scale, gradient=False)[0]


def _within(mixture: Mixture, x: Array, weights: Array, scale: Array, *, gradient: bool) -> tuple[Array, Array]:
    total, mass, pull = jnp.zeros((), x.dtype), jnp.zeros_like(weights), jnp.zeros_like(x)
    for first, last in _strips(len(x)):
        a, b = x[first:last], x[first:]
        count = last - first
        own = jnp.arange(count, dtype=jnp.int32)[:, None] == jnp.arange(len(b), dtype=jnp.int32)[None, :]
        squared = jnp.where(own, jnp.zeros((), x.dtype), _squared_distances(a, b, mixture.drop_rounding))
        # The square on the diagonal holds each of its pairs twice already, the rest of the strip once.
        once = jnp.where(jnp.arange(len(b), dtype=jnp.int32) < count, jnp.ones((), x.dtype), 2 * jnp.ones((), x.dtype))
        value, slope = mixture.value_and_slope(squared, scale)
        total = total + _weighted_sum(value, weights[first:last], weights[first:] * once)
        if gradient:
            # Rows at one place do not pull: of a narrow kernel their slope is large, cancels, and leaves its rounding.
            slope = jnp.where(squared == 0, jnp.zeros((), x.dtype), slope)
            w = _once(slope * weights[first:last, None] * weights[None, first:])
            mass, pull = mass.at[first:last].add(w.sum(1)), pull.at[first:last].add(_product(w, b))
            if last < len(x):
                w = w[:, count:]
                mass, pull = mass.at[last:].add(w.sum(0)), pull.at[last:].add(_transposed_product(w, a))
    return total, 4 * (mass[:, None] * x - pull)


def _within_forward(mixture, x, weights, scale):
    return _within(mixture, x, weights, scale, gradient=True)


def _within_backward(mixture, slopes, g):
    return g * slopes, None, None


kernel_sum_within.defvjp(_within_forward, _within_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def kernel_sum(
    mixture: Mixture, same: bool, x: Array, y: Array, x_weights: Array, y_weights: Array, scale: Array, first_row: Array
) -> Array:
    """sum_ij v_i w_j k(|x_i - y_j|^2) over rows x [n, d] and y [m, d]; gradients to x and y alone.

    With `same`, row i of x is row first_row + i of y, and meets itself at distance 0 exactly.
    """
    return _between(mixture, same, x, y, x_weights, y_weights, scale, first_row, gradient=False)[0]


def _between(mixture, same, x, y, x_weights, y_weights, scale, first_row, *, gradient: bool):
    total, x_slopes, y_mass, y_pull = jnp.zeros((), x.dtype), [], jnp.zeros_like(y_weights), jnp.zeros_like(y)
    for first, last in _strips(len(x)):
        a = x[first:last]
        squared = _squared_distances(a, y, mixture.drop_rounding)
        if same:
            position = first_row + jnp.arange(first, last, dtype=jnp.int32)
            own = position[:, None] == jnp.arange(len(y), dtype=jnp.int32)[None, :]
            squared = jnp.where(own, jnp.zeros((), x.dtype), squared)
        value, slope = mixture.value_and_slope(squared, scale)
        total = total + _weighted_sum(value, x_weights[first:last], y_weights)
        if gradient:
            slope = jnp.where(squared == 0, jnp.zeros((), x.dtype), slope)
            w = _once(slope * x_weights[first:last, None] * y_weights[None, :])
            x_slopes.append(2 * (w.sum(1)[:, None] * a - _product(w, y)))
            y_mass, y_pull = y_mass + w.sum(0), y_pull + _transposed_product(w, a)
    return total, (jnp.concatenate(x_slopes), 2 * (y_mass[:, None] * y - y_pull)) if gradient else None


def _between_forward(mixture, same, x, y, x_weights, y_weights, scale, first_row):
    return _between(mixture, same, x, y, x_weights, y_weights, scale, first_row, gradient=True)


def _between_backward(mixture, same, slopes, g):
    return g * slopes[0], g * slopes[1], None, None, None, None


kernel_sum.defvjp(_between_forward, _between_backward)


def _strips(n: int) -> list[tuple[int, int]]:
    count = max(1, min(n // _BLOCK, _STRIPS))
    return list(pairwise(n * i // count for i in range(count + 1)))


def _squared_distances(a: Array, b: Array, drop_rounding: bool) -> Array:
    product = lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
    lengths = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :]
    squared = lengths - 2 * product
    if drop_rounding:
        return jnp.where(squared <= 4 * jnp.finfo(a.dtype).eps * lengths, jnp.zeros_like(squared), squared)  # NaN stays NaN
    return jnp.maximum(squared, 0)


def _once(values: Any) -> Any:
    """Keeps a compiler from computing `values` anew for each of its users."""
    return lax.optimization_barrier(values)


def _weighted_sum(values: Array, row: Array, column: Array) -> Array:
    return (_once(values) @ column) @ row


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _transposed_product(a: Array, b: Array) -> Array:
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
