"""Wasserstein Procrustes: one rotation, estimated together with a matching of the unpaired rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts load when they are used

from gera_jax.solvers.linear import LinearHeads, check_pairs, directions, from_mean, mean_row, thin_svd, unit_rows
from gera_jax.solvers.settings import check_count, check_dim, check_number

START_ROWS = 400  # of each side, matched to choose among the restarts


class WassersteinProcrustes(LinearHeads):
    """max over rotations W and matchings T of tr(X W Y' T') over unpaired rows, with known pairs as part of the sum.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(400, 3)) ** 3  # skewed: the shape tells the rotation
    >>> y = x @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    >>> model = WassersteinProcrustes(rounds=5).fit(x[:2], y[:2], x[2:], rng.permutation(y[2:]))
    >>> model.similarity(x, y).argmax(1).tolist() == list(range(400))
    True

    1. Start: in each restart k-means centres of both sides are matched by their inner products alone, a quadratic
       assignment (Frank-Wolfe) with the centres' products with the known pairs as its linear term; the matched centres and
       the pairs add up to a first cross-covariance. Of all restarts and their mean the one with the best matching is kept.
    2. Alternate: rows of a batch are matched by the Hungarian method under the present W, and W = polar(X'TY + w X_p'Y_p),
       where w gives the known pairs `pair_mass` times the mass of the matched rows.

    Rows are centred by the mean of all rows of their side and scaled to length 1 before anything else. Without unpaired
    rows on both sides this is orthogonal Procrustes. It relies on a rotation that fits: rows of one item need not be in both
    sets, but the two sets must be draws of one distribution.

    Args:
      dim: width of the shared space; None = min(dx, dy).
      restarts, centers: of the start.
      rounds, batch: of the alternation; a batch is at most so many rows of each side.
      pair_mass: > 0, mass of the known pairs against that of the matched rows.
      seed: of centres and batches.

    Attributes after fit: x_weights, y_weights, x_offset, y_offset; singular_values [r].

    Both steps climb to a local maximum: with few pairs and few rows a wrong rotation may fit the clouds as well.

    Cost: `rounds` assignments of O(batch^3) each: 4 to 7 CPU seconds on 2,000 bundled rows at the defaults.

    Source: Grave, Joulin and Berthet, "Unsupervised alignment of embeddings with Wasserstein Procrustes" (AISTATS 2019);
    start and known pairs after Schnaus et al., arXiv 2610.09411. Differs there: quadratic assignment by Frank-Wolfe
    instead of a branching solver, a choice among the restarts beside their mean, and only a few rounds.
    """

    singular_values: np.ndarray

    def __init__(
        self,
        dim: int | None = None,
        restarts: int = 10,
        centers: int = 30,
        rounds: int = 20,
        batch: int = 1000,
        pair_mass: float = 1.0,
        seed: int = 0,
    ):
        check_dim(dim)
        for name, value, least in (
            ("restarts", restarts, 0),
            ("centers", centers, 2),
            ("rounds", rounds, 0),
            ("batch", batch, 2),
            ("seed", seed, 0),
        ):
            check_count(value, name, least)
        check_number(pair_mass, "pair_mass", positive=True)
        self.dim, self.restarts, self.centers, self.rounds = dim, restarts, centers, rounds
        self.batch, self.pair_mass, self.seed = batch, pair_mass, seed

    def fit(self, x_pairs: Any, y_pairs: Any, x: Any = None, y: Any = None) -> WassersteinProcrustes:
        """Fit on pairs [p, dx], [p, dy] and unpaired rows x [n, dx], y [m, dy]; n and m may differ."""
        return self._fit(*check_pairs(x_pairs, y_pairs, x, y))

    def _fit(self, x_pairs: np.ndarray, y_pairs: np.ndarray, x: np.ndarray, y: np.ndarray) -> WassersteinProcrustes:
        """`fit` on rows of our own making, which are no rows to warn a caller of."""
        x_mean, y_mean = mean_row(x_pairs, x), mean_row(y_pairs, y)
        known = [directions(x_pairs, x_mean, "x_pairs"), directions(y_pairs, y_mean, "y_pairs")]
        pool = [unit_rows(from_mean(x, x_mean)), unit_rows(from_mean(y, y_mean))]
        pairs = known[0].T @ known[1] / len(x_pairs)
        cross = pairs
        if min(map(len, pool)) >= 2:
            rng = np.random.default_rng(self.seed)
            cross = self._start(pool, known, pairs, rng)
            for _ in range(self.rounds):
                a, b = (rows[rng.permutation(len(rows))[: self.batch]] for rows in pool)
                u, _, vt = thin_svd(cross)
                left, right = scipy.optimize.linear_sum_assignment((a @ u) @ (b @ vt.T).T, maximize=True)
                cross = a[left].T @ b[right] / len(left) + self.pair_mass * pairs
        u, s, vt = thin_svd(cross)
        r = min(int(np.sum(s > s[0] * 1e-12)), len(s) if self.dim is None else self.dim)
        self.singular_values = s[:r]
        self._set_heads(u[:, :r], vt[:r].T, x_mean, y_mean)
        return self

    def _start(self, pool: list[np.ndarray], known: list[np.ndarray], pairs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cross-covariance of matched centres and known pairs: the best of all restarts and of their mean, by its matching."""
        found = []
        for _ in range(self.restarts):
            count = min(self.centers, *map(len, pool))
            a, b = (_k_means(rows, count, rng) for rows in pool)
            linear = (a @ known[0].T) @ (b @ known[1].T).T * (count / len(known[0]))
            match = quadratic_assignment(_centred(a @ a.T), _centred(b @ b.T), linear)
            found.append(a.T @ b[match] / count)
        starts = [self.pair_mass * pairs + cross for cross in (*found, np.mean(found, axis=0))] if found else [pairs]
        sample = [rows[rng.permutation(len(rows))[: min(self.batch, START_ROWS)]] for rows in pool]
        return max(starts, key=lambda cross: self._fit_of(cross, sample, pairs))

    def _fit_of(self, cross: np.ndarray, sample: list[np.ndarray], pairs: np.ndarray) -> float:
        """Mean similarity of matched rows and of the known pairs under the rotation of a cross-covariance."""
        u, _, vt = thin_svd(cross)
        similarity = (sample[0] @ u) @ (sample[1] @ vt.T).T
        matched = similarity[scipy.optimize.linear_sum_assignment(similarity, maximize=True)].mean()
        return float(matched + self.pair_mass * np.sum((u @ vt) * pairs))


def quadratic_assignment(a: np.ndarray, b: np.ndarray, linear: np.ndarray, *, iterations: int = 30) -> np.ndarray:
    """A permutation m that makes sum_ij a_ij b_m(i)m(j) + 2 sum_i linear_i,m(i) large: Frank-Wolfe from the barycentre.

    >>> a = np.diag([3.0, 1.0, 2.0])
    >>> quadratic_assignment(a, a[[2, 0, 1]][:, [2, 0, 1]], np.zeros((3, 3))).tolist()
    [1, 2, 0]

    Args:
      a, b: symmetric [n, n]; linear [n, n].

    Returns:
      [n] the column of each row. A local maximum: the problem is NP-hard.
    """
    n = len(a)
    plan = np.full((n, n), 1 / n)
    for _ in range(iterations):
        inside = a @ plan @ b
        rows, columns = scipy.optimize.linear_sum_assignment(inside + linear, maximize=True)
        step = -plan
        step[rows, columns] += 1
        # the value along plan + t step is t^2 <step, a step b> + 2 t <step, inside + linear> + constant
        curve, slope = float(np.sum(step * (a @ step @ b))), float(np.sum(step * (inside + linear)))
        if slope <= 1e-12:
            break
        size = 1.0 if curve >= 0 else min(1.0, -slope / curve)
        plan = plan + size * step
    return scipy.optimize.linear_sum_assignment(plan, maximize=True)[1]


def _k_means(rows: np.ndarray, count: int, rng: np.random.Generator, rounds: int = 10) -> np.ndarray:
    centers = rows[rng.choice(len(rows), count, replace=False)]
    for _ in range(rounds):
        nearest = np.argmax(rows @ centers.T - 0.5 * np.sum(centers**2, axis=1), axis=1)
        sums, sizes = np.zeros_like(centers), np.bincount(nearest, minlength=count)
        np.add.at(sums, nearest, rows)
        centers = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centers)
    return centers


def _centred(gram: np.ndarray) -> np.ndarray:
    gram = gram - gram.mean(axis=0)
    gram = gram - gram.mean(axis=1, keepdims=True)
    return gram / max(float(np.linalg.norm(gram)), 1e-30)
