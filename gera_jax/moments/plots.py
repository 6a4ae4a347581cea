"""Moments of a recording: their scores, and the spans that are true and found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gera_jax.checks import require
from gera_jax.plots.basics import INK, MUTED, SERIES, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def score_map(
    spans: np.ndarray,  # [N, 2] seconds
    scores: np.ndarray,  # [N]
    *,
    truth: Sequence[float],  # (start, end) in seconds
    found: Sequence[float] = (),
    heading: str = "",
) -> Figure:
    """The score of every moment of a recording by its start and length, with the true span and the one that was found."""
    spans, scores = np.asarray(spans, float), np.asarray(scores, float)
    require(scores.ndim == 1, "scores", got=f"shape {scores.shape}", wanted="[N], a score a span")
    got = f"shape {spans.shape} for {len(scores)} scores"
    require(spans.shape == (len(scores), 2) and len(scores) > 0, "spans", got=got, wanted="[N, 2], a span a score")
    figure, (axes,) = new_figure(7.2, 3.4)
    order = np.argsort(scores)  # the best on top
    length = spans[:, 1] - spans[:, 0]
    # Pale to dark, so that the marks stand out; the palest blue of all is left out, it cannot be told from the paper.
    low = scores.min() - 0.08 * max(float(np.ptp(scores)), 1e-12)
    dots = axes.scatter(spans[order, 0], length[order], c=scores[order], s=22, marker="s", cmap="Blues", vmin=low, linewidths=0)
    bar = figure.colorbar(dots, ax=axes, pad=0.01)
    bar.set_label("score", fontsize=9, color=MUTED)
    bar.outline.set_visible(False)
    if np.ptp(scores) > 0:
        bar.ax.set_ylim(scores.min(), scores.max())
    bar.ax.tick_params(labelsize=8, colors=MUTED)
    marks = [("true span", truth, "o", SERIES[1])] + ([("found", found, "x", INK)] if len(found) else [])
    for label, (start, end), marker, color in marks:
        hollow = dict(facecolors="none", edgecolors=color) if marker == "o" else dict(color=color)
        axes.scatter([start], [end - start], s=90, marker=marker, linewidths=1.6, label=label, **hollow)
    axes.set_xlabel("start (s)")
    axes.set_ylabel("length (s)")
    axes.set_title(heading, loc="left", color=INK, fontsize=9)
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")
    return figure


def found_spans(
    truth: np.ndarray,  # [Q, 2] seconds
    found: np.ndarray,  # [Q, 2] seconds, NaN where nothing was found
    texts: Sequence[str],
    *,
    duration: float,
) -> Figure:
    """One line a sentence of a recording: its true span above, the one that was found below, and how much they overlap."""
    from gera_jax.ops import temporal_iou

    truth, found = np.asarray(truth, float), np.asarray(found, float)
    got = f"{truth.shape} and {found.shape} for {len(texts)} sentences"
    require(truth.shape == found.shape == (len(texts), 2) and len(texts) > 0, "truth and found", got=got, wanted="[Q, 2] both")
    figure, (axes,) = new_figure(7.2, 0.9 + 0.34 * len(texts))
    order = np.argsort(truth[:, 0], kind="stable")
    known = np.isfinite(found).all(axis=1)
    first_known = next((q for q in order if known[q]), None)  # its bar carries the name into the legend
    for line, q in enumerate(order):
        y, overlap = len(texts) - 1 - line, float(temporal_iou(truth[q], found[q])) if known[q] else 0.0
        axes.barh(y + 0.17, np.ptp(truth[q]), 0.3, left=truth[q, 0], color=SERIES[0], label="true" if not line else None)
        if known[q]:
            name = "found" if q == first_known else None
            axes.barh(y - 0.17, np.ptp(found[q]), 0.3, left=found[q, 0], color=SERIES[1], label=name)
        axes.annotate(f"{overlap:.2f}", (1.005, y), xycoords=axes.get_yaxis_transform(), va="center", fontsize=8, color=MUTED)
    names = [text if len(text) <= 34 else text[:33] + "…" for text in (texts[q] for q in order)]
    axes.set_yticks(range(len(texts)), names[::-1], fontsize=8)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(0, duration)
    axes.set_ylim(-0.6, len(texts) - 0.4)
    axes.set_xlabel("time (s); at the right the overlap")
    axes.grid(axis="y", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure
