"""What a comparison found: the rows, and everything that its report shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from gera_jax.comparison.chance import Chance


@dataclass(frozen=True)
class Row:
    """One trained (or fitted) method on one number of pairs with one seed, measured on the test items."""

    method: str
    start: str  # what it starts from, "random" or a baseline's name; "" where the question does not arise
    pairs: int
    seed: int
    metrics: Mapping[str, float]  # names as in `columns`; others are kept and not shown
    seconds: float
    best_step: int | None = None  # of a trained method: the step that was kept, 0 = its start

    @property
    def label(self) -> str:
        """The name in tables and pictures.

        >>> Row("gera", "ridge_cca", 100, 0, {}, 1.0).label
        'gera, from ridge_cca'
        """
        return f"{self.method}, from {self.start}" if self.start else self.method


@dataclass
class QuickstartResults:
    """Everything that `write_report` shows; whatever is left empty is left out."""

    rows: list[Row]
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # label -> rows of metrics.jsonl
    picture: dict[str, Any] = field(default_factory=dict)  # x [n, 2], y [n, 2], labels [n]
    examples: list[dict[str, Any]] = field(default_factory=list)  # query, truth, found: list[str], rank (from 1)
    names: tuple[str, str] = ("x", "y")
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)  # command, versions, split, times, config, ...
    test_items: int = 0  # how many items the metrics were measured on; 0 = not told
    chance: Mapping[str, float] = field(default_factory=dict)  # of `training.overview.guessing`
    headline: str = ""  # "" = written from the rows


@dataclass(frozen=True)
class Column:
    """A metric in the table: its key in `Row.metrics`, its heading, its unit and its good direction."""

    key: str
    group: str  # the heading above, shared by neighbours of one kind
    name: str  # the heading of this column
    percent: bool = True
    higher_is_better: bool = True

    def text(self, value: float) -> str:
        if not math.isfinite(value):
            return "-"
        return f"{100 * value:.1f}" if self.percent else f"{value:.3f}"


def columns(names: Sequence[str]) -> list[Column]:
    """The table's metrics, in order; `names` are the two modalities.

    >>> [column.key for column in columns(("image", "text"))][::3]
    ['image_to_text/R@1', 'text_to_image/R@1', 'foscttm']
    """
    x, y = names
    both = [Column(f"{a}_to_{b}/R@{k}", f"{a} to {b}", f"R@{k}") for a, b in ((x, y), (y, x)) for k in (1, 5, 10)]
    kept = [Column(f"neighbours_kept/{name}", "neighbours kept", name) for name in names]
    return [*both, Column("foscttm", "", "FOSCTTM", percent=False, higher_is_better=False), *kept]


def mean_recall(metrics: Mapping[str, float], names: Sequence[str], k: int = 10) -> float:
    """R@k averaged over both directions; NaN where it was not measured."""
    x, y = names
    both = [metrics.get(key, math.nan) for key in (f"{x}_to_{y}/R@{k}", f"{y}_to_{x}/R@{k}")]
    return math.fsum(both) / 2 if all(math.isfinite(v) for v in both) else metrics.get(f"mean/R@{k}", math.nan)


@dataclass(frozen=True)
class Summary:
    """The rows of one method, start and number of pairs: means over seeds."""

    label: str
    pairs: int
    seeds: int
    metrics: Mapping[str, float]
    spread: Mapping[str, float]  # standard deviation over seeds; empty for one seed
    seconds: float
    kept_start: int = 0  # in how many seeds no step was better on the validation rows than the start


def summarize(rows: Iterable[Row]) -> list[Summary]:
    """Means over seeds, fewest pairs first, methods in the order in which they came."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.pairs, row.label), []).append(row)
    summaries = []
    for (pairs, label), group in sorted(groups.items(), key=lambda item: item[0][0]):
        values = {key: [row.metrics[key] for row in group if key in row.metrics] for key in group[0].metrics}
        values = {key: found for key, found in values.items() if found}
        summaries.append(
            Summary(
                label=label,
                pairs=pairs,
                seeds=len(group),
                metrics={key: fmean(found) for key, found in values.items()},
                spread={key: stdev(found) for key, found in values.items() if len(found) > 1},
                seconds=fmean(row.seconds for row in group),
                kept_start=sum(row.best_step == 0 for row in group),
            )
        )
    return summaries


def best(summaries: Sequence[Summary], column: Column) -> set[str]:
    """The labels whose printed value of `column` is the best among `summaries`; equal print is equal."""
    shown = {s.label: column.text(s.metrics[column.key]) for s in summaries if column.key in s.metrics}
    numbers = {label: float(text) for label, text in shown.items() if text != "-"}
    if len(numbers) < 2:  # nothing to be better than
        return set()
    target = max(numbers.values()) if column.higher_is_better else min(numbers.values())
    return {label for label, number in numbers.items() if number == target}


KEPT_START = "no training step was better on the validation rows than the start, so these are the start's numbers"


def headline(results: QuickstartResults) -> str:
    """One sentence of what was found at the fewest pairs, and whether the gap is more than noise."""
    if results.headline:
        return results.headline
    found = summarize(results.rows)
    scored = [
        (mean_recall(s.metrics, results.names), s)
        for s in found
        if s.pairs == found[0].pairs and math.isfinite(mean_recall(s.metrics, results.names))
    ]
    if not scored:
        return "No retrieval numbers were measured."
    scored.sort(key=lambda pair: -pair[0])
    top, first = scored[0]
    guess = results.chance.get("mean/R@10")
    if guess is not None and not Chance.of("mean/R@10", guess, results.test_items).beaten_by(top):
        told = Chance.of("mean/R@10", guess, results.test_items).beside(top)
        return f"With {first.pairs:,} known pairs no method is better than chance: the best, {first.label}, has {told}."
    text = f"With {first.pairs:,} known pairs, {first.label} puts the true match among"
    text += f" its first ten for {100 * top:.1f}%"
    text += f" of {results.test_items:,} test items" if results.test_items else " of the test items"
    if len(scored) == 1:
        return text + "."
    second, runner = scored[1]
    text += f"; next is {runner.label} with {100 * second:.1f}%."
    noise = _noise(top, second, results.test_items)
    if noise:
        verdict = "larger than" if top - second > noise else "within"
        text += f" The gap of {100 * (top - second):.1f} points is {verdict} the noise of so many test items"
        text += f" (±{100 * noise:.1f} points)."
    return text


def _noise(p: float, q: float, n: int) -> float:
    """Two standard errors of a difference of proportions as if independent: wider than a paired test's."""
    return 2 * math.sqrt((p * (1 - p) + q * (1 - q)) / n) if n else 0.0
