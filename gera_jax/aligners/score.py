"""What `Aligner.score` gives: a number that also holds all metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gera_jax.evaluation import chance_level
from gera_jax.evaluation.split import Interval, recall_interval, split_metrics


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
      interval: 95 % interval of the mean R@10 from a bootstrap over the items.
    """

    metrics: dict[str, float]
    chance: dict[str, float]
    interval: Interval
    names: tuple[str, str]

    def __new__(
        cls, metrics: Mapping[str, float], chance: Mapping[str, float], interval: Any, names: tuple[str, str] = ("x", "y")
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

    def __getitem__(self, key: str) -> float:
        return self.metrics[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __reduce__(self) -> tuple:
        return Score, (self.metrics, self.chance, tuple(self.interval), self.names)

    def __str__(self) -> str:
        x, y = self.names
        rows = {
            f"{x} to {y}": (self.metrics, f"{x}_to_{y}"),
            f"{y} to {x}": (self.metrics, f"{y}_to_{x}"),
            "chance": (self.chance, "mean"),
        }
        wide = max(map(len, rows))
        lines = [" " * wide + "     R@1     R@5    R@10   median rank"]
        for label, (found, key) in rows.items():
            recalls = "".join(f"{100 * found[f'{key}/R@{k}']:7.1f}%" for k in (1, 5, 10))
            lines.append(f"{label:<{wide}}{recalls}{found[f'{key}/median_rank']:>14g}")
        low, high = self.interval
        tail = f"mean R@10 in [{100 * low:.1f}%, {100 * high:.1f}%] (95%)"
        return "\n".join([*lines, f"FOSCTTM {self.metrics['foscttm']:.3f} (chance 0.5); {tail}"])
