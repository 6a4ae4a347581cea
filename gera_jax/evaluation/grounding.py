"""Was the right stretch of the recording found: one score of two heads, suppression of overlapping spans, recall."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence

import numpy as np

from gera_jax.checks import fail, require
from gera_jax.evaluation.inputs import in_order, real, whole
from gera_jax.ops import temporal_iou


def fuse_scores(probability: np.ndarray, cosine: np.ndarray, *, power: float = 0.5) -> np.ndarray:
    """((1 + cosine) / 2)^power * probability: one score in [0, 1] of the overlap head and the contrastive head.

    >>> fuse_scores(np.array([0.5, 0.5]), np.array([1.0, 0.0])).round(4).tolist()
    [0.5, 0.3536]

    Args:
      probability: [...] that the overlap is large.
      cosine: [...] in [-1, 1] of sentence and moment; rounding beyond is cut.
      power: >= 0; 0 leaves the overlap head alone.

    Source: MMN, arXiv 2109.04872.
    """
    require(isinstance(power, numbers.Real) and 0 <= power < math.inf, "power", got=power, wanted="at least 0")
    cosine, probability = (
        v if v.dtype.itemsize > 2 and v.dtype.kind == "f" else v.astype(np.float64)
        for v in (real(cosine, "cosine"), real(probability, "probability"))
    )
    return np.clip((1 + cosine) / 2, 0, 1) ** power * probability


def temporal_nms(spans: np.ndarray, scores: np.ndarray, *, threshold: float = 0.5, keep: int = 5) -> np.ndarray:
    """The best spans of each query that overlap no better one by more than `threshold`, best first.

    >>> spans = np.array([[0.0, 4.0], [0.0, 5.0], [6.0, 9.0]])
    >>> temporal_nms(spans, np.array([0.9, 0.8, 0.1]), keep=3).tolist()
    [0, 2, -1]

    Args:
      spans: [N, 2] starts and ends shared by all queries, or [..., N, 2].
      scores: [..., N]; of equal scores the first is better; -inf or NaN is no proposal, nor is a span with a NaN or infinite end.
      threshold: largest overlap of two spans that both stay, in [0, 1].
      keep: how many to return.

    Returns:
      int64 [..., keep] positions in N, -1 where no span is left (N may be 0). O(keep N) time for each query, all queries at once.
    """
    spans, scores = real(spans, "spans"), in_order(real(scores, "scores"))
    fine = scores.ndim >= 1 and spans.ndim >= 2 and spans.shape[-1] == 2 and spans.shape[-2] == scores.shape[-1]
    got, wanted = f"shape {spans.shape} with scores {scores.shape}", "[N, 2] or [..., N, 2] for scores [..., N]"
    require(fine, "spans", got=got, wanted=wanted)
    require(0 <= threshold <= 1, "threshold", got=threshold, wanted="0 to 1")
    kept = np.full((*scores.shape[:-1], whole(keep, "keep")), -1, np.int64)
    if scores.size == 0:
        return kept
    there = ~np.isnan(scores) & np.isfinite(spans).all(-1)
    left = np.where(there, scores, -np.inf)
    spans = np.broadcast_to(spans, (*scores.shape, 2))
    for turn in range(keep):
        best = left.argmax(-1)[..., None]
        some = np.take_along_axis(left, best, -1) > -np.inf
        kept[..., turn] = np.where(some, best, -1)[..., 0]
        span = np.take_along_axis(spans, best[..., None], -2)
        left = np.where(some & (temporal_iou(spans, span) > threshold), -np.inf, left)
        np.put_along_axis(left, best, -np.inf, -1)  # a span of length 0 overlaps nothing, itself included
    return kept


def grounding_recall(
    predicted: np.ndarray, truth: np.ndarray, *, at: Sequence[int] = (1, 5), iou: Sequence[float] = (0.3, 0.5, 0.7)
) -> dict[str, float]:
    """Share of queries of which one of the first n spans overlaps the true one by at least m: "R@n/IoU=m"; and "mIoU".

    >>> predicted = np.array([[[0.0, 4.0], [5.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]]])
    >>> grounding_recall(predicted, np.array([[5.0, 9.0], [1.0, 3.0]]), at=(1, 2), iou=(0.5,))
    {'R@1/IoU=0.5': 0.5, 'R@2/IoU=0.5': 1.0, 'mIoU': 0.25}

    Args:
      predicted: [Q, K, 2] starts and ends, best first, NaN where a query has fewer; n above K counts the K. A span with a NaN or
        infinite end was not predicted.
      truth: [Q, 2], or [Q, W, 2] where a query has several true windows (QVHighlights), filled up with NaN: the window that a
        span overlaps most counts.
      at: each n.
      iou: each m.

    Returns:
      dict of floats in [0, 1]; "mIoU" is the mean overlap of the first span.

    Raises:
      InputError: no query, shapes that do not fit, a true span that is infinite, half NaN, empty or reversed, a query without
        one, n that is no whole number or < 1, m outside of (0, 1].
    """
    predicted, truth = real(predicted, "predicted"), real(truth, "truth")
    got, wanted = f"shape {predicted.shape}", "[queries, spans, 2]"
    require(predicted.ndim == 3 and predicted.shape[2] == 2 and predicted.shape[1] > 0, "predicted", got=got, wanted=wanted)
    queries = len(predicted)
    fits = truth.ndim in (2, 3) and len(truth) == queries and truth.shape[-1] == 2 and truth.size > 0
    wanted = f"[{queries}, 2], or [{queries}, windows, 2] padded with NaN, at least one query"
    require(fits, "truth", got=f"shape {truth.shape}", wanted=wanted)
    windows = truth.reshape(queries, -1, 2)
    _check_windows(windows)
    at = [whole(n, "at") for n in at]
    require(all(0 < m <= 1 for m in iou), "iou", got=list(iou), wanted="numbers above 0 and at most 1")
    overlap = np.nan_to_num(temporal_iou(predicted[:, :, None], windows[:, None])).max(axis=2)  # NaN: no prediction, no window
    best = np.maximum.accumulate(overlap, axis=1)
    metrics = {f"R@{n}/IoU={m:g}": float(np.mean(best[:, min(n, best.shape[1]) - 1] >= m)) for n in at for m in iou}
    return {**metrics, "mIoU": float(overlap[:, 0].mean())}


def _check_windows(windows: np.ndarray) -> None:
    """Raise unless each query has a true window, and each window a start before its end or NaN in both."""
    padding = np.isnan(windows).all(axis=2)
    wrong = ~padding & ~(np.isfinite(windows).all(axis=2) & (windows[..., 0] < windows[..., 1]))
    bad = np.flatnonzero(wrong.any(axis=1) | padding.all(axis=1))
    if bad.size:
        query = bad[0]
        fail(
            "truth",
            got=f"{bad.size} of {len(windows)} queries without a proper span (first: query {query}, "
            f"{windows[query][wrong[query]][:1].tolist() or 'NaN alone'})",
            wanted="finite spans that start before they end",
            remedy="Correct the annotation, or leave the query out.",
        )
