"""How alike the layers of two encoders are, and two sets on one sphere before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import require
from gera_jax.plots.basics import INK, MARKERS, MUTED, SERIES, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def layer_heatmap(
    scores: np.ndarray,  # [L, M] likeness of layer i of x with layer j of y
    *,
    chosen: tuple[int, int],
    names: tuple[str, str] = ("x", "y"),
    measure: str = "mutual_knn",
) -> Figure:
    """How alike every pair of layers is; the chosen pair is framed."""
    scores = np.asarray(scores, float)
    require(scores.ndim == 2 and scores.size > 0, "scores", got=f"shape {scores.shape}", wanted="[layers of x, layers of y]")
    height, width = scores.shape
    require(
        len(chosen) == 2 and all(-n <= i < n for i, n in zip(chosen, scores.shape, strict=True)),
        "chosen",
        got=f"{chosen}",
        wanted=f"a layer of x and one of y, of {height} and {width}",
    )
    chosen = (int(chosen[0]) % height, int(chosen[1]) % width)  # -1 is the last
    figure, (axes,) = new_figure(min(7.2, 2.2 + 0.34 * width), min(7.2, 1.4 + 0.34 * height))
    image = axes.imshow(scores, cmap="viridis", aspect="auto", origin="lower", interpolation="nearest")
    axes.grid(visible=False)
    axes.add_patch(_frame(chosen))
    axes.set_xlabel(f"layer of {names[1]}")
    axes.set_ylabel(f"layer of {names[0]}")
    for axis, count in ((axes.xaxis, width), (axes.yaxis, height)):
        axis.set_ticks(range(0, count, max(1, -(-count // 12))))
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(measure, color=MUTED, fontsize=9)
    bar.ax.tick_params(colors=MUTED, labelsize=8)
    bar.outline.set_visible(False)
    axes.set_title(f"layers {chosen[0]} and {chosen[1]}: {scores[chosen]:.3f}", loc="left", color=INK, fontsize=9)
    return figure


def _frame(chosen: tuple[int, int]) -> Any:
    from matplotlib.patches import Rectangle

    row, column = chosen
    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=SERIES[1], linewidth=2.2)


def hypersphere_gap(
    spaces: Mapping[str, tuple[np.ndarray, np.ndarray]],  # "before", "after", ... -> x, y [n, d], row i matches row i
    *,
    names: tuple[str, str] = ("x", "y"),
) -> Figure:
    """A row of panels a space: cosines of pairs and of all other combinations, and both sets seen along the gap between them.

    Memory: O(n^2); a few thousand rows are enough to see the gap.
    """
    require(bool(spaces), "spaces", got="no space", wanted="at least one")
    figure, panels = new_figure(7.2, 2.9 * len(spaces), False, len(spaces), 2)
    bins = np.linspace(-1, 1, 61)
    for (label, (x, y)), left, right in zip(spaces.items(), panels[::2], panels[1::2], strict=True):
        x, y = np.asarray(x, float), np.asarray(y, float)
        require(x.shape == y.shape and len(x) > 1, label, got=f"{x.shape} and {y.shape}", wanted="two or more rows in pairs")
        bad = np.count_nonzero(~np.isfinite(np.hstack([x, y])).all(axis=1))
        require(bad == 0, label, got=f"{bad} pairs with NaN or infinite values", wanted="finite numbers")
        x, y = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (x, y))
        cosine = np.clip(x @ y.T, -1, 1)  # a histogram drops what rounding puts above 1: the very pairs that coincide
        own = np.diagonal(cosine)
        for values, color, name in ((cosine[~np.eye(len(x), dtype=bool)], SERIES[6], "others"), (own, SERIES[1], "pairs")):
            left.hist(values, bins, density=True, histtype="stepfilled", color=color, alpha=0.55, label=name, linewidth=0)
        gap = x.mean(axis=0) - y.mean(axis=0)
        left.set_title(f"{label}: gap {np.linalg.norm(gap):.2f}", loc="left", color=INK, fontsize=9)
        left.set_xlabel(f"cosine of {names[0]} and {names[1]}")
        left.set_yticks([])
        left.set_xlim(-1, 1)
        left.set_xticks([-1, -0.5, 0, 0.5, 1])
        left.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left")
        turn = np.linspace(0, 2 * np.pi, 200)
        right.plot(np.cos(turn), np.sin(turn), color=MUTED, linewidth=0.8)
        for points, color, marker, name in zip(_gap_plane(x, y, gap), SERIES, MARKERS[::2], names, strict=False):
            right.scatter(*points.T, s=9, color=color, marker=marker, alpha=0.6, linewidths=0, label=name)
        right.set_xlabel("direction of the gap")
        right.set_ylabel("widest direction across")
        right.set_aspect("equal")
        right.set_xticks([])
        right.set_yticks([])
        right.legend(frameon=False, fontsize=8, labelcolor=INK, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _gap_plane(x: np.ndarray, y: np.ndarray, gap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets along the line between their means, and along the widest direction at a right angle to it."""
    size = np.linalg.norm(gap)
    first = gap / size if size > 1e-9 else np.eye(len(gap))[0]
    both = np.concatenate([x, y])
    rest = both - both.mean(axis=0)
    rest = rest - np.outer(rest @ first, first)
    second = np.linalg.svd(rest, full_matrices=False)[2][0]
    second = second * np.sign(second.sum() + 1e-30)  # the same sign every time
    plane = np.stack([first, second], axis=1)
    return x @ plane, y @ plane
