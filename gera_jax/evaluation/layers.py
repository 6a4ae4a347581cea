"""Which layers of two encoders see the same geometry: every pair of layers scored on known pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import real, rows_of
from gera_jax.evaluation.similarity import (
    LocalGeometry,
    linear_cka,
    local_alignment,
    neighbour_count,
    neighbour_keys,
    shared_neighbours,
    unbiased_cka,
)

# measure -> what is made once of a layer (from its unit rows and k), and the score of two of those
PREPARED: dict[str, tuple[Callable[..., Any], Callable[..., float]]] = {
    "mutual_knn": (neighbour_keys, shared_neighbours),
    "cknna": (LocalGeometry, local_alignment),
    "cka": (lambda rows, k: rows, linear_cka),
    "unbiased_cka": (lambda rows, k: rows, unbiased_cka),
}
MEASURES = tuple(PREPARED)


def layer_scores(x: Any, y: Any, *, measure: str = "mutual_knn", k: int | Literal["rice"] = "rice") -> np.ndarray:
    """Likeness of every layer of one encoder with every layer of the other, on the same items.

    >>> rng = np.random.default_rng(0)
    >>> shared, x = rng.normal(size=(60, 4)), rng.normal(size=(60, 3, 4))
    >>> y = rng.normal(size=(60, 2, 4))
    >>> x[:, 1], y[:, 0] = shared, 2 * shared
    >>> np.unravel_index(layer_scores(x, y).argmax(), (3, 2))
    (np.int64(1), np.int64(0))

    Args:
      x: [n, L, d_x] layers of one encoder; row i of x and of y are a known pair.
      y: [n, M, d_y] layers of the other.
      measure: "mutual_knn", "cknna", "cka" or "unbiased_cka", all on unit rows.
      k: neighbours of the first two, or "rice" for ceil(2 n^(1/3)).

    Returns:
      [L, M] float64; higher = more alike.
      Neighbours are searched once a layer, O(n^2 (L d_x + M d_y)); the other measures cost L M times one of them.
    """
    require_known(measure, MEASURES, "measure")
    x, y = real(x, "x"), real(y, "y")
    for name, layers in (("x", x), ("y", y)):
        require(layers.ndim == 3 and min(layers.shape) > 0, name, got=f"shape {layers.shape}", wanted="[n, layers, d]")
        require(bool(np.isfinite(layers).all()), name, got="NaN or infinity", wanted="finite rows", remedy="Drop those rows.")
    require(len(x) == len(y), "y", got=f"{len(y)} rows", wanted=f"the same items as x ({len(x)} rows)")
    k = neighbour_count(k, len(x))
    prepare, score = PREPARED[measure]
    made = [
        [prepare(ranks.unit_rows(rows_of(layers[:, i], name)), k) for i in range(layers.shape[1])]
        for name, layers in (("x", x), ("y", y))
    ]
    scores = np.array([[float(score(a, b)) for b in made[1]] for a in made[0]])
    return scores / (len(x) * k) if measure == "mutual_knn" else scores
