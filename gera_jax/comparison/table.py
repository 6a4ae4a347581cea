"""The comparison as a text table for the terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gera_jax.comparison.results import KEPT_START, Column, Row, Summary, best, columns, summarize

GAP = "  "
NOTE = "* best of its block. R@k and neighbours kept in %. FOSCTTM: 0 is perfect, 0.5 is chance."


def format_table(rows: Sequence[Row], names: Sequence[str] | None = None) -> str:
    """Rows as text: a block per number of pairs, means over seeds, `*` after the best value of a block.

    R@k and neighbours kept are in percent; FOSCTTM (smaller is better, chance 0.5) is a fraction. Metrics
    that no row has are left out. `names` are the two modalities, read from the metrics' names when not given.
    """
    if not rows:
        return "(no rows)"
    names = tuple(names) if names is not None else guess_names(rows)
    shown = present_columns(rows, names)
    blocks = blocks_by_pairs(rows)
    body = [(pairs, [_cells(s, shown, block) for s in block]) for pairs, block in blocks]
    heads = ["method", *(c.name + " " for c in shown), "seconds"]
    widths = [max(map(len, cells)) for cells in zip(heads, *(line for _, block in body for line in block), strict=True)]
    _make_room(shown, widths)
    text = [_group_line(shown, widths), _join(heads, widths)]
    rule = "-" * max(map(len, text))
    for pairs, block in body:
        title = f"{pairs:,} pairs "
        text += [title + rule[len(title) :], *(_join(line, widths) for line in block)]
    several = any(s.seeds > 1 for _, block in blocks for s in block)
    text += [rule, NOTE + (" Means over seeds." if several else "")]
    if any(s.kept_start for _, block in blocks for s in block):
        text.append(f"(start): {KEPT_START}.")
    return "\n".join(line.rstrip() for line in text)


def blocks_by_pairs(rows: Sequence[Row]) -> list[tuple[int, list[Summary]]]:
    """The summaries of each number of pairs, fewest first."""
    blocks: dict[int, list[Summary]] = {}
    for summary in summarize(rows):
        blocks.setdefault(summary.pairs, []).append(summary)
    return list(blocks.items())


def present_columns(rows: Sequence[Row], names: Sequence[str]) -> list[Column]:
    """The columns that at least one row has a number for."""
    return [c for c in columns(names) if any(c.key in row.metrics for row in rows)]


def guess_names(rows: Sequence[Row]) -> tuple[str, str]:
    """The two modalities, from the first metric named like `image_to_text/R@1`; ("x", "y") if there is none.

    >>> guess_names([Row("a", "", 1, 0, {"image_to_text/R@1": 0.5}, 1.0)])
    ('image', 'text')
    """
    for row in rows:
        for key in row.metrics:
            direction, _, metric = key.partition("/")
            x, middle, y = direction.partition("_to_")
            if middle and metric.startswith("R@"):
                return x, y
    return "x", "y"


def groups(shown: Sequence[Column]) -> list[tuple[str, int]]:
    """The headings above the columns, each with the number of neighbours that share it."""
    return [(name, len(list(members))) for name, members in itertools.groupby(c.group for c in shown)]


def _cells(summary: Summary, shown: Sequence[Column], block: Sequence[Summary]) -> list[str]:
    cells = [f"  {summary.label}{start_mark(summary)}"]
    for column in shown:
        value = summary.metrics.get(column.key)
        star = "*" if summary.label in best(block, column) else " "
        cells.append("- " if value is None else column.text(value) + star)
    return [*cells, f"{summary.seconds:.1f}"]


def start_mark(summary: Summary) -> str:
    """Behind a label, where training kept its start; how often, where not in every seed.

    >>> start_mark(Summary("gera", 100, 3, {}, {}, 1.0, kept_start=2))
    ' (start, 2 of 3)'
    """
    if not summary.kept_start:
        return ""
    return " (start)" if summary.kept_start == summary.seeds else f" (start, {summary.kept_start} of {summary.seeds})"


def _make_room(shown: Sequence[Column], widths: list[int]) -> None:
    """Widen, in place, the columns whose common heading is longer than they are."""
    at = 1
    for name, count in groups(shown):
        widths[at] += max(0, len(name) + 1 - sum(widths[at : at + count]) - len(GAP) * (count - 1))
        at += count


def _group_line(shown: Sequence[Column], widths: Sequence[int]) -> str:
    line, at = " " * (widths[0] + len(GAP)), 1
    for name, count in groups(shown):
        width = sum(widths[at : at + count]) + len(GAP) * (count - 1)
        line += (name + " ").rjust(width) + GAP
        at += count
    return line


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return GAP.join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])
