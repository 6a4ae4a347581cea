"""What a run learned and where its rows lie: recall, training curves, the joint space, and what all pictures share."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours of equal weight that stay apart for colour-blind eyes (after Okabe and Ito); `svg` turns each into a
# variable of the page, so that a page can give other values at night.
SERIES = ("#0b62a4", "#c2410c", "#0f7b5f", "#8b3fa0", "#8a6a00", "#b0305c", "#3f6c7a", "#5b5f97")
INK, MUTED, GRID, PAPER = "#1c2026", "#6b7280", "#e2e5ea", "#ffffff"
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {c: f"s{i}" for i, c in enumerate(SERIES)}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def method_styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name, the same whatever the order of the names.

    A name keeps its own place among the eight colours; of two names with one place the later in the alphabet takes the next.

    >>> method_styles(["b", "a"]) == method_styles(["a", "b"])
    True
    """
    taken: dict[str, int] = {}
    for name in sorted(set(names)):
        place = zlib.crc32(name.encode()) % len(SERIES)
        while place in taken.values() and len(taken) < len(SERIES):
            place = (place + 1) % len(SERIES)
        taken[name] = place
    return {name: (SERIES[place], MARKERS[place]) for name, place in taken.items()}


def recall_against_pairs(
    points: Mapping[str, Sequence[tuple[int, float]]],  # method -> (pairs, recall in [0, 1]), several seeds allowed
    *,
    others: Mapping[str, Sequence[tuple[int, float]]] | None = None,  # drawn thin, grey and without a name
    half: Callable[[Sequence[float]], float] | None = None,  # recalls of all seeds at a count -> half a band; None = no bands
    styles: Mapping[str, tuple[str, str]] | None = None,  # method -> colour, marker; None = `method_styles`
    chance: float | None = None,
    heading: str = "R@10, mean of both directions (%)",
) -> Figure:
    """Quality against the number of pairs, one line per method through its means, a dot for every seed."""
    require(bool(points), "points", got="no method", wanted="at least one")
    everything = {**points, **(others or {})}
    bare = [label for label, values in everything.items() if not len(values)]
    require(not bare, "points", got=f"no value of {', '.join(bare)}", wanted="at least one for each method")
    styles = method_styles(everything) if styles is None else styles
    counts = sorted({pairs for values in everything.values() for pairs, _ in values})
    if len(counts) == 1:
        return _recall_at_one_count(everything, counts[0], chance, heading, styles)
    figure, (axes,) = new_figure(7.2, 4.4)
    ends = []
    for label, values in everything.items():
        seeds = {count: [100 * v for pairs, v in values if pairs == count] for count in sorted({pairs for pairs, _ in values})}
        x, y = list(seeds), np.array([np.mean(v) for v in seeds.values()])
        if label not in points:
            axes.plot(x, y, color=MUTED, linewidth=0.8, alpha=0.55, zorder=1)
            continue
        color, marker = styles[label]
        axes.plot(x, y, color=color, marker=marker, markersize=5, linewidth=1.8, zorder=3)
        axes.scatter([p for p, _ in values], [100 * v for _, v in values], s=8, color=color, alpha=0.45, linewidths=0, zorder=2)
        if half is not None:
            band = np.array([half(v) for v in seeds.values()])
            axes.fill_between(x, y - band, y + band, color=color, alpha=0.13, linewidth=0, zorder=2)
        ends.append((float(x[-1]), float(y[-1]), label, color))
    log_counts(axes, counts)
    axes.set_ylabel(heading)
    top = 100 * max(v for values in everything.values() for _, v in values)
    axes.set_ylim(0, 1.12 * max(top, 100 * (chance or 0), 1.0))  # room for the names at the ends
    chance_line(axes, chance, vertical=False)
    label_ends(axes, ends)
    return figure


def log_counts(axes: Axes, counts: Sequence[int]) -> None:
    """A logarithmic axis of known pairs, with the first count, the last, and those between that leave each other room."""
    axes.set_xscale("log")
    shown = [c for i, c in enumerate(counts) if i == 0 or c == counts[-1] or (c > 1.35 * counts[i - 1] and counts[-1] > 1.35 * c)]
    axes.set_xticks(shown, [f"{count:,}" for count in shown])
    axes.minorticks_off()
    axes.set_xlabel("known pairs")


def _recall_at_one_count(
    points: Mapping[str, Sequence[tuple[int, float]]],
    count: int,
    chance: float | None,
    heading: str,
    styles: Mapping[str, tuple[str, str]],
) -> Figure:
    figure, (axes,) = new_figure(7.2, 0.9 + 0.36 * len(points))
    for index, (label, values) in enumerate(points.items()):
        y, (color, marker) = len(points) - 1 - index, styles.get(label, (MUTED, "o"))
        numbers = [100 * v for _, v in values]
        axes.plot([0, float(np.mean(numbers))], [y, y], color=GRID, linewidth=1.5, zorder=1)
        axes.scatter(numbers, [y] * len(numbers), s=12, color=color, alpha=0.45, linewidths=0, zorder=2)
        axes.scatter([np.mean(numbers)], [y], s=40, color=color, marker=marker, zorder=3)
        at = (max(numbers), y)
        axes.annotate(f"{np.mean(numbers):.1f}", at, (7, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(points)), list(points)[::-1])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(-0.6, len(points) - 0.4)
    axes.set_xlim(left=0)
    axes.margins(x=0.1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{heading}, {count:,} known pairs")
    chance_line(axes, chance, vertical=True)
    return figure


def training_curves(
    curves: Mapping[str, Sequence[Mapping[str, Any]]],  # run -> rows with "step" and numbers
    *,
    recall: str | None = None,  # the metric to show; None = the first that ends with R@10, a mean before others
) -> Figure:
    """Validation recall of every run in one panel, and below it the losses of each run by step."""
    require(bool(curves), "curves", got="no run", wanted="at least one")
    recalls = {label: _series(rows, recall or _recall_key(rows)) for label, rows in curves.items()}
    recalls = {label: series for label, series in recalls.items() if len(series[0])}
    keys = {label: _loss_keys(rows) for label, rows in curves.items()}
    with_losses = [label for label in curves if keys[label]]
    wanted, remedy = "one of them in some run", 'Rows need "step" and "loss", "loss/<term>" or the metric.'
    require(bool(recalls or with_losses), "curves", got="no recall and no loss in any row", wanted=wanted, remedy=remedy)
    wide = 2 if len(with_losses) > 1 else 1
    rows_of_losses = math.ceil(len(with_losses) / wide)
    figure, panels = new_figure(
        7.2,
        (2.8 + 0.1 * len(recalls) if recalls else 0) + 2.3 * rows_of_losses,
        bool(recalls),
        rows_of_losses,
        wide,
    )
    if recalls:
        top = panels.pop(0)
        colors = {label: index for index, label in enumerate(curves)}
        for label, (x, y) in recalls.items():
            top.plot(x, 100 * y, color=SERIES[colors[label] % len(SERIES)], linewidth=1.8, label=label)
        top.set_ylabel(f"validation {(recall or 'R@10').rsplit('/', 1)[-1]} (%)")
        top.set_xlabel("step")
        aside: dict[str, Any] = dict(loc="best")
        if len(recalls) > 3:  # too many to lie among the curves: below, beside one another
            aside = dict(loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2, fontsize=8)
        top.legend(frameon=False, labelcolor=INK, **aside)
    for panel, label in zip(panels, with_losses, strict=False):
        for index, key in enumerate(keys[label]):
            x, y = _series(curves[label], key)
            name = key.removeprefix("loss/") if key != "loss" else "total"
            panel.plot(x, y, color=INK if key == "loss" else SERIES[index % len(SERIES)], linewidth=1.4, label=name)
        low, high = _range(panel)
        if low > 0 and high > 50 * low:
            panel.set_yscale("log")
        panel.set_title(label, loc="left", color=INK, fontsize=9)
        panel.set_ylabel("losses")
        panel.set_xlabel("step")
        panel.legend(frameon=False, fontsize=7, labelcolor=INK)
    for panel in panels[len(with_losses) :]:
        panel.set_visible(False)
    return figure


def joint_space(
    x: np.ndarray,  # [n, 2]
    y: np.ndarray,  # [n, 2] row i is the true match of x's row i
    labels: Sequence[str] = (),
    *,
    names: tuple[str, str] = ("x", "y"),
    named: int = 8,  # how many pairs carry their label
) -> Figure:
    """Two modalities in one plane, a line between the two sides of each true pair: short lines are good."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    got, remedy = f"{x.shape} and {y.shape}", "Use `pca_plane` first, rows in pairs."
    require(x.shape == y.shape and x.ndim == 2 and x.shape[1] == 2, "x and y", got=got, wanted="[n, 2] both", remedy=remedy)
    require(len(labels) in (0, len(x)), "labels", got=f"{len(labels)} for {len(x)} pairs", wanted="one for each, or none")
    figure, (axes,) = new_figure(7.2, 5.2)
    for a, b in zip(x, y, strict=True):
        axes.plot([a[0], b[0]], [a[1], b[1]], color=MUTED, linewidth=0.8, alpha=0.6, zorder=1)
    axes.scatter(*x.T, s=34, color=SERIES[0], marker="o", zorder=2, label=names[0], linewidths=0)
    axes.scatter(*y.T, s=34, color=SERIES[1], marker="^", zorder=2, label=names[1], linewidths=0)
    for index in _spread_out((x + y) / 2, min(named, len(labels), len(x))):
        text = str(labels[index])
        text = text if len(text) <= 28 else text[:27] + "…"
        axes.annotate(text, x[index], (6, 5), textcoords="offset points", fontsize=8, color=INK)
    axes.set_xlabel("first principal direction")
    axes.set_ylabel("second principal direction")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False, loc="best", labelcolor=INK)
    return figure


def pca_plane(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of both modalities [n, d], [m, d] in the plane of their two joint principal directions."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    wanted = "[n, d] and [m, d], d at least 2"
    require(x.ndim == y.ndim == 2 and x.shape[1] == y.shape[1] >= 2, "x and y", got=f"{x.shape} and {y.shape}", wanted=wanted)
    both = np.concatenate([x, y])
    bad = np.count_nonzero(~np.isfinite(both).all(axis=1))
    require(bad == 0, "x and y", got=f"{bad} rows with NaN or infinite values", wanted="finite numbers")
    centre = both.mean(axis=0)
    _, _, directions = np.linalg.svd(both - centre, full_matrices=False)
    plane = directions[:2] * np.sign(directions[:2].sum(axis=1, keepdims=True) + 1e-30)  # the same sign every time
    return (x - centre) @ plane.T, (y - centre) @ plane.T


def svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as one inline `<svg>`: ids start with `name`, colours are page variables."""
    import html

    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    for color, variable in VARIABLES.items():
        text = re.sub(re.escape(color), f"var(--{variable}, {color})", text, flags=re.I)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit-family", text).replace("inherit-family", "var(--font, sans-serif)")
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt, quote=True)}" ', 1).rstrip()


def new_figure(width: float, height: float, top: bool = True, below: int = 0, wide: int = 1) -> tuple[Figure, list[Axes]]:
    """A plain figure: one panel over the full width if `top`, then `below` rows of `wide` panels."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('Pictures need matplotlib: pip install "gera_jax[plots]"') from error
    figure = Figure(figsize=(width, max(height, 1.5)), layout="constrained")
    grid = figure.add_gridspec(int(top) + below, wide)
    panels = [figure.add_subplot(grid[0, :])] if top else []
    panels += [figure.add_subplot(grid[int(top) + row, column]) for row in range(below) for column in range(wide)]
    for axes in panels:
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelsize=9)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.label.set(color=MUTED, fontsize=9)
        axes.yaxis.label.set(color=MUTED, fontsize=9)
    return figure, panels


def chance_line(axes: Axes, chance: float | None, *, vertical: bool) -> None:
    if chance is None:
        return
    (axes.axvline if vertical else axes.axhline)(100 * chance, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
    at = (100 * chance, 1.0) if vertical else (1.0, 100 * chance)
    across = axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform()
    axes.annotate(
        "chance",
        at,
        (3, -3) if vertical else (-2, 3),
        xycoords=across,
        textcoords="offset points",
        ha="left" if vertical else "right",
        va="top" if vertical else "bottom",
        fontsize=8,
        color=MUTED,
    )


def label_ends(axes: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Names at the right end of the lines, pushed apart where they would lie on one another."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.062
    ends = sorted(ends, key=lambda end: end[1])
    heights: list[float] = []
    for _, y, _, _ in ends:
        heights.append(max(y, heights[-1] + gap) if heights else y)
    over = heights[-1] - (high - gap / 2)
    if over > 0:  # the top ones moved out: let the whole stack slide down, keeping its gaps
        heights[-1] -= over
        for i in range(len(heights) - 2, -1, -1):
            heights[i] = min(heights[i], heights[i + 1] - gap)
    for (_, y, label, color), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            (1.0, y),
            (1.03, height),
            xycoords=axes.get_yaxis_transform(),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=color,
            annotation_clip=False,
        )


def _recall_key(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = [key for row in rows for key in row if key.endswith("R@10")]
    return next((key for key in keys if "mean" in key), keys[0] if keys else "")


def _loss_keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row if key == "loss" or key.startswith("loss/"))
    return sorted(keys, key=lambda key: key != "loss")  # the total first


def _series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one metric; rows without it, or with a missing value, are left out."""
    found = [(row["step"], row[key]) for row in rows if key and row.get(key) is not None]
    return np.array([step for step, _ in found], float), np.array([value for _, value in found], float)


def _range(axes: Axes) -> tuple[float, float]:
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines] or [np.zeros(1)])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _spread_out(points: np.ndarray, count: int) -> list[int]:
    """Indices of `count` points far from one another (farthest-point rule), so that labels do not collide."""
    if count <= 0:
        return []
    chosen = [int(np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    while len(chosen) < count:
        distances = ((points[:, None] - points[chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(np.argmax(distances)))
    return chosen
