"""Rows with noise and with features left out, by a key and the row's position in the whole batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gera_jax.ops import at_least_float32


def disturb(x: jax.Array, key: jax.Array, *, first: Any = 0, noise: float = 0.0, feature_dropout: float = 0.0) -> jax.Array:
    """Rows with Gaussian noise and some features left out: (x + noise rms(x_i) e_i) keep_i / (1 - feature_dropout).

    Args:
      x: [n, d] rows; those of this device under a mapped axis.
      key: the draw of a row is a function of this key and of the row's position in the whole batch alone.
      first: position of the first row in the whole batch (`ops.row_offset(n, axis_name)`).
      noise: length of the noise relative to the length of the row, about: each entry is N(0, (noise rms)^2), where
        rms^2 = |x_i|^2 / d.
      feature_dropout: share of the entries set to 0, each by itself; the rest is scaled so that the mean stays.

    Returns:
      [n, d] in the dtype of `x`.

    >>> x = jnp.ones((2, 3))
    >>> bool((disturb(x, jax.random.key(0)) == x).all()), bool((disturb(x, jax.random.key(0), noise=0.1) == x).any())
    (True, False)
    """
    if not noise and not feature_dropout:
        return x
    positions = jnp.asarray(first, jnp.uint32) + jnp.arange(len(x), dtype=jnp.uint32)
    keys = jax.vmap(lambda i: jax.random.split(jax.random.fold_in(key, i)))(positions)
    if noise:
        wide = at_least_float32(x)  # the square of a float16 above 255 is inf, below 2e-4 it is 0
        square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
        rms = jnp.where(square == 0, 0.0, jnp.sqrt(jnp.where(square == 0, 1.0, square)))  # sqrt at 0 has no finite gradient
        x = (wide + noise * rms * jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], wide.dtype))(keys[:, 0])).astype(x.dtype)
    if feature_dropout:
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - feature_dropout, x.shape[1:]))(keys[:, 1])
        x = jnp.where(keep, x / (1 - feature_dropout), jnp.zeros((), x.dtype))
    return x
