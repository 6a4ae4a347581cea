"""`report.html`: what a comparison found, on one page that needs nothing but itself."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import plots
from gera_jax.comparison.page import NO_PICTURES, figure, section, write_page
from gera_jax.comparison.results import (
    KEPT_START,
    Column,
    QuickstartResults,
    Summary,
    best,
    headline,
    mean_recall,
    summarize,
)
from gera_jax.comparison.table import blocks_by_pairs, format_table, groups, present_columns, start_mark
from gera_jax.writers import duration

__all__ = ["format_table", "write_report"]

SHOWN_PAIRS = 40  # in the picture of the joint space: more lines than that are a thicket


def write_report(path: str | os.PathLike, results: QuickstartResults) -> Path:
    """Write `results` as one self-contained page (styles and pictures inside) and return its path.

    Sections whose data are empty are left out. Without matplotlib the page says so and has its tables only.
    """
    names = tuple(results.names)
    sections = [
        _notes(results.notes),
        section("How well each method finds the match", _table(results)),
        _figures(results),
        section("Searches in words", _examples(results.examples)),
        section("How this was made", _settings(results.settings)),
    ]
    title = f"{names[0]} and {names[1]}: one space from few pairs"
    return write_page(path, title, headline(results), sections)


def _notes(notes: Sequence[str]) -> str:
    return '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _table(results: QuickstartResults) -> str:
    if not results.rows:
        return ""
    shown = present_columns(results.rows, results.names)
    wide = len(shown) + 2
    top = "".join(
        f'<th scope="colgroup" colspan="{count}"{" class=group" if name else ""}>{escape(name)}</th>'
        for name, count in groups(shown)
    )
    heads = "".join(f'<th scope="col">{escape(column.name)}</th>' for column in shown)
    blocks = []
    for pairs, block in blocks_by_pairs(results.rows):
        lines = [f'<tr><th scope="rowgroup" colspan="{wide}">{pairs:,} known pairs</th></tr>']
        for summary in block:
            cells = "".join(_cell(summary, column, summary.label in best(block, column)) for column in shown)
            seconds = f"<td>{escape(duration(summary.seconds)) if summary.seconds >= 1 else '&lt; 1s'}</td>"
            label = escape(summary.label + start_mark(summary))
            lines.append(f'<tr><th scope="row">{label}</th>{cells}{seconds}</tr>')
        blocks.append("<tbody>" + "\n".join(lines) + "</tbody>")
    seeds = max(s.seeds for s in summarize(results.rows))
    caption = "R@k: how often, in percent, the true match is among the first k found. FOSCTTM: the share of"
    caption += " items closer than the true match (0 is perfect, 0.5 is chance)."
    caption += " Neighbours kept: the share, in percent, of an item's"
    caption += " nearest neighbours in its own encoder that are still its neighbours in the joint space."
    caption += " <strong>Bold</strong>: best of its block."
    caption += f" Means over up to {seeds} seeds, ± their standard deviation." if seeds > 1 else " One seed."
    if any(summary.kept_start for summary in summarize(results.rows)):
        caption += f" (start): {KEPT_START}."
    guess = {k: chance for k in (1, 5, 10) if (chance := _chance(results, k)) is not None}
    if guess:
        caption += f" Chance: {', '.join(f'R@{k} {100 * value:.2g}%' for k, value in guess.items())}."
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Results">\n<table>\n<thead>\n'
        f"<tr><td></td>{top}<td></td></tr>\n"
        f'<tr><th scope="col">method</th>{heads}<th scope="col">time</th></tr>\n'
        f'</thead>\n{"".join(blocks)}\n</table>\n</div>\n<p class="quiet">{caption}</p>'
    )


def _chance(results: QuickstartResults, k: int) -> float | None:
    """R@k of guessing: as counted, or of one right row an item."""
    alone = min(1.0, k / results.test_items) if results.test_items else None
    return results.chance.get(f"mean/R@{k}", alone)


def _cell(summary: Summary, column: Column, is_best: bool) -> str:
    if column.key not in summary.metrics:
        return '<td><span aria-label="not measured">-</span></td>'
    text = column.text(summary.metrics[column.key])
    if column.key in summary.spread:
        text += f" <small>± {column.text(summary.spread[column.key])}</small>"
    return f'<td class="best">{text}</td>' if is_best else f"<td>{text}</td>"


def _figures(results: QuickstartResults) -> str:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return f'<p class="quiet">{escape(NO_PICTURES)}</p>'
    return "\n".join(filter(None, [_quality(results), _curves(results), _picture(results)]))


def _quality(results: QuickstartResults) -> str:
    points: dict[str, list[tuple[int, float]]] = {}
    for row in results.rows:
        value = mean_recall(row.metrics, results.names)
        if math.isfinite(value):
            points.setdefault(row.label, []).append((row.pairs, value))
    if not points:
        return ""
    chance = _chance(results, 10)
    spoken = [
        f"{s.label}, {s.pairs:,} pairs: {100 * mean_recall(s.metrics, results.names):.1f}%" for s in summarize(results.rows)
    ]
    alt = "R@10, mean of both directions, against the number of known pairs. " + "; ".join(spoken) + "."
    picture = plots.svg(plots.recall_against_pairs(points, chance=chance), "quality", alt)
    caption = "One line per method, the mean over seeds; small dots are single seeds."
    return section("Quality against known pairs", figure(picture, caption))


def _curves(results: QuickstartResults) -> str:
    curves = {label: rows for label, rows in results.curves.items() if rows}
    if not curves:
        return ""
    alt = f"Validation R@10 and losses by training step for {', '.join(curves)}."
    picture = plots.svg(plots.training_curves(curves), "curves", alt)
    caption = "Above: validation R@10, by which the step that is kept is chosen. Below: the losses as minimised."
    return section("Training", figure(picture, caption))


def _picture(results: QuickstartResults) -> str:
    if not results.picture:
        return ""
    x, y = (np.asarray(results.picture[side], float)[:SHOWN_PAIRS] for side in ("x", "y"))
    labels = [str(label) for label in results.picture.get("labels", ())][:SHOWN_PAIRS]
    names = (str(results.names[0]), str(results.names[1]))
    gap = float(np.mean(np.linalg.norm(x - y, axis=1)))
    apart = float(np.mean(np.linalg.norm(x[:, None] - y[None], axis=-1)))
    alt = f"{len(x)} true pairs of {names[0]} and {names[1]} in the plane;"
    alt += f" the two sides of a true pair lie {gap:.2g} apart"
    alt += f" on average, any {names[0]} and any {names[1]} {apart:.2g}."
    picture = plots.svg(plots.joint_space(x, y, labels, names=names), "space", alt)
    caption = "Two principal directions of the test embeddings."
    caption += f" A line joins the {names[0]} and the {names[1]} of one item: the shorter, the better."
    caption += " Two directions cannot show all distances: a line that is long here is long in the joint space too,"
    caption += " a short one may be long there."
    return section("The joint space", figure(picture, caption))


def _examples(examples: Sequence[Mapping[str, Any]]) -> str:
    if not examples:
        return ""
    cards = []
    for example in examples:
        rank, found = int(example["rank"]), [str(item) for item in example["found"]]
        hit = 1 <= rank <= len(found)
        verdict = f"hit at rank {rank}" if hit else f"miss: the true match is at rank {rank:,}"
        items = "".join(
            f'<li class="true">{escape(item)} (the true match)</li>' if hit and i == rank else f"<li>{escape(item)}</li>"
            for i, item in enumerate(found, start=1)
        )
        truth = "" if hit else f'<p class="quiet">True match: {escape(str(example["truth"]))}</p>'
        cards.append(
            f"<li><h3>{escape(str(example['query']))}"
            f'<span class="verdict {"hit" if hit else "miss"}">{verdict}</span></h3>'
            f"{truth}<ol>{items}</ol></li>"
        )
    hits = sum(1 <= int(e["rank"]) <= len(e["found"]) for e in examples)
    intro = "Each card: one item of the test set, and what was found nearest to it in the other modality."
    intro += f" {hits} of these {len(examples)} are hits."
    return f'<p class="quiet">{escape(intro)}</p>\n<ol class="examples">\n' + "\n".join(cards) + "\n</ol>"


def _settings(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    settings = dict(settings)
    config = settings.pop("config", None)
    entries = "".join(f"<dt>{escape(_words(key))}</dt><dd>{_value(key, v)}</dd>" for key, v in settings.items())
    text = f"<dl>{entries}</dl>" if entries else ""
    if config is not None:
        body = config if isinstance(config, str) else json.dumps(config, indent=2, default=str, ensure_ascii=False)
        text += f"<details><summary>The config</summary><pre>{escape(body)}</pre></details>"
    return text


def _value(key: str, value: Any) -> str:
    if key == "command":
        return f"<code>{escape(str(value))}</code>"
    if isinstance(value, Mapping):
        return "<br>".join(
            f"{escape(str(k) if key == 'versions' else _words(str(k)))}: {_value(str(k), v)}" for k, v in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(_value("", item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and key != "seed" else str(value))


def _words(key: str) -> str:
    return key.replace("_", " ")
