"""HeatGeodesicEmbedding: scikit-learn's own checks, known geodesics, landmarks, new points, reuse, bad input."""

from __future__ import annotations

import pickle
import re
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr

import gera_jax
from gera_jax.embedding import HeatGeodesicEmbedding, stages
from gera_jax.embedding.manifolds import swiss_roll
from gera_jax.graphs import heat_geodesic_distance, heat_kernel

ROLL = swiss_roll(300, noise=0.1, seed=0)
X = ROLL.points
UPPER = np.triu_indices(300, 1)


def agreement(distances):
    return spearmanr(np.asarray(distances)[UPPER], ROLL.distances[UPPER])[0]


def lengths(points):
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def fit(**options):
    return HeatGeodesicEmbedding(random_state=0, **options).fit(X)


@pytest.fixture(scope="module")
def fitted():
    return fit()


@pytest.mark.filterwarnings("ignore")  # of the checks themselves, and of their tiny or clustered sets
def test_scikit_learns_own_checks():
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(HeatGeodesicEmbedding(random_state=0, mds="classical"), on_fail=None, on_skip=None)
    failed = [(r["check_name"], repr(r["exception"])) for r in results if r["status"] == "failed"]
    assert failed == [] and len(results) > 40


def test_clone_repr_and_pickle(fitted):
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    model = HeatGeodesicEmbedding(3, sigma=0.5)
    assert repr(model) == "HeatGeodesicEmbedding(n_components=3, sigma=0.5)"
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(rho=0.25).rho == 0.25
    with pytest.raises(ValueError, match="Invalid parameter 'tau' for estimator"):
        model.set_params(tau=1)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        model.transform(X)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.transform(X[:5] + 0.01), fitted.transform(X[:5] + 0.01))
    assert gera_jax.HeatGeodesicEmbedding is HeatGeodesicEmbedding


def test_known_geodesics(fitted):
    """Distances and picture follow the sheet; the points' own distances, a constant and shuffled rows do not."""
    assert agreement(fitted.distances_) > 0.97
    assert agreement(lengths(fitted.embedding_)) > 0.97
    assert agreement(lengths(X)) < 0.7
    assert abs(agreement(lengths(fitted.embedding_[::-1]))) < 0.5
    # The scale of the distances is kept.
    assert np.sum(lengths(fitted.embedding_)) == pytest.approx(np.sum(fitted.distances_), rel=0.05)
    off = fitted.distances_[UPPER]
    assert fitted.stress_ == pytest.approx(np.mean((lengths(fitted.embedding_)[UPPER] - off) ** 2), rel=1e-2)


def test_distances_are_those_of_the_definition(fitted):
    heat = heat_kernel(fitted.laplacian_, t=fitted.t_, method="exact")
    np.testing.assert_allclose(fitted.distances_, heat_geodesic_distance(heat, t=fitted.t_), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        dict(graph="self_tuning"),
        dict(graph="knn"),
        dict(graph="fuzzy", n_neighbors=15),
        dict(laplacian="normalized"),
        dict(laplacian="random_walk", kernel="chebyshev"),
        dict(kernel="euler", t=30.0),
        dict(kernel="lowrank", rank=80, t=60.0),
        dict(t=[20.0, 60.0]),
        dict(t="knee"),
        dict(t="von_neumann"),
        dict(rho=0.5),
        dict(lengths="local"),
        dict(mds="smacof", weights="heat"),
        dict(mds="smacof", weights="inverse"),
        dict(paths=1.5),
        dict(denoise=0.5, denoise_neighbors=10),
    ],
    ids=str,
)
def test_every_option_follows_the_sheet(options):
    model = fit(**options)
    assert agreement(lengths(model.embedding_)) > 0.9
    assert np.all(np.isfinite(model.embedding_)) and np.array_equal(model.distances_, model.distances_.T)
    if not isinstance(options.get("t", "knee"), str):
        assert np.array_equal(np.ravel(model.t_), np.ravel(options["t"]))


def test_paths_are_in_the_units_of_the_points():
    model = fit(paths=10.0)
    off = ROLL.distances[UPPER]
    assert np.median(np.abs(model.distances_[UPPER] / off - 1)) < 0.05
    assert np.median(fit().distances_[UPPER] / off) < 0.8


def test_paths_go_around_a_shortcut():
    """Two parallel lines joined at one end, and one edge across near the other: a path through it is stretched."""
    n = 40
    there, back = np.stack([np.arange(n), np.zeros(n)], 1), np.stack([np.arange(n)[::-1], np.full(n, 8.0)], 1)
    bend = np.concatenate([there, np.stack([np.full(7, n - 0.5), np.arange(1, 8)], 1), back]).astype(float)
    noisy = bend + np.random.default_rng(0).normal(scale=0.1, size=bend.shape)
    noisy[5, 1], noisy[-6, 1] = 3.2, 4.8  # these two nearly touch
    options = dict(n_neighbors=4, random_state=0, mds="classical")
    gated, free = (HeatGeodesicEmbedding(paths=gate, **options).fit(noisy).distances_[0, -1] for gate in (1.0, 1e6))
    assert gated > 1.3 * free


def test_denoising_removes_noise():
    """Ten noisy copies of each point of a line: after denoising they are nearer the line; a constant time of 0 changes nothing."""
    rng = np.random.default_rng(0)
    line = np.stack([np.linspace(0, 100, 300), np.zeros(300)], 1)
    noisy = line + rng.normal(scale=[0.0, 0.5], size=line.shape)
    clean = stages.denoise(noisy, steps=4.0, k=20, metric="euclidean")
    assert np.std(clean[:, 1]) < 0.4 * np.std(noisy[:, 1])
    np.testing.assert_allclose(clean[30:-30, 0], line[30:-30, 0], atol=2.0)
    model = HeatGeodesicEmbedding(denoise=4.0, random_state=0, mds="classical").fit(noisy)
    assert not np.allclose(
        model.graph_.toarray(), HeatGeodesicEmbedding(random_state=0, mds="classical").fit(noisy).graph_.toarray()
    )


def test_more_dimensions_lower_the_stress():
    ball = np.random.default_rng(0).normal(size=(80, 4))
    flat, deep, line = (HeatGeodesicEmbedding(k, random_state=0).fit(ball) for k in (2, 4, 1))
    assert deep.embedding_.shape == (80, 4) and line.embedding_.shape == (80, 1)
    assert deep.stress_ < 0.5 * flat.stress_ < 0.25 * line.stress_


def test_landmarks():
    """Heat runs on 80 cells; all 300 points are placed, and the cells' masses are those of their points."""
    model = fit(landmarks=80)
    assert model.embedding_.shape == (300, 2) and model.distances_.shape == (80, 80)
    assert len(np.unique(model.landmarks_)) == 80
    assert agreement(lengths(model.embedding_)) > 0.95
    assert model._cells.mass.sum() == 300
    # No edge is lost but those within a cell.
    same = model._cells.cell[:, None] == model._cells.cell[None]
    assert model._cells.coarse.sum() == pytest.approx(model.graph_.toarray()[~same].sum())
    rows = stages.node_heat(model.laplacian_, model._cells, np.array([5.0]), method="exact")[0] @ model._cells.mass
    np.testing.assert_allclose(rows, 1, atol=1e-8)  # a density that keeps the heat
    assert fit(landmarks=300).landmarks_ is None


@pytest.mark.parametrize(
    "options",
    [{}, dict(landmarks=80), dict(rho=0.5), dict(t=[20.0, 60.0]), dict(paths=1.5), dict(denoise=0.5, denoise_neighbors=10)],
    ids=str,
)
def test_new_points(options):
    """Held-out points of the same sheet land between their neighbours, whatever comes with them in the call."""
    rows = np.arange(300) % 3 == 0
    model = HeatGeodesicEmbedding(random_state=0, **options).fit(X[~rows])
    new = model.transform(X[rows])
    whole = np.empty((300, 2))
    whole[~rows], whole[rows] = model.embedding_, new
    assert agreement(lengths(whole)) > 0.95
    size = np.ptp(model.embedding_, axis=0).max()
    near = np.argmin(lengths_between(X[rows], X[~rows]), axis=1)
    assert np.median(np.linalg.norm(new - model.embedding_[near], axis=1)) < 0.08 * size
    np.testing.assert_allclose(model.transform(X[rows][:3]), new[:3], atol=1e-4 * size)
    assert np.array_equal(model.transform(X[~rows]), model.embedding_)


def lengths_between(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=2)


def test_the_graph_is_reused(monkeypatch):
    calls = {"graph": 0, "heat": 0}
    for name, function in (("graph", "build_cells"), ("heat", "node_heat")):
        real = getattr(stages, function)

        def counted(*args, _name=name, _real=real, **options):
            calls[_name] += 1
            return _real(*args, **options)

        monkeypatch.setattr(stages, function, counted)
    model = HeatGeodesicEmbedding(random_state=0, t=40.0, mds="classical").fit(X)
    model.set_params(sigma=0.5).fit(X)
    model.set_params(rho=0.5).fit(X)
    assert calls == {"graph": 1, "heat": 1}
    model.set_params(t=60.0).fit(X)
    assert calls == {"graph": 1, "heat": 2}
    assert np.array_equal(model.embedding_, HeatGeodesicEmbedding(**model.get_params()).fit(X).embedding_)
    model.set_params(n_neighbors=12).fit(X)
    model.fit(X + 0.01 * np.arange(300)[:, None])
    assert calls["graph"] == 4


def test_the_seed_decides():
    one, two, other = (HeatGeodesicEmbedding(landmarks=60, random_state=s).fit_transform(X) for s in (3, 3, 4))
    assert np.array_equal(one, two) and not np.allclose(one, other)
    for state in (np.random.default_rng(0), np.random.RandomState(0), None):
        assert HeatGeodesicEmbedding(random_state=state, mds="classical").fit(X[:50]).embedding_.shape == (50, 2)


def test_a_disconnected_graph_warns_with_the_number_of_components():
    apart = np.concatenate([X[:60], X[60:120] + 500, X[120:180] - 500])
    with pytest.warns(UserWarning, match="The neighbour graph has 3 connected components; .* Raise n_neighbors."):
        model = HeatGeodesicEmbedding(n_neighbors=30, random_state=0).fit(apart)
    assert np.all(np.isfinite(model.embedding_))
    within, between = model.distances_[:60, :60], model.distances_[:60, 60:]
    assert between.min() > within.max()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit()


def test_duplicates_and_equal_points():
    doubled = np.repeat(X[:60], 2, axis=0)
    places = HeatGeodesicEmbedding(random_state=0).fit_transform(doubled)
    apart = np.linalg.norm(places[::2] - places[1::2], axis=1)
    assert np.all(np.isfinite(places)) and np.median(apart) < 0.2 * np.median(lengths(places[::2]))
    assert np.all(np.isfinite(HeatGeodesicEmbedding(random_state=0).fit_transform(np.ones((20, 3)))))


BAD = [
    (dict(n_neighbors=300), "n_neighbors: got 300; wanted 1 to 299, for 300 points. Lower n_neighbors or give more points."),
    (dict(n_neighbors=0), "n_neighbors: got 0; wanted None or an integer, at least 1."),
    (dict(n_components=0), "n_components: got 0; wanted an integer, at least 1."),
    (dict(t=0.0), "t: got 0.0; wanted a finite time above 0."),
    (dict(t=-2), "t: got -2; wanted a finite time above 0."),
    (dict(t="auto"), 't: got "auto"; wanted a known name.'),
    (dict(sigma=1.2), "sigma: got 1.2; wanted a number from 0 to 1."),
    (dict(rho=-0.1), "rho: got -0.1; wanted a number from 0 to 1."),
    (dict(paths=0.5), "paths: got 0.5; wanted None or a finite number >= 1."),
    (dict(denoise=-1.0), "denoise: got -1.0; wanted a finite number >= 0."),
    (dict(denoise=1.0, denoise_neighbors=0), "denoise_neighbors: got 0; wanted None or an integer, at least 1."),
    (dict(spread=1.0), "spread: got 1.0; wanted a number between 0 and 1."),
    (dict(laplacian="combinatoric"), 'laplacian: got "combinatoric"; wanted a known name. Did you mean "combinatorial"?'),
    (dict(graph="heat"), 'kind: got "heat"; wanted a known name.'),
    (dict(kernel="pade"), 'kernel: got "pade"; wanted a known name.'),
    (dict(mds="adam"), 'mds: got "adam"; wanted a known name.'),
    (dict(weights="dist"), 'weights: got \'dist\'; wanted None, "heat" or "inverse".'),
    (dict(landmarks=2), 'landmarks: got 2; wanted "auto", None, or a number of at least 3.'),
    (dict(random_state="a"), "random_state: got 'a'; wanted None, an int >= 0, a Generator or a RandomState."),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=range(len(BAD)))
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        HeatGeodesicEmbedding(**options).fit(X)


def test_bad_rows(fitted):
    broken = X.copy()
    broken[7, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN in 1 of 300 rows, first in row 7"):
        HeatGeodesicEmbedding().fit(broken)
    with pytest.raises(ValueError, match="X: got 1 sample; wanted at least 2 points."):
        HeatGeodesicEmbedding().fit(X[:1])
    with pytest.raises(ValueError, match="X has 2 features, but HeatGeodesicEmbedding is expecting 3 features as input"):
        fitted.transform(X[:, :2])


def test_plot_and_progress(fitted, capsys):
    axes = fitted.plot(ROLL.position)
    assert len(axes.collections[0].get_offsets()) == 300 and axes.get_xlabel() == "heat-geodesic 1"
    assert fitted.plot(ax=axes) is axes
    HeatGeodesicEmbedding(verbose=True, random_state=0).fit(X[:40])
    assert "places" in capsys.readouterr().err
    HeatGeodesicEmbedding(random_state=0).fit(X[:40])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("rule", ["knee", "spread", "von_neumann"])
def test_one_decomposition_gives_the_time_and_the_heat_of_the_routes_apart(rule, fitted):
    laplacian, cells = fitted.laplacian_, fitted._cells
    known = stages.spectrum(laplacian)
    assert np.allclose(known.heat(3.0), heat_kernel(laplacian, t=3.0, method="exact"), atol=1e-12)
    assert np.allclose(known.heat(3.0, np.array([4, 7])), heat_kernel(laplacian, t=3.0, method="exact")[:, [4, 7]], atol=1e-12)
    apart, together = (stages.choose_time(laplacian, rule, np.random.default_rng(0), known=k) for k in (None, known))
    assert apart == pytest.approx(together)
    times = np.array([1.0, together])
    assert np.allclose(
        stages.node_heat(laplacian, cells, times, known=known), stages.node_heat(laplacian, cells, times, method="exact")
    )


def test_places_among_some_of_the_nodes_are_those_among_all(monkeypatch, fitted):
    new = swiss_roll(40, noise=0.1, seed=5).points
    few = fitted.transform(new)
    for anchors, close in ((100, 0.05), (5, 0.0)):
        monkeypatch.setattr(stages, "ANCHORS", anchors)
        gap = np.linalg.norm(fitted.transform(new) - few, axis=1).mean() / few.std()
        assert gap < close or close == 0 < gap


@pytest.mark.parametrize(("shift", "scale"), [(1e7, 1.0), (1.7e9, 1.0), (0.0, 1e-30), (0.0, 1e30), (1e5, 1e-25)])
def test_a_shift_and_a_unit_change_nothing(shift, scale):
    x = np.random.default_rng(5).normal(size=(40, 3))
    new = x[:4] + 0.01
    moved = [(rows + shift) * scale for rows in (x, new)]
    for paths in (None, 1.5):
        options = dict(n_neighbors=5, random_state=0, paths=paths)
        one, other = HeatGeodesicEmbedding(**options).fit(x), HeatGeodesicEmbedding(**options).fit(moved[0])
        unit = 1.0 if paths is None else scale  # paths are as long as X says
        reach = np.abs(one.embedding_).max()
        np.testing.assert_allclose(other.embedding_ / unit, one.embedding_, atol=1e-3 * reach)
        np.testing.assert_allclose(other.distances_ / unit, one.distances_, atol=1e-3 * reach)
        np.testing.assert_allclose(other.transform(moved[1]) / unit, one.transform(new), atol=1e-2 * reach)
        np.testing.assert_allclose(other.stress_, one.stress_ * unit**2, rtol=1e-2)
        assert np.abs(one.embedding_ - np.roll(one.embedding_, 1, axis=0)).max() > 0.1 * reach


def test_integers_above_2_to_the_53():
    x = np.random.default_rng(5).integers(-99, 99, size=(40, 3))
    places = [HeatGeodesicEmbedding(n_neighbors=5, random_state=0).fit_transform(x + shift) for shift in (0, 2**60)]
    np.testing.assert_array_equal(*places)


@pytest.mark.parametrize("kernel", ["exact", "lowrank"])
def test_a_random_walk_names_the_kernel_it_needs(kernel):
    x = np.random.default_rng(5).normal(size=(40, 3))
    with pytest.raises(ValueError, match='kernel: got "' + kernel + '" with laplacian="random_walk".*Set kernel="chebyshev"'):
        HeatGeodesicEmbedding(laplacian="random_walk", kernel=kernel).fit(x)
    HeatGeodesicEmbedding(laplacian="random_walk", kernel="chebyshev", n_neighbors=5, random_state=0).fit(x)  # the remedy
