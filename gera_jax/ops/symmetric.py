"""Products of which the result is known to be symmetric: half of it is computed, and gradients take the short way as well."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
from jax import lax

from gera_jax.checks import require
from gera_jax.ops.geometry import without_cancellation
from gera_jax.ops.numerics import sanitize, unit_factor

Array = jax.Array
_BLOCK = 256  # rows of a strip: below it the saving is smaller than the cost of cutting
_STRIPS = 4


def symmetric_product(a: Array, b: Array) -> Array:
    """a b^T, where the caller knows that it is symmetric; 5/8 of the multiplications for large n.

    >>> import jax.numpy as jnp
    >>> symmetric_product(jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.array([[1.0, 2.0], [0.0, 1.0]])).tolist()
    [[5.0, 2.0], [2.0, 1.0]]

    Args:
      a: [n, d].
      b: [n, d]; a itself, or such that a b^T = b a^T (two powers of one symmetric matrix).

    Returns:
      [n, n], exactly symmetric from 512 rows on (and up to rounding below that).
    """
    n = a.shape[0]
    count = min(n // _BLOCK, _STRIPS)
    if count < 2:
        return _times_transposed(a, b)
    edges = [n * i // count for i in range(count + 1)]
    strips, rows = [], []
    for i, (first, last) in enumerate(pairwise(edges)):
        strips.append(_times_transposed(a[first:last], b[first:]))
        mirrored = [strips[j][:, first - edges[j] : last - edges[j]].T for j in range(i)]
        rows.append(jnp.concatenate([*mirrored, strips[i]], axis=1))
    return jnp.concatenate(rows)


@jax.custom_vjp
def gram(x: Array) -> Array:
    """x x^T, [n, n]. Its gradient is one product, where differentiating `x @ x.T` makes two.

    >>> import jax, jax.numpy as jnp
    >>> jax.grad(lambda x: gram(x)[0, 1])(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[3.0, 4.0], [1.0, 2.0]]
    """
    return symmetric_product(x, x)


gram.defvjp(lambda x: (symmetric_product(x, x), x), lambda x, g: (_product(g + _transposed(g), x),))


def self_squared_distances(x: Array, mask: Array | None = None) -> Array:
    """d2_ij = |x_i - x_j|^2 of the rows of one set, never below 0, the diagonal exactly 0.

    >>> import jax.numpy as jnp
    >>> self_squared_distances(jnp.array([[0.0], [1.0], [3.0]])).tolist()
    [[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]]

    As `squared_distances(x)`, and as exact, with half of the products forward and backward; for 2-D arrays only.

    Args:
      x: [n, d] float32 or better.
      mask: [n] bool, True = a real row; entries of other rows are finite and mean nothing.
    """
    require(x.ndim == 2, "x", got=f"shape {x.shape}", wanted="[n, d]")
    x = sanitize(x, mask)
    factor = unit_factor(x)
    scaled = x * factor
    # A common shift changes no distance and limits the cancellation; it needs no gradient.
    centre = jnp.mean(scaled, axis=0) if mask is None else scaled.sum(0) / jnp.maximum(mask.sum(), 1).astype(x.dtype)
    products = gram(sanitize(scaled - lax.stop_gradient(centre), mask))
    # Lengths from the products' own diagonal, rounded alike. The diagonal is cut off from the gradient: what a narrow kernel says
    # there is large, cancels, and leaves its rounding.
    lengths = jnp.diagonal(products)[:, None] + jnp.diagonal(products)[None, :]
    same = jnp.eye(x.shape[0], dtype=bool)
    if mask is not None:
        same = same | ~(mask[:, None] & mask[None, :])
    return without_cancellation(lengths - 2.0 * products, lengths, factor, x, x, same)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def symmetric_powers(a: Array, levels: int) -> tuple[Array, ...]:
    """(a, a^2, ..., a^levels) of a symmetric matrix, for functions of symmetric arguments.

    >>> import jax.numpy as jnp
    >>> [p.tolist() for p in symmetric_powers(jnp.array([[0.0, 2.0], [2.0, 0.0]]), 2)]
    [[[0.0, 2.0], [2.0, 0.0]], [[4.0, 0.0], [0.0, 4.0]]]

    The gradient is right along symmetric changes of `a`, and only along those (its antisymmetric part means nothing): for
    `levels` = 3 it takes 2 products of matrices where differentiating the plain products takes 4, and the powers take little over
    half of the multiplications.
    """
    powers = [a]
    for _ in range(levels - 1):
        powers.append(symmetric_product(powers[-1], a))
    return tuple(powers)


def _powers_forward(a: Array, levels: int):
    return symmetric_powers(a, levels), a


def _powers_backward(levels: int, a: Array, cotangents: tuple[Array, ...]) -> tuple[Array]:
    """sum_l sum_k a^k G_l a^(l-1-k) up to an antisymmetric part, by Horner's rule in products from the right only.

    With t_L = h_L = G_L (made symmetric), t_l = G_l + t_(l+1) a and h_l = t_l^T + h_(l+1) a, it is h_1 up to that part, because
    a^(l-1) t_l and t_l^T a^(l-1) are each other's transpose.
    """
    if levels == 1:
        return (cotangents[0],)
    symmetric = [(g + _transposed(g)) / 2 for g in cotangents[1:]]
    t = h = symmetric[-1]
    for g in symmetric[-2::-1]:
        step = _product(t, a)
        onward = step if t is h else _product(h, a)
        t = g + step
        h = _transposed(t) + onward
    return (cotangents[0] + _product(t + h, a),)  # t_1 and t_1^T have one symmetric part, so one product does for both


symmetric_powers.defvjp(_powers_forward, _powers_backward)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def _transposed(a: Array) -> Array:
    # The transposition stays a step of its own: a loop that reads rows and columns at once is several times slower.
    return lax.optimization_barrier(a.T)


def _times_transposed(a: Array, b: Array) -> Array:
    return lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)
