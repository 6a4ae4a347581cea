"""The state of an embedding in one number each, and how two sets share one sphere.

These are JAX functions, usable inside jit; NaN in gives NaN out.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from gera_jax.checks import require, require_known
from gera_jax.evaluation.inputs import real
from gera_jax.ops.numerics import scalar


def alignment(x: ArrayLike, y: ArrayLike, *, mask: ArrayLike | None = None) -> Array:
    """Mean squared distance of matched rows on the unit sphere, mean_i ||x_i - y_i||^2.

    >>> import jax.numpy as jnp
    >>> float(alignment(jnp.eye(3), 2 * jnp.eye(3)))
    0.0

    Args:
      x: [n, d]; rows are normalised inside.
      y: [n, d]; row i matches row i.
      mask: [n] bool, True = a real pair; NaN if there is none.

    Returns:
      Scalar in [0, 4]: 0 = every pair coincides, 2 = orthogonal (chance), 4 = opposite.

    Source: Wang and Isola, "Understanding Contrastive Representation Learning" (ICML 2020), alpha = 2.
    """
    x, y = _matched(x, y)
    return _mean(jnp.sum((_unit(x) - _unit(y)) ** 2, axis=1), mask)


def uniformity(x: ArrayLike, t: ArrayLike = 2.0, *, mask: ArrayLike | None = None) -> Array:
    """Log of the mean Gaussian potential of distinct rows, log mean_{i != j} exp(-t ||x_i - x_j||^2).

    >>> import jax.numpy as jnp
    >>> round(float(uniformity(jnp.eye(3))), 4)
    -4.0

    Args:
      x: [n, d], n >= 2; rows are normalised inside.
      t: > 0, sharpness of the potential.
      mask: [n] bool, True = a real row.

    Returns:
      Scalar in [-4 t, 0]: 0 = all rows coincide; near -2 t = spread evenly over a sphere of many dimensions.
      Memory O(n^2).

    Source: Wang and Isola (ICML 2020).
    """
    z = _unit(_rows(x, "x", least=2))
    cosine = jnp.matmul(z, z.T, precision="highest")
    potential = -2.0 * scalar(t, z.dtype, "t", positive=True) * (1.0 - jnp.minimum(cosine, 1.0))  # ||a - b||^2 = 2 - 2 cos
    real = _mask(mask, z)
    other = real[:, None] & real & ~jnp.eye(z.shape[0], dtype=bool)
    n = jnp.sum(real, dtype=z.dtype)
    return jax.nn.logsumexp(jnp.where(other, potential, -jnp.inf)) - jnp.log(n * (n - 1))


def modality_gap(x: ArrayLike, y: ArrayLike, *, x_mask: ArrayLike | None = None, y_mask: ArrayLike | None = None) -> Array:
    """Distance between the mean unit row of each modality, ||mean(x) - mean(y)||.

    >>> import jax.numpy as jnp
    >>> float(modality_gap(jnp.array([[1.0, 0.0]]), jnp.array([[-3.0, 0.0]])))
    2.0

    Args:
      x: [n, d]; rows are normalised inside.
      y: [m, d]; needs no pairing.
      x_mask, y_mask: [n], [m] bool, True = a real row.

    Returns:
      Scalar in [0, 2]: 0 = no gap; 2 = two opposite points.

    Source: Liang et al., "Mind the Gap" (NeurIPS 2022).
    """
    x, y = _rows(x, "x"), _rows(y, "y")
    _same_width(x, y)
    return jnp.linalg.norm(_mean(_unit(x), x_mask) - _mean(_unit(y), y_mask))


def mean_cosine(x: ArrayLike, *, mask: ArrayLike | None = None) -> Array:
    """Mean cosine of distinct rows: 1 = collapsed to a point (or a cone), 0 = spread.

    >>> import jax.numpy as jnp
    >>> float(mean_cosine(jnp.ones((4, 3)))) > 0.999
    True

    Args:
      x: [n, d], n >= 2; a zero row has cosine 0 with all.
      mask: [n] bool, True = a real row.

    Returns:
      Scalar in [-1 / (n - 1), 1]. O(n d), no matrix of pairs.
    """
    z = _unit(_rows(x, "x", least=2))
    real = _mask(mask, z)
    z, n = jnp.where(real[:, None], z, 0.0), jnp.sum(real, dtype=z.dtype)
    return (jnp.sum(jnp.sum(z, axis=0) ** 2) - jnp.sum(z**2)) / (n * (n - 1))


def effective_rank(x: ArrayLike, *, mask: ArrayLike | None = None) -> Array:
    """Number of directions that the rows use: exp of the entropy of s / sum(s), s the singular values, centred.

    >>> import jax.numpy as jnp
    >>> round(float(effective_rank(jnp.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))), 4)
    2.0

    Args:
      x: [n, d], not normalised inside; the mean row is subtracted.
      mask: [n] bool, True = a real row.

    Returns:
      Scalar in [1, min(n - 1, d)]; 0 when all rows are equal. Singular values come from the smaller Gram matrix,
      so those under sqrt(eps min(n, d)) of the largest (0.8 % at 512 in float32) are rounding and count as 0.
      O(n d min(n, d)).

    Source: Roy and Vetterli, "The effective rank" (EUSIPCO 2007).
    """
    x = _rows(x, "x")
    # rows that are all equal must centre to exactly 0, which x - mean(x) does not do in floating point
    real = _mask(mask, x)
    x = jnp.where(real[:, None], x - x[jnp.argmax(real)], 0.0)
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale == 0, 1.0, scale)
    x = jnp.where(real[:, None], x - _mean(x, mask), 0.0)
    small = x if x.shape[0] <= x.shape[1] else x.T
    values = jnp.linalg.eigvalsh(jnp.matmul(small, small.T, precision="highest"))
    floor = jnp.max(values) * (jnp.finfo(x.dtype).eps * small.shape[0])
    # a comparison would hide NaN, so `values <= floor` decides and NaN goes through
    s = jnp.where(values <= floor, 0.0, jnp.sqrt(jnp.where(values <= floor, 1.0, values)))
    total = jnp.sum(s)
    share = s / jnp.where(total == 0, 1.0, total)
    entropy = -jnp.sum(share * jnp.log(jnp.where(share == 0, 1.0, share)))
    return jnp.where(total == 0, 0.0, jnp.exp(entropy))


def _rows(x: ArrayLike, name: str, least: int = 1) -> Array:
    x = x if isinstance(x, jax.Array) else real(x, name)
    require(not jnp.issubdtype(x.dtype, jnp.complexfloating), name, got=f"dtype {x.dtype}", wanted="real numbers")
    x = jnp.asarray(x if x.dtype != np.longdouble else x.astype(np.float64))
    require(x.ndim == 2, name, got=f"shape {x.shape}", wanted="[rows, width]")
    require(x.shape[0] >= least, name, got=f"{x.shape[0]} rows", wanted=f"at least {least}")
    return x if x.dtype in (jnp.float32, jnp.float64) else x.astype(jnp.float32)


def _mask(mask: ArrayLike | None, x: Array) -> Array:
    if mask is None:
        return jnp.ones(x.shape[0], bool)
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    wanted = f"bool {x.shape[:1]}, True = a real row"
    require(mask.shape == x.shape[:1] and mask.dtype == jnp.bool_, "mask", got=f"{mask.dtype} {mask.shape}", wanted=wanted)
    return jnp.asarray(mask)


def _mean(values: Array, mask: ArrayLike | None) -> Array:
    """Mean over the rows of `values` [n, ...] that exist."""
    if mask is None:
        return jnp.mean(values, axis=0)
    real = _mask(mask, values)
    shaped = real.reshape(-1, *[1] * (values.ndim - 1))
    return jnp.sum(jnp.where(shaped, values, 0.0), axis=0) / jnp.sum(real, dtype=values.dtype)


def _same_width(x: Array, y: Array) -> None:
    require(x.shape[1] == y.shape[1], "y width", got=f"{y.shape[1]} against {x.shape[1]} of x", wanted="rows of one shared space")


def _matched(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x, y = _rows(x, "x"), _rows(y, "y")
    wanted = "equal row counts, row i matching row i"
    require(x.shape[0] == y.shape[0], "y rows", got=f"{y.shape[0]} against {x.shape[0]} of x", wanted=wanted)
    _same_width(x, y)
    return x, y


def _unit(x: Array) -> Array:
    largest = jnp.max(jnp.abs(x), axis=1, keepdims=True)
    x = x / jnp.where(largest == 0, 1.0, largest)
    length = jnp.sqrt(jnp.sum(x**2, axis=1, keepdims=True))
    return x / jnp.where(length == 0, 1.0, length)


def relative_alignment(
    x: ArrayLike, y: ArrayLike, *, query: Literal["x", "y"] = "x", form: Literal["paper", "released"] = "paper"
) -> Array:
    """How much nearer a row's partner is than its nearest other, -mean_i (||q_i - c_i||^2 - min_{k != i} ||q_i - c_k||^2).

    >>> import jax.numpy as jnp
    >>> round(float(relative_alignment(jnp.eye(3), jnp.eye(3))), 4)
    2.0

    Args:
      x: [n, d], n >= 2; rows are normalised inside.
      y: [n, d]; row i matches row i.
      query: the side of q; c is the other one.
      form: "paper": larger is better; "released": the number with the other sign, smaller is better.

    Returns:
      Scalar in [-4, 4]: above 0 = partners are nearer than everything else, on average; twice the mean margin of cosines.
      Memory O(n^2).

    Source: Oh et al., "Geodesic Multi-Modal Mixup" (NeurIPS 2023).
    """
    require_known(query, ("x", "y"), "query")
    require_known(form, ("paper", "released"), "form")
    x, y = _matched(x, y)
    require(x.shape[0] >= 2, "x", got=f"{x.shape[0]} rows", wanted="at least 2")
    cosine = jnp.matmul(_unit(x), _unit(y).T, precision="highest")  # ||a - b||^2 = 2 - 2 cos, for unit rows
    cosine = cosine if query == "x" else cosine.T
    best_other = jnp.max(jnp.where(jnp.eye(cosine.shape[0], dtype=bool), -jnp.inf, cosine), axis=1)
    margin = 2.0 * jnp.mean(jnp.diagonal(cosine) - best_other)
    return margin if form == "paper" else -margin


def set_uniformity(
    x: ArrayLike, y: ArrayLike, *, pairs: Literal["cross", "union", "released"] = "cross", t: ArrayLike = 2.0
) -> Array:
    """Spread of two sets over one sphere, -log mean exp(-t ||a - b||^2); the larger, the more even.

    >>> import jax.numpy as jnp
    >>> round(float(set_uniformity(jnp.eye(4)[:2], jnp.eye(4)[2:])), 4)
    4.0

    Args:
      x: [n, d]; rows are normalised inside.
      y: [m, d]; needs no pairing.
      pairs: which (a, b) the mean is over. "cross": every row of x with every row of y; "union": distinct rows of both sets
        together; "released": the same of y put there twice, as the authors' code has it (y = images), so that x is not looked at.
      t: > 0, sharpness of the potential.

    Returns:
      Scalar in [0, 4 t]; 0 = all rows coincide. The sign is opposite to `uniformity`, which is over one set.
      Memory O((n + m)^2), O(n m) for "cross".

    Source: Oh et al., "Geodesic Multi-Modal Mixup" (NeurIPS 2023), after Wang and Isola (ICML 2020).
    """
    require_known(pairs, ("cross", "union", "released"), "pairs")
    x, y = _rows(x, "x"), _rows(y, "y")
    _same_width(x, y)
    if pairs != "cross":
        return -uniformity(jnp.concatenate([x, y] if pairs == "union" else [y, y]), t)
    cosine = jnp.matmul(_unit(x), _unit(y).T, precision="highest")
    potential = -2.0 * scalar(t, cosine.dtype, "t", positive=True) * (1.0 - jnp.minimum(cosine, 1.0))
    return jnp.log(jnp.asarray(cosine.size, cosine.dtype)) - jax.nn.logsumexp(potential)
