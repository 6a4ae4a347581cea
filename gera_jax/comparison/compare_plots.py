"""Pictures of a comparison: quality against known pairs with intervals, and the fitted learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax import plots
from gera_jax.comparison.outcome import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 6  # methods in colour; the others are thin grey lines, and in the table


def highlighted(found: Comparison, key: str = "mean/R@10") -> list[str]:
    """The methods in colour: the recommended one, the references, then the best by validation at the largest counts."""
    wanted = [found.recommended, *(found.reference(count) for count in reversed(found.counts))]
    rest = sorted(found.methods(), key=lambda m: -found.mean(m, found.counts[-1], key).mean)
    return list(dict.fromkeys(m for m in [*wanted, *rest] if m))[:NAMED]


def quality_curves(found: Comparison, key: str = "mean/R@10", heading: str = "R@10, mean of both directions (%)") -> Figure:
    """One line per method through its means, a band for the 95 % interval over seeds."""
    figure, (axes,) = plots.new_figure(7.2, 4.4)
    coloured, ends = highlighted(found, key), []
    for method in found.labels:
        counts = [c for c in found.counts if found.at(method, c)]
        if method in coloured or not counts:
            continue
        axes.plot(
            counts,
            [100 * found.mean(method, c, key).mean for c in counts],
            color=plots.MUTED,
            linewidth=0.8,
            alpha=0.55,
            zorder=1,
        )
    for index, method in enumerate(coloured):
        counts = [c for c in found.counts if found.at(method, c)]
        color, marker = plots.SERIES[index % len(plots.SERIES)], plots.MARKERS[index % len(plots.MARKERS)]
        means = [found.mean(method, c, key) for c in counts]
        y, half = np.array([100 * m.mean for m in means]), np.array([100 * m.half for m in means])
        axes.plot(
            counts, y, color=color, marker=marker, markersize=4.5, linewidth=2.2 if method == found.recommended else 1.5, zorder=3
        )
        if len(found.seeds) > 2 and np.isfinite(half).all():
            axes.fill_between(counts, y - half, y + half, color=color, alpha=0.13, linewidth=0, zorder=2)
        ends.append((float(counts[-1]), float(y[-1]), found.labels[method], color))
    _log_counts(axes, found.counts)
    axes.set_ylabel(heading)
    axes.set_ylim(0, 1.15 * max(100 * found.mean(m, c, key).mean for m in found.labels for c in found.counts if found.at(m, c)))
    chance = found.chance(found.counts[-1], key)
    plots.chance_line(axes, chance and chance.mean, vertical=False)
    plots.label_ends(axes, ends)
    return figure


def learning_curves(found: Comparison, keys: tuple[str, ...] = ("mean/R@1", "mean/R@10")) -> Figure:
    """The recommended method's curve beyond the known pairs: band = one run, inner band = the mean over all seeds."""
    figure, (axes,) = plots.new_figure(7.2, 3.6)
    last = found.counts[-1]
    grid = np.geomspace(found.counts[0], 2 * last, 60)
    ends = []
    for index, key in enumerate(keys):
        color = plots.SERIES[index]
        curve: Any = found.curve(found.recommended, key)
        at = [curve.predict(p) for p in grid]
        axes.fill_between(
            grid, [100 * p.run_low for p in at], [100 * p.run_high for p in at], color=color, alpha=0.12, linewidth=0
        )
        axes.fill_between(grid, [100 * p.low for p in at], [100 * p.high for p in at], color=color, alpha=0.2, linewidth=0)
        for part, style in ((grid <= last, "-"), (grid >= last * 0.98, (0, (4, 3)))):
            axes.plot(
                grid[part],
                [100 * p.mean for p, inside in zip(at, part, strict=True) if inside],
                color=color,
                linewidth=1.6,
                linestyle=style,
            )
        for count in found.counts:
            values = found.values(found.recommended, count, key)
            axes.scatter([count] * len(values), [100 * v for v in values], s=10, color=color, linewidths=0, zorder=3)
        ends.append((float(grid[-1]), 100 * at[-1].mean, key.removeprefix("mean/"), color))
    axes.axvline(last, color=plots.MUTED, linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate(
        "known so far",
        (last, 1.0),
        (-4, -3),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=plots.MUTED,
    )
    _log_counts(axes, (*found.counts, 2 * last))
    axes.set_ylabel(f"{found.labels[found.recommended]} (%)")
    axes.set_ylim(0, min(100.0, 1.4 * max(end[1] for end in ends)))
    plots.label_ends(axes, ends)
    return figure


def _log_counts(axes: Any, counts: tuple[int, ...]) -> None:
    axes.set_xscale("log")
    shown = [c for i, c in enumerate(counts) if i == 0 or c == counts[-1] or (c > 1.35 * counts[i - 1] and counts[-1] > 1.35 * c)]
    axes.set_xticks(shown, [f"{count:,}" for count in shown])
    axes.minorticks_off()
    axes.set_xlabel("known pairs")
