"""The page of a comparison: what wins at which number of pairs, by how much, what more pairs would bring, and what to do next."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from gera_jax._version import __version__
from gera_jax.comparison.outcome import DEFAULT, Comparison, Interval
from gera_jax.comparison.statistics import coverage
from gera_jax.evaluation.split import CORRECTIONS, NEIGHBOURS, REFERENCE_ROWS, TEMPERATURE
from gera_jax.files import write_text
from gera_jax.plots import basics
from gera_jax.reports import words
from gera_jax.writers import duration

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
        return basics.svg(self.figure, self.name, self.alt)


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
    figure = basics.recall_against_pairs(
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


HUBS = dict(csls="CSLS", inverted_softmax="ISF", csls_gallery="CSLS, gallery", inverted_softmax_gallery="ISF, gallery")


class Entry(NamedTuple):
    """A cell of a table: a number as text, half its interval as text, and "best", "hit" or "miss"."""

    text: str
    small: str = ""
    kind: str = ""
    wide: int = 1


class Table(NamedTuple):
    """Headings in groups, and rows of (name, entries)."""

    label: str
    groups: list[tuple[str, int]]
    heads: list[str]
    rows: list[tuple[str, list[Entry]]]


class Column(NamedTuple):
    """A metric: the heading of its group, its own, its key and whether more is better."""

    group: str
    head: str
    key: str
    up: bool = True


def render(template: str, **content: Any) -> str:
    """A template of this room, filled in; everything that comes from outside is escaped."""
    made = Environment(
        loader=PackageLoader("gera_jax.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["duration"] = duration
    return made.get_template(template).render(version=__version__, **content)


def write(found: Comparison, path: str | os.PathLike) -> Path:
    """Write the comparison as one self-contained page (styles and pictures inside) and return its path."""
    page = render(
        "comparison.html",
        title=f"{found.names[0]} and {found.names[1]}: the best shared space from the pairs there are",
        found=found,
        headline=words.headline(found),
        steps=words.next_steps(found),
        pictures=pictures(found),
        worth=words.worth(found),
        more=more_table(found),
        checked=checked(found),
        blocks=[
            (count, metric_table(found, count), hub_table(found, count), words.notes(found, count)) for count in found.counts
        ],
        sample=sample(found),
        settings=settings(found),
        failures=failures(found),
        hubs=f"CSLS over {NEIGHBOURS} neighbours; the inverted softmax at {TEMPERATURE:g} standard deviations of the training "
        f"scores; at most {REFERENCE_ROWS:,} training rows a side",
        corrections=list(CORRECTIONS.values()),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page.encode(errors="backslashreplace").decode())  # a path may hold bytes that are no text
    return path


def pictures(found: Comparison) -> dict[str, Picture] | None:
    """By name, those that there are numbers for; None without matplotlib."""
    try:
        drawn = [quality(found), more_pairs(found)]
    except ImportError:
        return None
    return {picture.name: picture for picture in drawn if picture}


def columns(found: Comparison) -> list[Column]:
    """The plain metrics, each way and both."""
    x, y = found.names
    made = []
    for a, b in ((x, y), (y, x)):
        made += [Column(f"{a} to {b}", f"R@{k}", f"{a}_to_{b}/R@{k}") for k in (1, 5, 10)]
        made += [Column(f"{a} to {b}", "median", f"{a}_to_{b}/median_rank", False)]
    return (
        made
        + [Column("both ways", f"R@{k}", f"mean/R@{k}") for k in (1, 10)]
        + [Column("both ways", "FOSCTTM", "foscttm", False)]
    )


def metric_table(found: Comparison, count: int) -> Table | None:
    """Methods x metrics at a count, with paired differences from the best published method; None where nothing was fitted."""
    reference = found.reference(count)
    against = {d.method: d.values for d in found.differences(count)}
    table = _table(found, count, columns(found), f"Results at {count:,} pairs")
    if table is None:
        return None
    rows = []
    for (label, entries), name in zip(table.rows, [m for m in found.labels if found.at(m, count)], strict=True):
        if name in against:
            minus = [
                _difference(against[name][key], up) for key, up in (("mean/R@1", True), ("mean/R@10", True), ("foscttm", False))
            ]
        else:
            minus = [Entry("reference" if name == reference else "not every seed" if reference else "", wide=3)]
        rows.append((label, [*minus, *entries]))
    heading = f"minus {found.labels[reference]}" if reference else "difference"
    return Table(table.label, [(heading, 3), *table.groups], ["R@1", "R@10", "FOSCTTM", *table.heads], rows)


def hub_table(found: Comparison, count: int) -> Table | None:
    """Methods x metrics at a count, with hubs corrected."""
    wanted = []
    for name, title in HUBS.items():
        wanted += [Column(title, f"R@{k}", f"{name}/mean/R@{k}") for k in (1, 5, 10)]
        wanted += [Column(title, "FOSCTTM", f"{name}/foscttm", False)]
    return _table(found, count, wanted, f"Hubs corrected, {count:,} pairs")


def _table(found: Comparison, count: int, wanted: Sequence[Column], label: str) -> Table | None:
    have = [m for m in found.labels if found.at(m, count)]
    if not have:
        return None
    means = {(m, c.key): found.mean(m, count, c.key) for m in have for c in wanted}
    best = {c.key: (max if c.up else min)(means[m, c.key].mean for m in have) for c in wanted}
    rows = []
    for m in have:
        mark = (" *" if found.kept_start(m, count) else "") + (" ←" if m == found.winner(count) else "")
        cells = [_mean(means[m, c.key], c, len(have) > 1 and means[m, c.key].mean == best[c.key]) for c in wanted]
        seconds = sum(cell.cpu_seconds for cell in found.at(m, count)) / len(found.at(m, count))
        rows.append((found.labels[m] + mark, [*cells, Entry(f"{seconds:.2f}")]))
    groups = [(name, len(list(of))) for name, of in groupby(c.group for c in wanted)]
    return Table(label, [*groups, ("", 1)], [*(c.head for c in wanted), "CPU\u00a0s"], rows)


def _mean(value: Interval, column: Column, best: bool) -> Entry:
    rank = column.key.endswith("rank")
    both = column.group == "both ways" and math.isfinite(value.half)
    text = f"{value.mean:.1f}" if rank else f"{100 * value.mean:.1f}"
    return Entry(text, f"± {100 * value.half:.1f}" if both else "", "best" if best else "")


def _difference(value: Interval, up: bool) -> Entry:
    if not math.isfinite(value.half):
        return Entry(f"{100 * value.mean:+.1f}")
    clear = "hit" if (value.mean > 0) == up else "miss"
    kind = clear if abs(value.mean) > value.half else ""
    return Entry(f"{100 * value.mean:+.1f}", f"± {100 * value.half:.1f}", kind)


def more_table(found: Comparison) -> Table | None:
    """What the recommended method would reach with more pairs."""
    expected = found.more_pairs()
    if not expected:
        return None
    last, rows = found.counts[-1], []
    for pairs, by_key in expected:
        name = f"{pairs:,} ({f'{pairs - last:,} more' if pairs > last else 'as now'})"
        ranges = [((p.mean,), (p.low, p.high), (p.run_low, p.run_high)) for p in by_key.values()]
        rows.append((name, [Entry(" to ".join(f"{100 * v:.1f}" for v in values)) for three in ranges for values in three]))
    keys = [key.removeprefix("mean/") for key in expected[0][1]]
    return Table("More pairs", [(f"{key}, %", 3) for key in keys], ["expected", "mean of runs", "one run"] * len(keys), rows)


def checked(found: Comparison) -> list[str]:
    """How the learning curve did where the largest count was hidden from it."""
    said = []
    for key in KEYS if found.more_pairs() else ():
        hidden = list(found.hidden(key).values())
        if hidden:
            of = coverage(hidden)
            said.append(
                f"{key.removeprefix('mean/')}: the means of {round(of['means'] * of['hidden'])} of {of['hidden']} methods and "
                f"{100 * of['runs']:.0f}% of single runs lay inside; predictions were off by {100 * of['error']:.1f} points"
            )
    return said


def sample(found: Comparison) -> dict[str, Any] | None:
    """The queries that were drawn for the recommended method at the largest count in the first seed that has some."""
    last = found.counts[-1]
    method = found.recommended or found.best(last)
    cell = next((cell for cell in found.at(method, last) if cell.examples), None) if method else None
    if cell is None:
        return None
    cards = list(cell.examples)
    right = sum(any(card["right"]) for card in cards)
    return dict(label=found.labels[method], pairs=last, seed=cell.seed, items=cell.items, cards=cards, right=right)


def settings(found: Comparison) -> list[tuple[str, str]]:
    """How many of the cells of each method chose which setting."""
    said = []
    for m, label in found.labels.items():
        cells = [cell for cell in found.cells if cell.method == m and not cell.error]
        chosen = [", ".join(f"{key}={value}" for key, value in cell.setting.items()) or "default" for cell in cells]
        times = sorted(((chosen.count(words), words) for words in dict.fromkeys(chosen)), key=lambda item: -item[0])
        if times:
            said.append((label, "; ".join(f"{words} ({number})" for number, words in times)))
    return said


def failures(found: Comparison) -> list[str]:
    """Which method failed in how many cells, and why."""
    told = [(found.labels[cell.method], cell.error) for cell in found.failures]
    return [f"{label}, {told.count((label, error))} cells: {error}" for label, error in dict.fromkeys(told)]
