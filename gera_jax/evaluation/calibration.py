"""Whether the probabilities of a retrieval or a classification can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation.inputs import real, whole


def expected_calibration_error(scores: Any, *, targets: Any = None, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence, sum over bins of |B| / n |accuracy(B) - confidence(B)|.

    >>> import numpy as np
    >>> p = np.array([[0.55, 0.45, 1e-9], [0.55, 0.45, 1e-9], [0.05, 0.05, 0.9]])
    >>> round(expected_calibration_error(np.log(p)), 6)  # 2/3 |1/2 - .55| + 1/3 |1 - .9|
    0.066667

    The confidence of a row is the largest entry of its softmax; rows are sorted into equal bins (b / bins, (b + 1) / bins] of it.

    Args:
      scores: [n, m] logits: cosines times the logit scale that the model was trained with, class logits.
      targets: [n] integers, the right column of each row (bools: column 0 or 1 of two); None = column i for row i (retrieval of
        pairs).
      bins: number of bins.

    Returns:
      In [0, 1]; 0 = calibrated. Where k columns share the largest score the row counts as 1/k right if its own is among them. A
      row with NaN, or of -inf alone, is wrong with confidence 1.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.
    """
    scores = real(scores, "scores").astype(np.float64)
    require(scores.ndim == 2 and scores.size > 0, "scores", got=f"shape {scores.shape}", wanted="[rows, columns], not empty")
    n, m = scores.shape
    bins = whole(bins, "bins")
    if targets is None:
        wanted, remedy = "a column for each row (column i is right for row i)", "Give targets otherwise."
        require(n <= m, "scores", got=f"{n} rows and {m} columns", wanted=wanted, remedy=remedy)
        targets = np.arange(n)
    targets = np.asarray(targets)
    require(targets.shape == (n,), "targets", got=f"shape {targets.shape}", wanted=f"one column number for each of {n} rows")
    got, wanted = f"dtype {targets.dtype} for {m} columns", "column numbers as integers, or bools for two columns"
    remedy = "Convert them with .astype(int) if they are column numbers."
    require(targets.dtype.kind in "iu" or (targets.dtype == bool and m == 2), "targets", got=got, wanted=wanted, remedy=remedy)
    got, wanted = f"numbers from {targets.min()} to {targets.max()}", f"column numbers, 0 to {m - 1}"
    require(bool(np.all((targets >= 0) & (targets < m))), "targets", got=got, wanted=wanted)
    top = scores.max(axis=1, keepdims=True)
    failed = np.isnan(top[:, 0]) | (top[:, 0] == -np.inf)
    best = scores == top
    with np.errstate(invalid="ignore"):  # inf - inf, which is one of the best
        confidence = 1 / np.where(best, 1.0, np.exp(np.where(best, 0.0, scores - top))).sum(axis=1)
    right = best[np.arange(n), targets.astype(np.int64)] / np.maximum(best.sum(axis=1), 1)
    confidence, right = np.where(failed, 1.0, confidence), np.where(failed, 0.0, right)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right - confidence, minlength=bins)  # |B| times the signed gap of each bin
    return float(np.abs(gap).sum() / n)
