"""Pairs of tables whose right answer is known: a rotation, a sheet rolled up two ways, classes, layers of which one is best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gera_jax.checks import require
from gera_jax.data.tables import Table


@dataclass(frozen=True, eq=False)
class Answer:
    """What a perfect method would find.

    Args:
      latent: [n, k] float32, the shared coordinates of each item; their geometry is the truth.
      x_map, y_map: [d, k] with orthonormal columns, or None where the map is curved: without noise, x = latent x_map^T.
      rotation: [dx, dy] = x_map y_map^T, or None: without noise y = x rotation, exactly.
      labels: [n] int64 class of each item, or None.
      layers: (layer of x, layer of y) that show the shared coordinates best, or None.
    """

    latent: np.ndarray
    x_map: np.ndarray | None = None
    y_map: np.ndarray | None = None
    rotation: np.ndarray | None = None
    labels: np.ndarray | None = None
    layers: tuple[int, int] | None = None


def _orthonormal(rng: np.random.Generator, rows: int, columns: int, name: str) -> np.ndarray:
    """A uniformly drawn [rows, columns] matrix with orthonormal columns."""
    remedy = f"Raise {name} or lower the latent dimension."
    require(rows >= columns, name, got=rows, wanted=f"at least the latent dimension {columns}", remedy=remedy)
    q, r = np.linalg.qr(rng.normal(size=(rows, columns)))
    return q * np.sign(np.diagonal(r))  # without the signs QR is not uniform


def _check(n: int, noise: float) -> None:
    require(n >= 2, "n", got=n, wanted="at least 2 rows", remedy="Raise n.")
    require(noise >= 0, "noise", got=noise, wanted="a standard deviation >= 0")


def _table(rng: np.random.Generator, rows: np.ndarray, noise: float, name: str) -> Table:
    """Rows plus Gaussian noise of standard deviation `noise` a coordinate, ids 0 ... n-1."""
    noisy = rows + noise * rng.normal(size=rows.shape)
    return Table(noisy.astype(np.float32), np.arange(len(rows)), name)


def _linear_pair(
    rng: np.random.Generator, latent: np.ndarray, x_dim: int, y_dim: int, noise: float, labels: np.ndarray | None = None
) -> tuple[Table, Table, Answer]:
    """Both tables as isometric linear images of `latent`."""
    k = latent.shape[1]
    x_map, y_map = _orthonormal(rng, x_dim, k, "x_dim"), _orthonormal(rng, y_dim, k, "y_dim")
    x, y = _table(rng, latent @ x_map.T, noise, "x"), _table(rng, latent @ y_map.T, noise, "y")
    return x, y, Answer(latent.astype(np.float32), x_map, y_map, x_map @ y_map.T, labels)


def sphere(
    n: int = 1000, *, dim: int = 3, x_dim: int = 16, y_dim: int = 12, noise: float = 0.0, seed: int = 0
) -> tuple[Table, Table, Answer]:
    """Points drawn uniformly on the unit sphere of R^dim, seen by two encoders that differ by a known rotation.

    Args:
      n: items; row i of x and of y is item i.
      dim: of the latent space, at most x_dim and y_dim.
      noise: standard deviation of the noise, a coordinate; at 0 x rotation == y.

    Raises:
      InputError: n < 2, dim above x_dim or y_dim, or noise < 0.

    >>> x, y, answer = sphere(50, seed=1)
    >>> bool(np.allclose(x.rows @ answer.rotation, y.rows, atol=1e-6))
    True
    """
    _check(n, noise)
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, dim))
    latent /= np.linalg.norm(latent, axis=1, keepdims=True)
    return _linear_pair(rng, latent, x_dim, y_dim, noise)


def _arc_length(angle: np.ndarray) -> np.ndarray:
    """Length of the spiral r = angle from 0 to `angle`."""
    return 0.5 * (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle))


def _roll(latent: np.ndarray, start: float) -> np.ndarray:
    """Roll a flat sheet [n, 2] up along its first coordinate, without stretch: [n, 3]."""
    grid = np.linspace(start, start + 12 * np.pi, 20_000)
    angle = np.interp(latent[:, 0] + _arc_length(np.float64(start)), _arc_length(grid), grid)
    return np.stack([angle * np.cos(angle), latent[:, 1], angle * np.sin(angle)], axis=1)


def swiss_roll_pair(
    n: int = 1000, *, x_dim: int = 8, y_dim: int = 6, noise: float = 0.0, seed: int = 0
) -> tuple[Table, Table, Answer]:
    """One flat sheet (90 long, 20 wide), rolled up tightly in x and widely in y, so no linear map aligns them.

    Rolling does not stretch, so the geodesic distance of two rows, in x as in y, is the Euclidean distance of
    `answer.latent`.

    Args:
      n: items; row i of x and of y is the same point of the sheet.
      x_dim, y_dim: at least 3.
      noise: standard deviation of the noise, a coordinate, in the sheet's unit of length.

    Raises:
      InputError: n < 2, a dimension below 3, or noise < 0.

    >>> x, y, answer = swiss_roll_pair(50)
    >>> x.dim, y.dim, answer.latent.shape
    (8, 6, (50, 2))
    """
    _check(n, noise)
    rng = np.random.default_rng(seed)
    latent = rng.uniform(size=(n, 2)) * np.array([90.0, 20.0])
    x_map, y_map = _orthonormal(rng, x_dim, 3, "x_dim"), _orthonormal(rng, y_dim, 3, "y_dim")
    x = _table(rng, _roll(latent, 1.5 * np.pi) @ x_map.T, noise, "x")
    y = _table(rng, _roll(latent, 4.0 * np.pi) @ y_map.T, noise, "y")
    return x, y, Answer(latent.astype(np.float32))


def gaussian_mixture(
    n: int = 1000,
    *,
    classes: int = 10,
    dim: int = 8,
    x_dim: int = 16,
    y_dim: int = 12,
    separation: float = 4.0,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[Table, Table, Answer]:
    """Classes of unit variance around means at radius `separation`, seen by two encoders; labels are known.

    Args:
      n: items, spread evenly over the classes.
      separation: radius of the sphere of class means, in standard deviations of a class.
      noise: standard deviation of each encoder's own noise, a coordinate.

    Raises:
      InputError: n < 2, classes not in 1 ... n, dim above x_dim or y_dim, or noise < 0.

    >>> x, y, answer = gaussian_mixture(30, classes=3)
    >>> np.bincount(answer.labels).tolist()
    [10, 10, 10]
    """
    _check(n, noise)
    require(1 <= classes <= n, "classes", got=classes, wanted=f"from 1 to n = {n}")
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, dim))
    means *= separation / np.linalg.norm(means, axis=1, keepdims=True)
    labels = rng.permutation(np.arange(n) % classes)
    latent = means[labels] + rng.normal(size=(n, dim))
    return _linear_pair(rng, latent, x_dim, y_dim, noise, labels)


def layered_pair(
    n: int = 1000,
    *,
    x_layers: int = 6,
    y_layers: int = 8,
    informative: tuple[int, int] = (3, 5),
    dim: int = 8,
    x_dim: int = 24,
    y_dim: int = 32,
    sharpness: float = 1.0,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, Answer]:
    """Two encoders seen layer by layer: views of growing depth, in which what both see comes up and goes again.

    Layer l shows s_l of the shared coordinates and (1 - s_l^2)^(1/2) of coordinates of the encoder's own, which are the same in
    all of its layers; s_l = exp(-sharpness ((l - best) / layers)^2 4), so the last layer is not the best one.

    Args:
      n: items; row i of x and of y is item i.
      x_layers, y_layers: numbers of layers.
      informative: the best layer of x and of y.
      dim: of the shared and of the own coordinates, at most half of x_dim and y_dim.
      sharpness: how fast layers lose the shared coordinates away from the best one; 0 = all layers are alike.
      noise: standard deviation of each layer's noise, a coordinate.

    Returns:
      x [n, x_layers, x_dim] and y [n, y_layers, y_dim] float32, and the answer with `layers` = informative.

    Raises:
      InputError: n < 2, noise < 0, sharpness < 0, a best layer that is not there, or 2 dim above x_dim or y_dim.

    >>> x, y, answer = layered_pair(50)
    >>> x.shape, y.shape, answer.layers
    ((50, 6, 24), (50, 8, 32), (3, 5))
    """
    _check(n, noise)
    require(sharpness >= 0, "sharpness", got=sharpness, wanted="a number >= 0")
    for best, layers in zip(informative, (x_layers, y_layers), strict=True):
        require(0 <= best < layers, "informative", got=best, wanted=f"a layer from 0 to {layers - 1}")
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, dim))
    made = []
    for best, layers, width, name in zip(informative, (x_layers, y_layers), (x_dim, y_dim), ("x_dim", "y_dim"), strict=True):
        own = rng.normal(size=(n, dim))
        stacked = np.empty((n, layers, width), np.float32)
        for layer in range(layers):
            share = np.exp(-4 * sharpness * ((layer - best) / layers) ** 2)
            turn = _orthonormal(rng, width, 2 * dim, name)  # each layer in axes of its own
            clean = np.concatenate([share * latent, np.sqrt(1 - share**2) * own], axis=1) @ turn.T
            stacked[:, layer] = clean + noise * rng.normal(size=(n, width))
        made.append(stacked)
    return made[0], made[1], Answer(latent.astype(np.float32), layers=tuple(informative))
