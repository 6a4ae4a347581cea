"""Heads that add a correction to an affine map, and begin as that map."""

from __future__ import annotations

import flax.linen as nn
import jax

from gera_jax.models.linear import affine

Array = jax.Array


class ResidualMLP(nn.Module):
    """z = x W + b + W2 gelu(W1 LayerNorm(x)), W2 = 0 at the start.

    Args of the call: x [..., d]; returns [..., dim], not normalised. Dropout acts on the hidden layer while training. `identity`
    starts at W = I, so that features which share a space already begin in it.
    """

    dim: int
    hidden: int = 512
    dropout: float = 0.0
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.hidden, name="expand")(nn.LayerNorm(name="norm")(x)))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="project")(hidden)
        return affine(self.dim, self.identity)(x) + correction


class LowRankResidual(nn.Module):
    """z = x W + b + W2 gelu(W1 x), with W1 [d, rank], W2 [rank, dim] = 0 at the start and no further biases.

    The narrow waist bounds what the correction can change: with few pairs that is the regulariser. `identity` as in
    `ResidualMLP`.
    """

    dim: int
    rank: int = 64
    dropout: float = 0.0
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        hidden = nn.gelu(nn.Dense(self.rank, use_bias=False, kernel_init=nn.initializers.orthogonal(), name="down")(x))
        hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
        correction = nn.Dense(self.dim, use_bias=False, kernel_init=nn.initializers.zeros, name="up")(hidden)
        return affine(self.dim, self.identity)(x) + correction


class ProjectionMLP(nn.Module):
    """z = LayerNorm(p + W2 gelu(p) + b2), p = x W + b, W2 = 0 at the start: the correction sees the projected row alone.

    Args of the call: x [..., d]; returns [..., dim], not normalised. Dropout acts on the correction while training. The
    LayerNorm takes the mean over the `dim` coordinates out of each row, so that a closed-form start is that solution only with
    `layer_norm=False`.

    Source: the projection head of Gentle-CLIP's released code, which starts W2 at random.
    """

    dim: int
    dropout: float = 0.0
    layer_norm: bool = True
    identity: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        projected = affine(self.dim, self.identity)(x)
        correction = nn.Dense(self.dim, kernel_init=nn.initializers.zeros, name="project")(nn.gelu(projected))
        z = projected + nn.Dropout(self.dropout, deterministic=not train)(correction)
        return nn.LayerNorm(name="norm")(z) if self.layer_norm else z
