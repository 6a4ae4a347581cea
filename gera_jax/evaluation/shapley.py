"""Shapley values and interactions of a game that is given as a function: exactly, or from random orders with their error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gera_jax.checks import require, require_known
from gera_jax.ops.numerics import at_least_float32

Game = Callable[[jax.Array], jax.Array]
MAX_PLAYERS = 20  # 2^20 coalitions
BLOCK = 4096


class SampledValues(NamedTuple):
    """`values` [n] and the standard error of each."""

    values: np.ndarray
    standard_error: np.ndarray


def shapley_values(game: Game, players: int) -> np.ndarray:
    """Each player's mean marginal contribution over all orders: sum_C |C|! (n - |C| - 1)! / n! (v(C + i) - v(C)).

    >>> shapley_values(lambda c: jnp.where(c[0] & c[1], 6.0, 0.0) + jnp.where(c[2], 1.0, 0.0), 3).round(6).tolist()
    [3.0, 3.0, 1.0]

    Args:
      game: bool [n], True = in the coalition, to a scalar; a JAX function. v of nobody may be anything.
      players: n, 1 to 20.

    Returns:
      float64 [n]; their sum is v(all) - v(nobody). 2^n evaluations, in blocks.

    Source: Shapley 1953.
    """
    value, size = _enumerate(game, players)
    weight = np.array([math.factorial(c) * math.factorial(players - c - 1) / math.factorial(players) for c in range(players)])
    codes = np.arange(len(value))
    out = np.empty(players)
    for i in range(players):
        without = codes[codes >> i & 1 == 0]
        out[i] = np.sum(weight[size[without]] * (value[without | 1 << i] - value[without]))
    return out


def shapley_interactions(game: Game, players: int, *, index: Literal["shapley", "banzhaf"] = "shapley") -> np.ndarray:
    """How much more two players bring together: sum_C w(|C|) (v(C + i + j) - v(C + i) - v(C + j) + v(C)), C without both.

    >>> shapley_interactions(lambda c: jnp.where(c[0] & c[1], 6.0, 0.0) + jnp.where(c[2], 1.0, 0.0), 3)[0].round(6).tolist()
    [nan, 6.0, 0.0]

    Args:
      game: bool [n] to a scalar; a JAX function.
      players: n, 2 to 20.
      index: "shapley" has w(c) = c! (n - c - 2)! / (n - 1)!, "banzhaf" 2^(2 - n).

    Returns:
      float64 [n, n], symmetric, NaN on its diagonal. 2^n evaluations, O(n^2 2^n) time.

    Source: Grabisch and Roubens 1999.
    """
    require_known(index, ("shapley", "banzhaf"), "index")
    require(players >= 2, "players", got=players, wanted="at least 2")
    value, size = _enumerate(game, players)
    if index == "shapley":
        orders = math.factorial(players - 1)
        weight = np.array([math.factorial(c) * math.factorial(players - c - 2) / orders for c in range(players - 1)])
    else:
        weight = np.full(players - 1, 0.5 ** (players - 2))
    codes = np.arange(len(value))
    out = np.full((players, players), np.nan)
    for i in range(players):
        for j in range(i):
            without = codes[(codes >> i & 1 == 0) & (codes >> j & 1 == 0)]
            change = value[without | 1 << i | 1 << j] - value[without | 1 << i] - value[without | 1 << j] + value[without]
            out[i, j] = out[j, i] = np.sum(weight[size[without]] * change)
    return out


def sampled_shapley_values(game: Game, players: int, *, orders: int, seed: int = 0) -> SampledValues:
    """Shapley values from random orders, each taken forwards and backwards.

    >>> found = sampled_shapley_values(lambda c: jnp.where(c[0] & c[1], 6.0, 0.0) + jnp.where(c[2], 1.0, 0.0), 3, orders=50)
    >>> found.values.round(6).tolist()  # backwards is the mirror of forwards here: no error is left
    [3.0, 3.0, 1.0]

    Args:
      game: bool [n] to a scalar; a JAX function.
      players: n.
      orders: pairs of orders, at least 2.
      seed: of the orders.

    Returns:
      values float64 [n], unbiased, summing to v(all) - v(nobody) whatever the orders; standard_error [n] from the spread of
      the pairs. 2 orders (n + 1) evaluations.

    Source: Castro, Gómez and Tejada 2009; antithetic orders as in Mitchell et al. 2022, arXiv 2104.12199.
    """
    require(players >= 1, "players", got=players, wanted="at least 1")
    _check_scalar(game, players)
    require(orders >= 2, "orders", got=orders, wanted="at least 2")

    def marginals(order: jax.Array) -> jax.Array:
        place = jnp.argsort(order)  # of each player
        joined = place[None, :] < jnp.arange(players + 1)[:, None]
        return jnp.diff(at_least_float32(jax.vmap(game)(joined)))[place]

    def both(key: jax.Array) -> jax.Array:
        order = jax.random.permutation(key, players)
        return (marginals(order) + marginals(order[::-1])) / 2

    keys = jax.random.split(jax.random.key(seed), orders)
    draws = np.asarray(jax.jit(lambda keys: lax.map(both, keys, batch_size=min(orders, 256)))(keys), np.float64)
    return SampledValues(draws.mean(0), draws.std(0, ddof=1) / math.sqrt(orders))


def _check_scalar(game: Game, players: int) -> None:
    """One number a coalition: [1] would broadcast against the weights and give a multiple of the answer."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(game, jax.ShapeDtypeStruct((players,), bool)))]
    wanted, remedy = "one number, shape ()", "Sum or index the value inside the game."
    require(shapes == [()], "game", got=f"a value of shape {', '.join(map(str, shapes))}", wanted=wanted, remedy=remedy)


def _enumerate(game: Game, players: int) -> tuple[np.ndarray, np.ndarray]:
    """Value and size of every coalition; bit i of its number says whether player i is in it."""
    remedy = "Use sampled_shapley_values for more."
    require(1 <= players <= MAX_PLAYERS, "players", got=players, wanted=f"1 to {MAX_PLAYERS}", remedy=remedy)
    _check_scalar(game, players)
    codes = np.arange(2**players)
    member = (codes[:, None] >> np.arange(players) & 1).astype(bool)
    run = jax.jit(lambda rows: lax.map(game, rows, batch_size=min(len(codes), BLOCK)))
    return np.asarray(run(member), np.float64), member.sum(1)
