"""Affine and identity heads."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array


def affine(dim: int, identity: bool) -> nn.Dense:
    """The part `base` of a head: random, or z = x at the start (the features are then `dim` wide)."""
    kernel = nn.initializers.lecun_normal() if not identity else lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)
    return nn.Dense(dim, kernel_init=kernel, name="base")


class Linear(nn.Module):
    """z = x W + b.

    Every head has this affine part under the name `base`, so that each of them can start at a closed-form solution.

    Args of the call: x [..., d]; returns [..., dim], not normalised. `identity` starts it at z = x.
    """

    dim: int
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return affine(self.dim, self.identity)(x)


class Identity(nn.Module):
    """z = x: for features that share a space already; it has no parameters."""

    dim: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return x
