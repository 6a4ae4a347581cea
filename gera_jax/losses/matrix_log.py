"""The logarithm of a symmetric matrix with a gradient that is finite where eigenvalues repeat."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax


@jax.custom_jvp
def symmetric_log(matrix: Array, gamma: Array) -> Array:
    """log(A + gamma I) of symmetric positive semi-definite A, V diag(log(max(lambda, 0) + gamma)) V^T.

    >>> import jax
    >>> value, tangent = jax.jvp(lambda a: symmetric_log(a, jnp.float32(0.5)), (1.5 * jnp.eye(2),), (jnp.eye(2),))
    >>> print(value.round(4).tolist(), tangent.round(4).tolist())
    [[0.6930999755859375, 0.0], [0.0, 0.6930999755859375]] [[0.5, 0.0], [0.0, 0.5]]

    The derivative is the Daleckii-Krein formula V (F * (V^T dA V)) V^T with the divided differences F_ij of the logarithm.
    It never divides by a difference of eigenvalues, as the derivative of `eigh` does.

    Args:
      matrix: [..., m, m], symmetric; its symmetric part is used. Gets the gradient.
      gamma: scalar > 0, no gradient.

    Returns:
      [..., m, m] symmetric.

    Source: Daleckii and Krein 1965; Higham 2008, Functions of Matrices, theorem 3.11.
    """
    return _spectral_log(matrix, gamma)[0]


@symmetric_log.defjvp
def _symmetric_log_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    value, vectors, shifted = _spectral_log(*primals)
    tangent = tangents[0]
    tangent = (tangent + jnp.swapaxes(tangent, -1, -2)) / 2
    back = jnp.swapaxes(vectors, -1, -2)
    inner = _divided_differences(shifted) * _matmul(_matmul(back, tangent), vectors)
    return value, _matmul(_matmul(vectors, inner), back)


def _spectral_log(matrix: Array, gamma: Array) -> tuple[Array, Array, Array]:
    eigenvalues, vectors = jnp.linalg.eigh(matrix)
    shifted = jnp.maximum(eigenvalues, jnp.zeros((), matrix.dtype)) + gamma
    value = _matmul(vectors * jnp.log(shifted)[..., None, :], jnp.swapaxes(vectors, -1, -2))
    return value, vectors, shifted


def _divided_differences(values: Array) -> Array:
    """(log a - log b) / (a - b) for all pairs, 1 / a on equal ones, to full precision at every distance."""
    a, b = values[..., :, None], values[..., None, :]
    mean, ratio = (a + b) / 2, (a - b) / (a + b)
    far = jnp.abs(ratio) > 0.5
    # Near: log(a / b) = 2 atanh(ratio), and atanh(r) / r is a power series with no difference in it.
    square = jnp.where(far, jnp.zeros_like(ratio), ratio * ratio)
    series = jnp.ones_like(square)
    for k in range(21, 0, -1):  # r^2 <= 1/4: the first term left out is below 1e-14
        series = series * square + 1 / (2 * k - 1) if k < 21 else jnp.full_like(square, 1 / (2 * k - 1))
    difference = jnp.where(far, a - b, jnp.ones_like(ratio))
    return jnp.where(far, (jnp.log(a) - jnp.log(b)) / difference, series / mean)


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
