"""What an aligner gives beside its shared space: rows in the other side's own space, and a score with all metrics."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.data import Pairs
from gera_jax.evaluation import chance_level
from gera_jax.evaluation.split import Interval, over_pairs, recall_interval, split_metrics

STRENGTHS = 10.0 ** np.arange(-12, 5)  # of the ridge, in shares of the inputs' mean square; without end it gives the mean
MOST_PAIRS = 4_000  # that a map is estimated from, evenly spread
NEGLIGIBLE = 1e-12
ROUNDING = 1e-9  # of 1 - leverage, in float64


@dataclasses.dataclass(frozen=True)
class Predictor:
    """y = y_mean + (x - x_mean) W, by the ridge regression W = (X'X + g I)^-1 X'Y on the centred training pairs.

    >>> rng = np.random.default_rng(0); x = rng.normal(size=(50, 4)); y = 3 + x @ rng.normal(size=(4, 6))
    >>> bool(np.allclose(Predictor.fit(x, y)(x), y, atol=1e-6))
    True

    g minimises the squared error of the pairs that are left out one at a time, which has a closed form: (y - prediction) /
    (1 - leverage). Where no g is better than the mean of y, W is 0.

    The rows are raw ones, because the shared space was fitted on the same pairs: there they look easier than new rows are.
    """

    x_mean: np.ndarray
    y_mean: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, x: Any, y: Any) -> Predictor:
        """From training pairs x [p, dx] and y [p, dy], row by row."""
        index = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_PAIRS)).astype(int))
        x, y = (np.asarray(rows)[index].astype(np.float64) for rows in (x, y))
        return cls(x.mean(0), y.mean(0), ridge(x, y)[1])

    def __call__(self, x: Any) -> np.ndarray:
        """[n, dy] for rows x [n, dx]."""
        return self.y_mean + (np.asarray(x, np.float64) - self.x_mean) @ self.weights


class Predictors:
    """The maps of x to y and of y to x, estimated from training pairs when they are first asked for."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self._pairs = x, y

    @functools.cached_property
    def maps(self) -> tuple[Predictor, Predictor]:
        """The map of each side's rows to the other side."""
        x, y = self._pairs
        return Predictor.fit(x, y), Predictor.fit(y, x)

    def to_arrays(self) -> dict[str, Any]:
        return dict(maps=self.maps)  # the pairs themselves are not kept

    @classmethod
    def from_arrays(cls, arrays: Any) -> Predictors:
        made = cls.__new__(cls)
        made.maps = arrays["maps"]
        return made

    def __reduce__(self) -> tuple:
        return Predictors.from_arrays, (self.to_arrays(),)


def ridge(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Leave-one-out error of the best strength, and the weights [dx, dy] at it."""
    p = len(x)
    left, s, right = np.linalg.svd(x - x.mean(0), full_matrices=False)
    keep = s > NEGLIGIBLE * max(float(s[0]), np.finfo(float).tiny)
    left, s, right = left[:, keep], s[keep], right[keep]
    targets = y - y.mean(0)
    projected, squares = left.T @ targets, s**2
    best = float(((targets * p / (p - 1)) ** 2).sum()), np.zeros((x.shape[1], y.shape[1]))  # the mean of the others
    outside, rest = targets - left @ projected, 1 - 1 / p - (left**2).sum(1)
    fitted = rest < ROUNDING  # pairs that the inputs can meet exactly: what is left is rounding, which the division would blow up
    outside[fitted], rest[fitted] = 0, 0
    for strength in STRENGTHS * squares.sum() / p:
        lost = strength / (squares + strength)
        error = (outside + left @ (lost[:, None] * projected)) / (rest + (left**2) @ lost)[:, None]
        total = float((error**2).sum())
        if total < best[0]:
            best = total, right.T @ ((s / (squares + strength))[:, None] * projected)
    return best


class Score(float, Mapping):  # type: ignore[misc]  # a number to sklearn, a mapping to people
    """The mean R@10 of both directions, and under their names all metrics.

    >>> import numpy as np
    >>> score = Score.of(np.eye(20))
    >>> float(score), score["x_to_y/R@1"], score.chance["mean/R@10"], score.interval
    (1.0, 1.0, 0.5, Interval(low=1.0, high=1.0))
    >>> print(score)
              R@1     R@5    R@10   median rank
    x to y  100.0%  100.0%  100.0%             1
    y to x  100.0%  100.0%  100.0%             1
    chance    5.0%   25.0%   50.0%          10.5
    FOSCTTM 0.000 (chance 0.5); mean R@10 in [100.0%, 100.0%] (95%)

    Attributes:
      metrics: the keys and values of the mapping.
      chance: what a random order of the gallery scores on average, under the same keys.
      interval: 95 % interval of the mean R@10 from a bootstrap over the items; NaN of three modalities.
    """

    metrics: dict[str, float]
    chance: dict[str, float]
    interval: Interval
    names: tuple[str, ...]

    def __new__(
        cls, metrics: Mapping[str, float], chance: Mapping[str, float], interval: Any, names: tuple[str, ...] = ("x", "y")
    ) -> Score:
        made = super().__new__(cls, metrics["mean/R@10"])
        made.metrics, made.chance, made.interval, made.names = dict(metrics), dict(chance), Interval(*interval), tuple(names)
        return made

    @classmethod
    def of(cls, scores: Any, *, x_groups: Any = None, y_groups: Any = None, names: tuple[str, str] = ("x", "y")) -> Score:
        """Of a matrix of scores [n, m]; see `evaluation.split.split_metrics`."""
        groups = dict(x_groups=x_groups, y_groups=y_groups)
        metrics = split_metrics(scores, **groups, names=names)
        chance = chance_level(*(() if x_groups is not None else (scores.shape[0],)), **groups, names=names)
        return cls(metrics, {key: chance[key] for key in metrics}, recall_interval(scores, **groups), names)

    @classmethod
    def over(cls, scores: Sequence[Score]) -> Score:
        """Of three modalities, from the scores of each two; there is no interval of a mean over them."""
        metrics, chance = (
            over_pairs({(one.names[0], one.names[1]): getattr(one, word) for one in scores}) for word in ("metrics", "chance")
        )
        names = tuple(dict.fromkeys(name for one in scores for name in one.names))
        return cls(metrics, chance, (float("nan"), float("nan")), names)

    def __getitem__(self, key: str) -> float:
        return self.metrics[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __reduce__(self) -> tuple:
        return Score, (self.metrics, self.chance, tuple(self.interval), self.names)

    def __str__(self) -> str:
        found = [key.removesuffix("/R@1") for key in self if key.endswith("/R@1") and not key.endswith("mean/R@1")]
        rows = {key.rpartition("/")[2].replace("_to_", " to "): (self.metrics, key) for key in found}
        rows |= {"mean": (self.metrics, "mean")} if len(self.names) > 2 else {}
        rows["chance"] = self.chance, "mean"
        wide = max(map(len, rows))
        lines = [" " * wide + "     R@1     R@5    R@10   median rank"]
        for label, (found, key) in rows.items():
            recalls = "".join(f"{100 * found[f'{key}/R@{k}']:7.1f}%" for k in (1, 5, 10))
            lines.append(f"{label:<{wide}}{recalls}{found[f'{key}/median_rank']:>14g}")
        low, high = self.interval
        tail = "" if math.isnan(low) else f"; mean R@10 in [{100 * low:.1f}%, {100 * high:.1f}%] (95%)"
        return "\n".join([*lines, f"FOSCTTM {self.metrics['foscttm']:.3f} (chance 0.5){tail}"])


def score_pairs(pairs: Pairs, names: Sequence[str], scores: Callable[..., Any]) -> Score:
    """Of two modalities; of three over each two, on the pairs that have both.

    Args:
      scores: (a, b, raw rows of modality a, raw rows of modality b) -> [n, m].
    """
    found = []
    for (a, b), rows, (x_groups, y_groups) in pairs.couples():
        raw = [pairs.tables[side].rows[own] for side, own in zip((a, b), rows, strict=True)]
        found.append(Score.of(scores(a, b, *raw), x_groups=x_groups, y_groups=y_groups, names=(names[a], names[b])))
    return found[0] if len(names) == 2 else Score.over(found)
