"""Heads of a joint space: linear ones, which may start at a closed form, and residual ones."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.checks import require

Array = jax.Array


def affine(dim: int, identity: bool) -> nn.Dense:
    """The part `base` of a head: random, or z = x at the start (the features are then `dim` wide)."""
    kernel = nn.initializers.lecun_normal() if not identity else lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)
    return nn.Dense(dim, kernel_init=kernel, name="base")


def affine_start(weights: np.ndarray, offset: np.ndarray, dim: int) -> dict[str, Array]:
    """The parameters of an affine map z = c (x weights + offset), cut or filled with zeros to `dim` columns.

    Rows of z are normalised, so c > 0 changes no result; it gives the weights a root mean square of 1 / sqrt(d), that of a random
    start, so that one learning rate means the same for both, whatever the unit of the features was.

    >>> affine_start(1e-30 * np.eye(2), np.zeros(2), 3)["kernel"].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    weights, offset = np.asarray(weights, np.float64)[:, :dim], np.asarray(offset, np.float64)[:dim]
    finite = bool(np.isfinite(weights).all() and np.isfinite(offset).all())
    require(
        finite,
        "model.init",
        got="a closed form with NaN or infinity",
        wanted="finite weights",
        remedy='Raise its regularization, or use init="random".',
    )
    # Scaled before they are cut to float32: small or large units leave its range.
    largest = np.abs(weights).max(initial=0.0) or 1.0
    size = largest * np.sqrt(np.mean((weights / largest) ** 2) * len(weights)) or 1.0
    kernel, bias = np.zeros((len(weights), dim), np.float32), np.zeros(dim, np.float32)
    kernel[:, : weights.shape[1]], bias[: weights.shape[1]] = weights / size, offset / size
    return {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}


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
