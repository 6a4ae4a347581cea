"""Points near a curved surface or a branching curve whose geodesic distances are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gera_jax.checks import require
from gera_jax.data.synthetic import _arc_length, _orthonormal


@dataclass(frozen=True, eq=False)
class Manifold:
    """Points and the truth about them.

    Args:
      points: [n, d] float64, noise included.
      distances: [n, n] float64, geodesic distances without noise.
      position: [n] the coordinate along the roll, or along a branch: a colour for pictures.
      labels: [n] int64 branch of each point (0 everywhere for a surface).
    """

    points: np.ndarray
    distances: np.ndarray
    position: np.ndarray
    labels: np.ndarray


def swiss_roll(n: int = 1000, *, dim: int = 3, noise: float = 0.0, seed: int = 0) -> Manifold:
    """A sheet rolled up: (a cos a, 5 v, a sin a) with a = 3 pi / 2 (1 + 2 u), u and v uniform, turned at random in R^dim.

    The sheet has no curvature of its own: geodesic distances are Euclidean ones of (s(a), 5 v), s the arc length of the spiral,
    s(a) = (a sqrt(1 + a^2) + asinh a) / 2. (The few shortest paths that a strip of this shape lets leave the sheet: none, it is
    convex.) Points lie denser near the core.

    Args:
      n: points.
      dim: of the space, >= 3; 3 keeps the axes, more turns the roll by a random rotation.
      noise: standard deviation of Gaussian noise in every one of the dim coordinates, added after the rotation.
      seed: of the points, rotation and noise.

    Raises:
      ValueError: n < 2, dim < 3, noise < 0.

    Source: the protocol of Huguet et al. 2023.

    >>> roll = swiss_roll(50, dim=10, noise=0.1)
    >>> roll.points.shape, roll.distances.shape
    ((50, 10), (50, 50))
    """
    require(n >= 2, "n", got=n, wanted="at least 2 points")
    require(dim >= 3, "dim", got=dim, wanted="at least 3")
    _check_noise(noise)
    rng = np.random.default_rng(seed)
    angle, height = 1.5 * np.pi * (1 + 2 * rng.uniform(size=n)), 5.0 * rng.uniform(size=n)
    points = np.stack([angle * np.cos(angle), height, angle * np.sin(angle)], axis=1)
    if dim > 3:
        points = points @ _orthonormal(rng, dim, 3, "dim").T
    points = points + noise * rng.normal(size=points.shape)
    flat = np.stack([_arc_length(angle), height], axis=1)
    return Manifold(points, _pairwise(flat), angle, np.zeros(n, np.int64))


def tree(n: int = 1000, *, dim: int = 10, branches: int = 5, noise: float = 0.0, seed: int = 0) -> Manifold:
    """Random walks with steps uniform in [-1, 1]^dim: a first branch, and others that start at random points of it.

    The distance of two points of one branch is the length of the walk between them; of two branches, the way to both starting
    points and between these along the first branch.

    Args:
      n: points, spread evenly over the branches (the first ones take what is left over).
      dim: of the space.
      branches: the first one included, 1 <= branches <= n / 2.
      noise: standard deviation of Gaussian noise in every coordinate; neighbours on the walk are about sqrt(dim / 3) apart.
      seed: of all of it.

    Raises:
      ValueError: branches < 1 or > n / 2, dim < 1, noise < 0.

    Source: the tree of Moon et al. 2019; there the truth is not in closed form.

    >>> small = tree(10, dim=2, branches=2)
    >>> np.bincount(small.labels).tolist(), bool((small.distances >= 0).all())
    ([5, 5], True)
    """
    require(1 <= branches <= n // 2, "branches", got=branches, wanted=f"1 to {n // 2}, for two points a branch at n = {n}")
    require(dim >= 1, "dim", got=dim, wanted="at least 1")
    _check_noise(noise)
    rng = np.random.default_rng(seed)
    sizes = [n // branches + (i < n % branches) for i in range(branches)]
    walks, along, starts, labels = [], [], [], []
    for branch, size in enumerate(sizes):
        steps = rng.uniform(-1, 1, size=(size, dim))
        root = 0 if branch == 0 else int(rng.integers(sizes[0]))
        if branch == 0:
            steps[0] = 0
        origin, start = (np.zeros(dim), 0.0) if branch == 0 else (walks[0][root], along[0][root])
        walks.append(origin + np.cumsum(steps, axis=0))
        along.append(np.cumsum(np.linalg.norm(steps, axis=1)))
        starts.append(start)
        labels.append(np.full(size, branch, np.int64))
    position, label = np.concatenate(along), np.concatenate(labels)
    first = label == 0
    # Where each point meets the first branch, and how far it is from there.
    meets = np.where(first, position, np.asarray(starts)[label])
    away = np.where(first, 0.0, position)
    same = label[:, None] == label[None, :]
    within = np.abs(position[:, None] - position[None, :])
    across = np.abs(meets[:, None] - meets[None, :]) + away[:, None] + away[None, :]
    points = np.concatenate(walks)
    points = points + noise * rng.normal(size=points.shape)
    return Manifold(points, np.where(same, within, across), position, label)


def _pairwise(points: np.ndarray) -> np.ndarray:
    return np.sqrt(sum((column[:, None] - column[None, :]) ** 2 for column in points.T))


def _check_noise(noise: float) -> None:
    require(noise >= 0, "noise", got=noise, wanted="a standard deviation >= 0")
