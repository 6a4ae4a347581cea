"""Shapley values of any game: brute force over all orders for up to 8 players, and the axioms."""

from __future__ import annotations

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.evaluation import sampled_shapley_values, shapley_interactions, shapley_values


def table_game(n: int, seed: int = 0):
    """A random value for every coalition: nothing about it is additive or symmetric."""
    values = np.random.default_rng(seed).normal(size=2**n).astype(np.float32)
    powers = 2 ** np.arange(n)
    return values, lambda coalition: jnp.asarray(values)[jnp.sum(jnp.where(coalition, powers.astype("int32"), 0))]


def by_orders(values: np.ndarray, n: int) -> np.ndarray:
    total = np.zeros(n)
    for order in itertools.permutations(range(n)):
        code = 0
        for player in order:
            total[player] += float(values[code | 1 << player]) - float(values[code])
            code |= 1 << player
    return total / math.factorial(n)


@pytest.mark.parametrize("n", [1, 3, 8])
def test_exact_values_equal_the_mean_over_all_orders(n):
    values, game = table_game(n)
    got, want = shapley_values(game, n), by_orders(values, n)
    assert np.allclose(got, want, rtol=0, atol=1e-6)
    assert abs(got.sum() - (float(values[-1]) - float(values[0]))) < 1e-6
    if n > 1:
        assert not np.allclose(got[::-1], want, atol=1e-3)
        assert not np.allclose(got, by_orders(table_game(n, 1)[0], n), atol=1e-3)


def test_interactions_equal_the_definition():
    n = 6
    values, game = table_game(n)
    got = {index: shapley_interactions(game, n, index=index) for index in ("shapley", "banzhaf")}
    for i, j in itertools.combinations(range(n), 2):
        want = {"shapley": 0.0, "banzhaf": 0.0}
        for code in range(2**n):
            if code >> i & 1 or code >> j & 1:
                continue
            v = [float(values[code | a << i | b << j]) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
            size = bin(code).count("1")
            change = v[0] - v[1] - v[2] + v[3]
            want["shapley"] += math.factorial(size) * math.factorial(n - size - 2) / math.factorial(n - 1) * change
            want["banzhaf"] += 0.5 ** (n - 2) * change
        for index, value in want.items():
            assert abs(got[index][i, j] - value) < 1e-6 and got[index][j, i] == got[index][i, j]
        assert abs(want["shapley"] - want["banzhaf"]) > 1e-4
    assert np.all(np.isnan(np.diag(got["shapley"])))


@pytest.mark.parametrize("n", [3, 8])
def test_sampled_values_are_within_their_error_of_the_exact_ones(n):
    _, game = table_game(n)
    exact = shapley_values(game, n)
    found = sampled_shapley_values(game, n, orders=3000, seed=1)
    assert np.all(np.abs(found.values - exact) < 4.5 * found.standard_error)
    assert np.all(found.standard_error < 0.05) and np.all(found.standard_error > 1e-4)
    assert abs(found.values.sum() - exact.sum()) < 1e-5
    few = sampled_shapley_values(game, n, orders=30, seed=1)
    assert np.all(few.standard_error > 4 * found.standard_error)  # the error falls with the root of the number
    assert not np.array_equal(sampled_shapley_values(game, n, orders=30, seed=2).values, few.values)
    assert np.array_equal(sampled_shapley_values(game, n, orders=30, seed=1).values, few.values)


def test_more_players_than_can_be_enumerated():
    weights = np.arange(40, dtype=np.float32)
    found = sampled_shapley_values(lambda c: jnp.sum(jnp.where(c, weights, 0.0)), 40, orders=3)
    assert np.allclose(found.values, weights, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shapley_values(lambda c: c[0], 21), "players: got 21; wanted 1 to 20. Use sampled_shapley_values for more."),
        (lambda: shapley_values(lambda c: c[0], 0), "players: got 0; wanted 1 to 20. Use sampled_shapley_values for more."),
        (lambda: shapley_interactions(lambda c: c[0], 1), "players: got 1; wanted at least 2."),
        (
            lambda: shapley_interactions(lambda c: c[0], 3, index="owen"),
            'index: got "owen"; wanted a known name. Known: banzhaf, shapley.',
        ),
        (lambda: sampled_shapley_values(lambda c: c[0], 3, orders=1), "orders: got 1; wanted at least 2."),
        *(
            (act, "game: got a value of shape (1,); wanted one number, shape (). Sum or index the value inside the game.")
            for act in (
                lambda: shapley_values(lambda c: c[:1], 3),  # it gave three times the value
                lambda: shapley_interactions(lambda c: c[:1], 3),
                lambda: sampled_shapley_values(lambda c: c[:1], 3, orders=2),
            )
        ),
    ],
)
def test_faults_say_what_is_wrong(call, words):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == words
