"""A rotation between two spaces from a few pairs and from rows of both that are no pairs: soft matching both ways, in turn."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.solvers.auto.search import nearest_both, soft_weights
from gera_jax.solvers.linear import unit_rows

Array = np.ndarray
NULL = 1e-10  # squared singular values below it, relative to the largest, are rounding
NEAR = 10  # rows that a row is matched with
WIDE = 256  # leading directions of a side in which all but the last round are done
AGAIN = ((6, 0.1, 2_000),)  # from a rotation that is there
STAGES = ((12, 0.2, 4_000), (12, 0.1, 4_000), (2, 0.1, 20_000))  # rounds, temperature, rows of x in a round


def match(x: Array, y: Array, pairs: int, y_pairs: Array, *, seed: int = 0, start: Array | None = None) -> Array:
    """A [dx, dy] that takes unit rows of x to where rows of y lie.

    Each round, under the present A, row i of x is matched with the mean of its NEAR best rows of y, weighted by the softmax of
    2 cos - density (CSLS: a hub's mean similarity to its NEAR best is taken off) over the temperature, and each row of y in the
    same way with rows of x. Then A = polar(X' T(X) / n + T(Y)' Y / m + X_p' Y_p / p). It starts with the pairs alone.

    Wasserstein Procrustes (`solvers`) matches one to one, so both sets have to be draws of one distribution. Here they are an
    index and what is asked of it: a document may be asked for often or never, which the two soft matchings allow.

    Args:
      x: [n, dx] unit rows, of which the first `pairs` belong to y_pairs [pairs, dy]; y: [m, dy] other unit rows.
      start: an A to go on from for AGAIN rounds, in place of the pairs and STAGES.

    >>> rng = np.random.default_rng(0); x = unit_rows(rng.normal(size=(900, 6)) ** 3)
    >>> turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    >>> found = match(x[:600], x[600:] @ turn, 4, x[:4] @ turn)
    >>> bool(np.abs(found - turn).max() < 0.1)
    True

    Source: Joulin et al., "Loss in translation" (EMNLP 2018; CSLS); Zhang et al., "Earth mover's distance minimization for
    unsupervised bilingual lexicon induction" (EMNLP 2017) alternate a matching and a rotation in the same way.
    """
    rng = np.random.default_rng(seed)
    narrow_x, narrow_y = _leading(x), _leading(y)
    small, of_y = x @ narrow_x, y @ narrow_y
    known, small_known = (rows[:pairs].T @ other / pairs for rows, other in ((x, y_pairs), (small, y_pairs @ narrow_y)))
    found = _polar(small_known) if start is None else (narrow_x.T @ start @ narrow_y).astype(np.float32)
    stages = STAGES if start is None else AGAIN
    for number, (rounds, temperature, most) in enumerate(stages, 1):
        for again in range(rounds):
            drawn = np.arange(len(x)) if len(x) <= most else rng.permutation(len(x))[:most]
            last = number == len(stages) and again == rounds - 1  # the one of which all coordinates count
            left, right, both = (x[drawn], y, known) if last else (small[drawn], of_y, small_known)
            to_y, to_x = _weights(unit_rows(small[drawn] @ found), of_y, temperature)
            found = _polar(left.T @ (to_y @ right) / len(left) + (to_x @ left).T @ right / len(right) + both)
    return found


def _leading(rows: Array) -> Array:
    """[d, WIDE] principal directions."""
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return np.ascontiguousarray(vectors[:, ::-1][:, :WIDE])


def _weights(x: Array, y: Array, temperature: float) -> tuple[Any, Any]:
    """Sparse [n, m] and [m, n]: with what weight each row is matched with rows of the other side."""
    (index, scores), (back, back_scores) = nearest_both(x, y, min(NEAR, len(x), len(y)))
    of_x, of_y = scores.mean(axis=1), back_scores.mean(axis=1)  # large for a hub
    return (
        soft_weights((index, 2 * scores - of_y[index]), len(y), temperature),
        soft_weights((back, 2 * back_scores - of_x[back]), len(x), temperature),
    )


def _polar(cross: Array) -> Array:
    """The partial isometry of the polar decomposition; directions that the cross-covariance does not have are left out."""
    cross = cross.astype(np.float64)
    values, vectors = np.linalg.eigh(cross @ cross.T)
    keep = values > NULL * values[-1]
    return ((vectors[:, keep] / np.sqrt(values[keep])) @ (vectors[:, keep].T @ cross)).astype(np.float32)
