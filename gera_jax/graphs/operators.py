"""Laplacians and diffusion operators of a weighted graph, one graph or a batch of them."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gera_jax.checks import require, require_known
from gera_jax.ops.numerics import at_least_float32

Array = jax.Array


def laplacian(
    w: Array, *, normalization: Literal["symmetric", "random_walk", "none"] = "symmetric", mask: Array | None = None
) -> Array:
    """Graph Laplacian: I - D^-1/2 W D^-1/2 (symmetric), I - D^-1 W (random walk) or D - W (none), with d_i = sum_j w_ij.

    >>> import jax.numpy as jnp
    >>> path = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])  # node 2 is isolated
    >>> laplacian(path).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    Args:
      w: [..., m, m] symmetric, >= 0; self-loops count in the degree.
      normalization: which of the three.
      mask: [..., m] bool, True = a real node.

    Returns:
      [..., m, m], float32 or better. Normalised eigenvalues lie in [0, 2]. An isolated or masked node has a zero row and
      column, 0 on the diagonal included. Gradient goes to `w`. Memory m^2.
    """
    require_known(normalization, _LAPLACIANS, "normalization")
    w, degree = _graph(w, mask)
    return _LAPLACIANS[normalization](w, degree)


def diffusion_operator(
    w: Array, *, alpha: float = 1.0, t: int = 1, form: Literal["symmetric", "markov"] = "symmetric", mask: Array | None = None
) -> Array:
    """Diffusion operator: k_ij = w_ij / (q_i q_j)^alpha with q = W 1, then (D^-1/2 K D^-1/2)^t or (D^-1 K)^t with D = diag(K 1).

    >>> import jax.numpy as jnp
    >>> diffusion_operator(jnp.array([[1.0, 0.5], [0.5, 1.0]]), form="markov").sum(-1).round(5).tolist()
    [1.0, 1.0]

    Args:
      w: [..., m, m] symmetric affinities >= 0, as from `affinity`.
      alpha: 0 keeps the density of the points, 1/2 is Fokker-Planck, 1 removes the density (Laplace-Beltrami).
      t: number of steps, an int >= 0; 0 is the identity.
      form: "symmetric", or "markov" whose rows sum to 1. Both have the same eigenvalues.
      mask: [..., m] bool, True = a real node.

    Returns:
      [..., m, m], float32 or better. For a positive definite `w` the eigenvalues lie in (0, 1], the largest is 1.
      Isolated and masked nodes have zero rows and columns for every `t`. Gradient goes to `w`. Memory m^2, log2(t) products.

    Source: Coifman & Lafon 2006; Shnitzer et al. 2022 for the symmetric form.
    """
    require_known(form, _NORMALIZED, "form")
    remedy = "For a real-valued time use a heat kernel."
    require(isinstance(t, int) and not isinstance(t, bool) and t >= 0, "t", got=repr(t), wanted="an int >= 0", remedy=remedy)
    w, density = _graph(w, mask)
    density = _power(density, -alpha)
    w = w * density[..., :, None] * density[..., None, :]
    degree = jnp.sum(w, axis=-1)
    return _matrix_power(_NORMALIZED[form](w, degree), t, _alive(degree))


def _graph(w: Array, mask: Array | None) -> tuple[Array, Array]:
    """`w` in float32 or better with masked rows and columns 0, and its row sums."""
    w = at_least_float32(w)
    require(w.ndim >= 2 and w.shape[-1] == w.shape[-2], "w", got=f"shape {w.shape}", wanted="[..., m, m]")
    if mask is not None:
        require(
            mask.shape[-1] == w.shape[-1], "mask", got=f"shape {mask.shape}", wanted=f"[..., {w.shape[-1]}], one entry per node"
        )
        w = jnp.where(mask[..., :, None] & mask[..., None, :], w, 0.0)
    return w, jnp.sum(w, axis=-1)


def _power(degree: Array, exponent: float) -> Array:
    """degree^exponent, and 0 for an isolated node (finite gradient as well)."""
    some = degree > 0
    return jnp.where(some, jnp.where(some, degree, 1.0) ** exponent, 0.0)


def _symmetric(w: Array, degree: Array) -> Array:
    root = _power(degree, -0.5)
    return w * root[..., :, None] * root[..., None, :]


def _markov(w: Array, degree: Array) -> Array:
    return w * _power(degree, -1.0)[..., :, None]


def _alive(degree: Array) -> Array:
    """Identity without the isolated nodes."""
    return jnp.where(degree > 0, 1.0, 0.0).astype(degree.dtype)[..., None] * jnp.eye(degree.shape[-1], dtype=degree.dtype)


def _matrix_power(step: Array, t: int, identity: Array) -> Array:
    """step^t by repeated squaring."""
    result = None
    while t:
        if t % 2:
            result = step if result is None else _product(result, step)
        t //= 2
        if t:
            step = _product(step, step)
    return identity if result is None else result


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


_NORMALIZED = {"symmetric": _symmetric, "markov": _markov}
_LAPLACIANS = {
    "symmetric": lambda w, degree: _alive(degree) - _symmetric(w, degree),
    "random_walk": lambda w, degree: _alive(degree) - _markov(w, degree),
    "none": lambda w, degree: degree[..., None] * jnp.eye(w.shape[-1], dtype=w.dtype) - w,
}
