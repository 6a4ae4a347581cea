"""SUE: spectral coordinates of each modality's own graph, tied by few pairs, corrected until the two clouds agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts load when they are used

from gera_jax.solvers.linear import SharedSpace, check_pairs, directions, from_mean, mean_row, unit_rows
from gera_jax.solvers.ridge_cca import RidgeCCA
from gera_jax.solvers.settings import check_count, check_number

MULTIPLIERS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the mean squared distance: the variances of the kernels of the MMD


class SUE(SharedSpace):
    """Laplacian eigenfunctions of each side's neighbour graph, CCA between them on the pairs, then an MMD correction.

    >>> rng = np.random.default_rng(0); u = rng.uniform(size=(600, 2)) * [2.0, 1.0]
    >>> x = np.c_[np.cos(2 * u), np.sin(2 * u)]; y = np.c_[np.cos(u @ [[1, 1], [1, -1]]), np.sin(u @ [[1, 1], [1, -1]])]
    >>> model = SUE(components=8, dim=4).fit(x[:20], y[:20], x[20:300], y[300:580])
    >>> ranks = np.sum(model.similarity(x[580:], y[580:]) > np.diag(model.similarity(x[580:], y[580:]))[:, None], axis=1)
    >>> bool(np.median(ranks) <= 2)
    True

    1. Graph of all rows of a side: `neighbors` nearest by cosine, weights exp(-d^2 / (2 s_i s_j)) with s_i the distance of
       the last neighbour, symmetrised; coordinates = the `components` slowest eigenvectors of the random walk D^-1 W
       without the constant one. A new row takes the weighted mean of its neighbours' coordinates over their eigenvalue.
    2. Ridge CCA of the coordinates on the pairs, to `dim` directions.
    3. y -> y + y A + b with A, b that minimise the MMD (mean of five Gaussian kernels) between the two clouds, from zero.

    Args:
      components, neighbors: of the spectral step.
      dim: canonical directions kept.
      regularization: of the CCA, relative.
      residual: whether step 3 is taken.
      sample: rows of each side in the MMD.
      max_pool: rows of each side in the graph, the pairs first; more are left out.

    Cost: neighbours O(n^2 d), eigenvectors O(n k c), MMD O(sample^2 dim) an iteration.

    Source: Yacobi et al., "Learning Shared Representations from Unpaired Data" (NeurIPS 2025). Differs there: eigenvectors
    in closed form with a Nystrom extension in place of a network that imitates them, and an affine residual in place of
    a residual network, so that a fit has no random start.
    """

    def __init__(
        self,
        components: int = 30,
        neighbors: int = 30,
        dim: int = 8,
        regularization: float = 0.1,
        residual: bool = True,
        sample: int = 500,
        max_pool: int = 5000,
    ):
        for name, value in (("components", components), ("neighbors", neighbors), ("dim", dim)):
            check_count(value, name, 1)
        for name, value in (("sample", sample), ("max_pool", max_pool)):
            check_count(value, name, 10)
        check_number(regularization, "regularization")
        self.components, self.neighbors, self.dim, self.regularization = components, neighbors, dim, regularization
        self.residual, self.sample, self.max_pool = residual, sample, max_pool

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> SUE:
        """Fit on pairs [p, dx], [p, dy] and unpaired rows x [n, dx], y [m, dy]."""
        x_pairs, y_pairs, x, y = check_pairs(x_pairs, y_pairs, x, y)
        p = len(x_pairs)
        self._widths = (x_pairs.shape[1], y_pairs.shape[1])
        self.spectra = [_Spectrum(x_pairs, x, "x_pairs", self), _Spectrum(y_pairs, y, "y_pairs", self)]
        tied = [spectrum.coordinates[:p] for spectrum in self.spectra]
        self.head = RidgeCCA(self.dim, self.regularization)._fit(*tied, *(rows[:0] for rows in tied))
        self.map, self.shift = np.zeros((len(self.head.y_offset),) * 2), np.zeros(len(self.head.y_offset))
        if self.residual:
            clouds = [
                transform(spectrum.coordinates[p:][: self.sample])
                for transform, spectrum in zip((self.head.transform_x, self.head.transform_y), self.spectra, strict=True)
            ]
            if min(map(len, clouds)) >= 2:
                self.map, self.shift = _matching_map(*clouds)
        return self

    def transform_x(self, x: Any) -> np.ndarray:
        """Unit rows [n, dim] of the shared space."""
        return self.head.transform_x(self.spectra[0](self._checked(x, "x", 0)))

    def transform_y(self, y: Any) -> np.ndarray:
        """Unit rows [m, dim] of the shared space."""
        z = self.head.transform_y(self.spectra[1](self._checked(y, "y", 1)))
        return unit_rows(z + z @ self.map + self.shift)


class _Spectrum:
    """Coordinates of the rows of one side on their neighbour graph, and of rows that come later."""

    def __init__(self, pairs: np.ndarray, unpaired: np.ndarray, name: str, options: SUE):
        from gera_jax.graphs import knn  # only here: JAX takes most of a second to load

        self.mean = mean_row(pairs, unpaired)
        more = unpaired[: max(0, options.max_pool - len(pairs))]
        self.rows = np.concatenate([directions(pairs, self.mean, name), unit_rows(from_mean(more, self.mean))])
        n = len(self.rows)
        self.k = min(options.neighbors, n - 1)
        near, distance = knn(self.rows, k=self.k)
        self.scale = np.maximum(distance[:, -1].astype(np.float64), 1e-6)
        weights = np.exp(-(distance.astype(np.float64) ** 2) / (2 * self.scale[:, None] * self.scale[near]))
        graph = scipy.sparse.csr_matrix((weights.ravel(), near.ravel(), np.arange(0, n * self.k + 1, self.k)), shape=(n, n))
        graph = (graph + graph.T) / 2
        degree = np.asarray(graph.sum(axis=1)).ravel()
        # The weights of a row that is far from all others underflow. It then stands alone, at 0.
        root = np.divide(1, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
        operator = scipy.sparse.diags(root) @ graph @ scipy.sparse.diags(root)
        count = min(options.components + 1, max(2, n - 1))
        if count < n - 1 and n > 200:
            values, vectors = scipy.sparse.linalg.eigsh(operator, k=count, which="LA", v0=np.ones(n))
        else:
            values, vectors = np.linalg.eigh(operator.toarray())
        order = np.argsort(-values)[1:count]  # the first is constant along the random walk
        self.values = np.maximum(values[order], 1e-2)
        self.coordinates = root[:, None] * vectors[:, order]
        self.coordinates /= np.maximum(self.coordinates.std(axis=0), 1e-12)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.empty((0, len(self.values)))
        from gera_jax.graphs import knn

        rows = unit_rows(from_mean(rows, self.mean))
        near, distance = knn(rows, self.rows, k=self.k, exclude_self=False)
        own = np.maximum(distance[:, -1:].astype(np.float64), 1e-6)
        weights = np.exp(-(distance.astype(np.float64) ** 2) / (2 * own * self.scale[near]))
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        return np.einsum("nk,nkc->nc", weights, self.coordinates[near]) / self.values


def _matching_map(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A [r, r] and b [r] for which unit(y + y A + b) has the least MMD to x; L-BFGS from zero."""
    d = y.shape[1]
    mean_square = 2 - 2 * float(np.mean(np.concatenate([x, y]), axis=0) @ np.mean(np.concatenate([x, y]), axis=0))
    variances = [multiplier * max(mean_square, 1e-6) for multiplier in MULTIPLIERS]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        moved = y + y @ flat[: d * d].reshape(d, d) + flat[d * d :]
        length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        z = moved / length
        value, gradient = 0.0, np.zeros_like(z)
        yy, xy = 2 - 2 * z @ z.T, 2 - 2 * x @ z.T  # squared distances of unit rows
        for variance in variances:
            k_yy, k_xy = np.exp(-yy / (2 * variance)), np.exp(-xy / (2 * variance))
            value += (k_yy.mean() - 2 * k_xy.mean()) / len(variances)
            # on the sphere d k(z_i, a) / d z_i = k a / variance up to a part along z_i, which the projection takes away
            gradient += 2 * (k_yy @ z / len(z) ** 2 - k_xy.T @ x / (len(x) * len(z))) / (variance * len(variances))
        gradient = (gradient - z * np.sum(gradient * z, axis=1, keepdims=True)) / length
        return value, np.concatenate([(y.T @ gradient).ravel(), gradient.sum(axis=0)])

    found = scipy.optimize.minimize(loss, np.zeros(d * d + d), jac=True, method="L-BFGS-B", options=dict(maxiter=50))
    return found.x[: d * d].reshape(d, d), found.x[d * d :]
