"""Was the right stretch of the recording found: one score of two heads, suppression of overlapping spans, recall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gera_jax.checks import require
from gera_jax.ops import temporal_iou


def fuse_scores(probability: np.ndarray, cosine: np.ndarray, *, power: float = 0.5) -> np.ndarray:
    """((1 + cosine) / 2)^power * probability: one score in [0, 1] of the overlap head and the contrastive head.

    Args:
      probability: [...] that the overlap is large.
      cosine: [...] in [-1, 1] of sentence and moment; rounding beyond is cut.
      power: >= 0; 0 leaves the overlap head alone.

    >>> fuse_scores(np.array([0.5, 0.5]), np.array([1.0, 0.0])).round(4).tolist()
    [0.5, 0.3536]

    Source: MMN, arXiv 2109.04872.
    """
    require(power >= 0, "power", got=power, wanted="at least 0")
    return np.clip((1 + np.asarray(cosine)) / 2, 0, 1) ** power * np.asarray(probability)


def temporal_nms(spans: np.ndarray, scores: np.ndarray, *, threshold: float = 0.5, keep: int = 5) -> np.ndarray:
    """The best spans of each query that overlap no better one by more than `threshold`, best first.

    Args:
      spans: [N, 2] starts and ends shared by all queries, or [..., N, 2].
      scores: [..., N]; of equal scores the first is better; -inf or NaN is no proposal.
      threshold: largest overlap of two spans that both stay, in [0, 1].
      keep: how many to return.

    Returns:
      int64 [..., keep] positions in N, -1 where no span is left. O(keep N) time for each query, all queries at once.

    Raises:
      ValueError: shapes that do not fit, threshold outside of [0, 1], keep < 1.

    >>> spans = np.array([[0.0, 4.0], [0.0, 5.0], [6.0, 9.0]])
    >>> temporal_nms(spans, np.array([0.9, 0.8, 0.1]), keep=3).tolist()
    [0, 2, -1]
    """
    spans, scores = np.asarray(spans), np.asarray(scores)
    require(scores.ndim >= 1 and spans.ndim >= 2 and spans.shape[-1] == 2 and spans.shape[-2] == scores.shape[-1], "spans",
            got=f"shape {spans.shape} with scores {scores.shape}", wanted="[N, 2] or [..., N, 2] for scores [..., N]")
    require(0 <= threshold <= 1, "threshold", got=threshold, wanted="0 to 1")
    require(keep >= 1, "keep", got=keep, wanted="at least 1")
    left = np.where(np.isnan(scores), -np.inf, scores.astype(np.float64))
    spans = np.broadcast_to(spans, (*scores.shape, 2))
    kept = np.full((*scores.shape[:-1], keep), -1, np.int64)
    for turn in range(keep):
        best = left.argmax(-1)[..., None]
        some = np.take_along_axis(left, best, -1) > -np.inf
        kept[..., turn] = np.where(some, best, -1)[..., 0]
        span = np.take_along_axis(spans, best[..., None], -2)
        left = np.where(some & (temporal_iou(spans, span) > threshold), -np.inf, left)
        np.put_along_axis(left, best, -np.inf, -1)  # a span of length 0 overlaps nothing, itself included
    return kept


def grounding_recall(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    at: Sequence[int] = (1, 5),
    iou: Sequence[float] = (0.3, 0.5, 0.7),
) -> dict[str, float]:
    """Share of queries of which one of the first n spans overlaps the true one by at least m: "R@n/IoU=m"; and "mIoU".

    Args:
      predicted: [Q, K, 2] starts and ends, best first, NaN where a query has fewer; n above K counts the K.
      truth: [Q, 2].
      at: each n.
      iou: each m.

    Returns:
      dict of floats in [0, 1]; "mIoU" is the mean overlap of the first span.

    Raises:
      ValueError: no query, shapes that do not fit, n < 1, m outside of (0, 1].

    >>> predicted = np.array([[[0.0, 4.0], [5.0, 9.0]], [[1.0, 2.0], [3.0, 4.0]]])
    >>> grounding_recall(predicted, np.array([[5.0, 9.0], [1.0, 3.0]]), at=(1, 2), iou=(0.5,))
    {'R@1/IoU=0.5': 0.5, 'R@2/IoU=0.5': 1.0, 'mIoU': 0.25}
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    require(predicted.ndim == 3 and predicted.shape[2] == 2 and predicted.shape[1] > 0, "predicted",
            got=f"shape {predicted.shape}", wanted="[queries, spans, 2]")
    require(truth.shape == (len(predicted), 2) and len(truth) > 0, "truth", got=f"shape {truth.shape}",
            wanted=f"[{len(predicted)}, 2], at least one query")
    require(all(n >= 1 for n in at), "at", got=list(at), wanted="numbers of at least 1")
    require(all(0 < m <= 1 for m in iou), "iou", got=list(iou), wanted="numbers above 0 and at most 1")
    overlap = temporal_iou(np.nan_to_num(predicted), truth[:, None])
    best = np.maximum.accumulate(overlap, axis=1)
    metrics = {f"R@{n}/IoU={m:g}": float(np.mean(best[:, min(n, best.shape[1]) - 1] >= m)) for n in at for m in iou}
    return {**metrics, "mIoU": float(overlap[:, 0].mean())}
