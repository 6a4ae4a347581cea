"""The map of one space into another: from pairs, from all rows of the one, and from unpaired rows of the other.

1. Features of a row, of which leave-one-out errors choose: the row; or its direction u from the mean of its side, and the
   direction s of u plus the mean of its 10 nearest rows of that side; or these and Gaussian kernels of both at landmarks of that
   side. So the unpaired rows say where the data lie.
2. With unpaired rows of the other side a rotation is matched (`matching`). It is a prior: a ridge regression from the features,
   with the strength of the least leave-one-out error, gives what the pairs say beyond c times the matched row. For that the
   pairs' matched rows come from rotations that went on without them, and c is the first of PRIORS that does not raise the
   error by more than MARGIN, or 0, so that foreign rows do no harm.
3. The rows are multiplied by (S + tr(S)/d I)^(-1/4), S the covariance of the pairs' targets, which lies between the regression of
   y on x and that of x on y, and their mean is added.
4. What came out for the rows of the side is learned by a kernel ridge from u alone, so that a new row needs no neighbours.
   A map that is linear in the rows stays as it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from gera_jax.aligners.outputs import ridge
from gera_jax.bridge.folder import Bridge, Map
from gera_jax.bridge.matching import match
from gera_jax.bridge.rows import Rows
from gera_jax.checks import whole
from gera_jax.solvers.auto.search import nearest_within
from gera_jax.solvers.kernel_cca import inverse_root
from gera_jax.solvers.linear import ROWS, even, from_mean, mean_row, unit_rows

Array = np.ndarray
POOL = 20_000  # rows of a side that a map is fitted with
SMOOTHED = 1_000  # rows of a side from which on neighbours are used
NEIGHBOURS = 10
LANDMARKS = 1_000  # of the features; the final map has twice as many
WIDTH = 0.5  # of the kernel, in units of 1 - cosine
LINEAR = "the rows themselves"
LOGGED = 100  # unpaired rows of the new model from which on they are matched
FOLDS = 2
PRIORS = (0.7, 0.4)  # c, the first of them that MARGIN allows
MARGIN = 1.1  # squared errors say less than ranks of what a rotation is worth; foreign rows raise them far more
POWER = 0.25
STUDENT = 1e-3  # ridge of the final map, relative to the mean eigenvalue


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A map, what was chosen in words, and the leave-one-out error of the pairs in shares of their variance."""

    map: Map
    chosen: str
    error: float


def fit(
    old: Any,
    new: Any,
    *,
    queries: Any = None,
    old_ids: Any = None,
    new_ids: Any = None,
    drop_suspects: bool = False,
    seed: int = 0,
) -> Bridge:
    """Fit the maps between an old and a new model's space, rows to rows of length 1 (see the top of this module).

    Args:
      old: [n, dx] the index under the old model, whatever `load_pairs` takes.
      new: [p, dy] some of its rows under the new model, by id; p >= 10.
      queries: [q, dy] rows of the new model without a partner, such as logged queries. They make few pairs worth many.
      drop_suspects: leave out pairs that seem to be none.
      seed: of folds and draws.

    Returns:
      `Bridge`: `.forward(rows)` [m, dx] -> [m, dy], `.backward(rows)` [m, dy] -> [m, dx], `.save(folder)`, and `.card`, what was
      chosen. A fit takes 7 to 18 CPU seconds for an index of 12,000 rows; at most 20,000 rows of the index are used.

    Raises:
      InputError: see `Rows.read`; pairs that the map of the others puts far from where they are (with their ids).

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(300, 5)); new = z @ rng.normal(size=(5, 8))
    >>> bridge = fit(z, new[:100], old_ids=range(300), new_ids=range(100))
    >>> found, want = bridge.forward(z[200:]), unit_rows(new[200:])
    >>> bool((found @ want.T).argmax(axis=1).tolist() == list(range(100)))
    True

    Source: this library, from ridge regression, `KernelCCA`'s features and the matching of `bridge.matching`; figures in
    docs/results/bridge.md.
    """
    whole(seed, "seed")
    rows = Rows.read(old, new, queries=queries, old_ids=old_ids, new_ids=new_ids)
    return fit_rows(rows.without_suspects(drop=drop_suspects), seed=seed)


def fit_rows(rows: Rows, *, seed: int = 0, ways: tuple[str, ...] = ("forward", "backward")) -> Bridge:
    """`fit` on rows that are read already; a way that is not asked for is None."""
    others = np.delete(np.arange(len(rows.old)), rows.at)
    index = np.asarray(rows.old[others[even(len(others), POOL)]], np.float32)
    old, new = Side(rows.pairs, index), Side(rows.new, rows.queries)
    turns = rotations(old, new, seed) if len(rows.queries) >= LOGGED else None
    back = None if turns is None else Turns(turns.whole.T, [(held, turn.T) for held, turn in turns.folds])
    made = {way: fit_map(old, rows.new, turns) if way == "forward" else fit_map(new, rows.pairs, back) for way in ways}
    card = dict(
        old_width=rows.old.shape[1],
        new_width=rows.new.shape[1],
        index=len(rows.old),
        pairs=len(rows),
        queries=len(rows.queries),
        maps={way: dict(chosen=found.chosen, error=found.error) for way, found in made.items()},
    )
    return Bridge(*(made[way].map if way in made else None for way in ("forward", "backward")), card)


def fit_map(side: Side, y: Array, turns: Turns | None = None) -> Fitted:
    """The map of rows like those of a side to rows like y [p, dy], the targets of its pairs."""
    mean = y.mean(axis=0, dtype=np.float64)
    targets = y - mean
    total, best = float((targets**2).sum()), None
    honest = np.zeros(targets.shape)
    for held, turn in turns.folds if turns is not None else ():
        honest[held] = side.directions[held] @ turn
    for share in (0.0,) if turns is None else (0.0, *PRIORS):
        if best is not None and best.share > share:
            break
        for name, features in side.features():
            known = features[: side.pairs].astype(np.float64)
            error, weights = ridge(known, targets - share * honest)
            if best is None or error < (MARGIN if share > best.share else 1.0) * best.error:
                best = _Choice(error, share, name, known.mean(axis=0), weights, features if name != LINEAR or share else None)
    assert best is not None
    turned = f"{best.share:g} of a matched rotation, and " if best.share else ""
    chosen = f"{turned}ridge on {best.name}; held-out error {best.error / total:.3f} of the variance"
    power = _power(targets)
    weights = best.weights @ power
    if best.features is None:
        return Fitted(linear(best.centre, weights, mean), chosen, best.error / total)
    rows = (best.features - best.centre.astype(np.float32)) @ weights.astype(np.float32)
    if turns is not None and best.share:
        rows = rows + best.share * (
            (side.directions @ turns.whole - honest.mean(axis=0).astype(np.float32)) @ power.astype(np.float32)
        )
    return Fitted(side.learn(rows + np.float32(mean)), chosen, best.error / total)


class _Choice(NamedTuple):
    """The best features and share of the rotation so far; `features` is None where the map is linear in the rows themselves."""

    error: float
    share: float
    name: str
    centre: Array
    weights: Array
    features: Array | None


def linear(mean: Array, weights: Array, offset: Array) -> Map:
    """unit((rows - mean) @ weights + offset)."""
    arrays = dict(mean=mean, weights=weights.astype(np.float32), offset=offset)
    return Map([dict(op="affine", mean="mean", weights="weights", offset="offset"), dict(op="unit")], arrays)


def folds_of(n: int, folds: int, seed: int) -> list[Array]:
    """Row numbers of each fold, of about equal size."""
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(n), folds)]


class Side:
    """The rows that are mapped: those of the pairs first, then others. u and s as above, [n, d] each."""

    def __init__(self, x: Array, pool: Array):
        rows = np.concatenate([x, pool[even(len(pool), max(0, POOL - len(x)))]]).astype(np.float32)
        self.rows, self.pairs, self.mean = rows, len(x), mean_row(rows)
        self._features: list[tuple[str, Array]] = []
        self.u = unit_rows(from_mean(rows, self.mean)).astype(np.float32)
        self.s = None
        if len(rows) >= SMOOTHED:
            near, _ = nearest_within(self.u, NEIGHBOURS)
            mixed = [self.u[i : i + ROWS] + self.u[near[i : i + ROWS]].mean(axis=1) for i in range(0, len(rows), ROWS)]
            self.s = unit_rows(np.concatenate(mixed))

    @property
    def directions(self) -> Array:
        return self.u if self.s is None else self.s

    def landmarks(self, count: int) -> Array:
        """Row numbers: the pairs, then others."""
        own = np.arange(self.pairs)[even(self.pairs, count)]
        rest = np.arange(self.pairs, len(self.u))
        return np.concatenate([own, rest[even(len(rest), count - len(own))] if len(own) < count else rest[:0]])

    def features(self) -> list[tuple[str, Array]]:
        """Features [n, f] from simple to rich, with their names."""
        if not self._features:
            directions = [self.u] if self.s is None else [self.u, self.s]
            at = self.landmarks(LANDMARKS)
            kernels = np.concatenate([*directions, *(_nystrom(rows, rows[at]) for rows in directions)], axis=1)
            smoothed = kernels[:, : sum(rows.shape[1] for rows in directions)]
            self._features = [
                (LINEAR, self.rows),
                ("directions and their neighbours", smoothed),
                ("directions and kernels", kernels),
            ]
        return self._features

    def learn(self, rows: Array) -> Map:
        """The map unit(affine([u, kernel(u, landmarks)])) that comes nearest to `rows` [n, dy] on this side's rows."""
        marks = self.u[self.landmarks(2 * LANDMARKS)]
        inputs = np.concatenate([self.u, _kernel(self.u, marks)], axis=1)
        centre, middle = inputs.mean(axis=0, dtype=np.float64), rows.mean(axis=0, dtype=np.float64)
        gram, cross = np.zeros((inputs.shape[1],) * 2), np.zeros((inputs.shape[1], rows.shape[1]))
        for i in range(0, len(rows), ROWS):
            part = inputs[i : i + ROWS] - centre
            gram += part.T @ part
            cross += part.T @ (rows[i : i + ROWS] - middle)
        gram[np.diag_indices_from(gram)] += STUDENT * np.trace(gram) / len(gram)
        weights = np.linalg.solve(gram, cross)
        width = inputs.shape[1] - len(marks)
        arrays = dict(
            mean=self.mean,
            eye=np.eye(width, dtype=np.float32),
            zeros=np.zeros(width),
            landmarks=marks,
            width=np.array(WIDTH),
            centre=centre,
            weights=weights.astype(np.float32),
            offset=middle,
        )
        steps = [
            dict(op="affine", mean="mean", weights="eye", offset="zeros"),
            dict(op="unit"),
            dict(op="kernel", landmarks="landmarks", width="width"),
            dict(op="affine", mean="centre", weights="weights", offset="offset"),
            dict(op="unit"),
        ]
        return Map(steps, arrays)


def _kernel(rows: Array, landmarks: Array) -> Array:
    return np.exp((rows @ landmarks.T - 1) / np.float32(WIDTH))


def _nystrom(rows: Array, landmarks: Array) -> Array:
    """Features whose products are the kernel, up to what landmarks span."""
    root = inverse_root(_kernel(landmarks, landmarks).astype(np.float64), null=1e-6)  # of kernels in float32
    return _kernel(rows, landmarks) @ root.astype(np.float32)


class Turns(NamedTuple):
    """The matched rotation of all pairs, and for each fold the one that went on without its pairs."""

    whole: Array
    folds: list[tuple[Array, Array]]


def rotations(x: Side, y: Side, seed: int) -> Turns:
    """Of the directions of x to those of y; each kind of row of y, pairs and others, has its own centre."""
    known, pool = (unit_rows(part - part.mean(axis=0)) for part in (y.u[: y.pairs], y.u[y.pairs :]))
    rows, p = x.directions, x.pairs

    whole = match(rows, pool, p, known, seed=seed)
    forgetful = []
    for held in folds_of(p, FOLDS, seed):  # goes on without these pairs: what the others and the matching do not hold is lost
        rest = np.delete(np.arange(p), held)
        others = np.concatenate([rows[rest], rows[p:]])
        forgetful.append((held, match(others, pool, len(rest), known[rest], seed=seed, start=whole)))
    return Turns(whole, forgetful)


def _power(targets: Array) -> Array:
    """(S + tr(S)/d I)^(-POWER), which keeps the mean square of the targets."""
    values, vectors = np.linalg.eigh(targets.T @ targets / len(targets))
    root = (vectors * (np.maximum(values, 0) + values.mean()) ** -POWER) @ vectors.T
    return root * np.sqrt(np.sum(targets**2) / np.sum((targets @ root) ** 2))
