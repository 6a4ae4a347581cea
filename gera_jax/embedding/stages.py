"""The stages of a heat-geodesic embedding, as functions of arrays on the host: cells, time, heat, distances, places."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from gera_jax.embedding.mds import place
from gera_jax.graphs import (
    heat_entropy,
    heat_geodesic_distance,
    heat_kernel,
    knee,
    knn,
    neighbour_graph,
    sparse_laplacian,
    von_neumann_entropy,
)

FORMS = {"combinatorial": "none", "normalized": "symmetric", "random_walk": "random_walk"}
# The time grid in steps of the average point (1 / mean degree), and the share of the final entropy at which it ends.
GRID = (1.0, 3e4)
GRID_TIMES = 60
SATURATED = 0.99
GRID_COLUMNS = 64  # starting points whose entropy stands for all
PLACE_ROWS = 4096
ANCHORS = 512  # nodes that a point keeps its distances to: many more than the embedding has dimensions


class Cells(NamedTuple):
    """The graph that heat runs on. `cell` [n] is the node of each point, `mass` [m] its number of points."""

    graph: sp.csr_array  # [n, n], of the points
    coarse: sp.csr_array  # [m, m], of the nodes: the same graph if every point is a node
    cell: np.ndarray
    mass: np.ndarray
    landmarks: np.ndarray | None  # [m] the point at each cell's centre, or None
    places: np.ndarray  # [m, d] mean of each node's points


def denoise(x: np.ndarray, *, steps: float, k: int, metric: str) -> np.ndarray:
    """exp(-steps (I - P)) x: every point moves to the mean of where `steps` random steps to near points lead.

    Noise across the manifold averages out, by about the number of points within reach; curvature and ends shrink a little.
    """
    walk = sparse_laplacian(neighbour_graph(x, k=k, metric=metric), normalization="random_walk")
    return heat_kernel(walk, x.astype(np.float64), t=steps, method="chebyshev", tolerance=1e-6, lambda_max=2.0)


def build_cells(x: np.ndarray, *, landmarks: int | None, rng: np.random.Generator, graph: dict[str, Any]) -> Cells:
    """The neighbour graph of the points, merged into cells around `landmarks` random points where that is not None.

    The weight between two cells is the sum over the edges between them, so that no edge is lost: a Galerkin coarsening.
    """
    w = neighbour_graph(x, **graph)
    n = len(x)
    if landmarks is None or landmarks >= n:
        return Cells(w, w, np.arange(n), np.ones(n), None, x)
    centres = np.sort(rng.choice(n, size=landmarks, replace=False))
    cell = knn(x, x[centres], k=1, metric=graph.get("metric", "euclidean"))[0][:, 0]
    cell[centres] = np.arange(landmarks)
    member = sp.csr_array((np.ones(n), (np.arange(n), cell)), shape=(n, landmarks))
    coarse = sp.csr_array(member.T @ w @ member)
    coarse.setdiag(0)
    coarse.eliminate_zeros()
    mass = np.bincount(cell, minlength=landmarks).astype(np.float64)
    return Cells(w, coarse, cell, mass, centres, (member.T @ x) / mass[:, None])


def cell_laplacian(cells: Cells, kind: str) -> sp.csr_array:
    """Laplacian of the nodes; the combinatorial one is M^-1/2 (D - W) M^-1/2 with the masses of the cells."""
    laplacian = sparse_laplacian(cells.coarse, normalization=FORMS[kind])
    if cells.landmarks is None or kind != "combinatorial":
        return laplacian
    root = sp.diags_array(1 / np.sqrt(cells.mass))
    return sp.csr_array(root @ laplacian @ root)


class Spectrum(NamedTuple):
    """L = vectors diag(values) vectors^T of a symmetric Laplacian: the choice of the time and the heat both start from it."""

    values: np.ndarray
    vectors: np.ndarray

    def heat(self, t: float, columns: Any = slice(None)) -> np.ndarray:
        """exp(-t L) [m, m], or its `columns`."""
        return (self.vectors * np.exp(-t * self.values).astype(self.vectors.dtype)) @ self.vectors[columns].T


def spectrum(laplacian: sp.csr_array) -> Spectrum:
    return Spectrum(*np.linalg.eigh(laplacian.toarray()))


def choose_time(
    laplacian: sp.csr_array, rule: str, rng: np.random.Generator, *, spread: float = 0.95, known: Spectrum | None = None
) -> float:
    """A time from the entropy of the heat on a log grid of times that ends where the entropy has nearly reached its last value.

    "knee": the knee of the entropy as a function of t. "spread": the first time at which it is `spread` times its last value.
    "von_neumann": the knee of the von Neumann entropy.
    """
    rate = max(float(laplacian.diagonal().mean()), 1e-30)
    times = np.geomspace(*GRID, GRID_TIMES) / rate
    entropies = (_spectral_entropies if rule == "von_neumann" else _heat_entropies)(laplacian, times, rng, known)
    if rule == "spread":
        return float(times[_reached(entropies, spread)])
    end = max(_reached(entropies, SATURATED) + 1, 3)
    return float(times[knee(times[:end], entropies[:end])])


def _reached(entropies: np.ndarray, share: float) -> int:
    """First index at which the entropy has made `share` of the way from 0 (or its first value, if it falls) to its last value."""
    start = min(0.0, entropies[0])
    return int(np.argmax(entropies - start >= share * (entropies[-1] - start)))


def _heat_entropies(laplacian, times, rng, known) -> np.ndarray:
    n = laplacian.shape[0]
    columns = rng.choice(n, size=min(n, GRID_COLUMNS), replace=False)
    if known is not None:
        single = Spectrum(known.values, known.vectors.astype(np.float32))  # an entropy of the whole needs no more
        return np.array([float(heat_entropy(single.heat(t, columns))) for t in times])
    start = np.zeros((n, len(columns)))
    start[columns, np.arange(len(columns))] = 1
    return heat_entropy(heat_kernel(laplacian, start, t=times, method="chebyshev", tolerance=1e-6))


def _spectral_entropies(laplacian, times, rng, known) -> np.ndarray:
    del rng
    values = np.linalg.eigvals(laplacian.toarray()).real if known is None else known.values
    return -von_neumann_entropy(np.maximum(values, 0.0), times)  # it falls: upside down it rises to its knee


def node_heat(
    laplacian: sp.csr_array, cells: Cells, times: np.ndarray, *, known: Spectrum | None = None, **options: Any
) -> np.ndarray:
    """[T, m, m] heat between nodes as a density: exp(-t L)_ij / sqrt(mass_i mass_j), which is exp(-t L) if all masses are 1."""
    heat = heat_kernel(laplacian, t=times, **options) if known is None else np.stack([known.heat(float(t)) for t in times])
    root = np.sqrt(cells.mass)
    return heat if cells.landmarks is None else heat / (root[:, None] * root[None, :])


def scale_weights(times: np.ndarray) -> np.ndarray:
    """Weights of several times, in proportion to 1 - t / sum(t)."""
    if len(times) == 1:
        return np.ones(1)
    weights = 1 - times / times.sum()
    return weights / weights.sum()


def node_distances(heat: np.ndarray, times: np.ndarray, *, sigma: float, rho: float, floor: float) -> np.ndarray:
    """[m, m] symmetric, with a zero diagonal; several times are averaged."""
    total = sum(
        weight * heat_geodesic_distance(h, t=float(t), sigma=sigma, rho=rho, floor=floor)
        for weight, h, t in zip(scale_weights(times), heat, times, strict=True)
    )
    total = 0.5 * (total + total.T)
    np.fill_diagonal(total, 0.0)
    return total


def path_distances(distances: np.ndarray, cells: Cells, *, gate: float) -> np.ndarray:
    """[m, m] lengths of the shortest paths over the edges between nodes, in the units of the points.

    An edge is as long as its nodes are apart, times the excess of its heat-geodesic length, relative to the typical edge, over
    `gate`: an edge that crosses a gap carries little heat, so a shortcut is longer than the way around.
    """
    edges = cells.coarse.tocoo()
    length = np.linalg.norm(cells.places[edges.row] - cells.places[edges.col], axis=1)
    ratio = distances[edges.row, edges.col] / np.maximum(length, 1e-12 * max(length.max(initial=0.0), 1e-300))
    typical = np.median(ratio) if len(ratio) else 1.0
    stretched = length * np.maximum(1.0, ratio / (gate * max(typical, 1e-300)))
    positive = np.maximum(stretched, 1e-12 * max(stretched.max(initial=0.0), 1e-300))  # a zero would be no edge
    graph = sp.csr_array((positive, (edges.row, edges.col)), shape=distances.shape)
    out = sp.csgraph.dijkstra(graph, directed=False)
    out = np.minimum(out, out.T)
    reached = np.isfinite(out)
    return np.where(reached, out, 2.0 * np.max(out, where=reached, initial=0.0))


def place_points(
    share: sp.csr_array,
    heat: np.ndarray,
    times: np.ndarray,
    nodes: np.ndarray,
    *,
    sigma: float,
    rho: float,
    floor: float,
    reference: np.ndarray,
    paths: np.ndarray | None = None,
) -> np.ndarray:
    """Places [q, k] of points that see the nodes through `share` [q, m] (rows sum to 1): H(i, l) = sum_j share_ij H(j, l).

    The distances to the nodes follow by the same formula as between nodes, and each point is placed so as to keep those to an
    even choice of them (all, for rho > 0).
    `reference` [T, m, m] are the nodes' own distances for rho = 0, needed where rho > 0. With `paths` [m, m] a point's distances
    are the mean of its nodes' path lengths instead.
    """
    out = np.empty((share.shape[0], nodes.shape[1]))
    # Places are read off a picture: float32 from here on, at half the time.
    share, nodes = share.astype(np.float32), nodes.astype(np.float32)
    chosen = slice(None, None, 1 if rho > 0 else -(-len(nodes) // ANCHORS))
    heats = [(np.asarray(h[:, chosen], np.float32), np.diagonal(h).astype(np.float32)) for h in heat]
    paths = None if paths is None else paths[:, chosen].astype(np.float32)
    # One shape for every block, so that it compiles once.
    size = PLACE_ROWS if share.shape[0] > PLACE_ROWS else 64 * -(-share.shape[0] // 64)
    for first in range(0, share.shape[0], PLACE_ROWS):
        rows = share[first : first + PLACE_ROWS]
        count = rows.shape[0]
        rows.resize((size, rows.shape[1]))
        distance = 0.0 if paths is None else rows @ paths
        for i, (weight, (h, own), t) in enumerate(zip(scale_weights(times), heats, times, strict=True)) if paths is None else ():
            part = np.asarray(_mixed_distance(rows @ h, rows @ own, own[chosen], float(t), sigma, floor))
            if rho > 0:
                squared = (part**2).sum(1)[:, None] + (reference[i] ** 2).sum(1)[None] - 2 * part @ reference[i].T
                part = (1 - rho) * part + rho * np.sqrt(np.maximum(squared, 0))
            distance = distance + weight * part
        out[first : first + count] = np.asarray(place(jnp.asarray(distance, jnp.float32), nodes[chosen], rows @ nodes))[:count]
    return out


@jax.jit
def _mixed_distance(heat, own, other, t, sigma, floor):
    volume = jnp.log(jnp.maximum(0.5 * (own[:, None] + other[None, :]), floor))
    return jnp.sqrt(jnp.maximum(4 * t * (sigma * volume - jnp.log(jnp.maximum(heat, floor))), 0))
