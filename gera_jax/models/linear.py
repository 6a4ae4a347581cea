"""Affine and identity heads."""

from __future__ import annotations

import flax.linen as nn
import jax

Array = jax.Array


class Linear(nn.Module):
    """z = x W + b.

    Every head has this affine part under the name `base`, so that each of them can start at a closed-form solution.

    Args of the call: x [..., d]; returns [..., dim], not normalised.
    """

    dim: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return nn.Dense(self.dim, name="base")(x)


class Identity(nn.Module):
    """z = x: for features that share a space already; it has no parameters."""

    dim: int

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        del train
        return x
