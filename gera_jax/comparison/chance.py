"""The score of guessing and the best score that guessing may reach by luck. A result within it is not recommended."""

from __future__ import annotations

import math
from typing import NamedTuple

LUCK = 3.0  # standard deviations


class Chance(NamedTuple):
    """A metric under guessing: the mean, and the best value that luck may reach."""

    key: str
    mean: float
    luck: float

    @classmethod
    def of(cls, key: str, mean: float, items: float) -> Chance:
        """Chance of "mean/R@k" or "foscttm" on so many independent items.

        If partners are drawn at random, a recall p of n items has at most the variance p (1 - p) / (n - 1), and FOSCTTM
        1 / 12 (n - 1), whatever the scores are: Hoeffding's variance of a sum over a random permutation, for a matrix of hits
        (of shares that are closer) whose rows have the mean p (1/2). `luck` is `LUCK` such deviations from the mean.

        Source: Hoeffding, "A combinatorial central limit theorem" (Ann. Math. Statist. 1951).

        >>> Chance.of("mean/R@10", 0.02, 401)
        Chance(key='mean/R@10', mean=0.02, luck=0.041)
        """
        deviation = math.sqrt((1 / 12 if key == "foscttm" else mean * (1 - mean)) / max(items - 1, 1e-9))
        luck = max(0.0, mean - LUCK * deviation) if key == "foscttm" else min(1.0, mean + LUCK * deviation)
        return cls(key, mean, round(luck, 12))

    def beaten_by(self, value: float) -> bool:
        """Whether a value lies beyond luck.

        >>> Chance.of("foscttm", 0.5, 401).beaten_by(0.45), Chance.of("foscttm", 0.5, 401).beaten_by(0.46)
        (True, False)
        """
        return value < self.luck if self.key == "foscttm" else value > self.luck

    def beside(self, value: float) -> str:
        """A value and its chance, in words.

        >>> Chance.of("mean/R@10", 0.02, 401).beside(0.03)
        'R@10 3.0% (guessing 2.0%, by luck up to 4.1%)'
        """
        if self.key == "foscttm":
            return f"FOSCTTM {value:.2f} (guessing {self.mean:.2f}, by luck down to {self.luck:.2f})"
        name = self.key.removeprefix("mean/")
        return f"{name} {100 * value:.1f}% (guessing {100 * self.mean:.1f}%, by luck up to {100 * self.luck:.1f}%)"


def independent_items(items: float, seeds: int, of: float) -> float:
    """How many independent items `seeds` test sets of `items` each hold, if every seed draws them from the same `of` items.

    >>> independent_items(25, 1, 100), round(independent_items(25, 5, 100), 1), independent_items(25, 5, 25)
    (25.0, 62.5, 25.0)
    """
    return items / (1 / seeds + (1 - 1 / seeds) * items / max(items, of))
