"""The pictures of a comparison with captions that say what is drawn: quality against known pairs, and the learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gera_jax import plots
from gera_jax.comparison.outcome import DEFAULT, Comparison, Interval
from gera_jax.plots import basics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 6  # curves in colour; the other methods are thin grey lines, and in the tables
KEYS = ("mean/R@1", "mean/R@10")


class Picture(NamedTuple):
    """A figure, its caption, and the words that stand for it where it cannot be seen."""

    name: str
    figure: Figure
    caption: str
    alt: str

    @property
    def svg(self) -> str:
        return plots.svg(self.figure, self.name, self.alt)


def named(found: Comparison) -> list[str]:
    """The methods in colour: the recommended, the default, the references, then the best on the validation rows."""
    last = found.counts[-1]
    scores = found.validation(last)
    wanted = [found.recommended, DEFAULT, *(found.reference(count) for count in reversed(found.counts))]
    rest = sorted(scores, key=lambda m: -float(np.mean(scores[m])))
    fitted = [m for m in found.labels if any(found.at(m, count) for count in found.counts)]
    return [m for m in dict.fromkeys([*wanted, *rest, *fitted]) if m in fitted][:NAMED]


def styles(found: Comparison) -> dict[str, tuple[str, str]]:
    """Colour and marker of each method in colour, by its label, the same in every picture of a page."""
    return {found.labels[m]: style for m, style in basics.method_styles(named(found)).items()}


def quality(found: Comparison, key: str = "mean/R@10") -> Picture | None:
    """R@10 against known pairs; None where no method has a number."""
    points = {m: [(c, v) for c in found.counts for v in found.values(m, c, key)] for m in found.labels}
    points = {found.labels[m]: values for m, values in points.items() if values}
    if not points:
        return None
    coloured = [found.labels[m] for m in named(found)]
    others = {label: values for label, values in points.items() if label not in coloured}
    one, several = len(found.counts) == 1, len(found.seeds) > 2
    chance = found.chance(found.counts[-1], key)
    figure = plots.recall_against_pairs(
        {label: points[label] for label in coloured},
        others=others,
        half=_half if several else None,
        styles=styles(found),
        chance=chance and chance.mean,
        heading=f"{key.removeprefix('mean/')}, mean of both directions (%)",
    )
    seeds = f"the mean over {len(found.seeds)} seeds" if len(found.seeds) > 1 else "one seed"
    words = [
        f"Each large mark is {seeds}; " + ("small dots are single seeds." if len(found.seeds) > 1 else "there are no others.")
    ]
    if several and not one:
        words.append("Bands are 95 % intervals of the mean.")
    if others:
        words.append(f"{'Grey marks' if one else 'Thin grey lines'} are the other methods: {', '.join(others)}.")
    if chance:
        words.append("The dotted line is what guessing scores.")
    spoken = "; ".join(
        f"{found.labels[m]}, {c:,} pairs: {100 * found.mean(m, c, key).mean:.1f}%"
        for m in named(found)
        for c in found.counts
        if found.at(m, c)
    )
    return Picture("quality", figure, " ".join(words), f"{key.removeprefix('mean/')} against known pairs. {spoken}.")


def _half(values: Sequence[float]) -> float:
    return Interval.of(values).half if len(values) > 2 else 0.0


def more_pairs(found: Comparison) -> Picture | None:
    """The recommended method's curve beyond the known pairs; None where no curve can be fitted."""
    curves = {key: found.curve(found.recommended, key) for key in KEYS} if found.recommended else {}
    if not curves or any(curve is None for curve in curves.values()):
        return None
    figure, panels = basics.new_figure(7.2, 3.2, top=False, below=1, wide=2)
    last, label = found.counts[-1], found.labels[found.recommended]
    color, marker = styles(found)[label]
    grid = np.geomspace(found.counts[0], 2 * last, 60)
    ends = []
    for (key, curve), axes in zip(curves.items(), panels, strict=True):
        fitted: Any = curve
        at = [fitted.predict(p) for p in grid]
        for low, high, alpha in (("run_low", "run_high", 0.1), ("low", "high", 0.2)):
            below, above = ([100 * getattr(p, name) for p in at] for name in (low, high))
            axes.fill_between(grid, below, above, color=color, alpha=alpha, linewidth=0)
        for part, style in ((grid <= last, "-"), (grid >= last * 0.98, (0, (4, 3)))):
            means = [100 * p.mean for p, inside in zip(at, part, strict=True) if inside]
            axes.plot(grid[part], means, color=color, linewidth=1.8, linestyle=style)
        for count in found.counts:
            values = [100 * v for v in found.values(found.recommended, count, key)]
            axes.scatter([count] * len(values), values, s=12, color=color, marker=marker, linewidths=0, zorder=3)
        axes.axvline(last, color=basics.MUTED, linewidth=1, linestyle=(0, (2, 3)))
        basics.log_counts(axes, (*found.counts, 2 * last))
        axes.set_ylabel(f"{key.removeprefix('mean/')} (%)")
        axes.set_ylim(0, min(100.0, 105 * max(p.run_high for p in at)))
        ends.append(f"{key.removeprefix('mean/')} at {2 * last:,} pairs {100 * at[-1].mean:.1f}%")
    caption = (
        f"{label}. Marks are single seeds. The line is the fitted curve, dashed beyond {last:,} known pairs. "
        "Bands are 95 % intervals: the dark one of the mean over all seeds, the light one of a single run with its own split and "
        "pairs."
    )
    return Picture("more", figure, caption, f"The fitted learning curve of {label} beyond the known pairs: {'; '.join(ends)}.")
