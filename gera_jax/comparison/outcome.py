"""What a comparison found: means, paired differences, the recommendation, and what more pairs would bring."""

from __future__ import annotations

import dataclasses
import importlib
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import require, require_known
from gera_jax.comparison.statistics import (
    Chance,
    Hidden,
    LearningCurve,
    Prediction,
    Worth,
    hide_last,
    independent_items,
    label_efficiency,
)
from gera_jax.comparison.sweep import Cell
from gera_jax.comparison.task import goodness

POINTS = ("mean/R@1", "mean/R@10", "foscttm")  # what differences are taken of
YARDSTICK = "ridge_cca"  # whose pairs are counted where it was compared
DEFAULT = "auto"  # recommended unless another method is better beyond an interval


class Interval(NamedTuple):
    """A mean over seeds with its 95 % Student interval; half is NaN for one seed."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float], *, among: int = 1) -> Interval:
        """The interval of one mean; with `among` = k it is wide enough that all of k such intervals hold at once (Bonferroni).

        >>> interval = Interval.of([1.0, 2.0, 3.0])
        >>> interval.mean, round(interval.half, 2), round(Interval.of([1.0, 2.0, 3.0], among=10).half, 2)
        (2.0, 2.48, 8.13)
        """
        from scipy import stats

        values = np.asarray(values, np.float64)
        n = len(values)
        half = float(stats.t.ppf(1 - 0.025 / among, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        return cls(float(values.mean()) if n else math.nan, half)


class Difference(NamedTuple):
    """A method minus the reference, over the seeds that both have; positive is better for recall, negative for FOSCTTM."""

    method: str
    reference: str
    pairs: int
    values: Mapping[str, Interval]


def recommend(validation: Mapping[str, Sequence[float]], default: str = DEFAULT) -> str:
    """The method to use, from validation scores alone (higher is better, one score a seed, the same seeds for all methods).

    It is the default unless the best of the others exceeds it by more than a 95 % interval of the paired difference over seeds,
    wide enough for all others at once. Without the default it is the method of the best mean; "" of no methods. With one seed
    there is no interval, so the default stays.

    What this rule loses against the best method of a cell: `python -m benchmarks.recommendation`, docs/guides/compare.md.

    >>> recommend({"auto": [0.50, 0.52, 0.51], "other": [0.53, 0.50, 0.52]})
    'auto'
    >>> recommend({"auto": [0.50, 0.52, 0.51], "other": [0.60, 0.62, 0.61]})
    'other'
    """
    means = {method: float(np.mean(scores)) for method, scores in validation.items()}
    best = max(means, key=lambda method: -math.inf if math.isnan(means[method]) else means[method], default="")
    if default not in validation or best == default:
        return best
    lead = np.subtract(validation[best], validation[default])
    interval = Interval.of(lead, among=max(1, len(validation) - 1))
    return best if interval.mean > interval.half else default


@dataclasses.dataclass
class Comparison:
    """Every cell of a sweep and what follows from them.

    Args:
      names: the two modalities.
      labels: method -> name for people; published: the methods that count as baselines.
      cells: of `sweep`.
      gallery: test rows of the direction that has more of them.
      metric: by which settings, the reference and the recommendation are chosen, on validation rows.
      meet: items that have rows of both modalities, of which each seed draws its test items; 0 = not known.
      info: how it was made, for the report.
    """

    names: tuple[str, str]
    labels: Mapping[str, str]
    published: frozenset[str]
    counts: tuple[int, ...]
    seeds: tuple[int, ...]
    cells: list[Cell]
    gallery: int
    metric: str
    meet: int = 0
    info: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by = {(cell.method, cell.pairs, cell.seed): cell for cell in self.cells if not cell.error}

    @property
    def failures(self) -> list[Cell]:
        """Cells whose method could not be fitted."""
        return [cell for cell in self.cells if cell.error]

    def at(self, method: str, pairs: int) -> list[Cell]:
        """The cells of the seeds that a method has at a count.

        Raises:
          InputError: a method or a count that was not compared.
        """
        require_known(method, self.labels, "method")
        require(pairs in self.counts, "pairs", got=pairs, wanted=f"a count of the comparison: {', '.join(map(str, self.counts))}")
        return [self._by[method, pairs, seed] for seed in self.seeds if (method, pairs, seed) in self._by]

    def values(self, method: str, pairs: int, key: str) -> list[float]:
        """A metric of the test rows, a number a seed."""
        return [cell.metrics[key] for cell in self.at(method, pairs) if key in cell.metrics]

    def mean(self, method: str, pairs: int, key: str) -> Interval:
        """Mean over seeds with its interval; NaN where the method failed with every seed.

        Raises:
          InputError: a method, a count or a metric that is not there.
        """
        for cell in self.at(method, pairs)[:1]:
            require_known(key, cell.metrics, "metric")
        return Interval.of(self.values(method, pairs, key))

    def methods(self, pairs: int | None = None) -> list[str]:
        """Methods that have every seed (at `pairs`, or at every count), in the order of the field."""
        counts = self.counts if pairs is None else (pairs,)
        return [m for m in self.labels if all(len(self.at(m, count)) == len(self.seeds) for count in counts)]

    def validation(self, pairs: int) -> dict[str, list[float]]:
        """Validation scores of the methods that have every seed at a count, a number a seed, higher is better."""
        return {m: [goodness(c.validation, self.metric) for c in self.at(m, pairs)] for m in self.methods(pairs)}

    def best(self, pairs: int, among: Sequence[str] | None = None) -> str:
        """The method of the best mean score on the validation rows at a count, so that no test row has a say; "" if none."""
        scores = self.validation(pairs)
        return recommend({m: scores[m] for m in scores if among is None or m in among}, default="")

    def chance(self, pairs: int, key: str) -> Chance | None:
        """What guessing scores on the test rows at a count, "mean/R@k" or "foscttm"; None where that is not known."""
        cells = [cell for cell in self.cells if cell.pairs == pairs and key in cell.chance]
        if not cells:
            return None
        items = independent_items(min(cell.items for cell in cells), len({cell.seed for cell in cells}), self.meet)
        return Chance.of(key, float(np.mean([cell.chance[key] for cell in cells])), items)

    def beside_chance(self, method: str, pairs: int) -> list[tuple[Chance, float]]:
        """Chance and score of what a method is judged by: its recall (of the `metric`, else R@10) and FOSCTTM."""
        last = self.metric.rsplit("/", 1)[-1]
        keys = (f"mean/{last}" if last.startswith("R@") else "mean/R@10", "foscttm")
        known = [chance for key in keys if (chance := self.chance(pairs, key))]
        return [(chance, self.mean(method, pairs, chance.key).mean) for chance in known]

    def winner(self, pairs: int) -> str:
        """The method to use at a count by `recommend`; "" where there is none, or where its test rows are at chance."""
        for method in (recommend(self.validation(pairs)), self.best(pairs)):
            if method and any(chance.beaten_by(score) for chance, score in self.beside_chance(method, pairs)):
                return method
        return ""

    @property
    def recommended(self) -> str:
        """The method to use at the largest count, see `recommend`; "" where `reason` says why there is none."""
        return self.winner(self.counts[-1])

    @property
    def why(self) -> str:
        """In words, why `recommended` is recommended."""
        top, last = self.recommended, self.counts[-1]
        if not top:
            return self.reason
        ahead, label = self.best(last), self.labels[top]
        if DEFAULT not in self.validation(last):
            return f"{label} has the best mean {self.metric} on the validation rows."
        if top != DEFAULT:
            return f"On the validation rows {label} is better than {self.labels[DEFAULT]} beyond a 95 % interval over seeds."
        if ahead == top:
            return f"{label} is the default, and the best on the validation rows."
        lead = f"{self.labels[ahead]} is better on the validation rows, but not beyond a 95 % interval over seeds"
        return f"{label} is the default; {lead}." if len(self.seeds) > 1 else f"{label} is the default; one seed cannot say more."

    @property
    def reason(self) -> str:
        """Why no method is recommended, in words; "" where one is."""
        last = self.counts[-1]
        best = self.best(last)
        if self.recommended:
            return ""
        if not best:
            first = next(iter(self.failures), None)
            return "No method could be fitted with every seed." + (
                f" {self.labels[first.method]}: {first.error}" if first else ""
            )
        scores = " and ".join(chance.beside(score) for chance, score in self.beside_chance(best, last))
        look = f" Look: {'; '.join(self.info['look'])}" if self.info.get("look") else ""
        return (
            f"No method is better than chance, so none is recommended: with {last:,} pairs the best on the validation rows, "
            f"{self.labels[best]}, has {scores} on the test rows. Likely causes: ids that do not name the same item on both "
            f"sides, rows in another order than their ids, another array than was meant, or too few pairs.{look}"
        )

    def kept_start(self, method: str, pairs: int) -> int:
        """In how many seeds a trained method kept what it started from, because no step was better on the validation rows."""
        return sum(cell.best_step == 0 for cell in self.at(method, pairs))

    def start_note(self, method: str, pairs: int) -> str:
        """`kept_start` in words."""
        return (
            f"{self.labels[method]}: in {self.kept_start(method, pairs)} of {len(self.at(method, pairs))} seeds no training step "
            "was better on the validation rows than its start, so these are the start's numbers"
        )

    def reference(self, pairs: int) -> str:
        """The best published method at a count."""
        return self.best(pairs, [m for m in self.labels if m in self.published])

    def differences(self, pairs: int) -> list[Difference]:
        """Every method against the reference at a count."""
        reference = self.reference(pairs)
        found = []
        for method in self.methods(pairs) if reference else ():
            if method != reference:
                own, other = self.at(method, pairs), self.at(reference, pairs)
                values = {
                    key: Interval.of([a.metrics[key] - b.metrics[key] for a, b in zip(own, other, strict=True)]) for key in POINTS
                }
                found.append(Difference(method, reference, pairs, values))
        return found

    def grid(self, method: str, key: str) -> np.ndarray:
        """[seeds, counts] of a method that has every cell."""
        return np.array([[self._by[method, count, seed].metrics[key] for count in self.counts] for seed in self.seeds])

    def curve(self, method: str, key: str) -> LearningCurve | None:
        """The fitted learning curve of a method; None where it has fewer than 2 counts or lacks a cell."""
        if len(self.counts) < 2 or method not in self.methods():
            return None
        return LearningCurve.fit(self.counts, self.grid(method, key), gallery=self.gallery)

    def hidden(self, key: str) -> dict[str, Hidden]:
        """For each method with enough counts: the largest count, hidden from the fit and predicted."""
        found = {m: hide_last(self.counts, self.grid(m, key), gallery=self.gallery) for m in self.methods()}
        return {m: check for m, check in found.items() if check is not None}

    def more_pairs(self) -> list[tuple[int, dict[str, Prediction]]]:
        """What the recommended method would reach with more pairs than were known: half as many again, and twice as many."""
        largest = self.counts[-1]
        curves = {key: self.curve(self.recommended, key) for key in ("mean/R@1", "mean/R@10")} if self.recommended else {}
        if not curves or any(curve is None for curve in curves.values()):
            return []
        targets = sorted({largest, _round(largest * 1.5), 2 * largest})
        return [(target, {key: curve.predict(target) for key, curve in curves.items()}) for target in targets]

    def worth(self, method: str, key: str = "mean/R@10") -> tuple[str, list[Worth]]:
        """At each count, how many times the pairs the yardstick needs for a method's score: the yardstick, and the factors.

        The yardstick is ridge CCA, or the best published method where that was not compared. The list is empty where a curve of
        at least 3 counts cannot be drawn, and where a method would be its own yardstick.
        """
        other = YARDSTICK if YARDSTICK in self.labels else self.reference(self.counts[-1])
        if len(self.counts) < 3 or method == other or not {method, other} <= set(self.methods()):
            return other, []
        return other, label_efficiency(self.counts, self.grid(method, key), self.grid(other, key), gallery=self.gallery)

    def report(self, path: str | os.PathLike) -> Path:
        """Write the comparison as one self-contained page and return its path."""
        return importlib.import_module("gera_jax.reports").write(self, path)  # a room above this one, so by its name

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Comparison:
        """The comparison that `to_dict` gave, such as the content of a `results.json`."""
        return cls(
            names=tuple(content["names"]),
            labels=dict(content["labels"]),
            published=frozenset(content["published"]),
            counts=tuple(content["counts"]),
            seeds=tuple(content["seeds"]),
            cells=[Cell(**cell) for cell in content["cells"]],
            **{name: content[name] for name in ("gallery", "metric", "meet", "info")},
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        summary = [
            dict(
                method=m,
                pairs=count,
                seeds=len(self.at(m, count)),
                cpu_seconds=float(np.mean([cell.cpu_seconds for cell in self.at(m, count)])),
                validation=float(np.mean([cell.validation for cell in self.at(m, count)])),
                **{key: self.mean(m, count, key)._asdict() for key in self.at(m, count)[0].metrics},
            )
            for count in self.counts
            for m in self.labels
            if self.at(m, count)
        ]
        return dict(
            info=self.info,
            names=list(self.names),
            labels=dict(self.labels),
            published=sorted(self.published),
            counts=list(self.counts),
            seeds=list(self.seeds),
            gallery=self.gallery,
            metric=self.metric,
            meet=self.meet,
            recommended=self.recommended or None,
            reason=self.reason,
            chance={str(c): {key: chance._asdict() for key in POINTS if (chance := self.chance(c, key))} for c in self.counts},
            references={str(c): self.reference(c) for c in self.counts},
            summary=summary,
            differences=[
                dict(
                    method=d.method,
                    reference=d.reference,
                    pairs=d.pairs,
                    **{key: value._asdict() for key, value in d.values.items()},
                )
                for count in self.counts
                for d in self.differences(count)
            ],
            more_pairs=[
                dict(pairs=pairs, **{key: p._asdict() for key, p in found.items()}) for pairs, found in self.more_pairs()
            ],
            hidden={
                key: {
                    m: dict(
                        predicted=h.prediction._asdict(),
                        mean=h.mean,
                        runs=h.runs,
                        mean_inside=h.mean_inside,
                        runs_inside=h.runs_inside,
                    )
                    for m, h in self.hidden(key).items()
                }
                for key in ("mean/R@1", "mean/R@10")
            },
            cells=[dataclasses.asdict(cell) for cell in self.cells],
        )


def _round(number: float) -> int:
    """To two leading digits.

    >>> _round(1234.0), _round(75)
    (1200, 75)
    """
    step = 10 ** max(0, len(str(int(number))) - 2)
    return int(round(number / step) * step)
