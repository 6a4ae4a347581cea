"""Heat kernels, distances and entropies: the hand numbers of path and pair, each method, tails, several times, bad input."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp

from gera_jax.graphs import (
    heat_entropy,
    heat_geodesic_distance,
    heat_kernel,
    knee,
    laplacian,
    largest_eigenvalue,
    sparse_laplacian,
    von_neumann_entropy,
)
from gera_jax.graphs.heat import chebyshev_coefficients
from tests.oracles import heat as oracle
from tests.oracles.tools import check

PATH = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
H3 = [[0.525571, 0.316738, 0.157691], [0.316738, 0.366525, 0.316738], [0.157691, 0.316738, 0.525571]]
METHODS = ("chebyshev", "euler", "exact", "lowrank")
FINE = dict(tolerance=1e-13, steps=4000, rank=64)  # every method near the exact kernel


def lap(w=PATH, normalization="none"):
    return sparse_laplacian(sp.csr_array(w), normalization=normalization)


def random_graph(n=9, seed=0):
    w = np.abs(np.random.default_rng(seed).normal(size=(n, n)))
    w = np.triu(w * (w > 0.5), 1)
    return w + w.T + np.diag(np.full(n - 1, 0.3), 1) + np.diag(np.full(n - 1, 0.3), -1)


def line(n):
    """A path of n nodes, whose tails are known to fall by about t / k a step."""
    return sp.diags_array([np.ones(n - 1), np.ones(n - 1)], offsets=[1, -1], format="csr")


@pytest.mark.parametrize("dense", [False, True])
def test_path_and_pair(dense):
    with jax.enable_x64():

        def kernel(w, t=1.0):
            matrix = lap(w).toarray() if dense else lap(w)
            return np.asarray(heat_kernel(jnp.asarray(matrix) if dense else matrix, t=t, method="exact"))

        h = kernel(PATH)
        check(
            h, H3, 6, identity=np.eye(3), constant=np.full((3, 3), 1 / 3), later=kernel(PATH, 2.0), rescaled=kernel(PATH, 2 / 3)
        )
        check(3 * heat_entropy(h), 3.083183, 6)
        plain, divided = (heat_geodesic_distance(h, t=1.0, sigma=s) for s in (0.0, 1.0))
        check([plain[0, 1], plain[0, 2], plain[0, 0], plain[1, 1]], [2.144464, 2.718172, 1.604083, 2.003686], 6)
        check([divided[0, 1], divided[0, 2]], [1.170218, 2.194397], 6, plain=[plain[0, 1], plain[0, 2]])
        assert not np.any(np.diag(divided))
        rows = heat_geodesic_distance(h, t=1.0, sigma=0.0, rho=1.0)
        check([rows[0, 1], rows[0, 2]], [0.800607, 1.575561], 6)
        half = heat_geodesic_distance(h, t=1.0, sigma=0.0, rho=0.5)
        check([half[0, 1], half[0, 2]], [1.472536, 2.146866], 6)
        two = kernel(PATH[:2, :2])
        check(two[0], [0.567668, 0.432332], 6)
        check(2 * heat_entropy(two), 1.367922, 6)
        plain, divided = (heat_geodesic_distance(two, t=1.0, sigma=s) for s in (0.0, 1.0))
        check([plain[0, 1], plain[0, 0], divided[0, 1]], [1.831459, 1.504951, 1.043727], 6)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_euler_steps(steps):
    want = {1: (0.625, 0.25, 0.125), 2: (0.582222, 0.28, 0.137778), 10: (0.538195, 0.309154, 0.152651)}
    others = {str(k): v for k, v in want.items() if k != steps}
    check(heat_kernel(lap(), t=1.0, method="euler", steps=steps)[0], want[steps], 6, exact=H3[0], **others)
    check(heat_kernel(jnp.asarray(lap().toarray()), t=1.0, method="euler", steps=steps)[0], want[steps], 5, exact=H3[0])


def test_chebyshev_coefficients_and_degree():
    c = chebyshev_coefficients(1.0, 3.0, 1e-4)
    check(2 * c[0], 0.734867, 6)
    check(c[1:6], [-0.438079, 0.150762, -0.036046, 0.006577, -0.000969], 6, no_signs=np.abs(c[1:6]))
    # The known safe degrees for 1e-10 are (1, 2) 10, (10, 2) 23, (50, 2) 49, (200, 2) 123, (10, 20) 74, (50, 20) 272; the exact
    # remainder needs no more than these.
    safe = {(1, 2): 10, (10, 2): 23, (50, 2): 49, (200, 2): 123, (10, 20): 74, (50, 20): 272}
    for (t, top), degree in safe.items():
        found = len(chebyshev_coefficients(t, top, 1e-10)) - 1
        assert 0.3 * degree < found <= degree, (t, top, found)


@pytest.mark.parametrize(("t", "top"), [(0.1, 1.0), (1.0, 14.0), (50.0, 14.0), (300.0, 20.0)])
def test_chebyshev_keeps_its_tolerance_and_no_more(t, top):
    """On the whole interval, for a degree that follows t lambda_max; one degree less breaks the promise."""
    grid = np.linspace(0, top, 2001)
    for tolerance in (1e-3, 1e-9):
        c = chebyshev_coefficients(t, top, tolerance)

        def error(c):
            return np.abs(np.polynomial.chebyshev.chebval(2 * grid / top - 1, c) - np.exp(-t * grid)).max()

        assert error(c) <= tolerance
        assert np.abs(c[-1]) + error(c) > tolerance / 10
        if len(c) > 6:
            assert error(c[: len(c) // 2]) > tolerance


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("normalization", ["none", "symmetric"])
def test_methods_equal_the_oracle(method, normalization):
    w = random_graph()
    want = oracle.heat_kernel(oracle.laplacian(w, normalization=normalization), t=0.7)
    rtol = 3e-4 if method == "euler" else 1e-10
    sparse = heat_kernel(lap(w, normalization), t=0.7, method=method, **FINE)
    assert np.abs(sparse - want).max() < rtol
    with jax.enable_x64():
        dense = heat_kernel(jnp.asarray(lap(w, normalization).toarray()), t=0.7, method=method, **FINE)
        assert np.abs(dense - want).max() < rtol
    assert np.abs(heat_kernel(lap(w, normalization), t=0.8, method=method, **FINE) - want).max() > 1e-2


@pytest.mark.parametrize("method", ["chebyshev", "euler"])
def test_random_walk(method):
    w = random_graph()
    got = heat_kernel(lap(w, "random_walk"), t=1.3, method=method, **FINE)
    root = np.sqrt(w.sum(1))
    symmetric = oracle.heat_kernel(oracle.laplacian(w, normalization="symmetric"), t=1.3)
    assert np.abs(got - symmetric * root[None, :] / root[:, None]).max() < 5e-4
    assert np.allclose(got.sum(1), 1) and not np.allclose(got.sum(0), 1, atol=1e-2)


@pytest.mark.parametrize("method", METHODS)
def test_blocks_and_several_times(method):
    """Columns of the kernel, a vector, and several times at once are those of separate calls."""
    w, b = random_graph(), np.random.default_rng(1).normal(size=(9, 2))
    options = dict(method=method, tolerance=1e-12, steps=5, rank=9)
    whole = heat_kernel(lap(w), t=0.5, **options)
    assert np.allclose(heat_kernel(lap(w), b, t=0.5, **options), whole @ b, atol=1e-10)
    assert np.allclose(heat_kernel(lap(w), b[:, 0], t=0.5, **options), whole @ b[:, 0], atol=1e-10)
    several = heat_kernel(lap(w), b, t=[0.1, 0.5, 4.0], **options)
    assert several.shape == (3, 9, 2)
    assert np.allclose(several[1], whole @ b, atol=1e-10) and not np.allclose(several[2], whole @ b, atol=1e-2)
    assert np.allclose(heat_kernel(lap(w), b, t=0.0, **options), b, atol=1e-10)


def test_a_large_graph_needs_no_square():
    """50,000 nodes, 3 columns: an [n, n] matrix would be 20 GB."""
    n = 50_000
    graph = sparse_laplacian(line(n), normalization="none")
    start = np.zeros((n, 3), np.float32)
    start[[10, n // 2, n - 1], [0, 1, 2]] = 1
    heat = heat_kernel(graph.astype(np.float32), start, t=20.0)
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat.sum(0), 1, rtol=1e-4)
    np.testing.assert_allclose(heat[n // 2, 1], 1 / np.sqrt(4 * np.pi * 20), rtol=1e-2)  # the line's heat kernel
    euler = heat_kernel(graph, start, t=20.0, method="euler", steps=4)
    assert np.abs(euler - heat).max() < 2e-2 and np.abs(heat).max() > 0.06
    low = heat_kernel(sparse_laplacian(line(400), normalization="none"), t=2000.0, method="lowrank", rank=60)
    assert np.abs(low - heat_kernel(sparse_laplacian(line(400), normalization="none"), t=2000.0, method="exact")).max() < 1e-6


def test_tails_of_each_method():
    """20 steps out at t = 1 an entry is about 1e-19: below what a decomposition can see, not below what walks of 20 steps say."""
    graph = sparse_laplacian(line(61), normalization="none")
    from scipy.special import ive

    truth = ive(20, 2.0)  # exp(-2 t) I_k(2 t) on the endless line
    assert 1e-20 < truth < 1e-18
    cheb = heat_kernel(graph, t=1.0, tolerance=1e-40)[30, 50]
    assert abs(cheb / truth - 1) < 1e-6
    euler = heat_kernel(graph, t=1.0, method="euler", steps=100)
    assert 1 < euler[30, 50] / truth < 1e3 and np.all(euler > 0)  # heavier tails, all positive
    exact = heat_kernel(graph, t=1.0, method="exact")[30, 50]
    assert abs(exact / truth - 1) > 0.1
    far = heat_geodesic_distance(np.array([[0.5, 1e-300], [1e-300, 0.5]]), t=1.0, floor=1e-320)[0, 1]
    assert far == pytest.approx(np.sqrt(4 * (np.log(0.5) + 300 * np.log(10))))


@pytest.mark.parametrize("normalization", ["none", "symmetric", "random_walk"])
def test_euler_is_positive(normalization):
    """Entry by entry on a connected graph, at large t as well, where a polynomial of too low a degree is not."""
    w = line(40).toarray()
    for t in (0.1, 50.0, 5000.0):
        heat = heat_kernel(lap(w, normalization), t=t, method="euler", steps=20)
        assert np.all(heat > 0) and np.all(np.isfinite(np.log(heat)))
    assert np.any(heat_kernel(lap(w, normalization), t=50.0, tolerance=0.5) <= 0)


def test_no_silent_rescaling_of_t():
    """lambda_max far above 2: the time counts as given, and a bound that is too generous changes nothing."""
    w = 50 * random_graph()
    want = oracle.heat_kernel(oracle.laplacian(w), t=0.02)
    for bound in (None, 1e4):
        assert np.abs(heat_kernel(lap(w), t=0.02, tolerance=1e-12, lambda_max=bound) - want).max() < 1e-10
    exact = np.linalg.eigvalsh(lap(w).toarray())[-1]
    assert exact <= largest_eigenvalue(lap(w)) <= 2.01 * exact


def test_lanczos_bound():
    graph = sparse_laplacian(line(300), normalization="none")
    top = np.linalg.eigvalsh(graph.toarray())[-1]
    assert top <= largest_eigenvalue(graph) <= 1.02 * top


@pytest.mark.parametrize("method", ["chebyshev", "exact", "euler"])
def test_gradients_of_the_dense_route(method):
    """In one edge of the graph against central differences, and in t."""
    with jax.enable_x64():
        w = jnp.asarray(random_graph(5))
        edge = jnp.zeros_like(w).at[0, 1].set(1.0).at[1, 0].set(1.0)

        def energy(e, t):
            matrix = laplacian(w + e * edge, normalization="none")
            h = heat_kernel(matrix, t=t, method=method, lambda_max=20.0, tolerance=1e-12)
            return jnp.sum(heat_geodesic_distance(h, t=t)[0] ** 2)

        by_edge = jax.jit(lambda e: energy(e, 0.6))
        slope, numeric = jax.jit(jax.grad(by_edge))(0.0), (by_edge(1e-5) - by_edge(-1e-5)) / 2e-5
        assert abs(slope - numeric) < 1e-6 * abs(numeric) and abs(slope) > 1e-3
        if method == "exact":
            by_time = jax.jit(lambda t: energy(0.0, t))
            assert abs(jax.grad(by_time)(0.6) - (by_time(0.6 + 1e-5) - by_time(0.6 - 1e-5)) / 2e-5) < 1e-6


def test_distance_properties():
    h = oracle.heat_kernel(oracle.laplacian(random_graph()), t=0.4)
    for sigma, rho in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.3), (0.2, 1.0)):
        want = oracle.heat_geodesic_distance(h, t=0.4, sigma=sigma, rho=rho)
        for given in (h, jnp.asarray(h, jnp.float32)):
            got = np.asarray(heat_geodesic_distance(given, t=0.4, sigma=sigma, rho=rho))
            off = ~np.eye(9, dtype=bool)
            np.testing.assert_allclose(got[off], want[off], rtol=2e-4 if given is not h else 1e-9)
            np.testing.assert_allclose(got, got.T, rtol=1e-4)
            assert np.all(got >= 0) and (sigma < 1 or np.all(np.diag(got) < 2e-3))
    some = [1, 4, 7]
    part = heat_geodesic_distance(h[:, some], t=0.4, diagonal=np.diag(h), columns=np.array(some))
    np.testing.assert_allclose(part, heat_geodesic_distance(h, t=0.4)[:, some], atol=1e-6)


def test_negative_and_unreachable_entries_sit_at_the_cap():
    h = np.array([[0.9, -1e-9, 0.0], [-1e-9, 0.9, 0.1], [0.0, 0.1, 0.9]])
    d = heat_geodesic_distance(h, t=2.0, sigma=0.0)
    cap = np.sqrt(4 * 2 * 16 * np.log(10))
    assert d[0, 1] == pytest.approx(cap) and d[0, 2] == pytest.approx(cap) and d[1, 2] < cap
    gradient = jax.grad(lambda h: jnp.sum(heat_geodesic_distance(h, t=2.0)))(jnp.asarray(h))
    assert np.all(np.isfinite(gradient))


def test_entropies_and_knee():
    h = oracle.heat_kernel(oracle.laplacian(PATH), t=1.0)
    assert 3 * heat_entropy(h) == pytest.approx(oracle.entropy(h))
    assert heat_entropy(np.stack([np.eye(4), np.full((4, 4), 0.25)])).tolist() == pytest.approx([0.0, np.log(4)])
    assert von_neumann_entropy(np.zeros(5), [3.0]) == pytest.approx(np.log(5))
    curve = von_neumann_entropy([0.0, 0.0, 1.0, 2.0], np.geomspace(1e-3, 1e3, 9))
    assert np.all(np.diff(curve) <= 0) and curve[0] > 1.38 and curve[-1] == pytest.approx(np.log(2))  # two components stay
    x = np.linspace(0, 1, 10)
    y = 5 - 1 / (x + 0.1)
    assert x[knee(x, y)] == pytest.approx(2 / 9) == oracle.knee(x, y, sensitivity=1.0)
    assert knee(x, y) == knee(10 * x, 3 * y + 1)
    assert knee(x, 0 * x) == 5


BAD = [
    (dict(t=-1.0), "t: got -1.0; wanted a finite time >= 0, or several."),
    (dict(t=np.nan), "t: got nan; wanted a finite time >= 0, or several."),
    (dict(t=1.0, method="taylor"), 'method: got "taylor"; wanted a known name.'),
    (dict(t=1.0, method="euler", steps=0), "steps: got 0; wanted at least 1."),
    (dict(t=1.0, method="lowrank", rank=0), "rank: got 0; wanted at least 1."),
    (dict(t=1.0, tolerance=0.0), "tolerance: got 0.0; wanted a number between 0 and 1."),
    (dict(t=1.0, b=np.ones(4)), "b: got shape (4,); wanted [3, columns], one row per node."),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=range(len(BAD)))
def test_bad_input(options, message):
    for matrix in (lap(), jnp.asarray(lap().toarray())):
        with pytest.raises(ValueError, match=re.escape(message)):
            heat_kernel(matrix, **options)


def test_more_bad_input():
    walk = lap(random_graph(), "random_walk")
    with pytest.raises(ValueError, match=r"a symmetric one for this method. Use method=\"chebyshev\" or \"euler\"."):
        heat_kernel(walk, t=1.0, method="exact")
    with pytest.raises(ValueError, match=r"laplacian: got shape \(2, 3\); wanted \[n, n\]."):
        heat_kernel(np.zeros((2, 3)), t=1.0)
    with pytest.raises(ValueError, match=r"lambda_max: got None under jit or grad"):
        jax.jit(lambda m: heat_kernel(m, t=1.0))(jnp.eye(3))
    for options, message in (
        (dict(t=0.0), "t: got 0.0; wanted a finite time above 0."),
        (dict(t=1.0, sigma=1.5), "sigma: got 1.5; wanted a number from 0 to 1."),
        (dict(t=1.0, rho=-0.1), "rho: got -0.1; wanted a number from 0 to 1."),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            heat_geodesic_distance(np.eye(2), **options)
    with pytest.raises(ValueError, match=r"give diagonal \[n\] and columns \[m\] as well"):
        heat_geodesic_distance(np.ones((3, 2)), t=1.0)
