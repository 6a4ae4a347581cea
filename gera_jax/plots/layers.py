"""How alike the layers of two encoders are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import require
from gera_jax.plots.basics import INK, MUTED, SERIES, new_figure

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
