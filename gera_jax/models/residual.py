"""Heads that add a correction to an affine map, and begin as that map."""

from __future__ import annotations

import flax.linen as nn
import jax

Array = jax.Array


class ResidualMLP(nn.Module):
    """z = x W + b + W2 gelu(W1 LayerNorm(x)), W2 = 0 at the start.

    Args of the call: x [..., d]; returns [..., dim], not normalised. Dropout acts on the hidden layer while training.
    """

    dim: int
    hidden: int = 512
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.hidden, name="expand")(nn.LayerNorm(name="norm")(x)))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="project")(hidden)
        return nn.Dense(self.dim, name="base")(x) + correction


class LowRankResidual(nn.Module):
    """z = x W + b + W2 gelu(W1 x), with W1 [d, rank], W2 [rank, dim] = 0 at the start and no further biases.

    The narrow waist bounds what the correction can change: with few pairs that is the regulariser.
    """

    dim: int
    rank: int = 64
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.rank, use_bias=False, kernel_init=nn.initializers.orthogonal(), name="down")(x))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, use_bias=False, kernel_init=nn.initializers.zeros, name="up")(hidden)
        return nn.Dense(self.dim, name="base")(x) + correction
