"""The page of a comparison: what wins at which number of pairs, by how much, what more pairs would bring, and what to do next."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from gera_jax._version import __version__
from gera_jax.comparison.outcome import Comparison, Interval
from gera_jax.comparison.statistics import coverage
from gera_jax.evaluation.split import CORRECTIONS, NEIGHBOURS, REFERENCE_ROWS, TEMPERATURE
from gera_jax.files import write_text
from gera_jax.reports import figures, words
from gera_jax.writers import duration

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


def pictures(found: Comparison) -> dict[str, figures.Picture] | None:
    """By name, those that there are numbers for; None without matplotlib."""
    try:
        drawn = [figures.quality(found), figures.more_pairs(found)]
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
    for key in figures.KEYS if found.more_pairs() else ():
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
