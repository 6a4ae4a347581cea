"""What `Aligner.score` gives: a number that also holds all metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.data import Pairs
from gera_jax.evaluation import chance_level
from gera_jax.evaluation.split import Interval, over_pairs, recall_interval, split_metrics


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
    for a, b in itertools.combinations(range(len(names)), 2):
        both = pairs.rows[(pairs.rows[:, [a, b]] >= 0).all(1)]
        if len(names) > 2 and len(both) < 2:
            continue
        at = {side: np.unique(both[:, side]) for side in (a, b)}
        rows = [pairs.tables[side].rows[index] for side, index in at.items()]
        x_groups, y_groups = (pairs.groups[side][index] for side, index in at.items())
        found.append(Score.of(scores(a, b, *rows), x_groups=x_groups, y_groups=y_groups, names=(names[a], names[b])))
    return found[0] if len(names) == 2 else Score.over(found)
