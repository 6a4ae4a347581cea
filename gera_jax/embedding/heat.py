"""`HeatGeodesicEmbedding`: points to a low-dimensional picture of their geodesic distances."""

from __future__ import annotations

import dataclasses
import hashlib
import numbers
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from gera_jax.checks import fail, require, require_known
from gera_jax.embedding import stages
from gera_jax.embedding.conventions import Estimator
from gera_jax.embedding.mds import metric_mds
from gera_jax.graphs import component_count, knn
from gera_jax.graphs.heat_distance import FLOOR, check_parameters
from gera_jax.graphs.screens import middle_row, power_of_two

AUTO_LANDMARKS = 2_000
NEIGHBORS = 10
RULES = ("knee", "spread", "von_neumann")
WEIGHTS = (None, "heat", "inverse")
STEPS = ("graph", "Laplacian", "time", "heat", "distances", "embedding", "places")


@dataclasses.dataclass(repr=False, eq=False)
class HeatGeodesicEmbedding(Estimator):
    """Embeds points by metric scaling of d_ij^2 = 4 t (-log H_ij + sigma log((H_ii + H_jj) / 2)), H = exp(-t L) on their graph.

    Follows scikit-learn's conventions: `fit`, `transform`, `fit_transform`, `get_params`, `set_params`, attributes that end in _.

    Args:
      n_components: dimension of the embedding.
      n_neighbors: of the graph, below the number of points; None is 10, or all others if there are fewer.
      graph: "alpha_decay", "self_tuning", "knn" or "fuzzy" (see `graphs.neighbour_graph`).
      decay: exponent of "alpha_decay".
      lengths: "global" lets heat travel in the units of X whatever the density, "local" in units of the local spacing.
      metric: "euclidean" or "cosine".
      laplacian: "combinatorial" (rows of H sum to 1), "normalized" or "random_walk".
      t: diffusion time in units of 1 / L; a sequence averages the distances of several times. "knee" and "von_neumann" take
        the knee of the heat's or the von Neumann entropy, "spread" the time at which the heat's entropy is `spread` times its
        last value.
      spread: in (0, 1): about 0.9 for clean data, 0.98 for noisy data.
      sigma: weight of the volume term, in [0, 1].
      rho: share of the triplet distance, in [0, 1].
      paths: None, or a number >= 1: the distances become lengths of shortest paths over the graph's edges, in the units of X. An
        edge whose heat-geodesic length is more than `paths` times the typical one is lengthened by what it has above that.
      denoise: steps of diffusion, >= 0, that X's rows take on their own graph before anything else; 2 to 4 where noise reaches
        across to another part of the manifold, 0 for clean data.
      denoise_neighbors: of that graph; None is twice n_neighbors.
      kernel: how exp(-t L) is made: "exact", "chebyshev", "euler", "lowrank".
      tolerance: of "chebyshev".
      steps: of "euler".
      rank: of "lowrank".
      mds: "sgd", "smacof" or "classical".
      weights: of the pairs in the stress: None for 1, "heat" H_ij, "inverse" d_ij^-2.
      landmarks: nodes that heat runs on: "auto" is all points up to 2,000 and 2,000 above, a number, or None for all points.
      random_state: an int, None, or a `numpy.random.Generator` or `RandomState`.
      verbose: True shows a progress bar over the stages.

    Attributes:
      embedding_: [n, n_components], in the units of `distances_`.
      distances_: [m, m] between the nodes (the points, or the landmarks).
      graph_: CSR [n, n]; laplacian_: CSR [m, m]; heat_: [T, m, m]; t_: the time, or times; landmarks_: [m] their rows of X, or
      None; stress_: mean squared difference of embedded and given distances; n_features_in_.

    A later `fit` on the same X with the same graph reuses the graph, and the heat as well if t is the same.

    Disconnected graphs: a warning names the number of components; pairs that no heat joins are at most
    sqrt(4 t log(1e16)) apart (the floor of the logarithm), so the components are laid out apart, at no meaningful distance.
    New points: `transform` places a point by its heat to all nodes, through its neighbours among the training points; a row
    equal to a training point gets that point's place.

    Raises:
      ValueError: from `fit`: n_neighbors >= n, t <= 0, sigma or rho outside [0, 1], NaN, unknown words, one point.

    Source: Huguet et al. 2023, arXiv 2305.19043. Differs from the authors' code: landmarks and `transform` exist, the time's
    grid is logarithmic, "euler" runs, weights act on every solver, and the embedding keeps the distances' scale.

    >>> rng = np.random.default_rng(0)
    >>> embedding = HeatGeodesicEmbedding(n_neighbors=4, random_state=0).fit(rng.normal(size=(30, 3)))
    >>> embedding.embedding_.shape, embedding.transform(rng.normal(size=(2, 3))).shape
    ((30, 2), (2, 2))
    """

    n_components: int = 2
    _: dataclasses.KW_ONLY
    n_neighbors: int | None = None
    graph: str = "alpha_decay"
    decay: float = 40.0
    lengths: str = "global"
    metric: str = "euclidean"
    laplacian: str = "combinatorial"
    t: Any = "spread"
    spread: float = 0.95
    sigma: float = 1.0
    rho: float = 0.0
    paths: float | None = None
    denoise: float = 0.0
    denoise_neighbors: int | None = None
    kernel: str = "exact"
    tolerance: float = 1e-12
    steps: int = 10
    rank: int = 100
    mds: str = "sgd"
    weights: str | None = None
    landmarks: Any = "auto"
    random_state: Any = None
    verbose: bool = False

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the places of the rows of X [n, d]; y is ignored."""
        del y
        self._check_parameters()
        x, dtype = self._moved(self._read(X, fitting=True), fitting=True)
        self._check_size(len(x))
        seed = _seed(self.random_state)
        with _progress(self.verbose) as advance:
            reuse = self._fit_graph(x, seed, advance)
            advance("time")
            self._fit_heat(reuse, seed)
            advance("distances")
            heat, times = self.heat_, self._times
            self.distances_ = stages.node_distances(heat, times, sigma=self.sigma, rho=self.rho, floor=FLOOR)
            if self.paths is not None:
                self.distances_ = self._unit * stages.path_distances(self.distances_, self._cells, gate=self.paths)
            advance("embedding")
            found = metric_mds(
                jnp.asarray(self.distances_ / self._unit, jnp.float32),
                dim=self.n_components,
                solver=self.mds,
                weights=self._pair_weights(heat),
                key=jax.random.key(seed),
            )
            self._nodes, self.stress_ = np.asarray(found.points, np.float64), self._unit**2 * float(found.stress)
            advance("places")
            self.embedding_ = (self._unit * self._nodes).astype(dtype)
            if self.landmarks_ is not None:
                self.embedding_ = (self._unit * self._place(self._own_shares())).astype(dtype)
                self.embedding_[self.landmarks_] = self._unit * self._nodes
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """`fit`, and the places [n, n_components] of the rows of X."""
        return self.fit(X, y).embedding_

    def transform(self, X: Any) -> np.ndarray:
        """Places [q, n_components] of new rows; a row equal to a training point gets that point's place."""
        self._require_fitted()
        x, dtype = self._moved(self._read(X, fitting=False), fitting=False)
        k = self._k(len(self._x))
        indices, distances = knn(x, self._x, k=k, metric=self.metric)
        share = np.exp(-((distances / np.maximum(distances[:, -1:], 1e-30)) ** 2).astype(np.float64))
        share /= share.sum(axis=1, keepdims=True)
        rows = np.repeat(np.arange(len(x)), k)
        member = stages.sp.csr_array((share.ravel(), (rows, self._cells.cell[indices.ravel()])), shape=(len(x), len(self._nodes)))
        out = (self._unit * self._place(member)).astype(dtype)
        same = (distances[:, 0] == 0) & (self._x[indices[:, 0]] == x).all(axis=1)
        out[same] = self.embedding_[indices[same, 0]]
        return out

    def plot(self, labels: Any = None, *, ax: Any = None, **options: Any) -> Any:
        """Scatter plot of the first two columns of `embedding_`, coloured by `labels` [n] if given; returns matplotlib's axes."""
        self._require_fitted()
        if ax is None:
            try:
                from matplotlib.figure import Figure
            except ImportError as error:
                raise ImportError('plot needs matplotlib: pip install "gera_jax[plots]"') from error
            ax = Figure(figsize=(5, 4), layout="constrained").add_subplot()
        second = self.embedding_[:, 1] if self.n_components > 1 else np.zeros(len(self.embedding_))
        ax.scatter(self.embedding_[:, 0], second, **{"c": labels, "s": 6, **options})
        ax.set_aspect("equal")
        ax.set_xlabel("heat-geodesic 1")
        ax.set_ylabel("heat-geodesic 2")
        return ax

    def _moved(self, x: np.ndarray, *, fitting: bool) -> tuple[np.ndarray, np.dtype]:
        """Rows in float64, shifted to the middle of the training points and scaled to about 1, and the dtype of results.

        What follows then loses no digits to a common offset (which cosines depend on, so that they keep it) or to a small unit.
        """
        if fitting:
            self._origin = middle_row(x, np.result_type(x, np.float64)) * (self.metric == "euclidean")
            self._factor = power_of_two(x - self._origin)
            self._unit = 1.0 if self.paths is None else 1 / self._factor  # of the results: paths alone are in those of X
        moved = (x.astype(np.result_type(x, np.float64)) - self._origin).astype(np.float64) * self._factor
        return moved, np.dtype(np.float32 if x.dtype == np.float32 else np.float64)

    def _fit_graph(self, x: np.ndarray, seed: int, advance: Any) -> tuple:
        """Graph and Laplacian, unless they are those of the last fit; returns what they depend on."""
        advance("graph")
        landmarks = AUTO_LANDMARKS if isinstance(self.landmarks, str) else self.landmarks
        landmarks = None if landmarks is None or len(x) <= landmarks else int(landmarks)
        graph = dict(k=self._k(len(x)), kind=self.graph, decay=self.decay, lengths=self.lengths, metric=self.metric)
        smooth = dict(steps=self.denoise, k=self._denoise_k(len(x)), metric=self.metric)
        key = (_digest(x), tuple(graph.items()), tuple(smooth.items()), landmarks, seed if landmarks is not None else None)
        if getattr(self, "_graph_key", None) != key:
            clean = stages.denoise(x, **smooth) if self.denoise > 0 else x
            self._cells = stages.build_cells(clean, landmarks=landmarks, rng=np.random.default_rng(seed), graph=graph)
            self._x, self._graph_key = x.copy(), key
            self.graph_, self.landmarks_ = self._cells.graph, self._cells.landmarks
        count = component_count(self._cells.coarse)
        if count > 1:
            warnings.warn(
                f"The neighbour graph has {count} connected components; distances between them are set by the floor of the "
                "logarithm and mean nothing. Raise n_neighbors.",
                UserWarning,
                stacklevel=3,
            )
        advance("Laplacian")
        self.laplacian_ = stages.cell_laplacian(self._cells, self.laplacian)
        return (*key, self.laplacian)

    def _fit_heat(self, reuse: tuple, seed: int) -> None:
        options = dict(method=self.kernel, tolerance=self.tolerance, steps=self.steps, rank=self.rank)
        wanted = self.t if isinstance(self.t, str) else tuple(np.ravel(self.t).tolist())
        key = (reuse, wanted, self.spread, tuple(options.items()))
        if getattr(self, "_heat_key", None) == key:
            return
        known = stages.spectrum(self.laplacian_) if self.kernel == "exact" and self.laplacian != "random_walk" else None
        if isinstance(self.t, str):
            rng = np.random.default_rng(seed)
            times = np.array([stages.choose_time(self.laplacian_, self.t, rng, spread=self.spread, known=known)])
        else:
            times = np.ravel(np.asarray(self.t, np.float64))
        self.heat_ = stages.node_heat(self.laplacian_, self._cells, times, known=known, **options)
        self._times, self._heat_key = times, key
        self.t_ = float(times[0]) if np.ndim(self.t) == 0 else times

    def _pair_weights(self, heat: np.ndarray) -> Any:
        if self.weights is None:
            return None
        if self.weights == "heat":
            own = np.maximum(np.diagonal(heat[0]), FLOOR)
            values = np.clip(heat[0] / np.sqrt(own[:, None] * own[None, :]), 1e-5, None)
        else:
            positive = self.distances_[self.distances_ > 0]
            typical = float(np.mean(positive)) if len(positive) else 1.0
            values = (typical / np.maximum(self.distances_, 1e-3 * typical)) ** 2
        return jnp.asarray(values, jnp.float32)

    def _own_shares(self) -> Any:
        """How the training points see the cells: through their own cell and their neighbours'."""
        cells = self._cells
        n, m = len(cells.cell), len(cells.mass)
        member = stages.sp.csr_array((np.ones(n), (np.arange(n), cells.cell)), shape=(n, m))
        seen = stages.sp.csr_array(cells.graph @ member)
        return stages.sp.csr_array(stages.sp.diags_array(1 / np.maximum(np.asarray(seen.sum(axis=1)).ravel(), 1e-30)) @ seen)

    def _place(self, share: Any) -> np.ndarray:
        reference = np.zeros((0,))
        if self.rho > 0:
            reference = np.stack(
                [
                    stages.node_distances(h[None], t[None], sigma=self.sigma, rho=0.0, floor=FLOOR)
                    for h, t in zip(self.heat_, self._times, strict=True)
                ]
            )
        paths = None if self.paths is None else self.distances_ / self._unit
        return stages.place_points(
            share,
            self.heat_,
            self._times,
            self._nodes,
            sigma=self.sigma,
            rho=self.rho,
            floor=FLOOR,
            reference=reference,
            paths=paths,
        )

    def _k(self, n: int) -> int:
        return min(NEIGHBORS, n - 1) if self.n_neighbors is None else int(self.n_neighbors)

    def _denoise_k(self, n: int) -> int:
        return min(2 * self._k(n), n - 1) if self.denoise_neighbors is None else int(self.denoise_neighbors)

    def _check_parameters(self) -> None:
        require(_is_count(self.n_components), "n_components", got=self.n_components, wanted="an integer, at least 1")
        fine = self.n_neighbors is None or _is_count(self.n_neighbors)
        require(fine, "n_neighbors", got=self.n_neighbors, wanted="None or an integer, at least 1")
        require_known(self.laplacian, stages.FORMS, "laplacian")
        require_known(self.mds, ("sgd", "smacof", "classical"), "mds")
        require_known(self.kernel, ("exact", "chebyshev", "euler", "lowrank"), "kernel")
        require(
            self.laplacian != "random_walk" or self.kernel in ("chebyshev", "euler"),
            "kernel",
            got=f'"{self.kernel}" with laplacian="random_walk"',
            wanted='"chebyshev" or "euler"',
            remedy='Set kernel="chebyshev": this Laplacian is not symmetric.',
        )
        require(self.weights in WEIGHTS, "weights", got=repr(self.weights), wanted='None, "heat" or "inverse"')
        if isinstance(self.t, str):
            require_known(self.t, RULES, "t")
        else:
            require(np.size(self.t) > 0, "t", got=self.t, wanted="a time, or several")
        require(0 < self.spread < 1, "spread", got=self.spread, wanted="a number between 0 and 1")
        check_parameters(t=1.0 if isinstance(self.t, str) else self.t, sigma=self.sigma, rho=self.rho)
        require(_is_number(self.denoise) and self.denoise >= 0, "denoise", got=self.denoise, wanted="a finite number >= 0")
        fine = self.denoise_neighbors is None or _is_count(self.denoise_neighbors)
        require(fine, "denoise_neighbors", got=self.denoise_neighbors, wanted="None or an integer, at least 1")
        fine = self.paths is None or (_is_number(self.paths) and self.paths >= 1)
        require(fine, "paths", got=self.paths, wanted="None or a finite number >= 1")
        fine = self.landmarks is None or self.landmarks == "auto" or (_is_count(self.landmarks) and self.landmarks >= 3)
        require(fine, "landmarks", got=repr(self.landmarks), wanted='"auto", None, or a number of at least 3')

    def _check_size(self, n: int) -> None:
        if n < 2:
            fail("X", got="1 sample", wanted="at least 2 points")
        remedy = "Lower n_neighbors or give more points."
        require(self._k(n) < n, "n_neighbors", got=self.n_neighbors, wanted=f"1 to {n - 1}, for {n} points", remedy=remedy)


def _is_count(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and bool(np.isfinite(value))


def _digest(x: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(x).view(np.uint8), digest_size=16).hexdigest() + str((x.shape, x.dtype))


def _seed(state: Any) -> int:
    if state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    if isinstance(state, np.random.Generator):
        return int(state.integers(2**31 - 1))
    if isinstance(state, np.random.RandomState):
        return int(state.randint(2**31 - 1))
    wanted = "None, an int >= 0, a Generator or a RandomState"
    require(isinstance(state, numbers.Integral) and state >= 0, "random_state", got=repr(state), wanted=wanted)
    return int(state)


@contextmanager
def _progress(show: bool) -> Iterator[Any]:
    """A function that is called with the name of each stage as it begins; a bar if `show`."""
    if not show:
        yield lambda name: None
        return
    from tqdm import tqdm

    with tqdm(total=len(STEPS)) as bar:
        started = False

        def advance(name: str) -> None:
            nonlocal started
            bar.update(int(started))
            started = True
            bar.set_description(name)

        yield advance
        bar.update(bar.total - bar.n)
