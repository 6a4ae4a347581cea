"""How two sets share one sphere: partners against nearest others, the spread of both; JAX functions, usable inside jit."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from gera_jax.checks import require, require_known
from gera_jax.evaluation.diagnostics import _matched, _rows, _same_width, _unit, uniformity


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
    potential = -2.0 * jnp.asarray(t, cosine.dtype) * (1.0 - jnp.minimum(cosine, 1.0))
    return jnp.log(jnp.asarray(cosine.size, cosine.dtype)) - jax.nn.logsumexp(potential)
