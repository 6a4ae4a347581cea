"""The numbers of heat_geodesic.md A.11 and A.1 against the oracles, their identities, and what the comparisons must refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.oracles import heat
from tests.oracles.tools import agrees, check

TWO = np.array([[0.0, 1.0], [1.0, 0.0]])
PATH = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
H3 = [[0.525571, 0.316738, 0.157691], [0.316738, 0.366525, 0.316738], [0.157691, 0.316738, 0.525571]]
MASK = np.array([True, True, False, True, False, True])


def kernel(w, t=1.0, **options):
    return heat.heat_kernel(heat.laplacian(w), t=t, **options)


def random(a=3, m=6, d=4, k=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(a, m, d)), rng.normal(size=(a, m, k))


def test_two_nodes():
    h = kernel(TWO)
    check(h[0], [0.567668, 0.432332], 6, later=kernel(TWO, 2.0)[0], unscaled=np.array([0.5, 0.5]))
    plain, divided = (heat.heat_geodesic_distance(h, t=1.0, sigma=s) for s in (0.0, 1.0))
    check(plain[0, 1], 1.831459, 6, divided=divided[0, 1])
    check(plain[0, 0], 1.504951, 6, off=plain[0, 1])
    check(divided[0, 1], 1.043727, 6, plain=plain[0, 1])
    assert abs(divided[0, 0]) < 1e-6
    check(heat.entropy(h), 1.367922, 6, per_node=1.367922 / 2, base_two=1.367922 / math.log(2))


def test_path_of_three():
    h = kernel(PATH)
    check(
        h,
        H3,
        6,
        identity=np.eye(3),
        constant=np.full((3, 3), 1 / 3),
        normalized=heat.heat_kernel(heat.laplacian(PATH, normalization="symmetric"), t=1.0),
        rescaled_time=kernel(PATH, 2 / 3),
    )
    check(heat.entropy(h), 3.083183, 6)
    plain, divided = (heat.heat_geodesic_distance(h, t=1.0, sigma=s) for s in (0.0, 1.0))
    got = [plain[0, 1], plain[0, 2], plain[0, 0], plain[1, 1]]
    check(got, [2.144464, 2.718172, 1.604083, 2.003686], 6, half_time=np.array(got) / math.sqrt(2), squared=np.square(got))
    check(
        [divided[0, 1], divided[0, 2]],
        [1.170218, 2.194397],
        6,
        plain=got[:2],
        geometric=[math.sqrt(4 * (-math.log(h[0, j]) + 0.5 * math.log(h[0, 0] * h[j, j]))) for j in (1, 2)],
    )
    triplet = heat.heat_geodesic_distance(h, t=1.0, sigma=0.0, rho=1.0)
    check([triplet[0, 1], triplet[0, 2]], [0.800607, 1.575561], 6, plain=got[:2])
    half = heat.heat_geodesic_distance(h, t=1.0, sigma=0.0, rho=0.5)
    check([half[0, 1], half[0, 2]], [1.472536, 2.146866], 6, triplet=triplet[0, 1:], plain=got[:2])


def test_euler_steps():
    wants = {1: (0.625, 0.25, 0.125), 2: (0.582222, 0.28, 0.137778), 10: (0.538195, 0.309154, 0.152651)}
    for steps, want in wants.items():
        others = {f"{k} steps": v for k, v in wants.items() if k != steps}
        check(kernel(PATH, method="euler", steps=steps)[0], want, 6, exact=H3[0], **others)
    errors = [np.abs(kernel(PATH, method="euler", steps=k) - kernel(PATH)).max() for k in (100, 200)]
    assert 1.8 < errors[0] / errors[1] < 2.2  # O(1 / steps)


def test_chebyshev():
    c = heat.chebyshev_coefficients(1.0, 1.5, 5)
    check(c, [0.734867, -0.438079, 0.150762, -0.036046, 0.006577, -0.000969], 6, no_signs=np.abs(c))
    errors = [np.abs(kernel(PATH, method="chebyshev", degree=k) - kernel(PATH)).max() for k in (5, 10)]
    check(errors[0], 1.2e-4, 5)
    assert 1e-10 < errors[1] < 5e-10
    assert np.abs(kernel(PATH, t=1.1, method="chebyshev", degree=10) - kernel(PATH)).max() > 1e-2


def test_rows_of_the_two_laplacians():
    normal = heat.heat_kernel(heat.laplacian(PATH, normalization="symmetric"), t=1.0)
    check(normal.sum(1), [0.873, 1.179, 0.873], 3, combinatorial=kernel(PATH).sum(1))
    assert agrees(kernel(PATH).sum(1), np.ones(3), 12)
    degree = np.sqrt(PATH.sum(1))
    assert agrees(normal @ degree, degree, 12) and not agrees(normal @ np.ones(3), np.ones(3), 2)
    walk = heat.laplacian(PATH, normalization="random_walk")
    assert agrees(walk, np.eye(3) - PATH / PATH.sum(1, keepdims=True), 12) and agrees(walk.sum(1), np.zeros(3), 12)
    for kind in ("symmetric", "random_walk", "none"):
        assert not np.any(heat.laplacian(np.zeros((2, 2)), normalization=kind))


def test_semigroup_and_block():
    w = np.abs(np.random.default_rng(0).normal(size=(5, 5)))
    w = np.triu(w, 1) + np.triu(w, 1).T
    half, whole = kernel(w, 0.35), kernel(w, 0.7)
    check(half @ half, whole, 12, once=half)
    b = np.random.default_rng(1).normal(size=(5, 2))
    for method in ("exact", "euler", "chebyshev"):
        options = dict(method=method, steps=7, degree=40)
        got = heat.heat_kernel(heat.laplacian(w), b, t=0.7, **options)
        assert agrees(got, kernel(w, 0.7, **options) @ b, 11) and not agrees(got, b, 2)


def test_distance_properties():
    """sigma 1: zero diagonal and never below 0; unreachable pairs sit at the cap; PHATE's potential is a triplet of squares."""
    w = np.zeros((5, 5))
    w[:3, :3], w[3, 4], w[4, 3] = PATH, 1.0, 1.0
    h = np.where(np.abs(kernel(w)) < 1e-15, 0.0, kernel(w))
    d = heat.heat_geodesic_distance(h, t=1.0, sigma=0.0)
    check(d[0, 3], math.sqrt(4 * 16 * math.log(10)), 6)
    divided = heat.heat_geodesic_distance(h, t=1.0)
    assert np.all(np.diag(divided) < 1e-6) and agrees(divided, divided.T, 12) and divided[0, 1] > 1.0
    h, t = kernel(PATH, 0.6), 0.6
    u = -np.log(h)
    squares = heat.heat_geodesic_distance(h, t=t, sigma=0.0) ** 2
    want = sum((u[0, k] - u[1, k]) ** 2 for k in range(3))
    check(sum((squares[0, k] - squares[1, k]) ** 2 for k in range(3)) / (4 * t) ** 2, want, 10)


def test_knee():
    """kneed's figure 2: y = 5 - 1 / (x + 0.1) on ten points has its knee at 2/9."""
    x = np.linspace(0, 1, 10)
    y = 5 - 1 / (x + 0.1)
    check(heat.knee(x, y, sensitivity=1.0), 2 / 9, 10, next=3 / 9, first=1 / 9)
    assert agrees(heat.knee(10 * x, 3 * y + 1), 10 * heat.knee(x, y), 12)
    assert heat.knee(x, x) is None
    fine = np.linspace(0, 1, 400)
    assert abs(heat.knee(fine, 1 - (1 - fine) ** 2) - 0.5) < 0.01  # y - x = x - x^2
    bump = 1 - (1 - fine) ** 2 + 0.004 * np.sin(60 * fine)
    assert heat.knee(fine, bump, sensitivity=5.0) != heat.knee(fine, bump, sensitivity=0.1)


def test_classical_mds_and_stress():
    points = np.random.default_rng(0).normal(size=(6, 2))
    d = np.sqrt([[np.sum((a - b) ** 2) for b in points] for a in points])
    z = heat.classical_mds(d, dim=2)
    assert heat.stress(z, d) < 1e-20 and heat.stress(heat.classical_mds(d, dim=1), d) > 1e-3
    assert heat.stress(z[::-1], d) > 1e-2
    line = np.array([[0.0], [1.0], [3.0]])
    target = np.array([[0.0, 2.0, 3.0], [2.0, 0.0, 4.0], [3.0, 4.0, 0.0]])  # lengths 1, 3, 2: errors 1, 0, 2
    check(heat.stress(line, target), 5 / 3, 10, summed=5.0, entries=10 / 9)
    weights = np.array([[0.0, 3.0, 1.0], [3.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    check(heat.stress(line, target, weights=weights), 7 / 5, 10, unweighted=5 / 3)


def test_stress_of_two_points():
    """One pair, any bandwidth: the graph is two nodes of weight w over degree w, so d is the fixture's 1.043727."""
    x, z = np.array([[[0.0, 0.0], [2.0, 1.0]]]), np.array([[[0.0], [0.5]]])
    for bandwidth in ("median", "self_tuning", 1.7):
        got = heat.heat_geodesic_stress(x, z, normalization="none", bandwidth=bandwidth)
        check(got, (0.5 - 1.0437268) ** 2, 6, squared=(0.25 - 1.0437268) ** 2, plain=(0.5 - 1.831459) ** 2)
    assert heat.heat_geodesic_stress(x, z) < 1e-20
    assert heat.heat_geodesic_stress(x, 0 * z) == 1.0


def test_graph():
    line = np.array([[0.0], [1.0], [3.0]])
    w = heat.gaussian_graph(line)  # squares 1, 9, 4: median 4
    check([w[0, 1], w[0, 2], w[1, 2]], np.exp([-1 / 8, -9 / 8, -4 / 8]), 10, unhalved=np.exp([-1 / 4, -9 / 4, -1.0]))
    assert not np.any(np.diag(w))
    near = heat.gaussian_graph(line, bandwidth="self_tuning", k=1)  # gera.md A.3: lengths 1, 1, 2
    check([near[0, 1], near[0, 2], near[1, 2]], [0.36787944, 0.01110900, 0.13533528], 8)
    check(heat.gaussian_graph(line, bandwidth=1.0)[0], [0.0, 0.60653066, 0.01110900], 8)


@pytest.mark.parametrize(
    "options", [{}, dict(normalization="none", t=0.5, sigma=0.5, bandwidth=1.3), dict(bandwidth="self_tuning")]
)
def test_stress_options(options):
    """The distances of x themselves, laid out as points, have no stress; another order has."""
    x, z = random(1, m=5)
    chosen = {k: v for k, v in options.items() if k in ("t", "sigma", "bandwidth")}
    d = heat.neighbourhood_distances(x[0], **chosen)
    layout = heat.classical_mds(d, dim=4)
    want = heat.stress(layout, d)
    got = heat.heat_geodesic_stress(x, layout[None], **options)
    if options.get("normalization") == "none":
        check(got, want, 10)
    assert got < 0.05 < heat.heat_geodesic_stress(x, layout[None, ::-1] @ np.diag([3.0, 1, 1, 1]), **options)
    values = [
        heat.heat_geodesic_stress(x, z, **{**options, **more})
        for more in ({}, dict(t=2.0), dict(sigma=0.25), dict(bandwidth=0.9))
    ]
    assert len({round(v, 9) for v in values}) == 4
    if options.get("normalization") != "none":
        assert agrees(heat.heat_geodesic_stress(x, 7 * z, **options), values[0], 12) and 0 < values[0] < 1
    assert agrees(heat.heat_geodesic_stress(x[0], z[0], form="batch", **options), values[0], 14)


def test_masked_is_removed_and_weights():
    x, z = random()
    mask = np.array([MASK, np.ones(6, bool), np.zeros(6, bool)])
    weights = np.array([2.0, 0.5, 9.0])
    each = [heat.heat_geodesic_stress(x[a][None, keep], z[a][None, keep]) for a, keep in ((0, mask[0]), (1, mask[1]))]
    clean = heat.heat_geodesic_stress(x, z, weights=weights)
    x[~mask], z[~mask] = np.nan, 1e30
    got = {r: heat.heat_geodesic_stress(x, z, mask=mask, weights=weights, reduction=r) for r in ("mean", "sum", "none")}
    check(got["mean"], (2 * each[0] + 0.5 * each[1]) / 2.5, 10, unmasked=clean, unweighted=np.mean(each), summed=got["sum"])
    check(got["sum"], 2 * each[0] + 0.5 * each[1], 10)
    check(got["none"], [*each, 0.0], 10)
    assert heat.heat_geodesic_stress(x, z, mask=np.zeros((3, 6), bool)) == 0.0
    assert heat.heat_geodesic_stress(x[0], z[0], mask=MASK, form="batch") == each[0]
