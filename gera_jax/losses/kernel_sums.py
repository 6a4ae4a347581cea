"""Sums of Gaussian kernels over all pairs of rows, tile by tile, with the gradient written out.

Memory is that of one tile, whatever the number of rows. No matrix is kept for the way back, symmetric halves are computed once,
and a tile stays in the cache between its products and its exponentials; differentiating whole matrices takes about twice as long.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

MAX_SQUARINGS = 3  # from one kernel to the next: each doubles its relative rounding
TILE = 512  # rows and columns of a tile at most: 1 MiB of float32


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


def _within(mixture: Mixture, x: Array, weights: Array, scale: Array, *, gradient: bool) -> tuple[Array, Array | None]:
    total, slopes = _sum(mixture, x, x, weights, weights, scale, jnp.zeros((), jnp.int32), half=True, gradient=gradient)
    return total, slopes[0] + slopes[1] if gradient else None


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
    return _sum(mixture, x, y, x_weights, y_weights, scale, first_row if same else None, gradient=False)[0]


def _between_forward(mixture, same, x, y, x_weights, y_weights, scale, first_row):
    return _sum(mixture, x, y, x_weights, y_weights, scale, first_row if same else None, gradient=True)


def _between_backward(mixture, same, slopes, g):
    return g * slopes[0], g * slopes[1], None, None, None, None


kernel_sum.defvjp(_between_forward, _between_backward)


def _sum(
    mixture: Mixture,
    x: Array,
    y: Array,
    v: Array,
    w: Array,
    scale: Array,
    first_row: Array | None,
    *,
    half: bool = False,
    gradient: bool,
) -> tuple[Array, tuple[Array, Array] | None]:
    """The sum and its slopes to x and y, a tile of pairs at a time.

    Where row i of x is row `first_row` + i of y, it meets itself at distance 0 exactly. With `half`, x is y, and tiles under the
    diagonal are not computed: those above count twice.
    """
    n, m = len(x), len(y)
    (x, v, rows), (y, w, columns) = (_padded(*side) for side in ((x, v), (y, w)))
    places = np.argwhere(np.ones((len(x) // rows, len(y) // columns), bool))
    places = places[places[:, 0] <= places[:, 1]] if half else places

    def add(sums: tuple[Array, ...], place: Array) -> tuple[tuple[Array, ...], None]:
        first, left = place[0] * rows, place[1] * columns
        a, va = (lax.dynamic_slice_in_dim(values, first, rows) for values in (x, v))
        b, wb = (lax.dynamic_slice_in_dim(values, left, columns) for values in (y, w))
        squared = _squared_distances(a, b, mixture.drop_rounding)
        if first_row is not None:
            position = first_row + first + jnp.arange(rows, dtype=jnp.int32)
            own = position[:, None] == left + jnp.arange(columns, dtype=jnp.int32)[None, :]
            squared = jnp.where(own, jnp.zeros((), x.dtype), squared)
        value, slope = mixture.value_and_slope(squared, scale)
        if half:
            va = jnp.where(place[0] < place[1], 2 * va, va)
        total = sums[0] + (_once(value) @ wb) @ va
        if not gradient:
            return (total,), None
        # Rows at one place do not pull: of a narrow kernel their slope is large, cancels, and leaves its rounding.
        slope = jnp.where(squared == 0, jnp.zeros((), x.dtype), slope)
        pull = _once(slope * va[:, None] * wb[None, :])
        to_a = 2 * (pull.sum(1)[:, None] * a - _product(pull, b))
        to_b = 2 * (pull.sum(0)[:, None] * b - _transposed_product(pull, a))
        return (total, _added(sums[1], to_a, first), _added(sums[2], to_b, left)), None

    sums = (jnp.zeros((), x.dtype), *((jnp.zeros_like(x), jnp.zeros_like(y)) if gradient else ()))
    if len(places) == 1:
        sums, _ = add(sums, jnp.zeros(2, jnp.int32))
    else:
        sums, _ = lax.scan(add, sums, jnp.asarray(places, jnp.int32))
    return sums[0], (sums[1][:n], sums[2][:m]) if gradient else None


def _padded(rows: Array, weights: Array) -> tuple[Array, Array, int]:
    """Rows and weights up to a whole number of tiles, with rows that weigh nothing; and the rows of a tile."""
    count = max(1, -(-len(rows) // TILE))
    size = -(-len(rows) // count)
    missing = size * count - len(rows)
    return jnp.pad(rows, ((0, missing), (0, 0))), jnp.pad(weights, (0, missing)), size


def _added(values: Array, part: Array, first: Array) -> Array:
    old = lax.dynamic_slice_in_dim(values, first, len(part))
    return lax.dynamic_update_slice_in_dim(values, old + part, first, 0)


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


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _transposed_product(a: Array, b: Array) -> Array:
    return lax.dot_general(a, b, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)
