"""The numbers of structure.md B.8 and B.3 against the oracle, and what its comparisons must refuse."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from tests.oracles import structure
from tests.oracles.tools import agrees, check

X = np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0]])
A = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
LEVELS = {"js": (0.047732, 0.048326, 0.045388), "mixture_first": (0.052823, 0.053175, 0.049177)}
TOTALS = {"js": (0.047732, 0.035948, 0.029008), "mixture_first": (0.052823, 0.039705, 0.031934)}
MASK = np.array([True, False, True, True, True, False])


def random(n=6, d=4, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, k))


def test_the_walks():
    want_x = [[0.919287, 0.063875, 0.016837], [0.172602, 0.654796, 0.172602], [0.016837, 0.063875, 0.919287]]
    want_a = [[0.674415, 0.234312, 0.091272], [0.320392, 0.359217, 0.320392], [0.091272, 0.234312, 0.674415]]
    others = {c: structure.walk(X, temperature=0.5, center=c) for c in ("before", "none")}
    check(structure.walk(X, temperature=0.5), want_x, 6, **others, identity=np.eye(3))
    check(structure.walk(A, temperature=0.5), want_a, 6, unnormalised=structure.walk(X, temperature=0.5))


@pytest.mark.parametrize("kind", LEVELS)
def test_each_level(kind):
    p, q = (structure.walk(v, temperature=0.5) for v in (X, A))
    for level, want in enumerate(LEVELS[kind], 1):
        a, b = structure.power(p, level), structure.power(q, level)
        got = np.mean([structure.row_divergence(u, v, kind) for u, v in zip(a, b, strict=True)])
        other = LEVELS["js" if kind == "mixture_first" else "mixture_first"][level - 1]
        check(got, want, 6, other=other, next=LEVELS[kind][level % 3], summed=3 * want)


@pytest.mark.parametrize("kind", TOTALS)
def test_the_weighted_sum(kind):
    """1 / L is always there; uniform weights give the plain mean of the levels."""
    for levels, want in enumerate(TOTALS[kind], 1):
        got = structure.structure_divergence(X, A, divergence=kind, levels=levels, temperature=0.5)
        plain = structure.structure_divergence(X, A, divergence=kind, levels=levels, temperature=0.5, level_weights="uniform")
        other = {} if levels == 1 else {"uniform": plain, "not divided": levels * want}
        check(got, want, 6, **other)
        assert abs(plain - np.mean(LEVELS[kind][:levels])) < 1e-6


def test_range_and_zero():
    """0 for the same geometry, at most log 2 for js and beyond it for the released direction."""
    x, z = random()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    lengths = np.arange(1.0, 7.0)[:, None]
    assert structure.structure_divergence(x, lengths * (x @ turn), levels=3) < 1e-12
    apart = dict(temperature=0.01, center="none")
    eye, shifted = np.repeat(np.eye(2), 2, axis=0), np.tile(np.eye(2), (2, 1))
    assert structure.structure_divergence(x, z, levels=3) > 1e-3
    js = structure.structure_divergence(eye, shifted, **apart)
    assert abs(js - 0.5 * np.log(2)) < 1e-9  # half of each row's mass is common
    assert structure.structure_divergence(eye, shifted, divergence="mixture_first", **apart) > np.log(2)


def test_disjoint_rows():
    """log 2 for js; 13.12 in the released direction, through its floor of 1e-12 under the logarithm."""
    p, q = np.eye(2)
    check(structure.row_divergence(p, q, "js"), np.log(2), 10)
    check(structure.row_divergence(p, q, "mixture_first"), 13.12, 2, js=np.log(2), summed=26.24)
    assert structure.row_divergence(p, p, "mixture_first") == 0.0


def test_translation_only_with_centring_first():
    x, _ = random()
    moved = x + 3.0
    assert structure.structure_divergence(x, moved, center="before") < 1e-12
    assert structure.structure_divergence(x, moved, center="after") > 1e-2
    stretched = x * np.arange(1.0, 7.0)[:, None]
    assert structure.structure_divergence(x, stretched, center="after") < 1e-12
    assert structure.structure_divergence(x, stretched, center="before") > 1e-4


@pytest.mark.parametrize("options", [{}, dict(center="before", similarity="rbf", gamma=0.5), dict(diagonal=False, levels=3)])
def test_masked_is_removed(options):
    x, z = random()
    want = structure.structure_divergence(x[MASK], z[MASK], **options)
    assert not agrees(structure.structure_divergence(x, z, **options), want, 3)
    assert not agrees(structure.structure_divergence(x, z, mask=MASK[::-1], **options), want, 3)
    x[~MASK], z[~MASK] = np.nan, 1e30
    assert structure.structure_divergence(x, z, mask=MASK, **options) == want
    assert structure.structure_divergence(x, z, mask=np.zeros(6, bool), **options) == 0.0


def test_options_change_the_value():
    x, z = random()
    values = [
        structure.structure_divergence(x, z, **options)
        for options in (
            {},
            dict(similarity="rbf"),
            dict(similarity="rbf", gamma=2.0),
            dict(diagonal=False),
            dict(center="before"),
            dict(center="none"),
            dict(levels=2),
            dict(temperature=0.1),
        )
    ]
    assert len({round(v, 9) for v in values}) == len(values)
    assert structure.structure_divergence(x, z, margin=values[0] + 0.1) == 0.0
    assert agrees(structure.structure_divergence(x, z, margin=0.01), values[0] - 0.01, 12)


def test_one_row_has_no_neighbour():
    x, z = random(1)
    assert structure.structure_divergence(x, z) == 0.0
    assert structure.structure_divergence(x, z, diagonal=False) == 0.0


def test_mutual_neighbours():
    """A: 1-2, 3-4; B: 2 goes to 3: three of four neighbours are common."""
    a, b = ([{1}, {0}, {3}, {2}], [{1}, {2}, {3}, {2}])
    check(structure.overlap(a, b, 1), 0.75, 6, one=1.0, none=0.0)
    assert structure.rice(5000) == 35 and structure.rice(1000) == 20
    x, _ = random()
    assert structure.mutual_knn(x, 3 * x, k=2) == 1.0
    assert structure.mutual_knn(x, -x, k=2) == 1.0  # a reflection keeps all cosines
    assert structure.mutual_knn(x, random(seed=5)[0], k=2) < 1.0


def test_unbiased_hsic_is_the_sum_over_distinct_indices():
    x, z = random(5)
    k, other = structure.gram(x), structure.gram(z)
    quads = list(permutations(range(5), 4))
    want = sum(k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in quads) / len(quads)
    check(structure.unbiased_hsic(k, other), want, 10, biased=structure.hsic(k, other))


@pytest.mark.parametrize("measure", [structure.linear_cka, structure.unbiased_cka, lambda a, b: structure.cknna(a, b, k=2)])
def test_similarity_measures(measure):
    """1 for a turned copy; less for another set; independent of the order of the two."""
    x, z = random(6)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    assert agrees(measure(x, x @ turn), 1.0, 10)
    assert abs(measure(x, z)) < 0.99 and not agrees(measure(x, x[::-1]), 1.0, 2)
    assert agrees(measure(x, z), measure(z, x), 10)
    if measure is not structure.unbiased_cka:  # shuffling breaks what the order of rows carries
        assert measure(x, x[[1, 2, 3, 4, 5, 0]]) < 0.95


def test_cka_of_centred_columns():
    """|X^T Y|_F^2 / (|X^T X|_F |Y^T Y|_F) of centred columns: the other way to write it."""
    x, z = random(6)
    a, b = x - x.mean(0), z - z.mean(0)
    want = np.sum((a.T @ b) ** 2) / np.sqrt(np.sum((a.T @ a) ** 2) * np.sum((b.T @ b) ** 2))
    raw = np.sum((x.T @ z) ** 2) / np.sqrt(np.sum((x.T @ x) ** 2) * np.sum((z.T @ z) ** 2))
    check(structure.linear_cka(x, z), want, 10, uncentred=raw)
