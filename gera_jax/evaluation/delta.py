"""Embedding arithmetic: change one word of what a picture shows, and look for the picture of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require
from gera_jax.evaluation import ranks
from gera_jax.evaluation.inputs import real


def delta_retrieval(
    gallery: Any,
    queries: Any,
    word_value: Any,
    word_target: Any,
    relevance: Any,
    *,
    lams: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
    threshold: float = 0.5,
    weights: Any = None,
) -> dict[float, float]:
    """Share of edits whose nearest row is right: unit(gallery_query) + lam (word_target - word_value), the query left out.

    >>> import numpy as np
    >>> cat, dog, sits, runs = np.eye(4)
    >>> gallery = np.stack([cat + sits, dog + sits, cat + runs, dog + runs])
    >>> delta_retrieval(gallery, [0], [cat], [dog], [[False, True, False, False]], lams=(0.0, 1.0))
    {0.0: 0.5, 1.0: 1.0}

    Choose lam on a development split and look at the test split with that one: the best of many on one split is too high.

    Args:
      gallery: [n, d] rows to search, such as pictures; rows are normalised inside.
      queries: [q] row numbers of the gallery that are edited.
      word_value: [q, d] the word of the query that goes, in the same space; normalised inside.
      word_target: [q, d] the word that comes.
      relevance: [q, n] bool, or how well each row fits the edit: right above `threshold`.
      lams: strengths of the edit.
      threshold: of `relevance`.
      weights: [q] >= 0, such as one over the root of how often an edit occurs.

    Returns:
      lam -> weighted share in [0, 1]; chance = share of relevant rows. k rows at the same score count 1/k each; NaN fails.

    Source: Couairon et al., "Embedding Arithmetic of Multimodal Queries" (SIMAT, 2021); as used by Oh et al. (NeurIPS 2023), who
    report the best lam of the development split.
    """
    gallery, word_value = ranks.unit_pair(gallery, word_value, ("gallery", "word_value"))
    _, word_target = ranks.unit_pair(gallery, word_target, ("gallery", "word_target"))
    queries, relevance = np.asarray(queries), np.asarray(relevance)
    n, q = len(gallery), len(word_value)
    got, wanted = f"shape {queries.shape}, {q} word_value, {len(word_target)} word_target", "one of each for every edit"
    require(queries.shape == (q,) and len(word_target) == q, "queries", got=got, wanted=wanted)
    require(queries.dtype.kind in "iu", "queries", got=f"dtype {queries.dtype}", wanted="row numbers of the gallery")
    got, wanted = f"numbers from {queries.min()} to {queries.max()}", f"row numbers of the gallery, 0 to {n - 1}"
    require(bool(np.all((queries >= 0) & (queries < n))), "queries", got=got, wanted=wanted)
    require(n >= 2, "gallery", got=f"{n} rows", wanted="at least 2, as the query itself is left out")
    require(relevance.shape == (q, n), "relevance", got=f"shape {relevance.shape}", wanted=f"shape {(q, n)}")
    require(len(lams) > 0, "lams", got="none", wanted="at least one strength")
    wanted, remedy = "numbers or bools", "Give a row that was not judged the value 0, or leave the edit out."
    require(not (relevance.dtype.kind == "f" and np.isnan(relevance).any()), "relevance", got="NaN", wanted=wanted, remedy=remedy)
    require(all(math.isfinite(gallery.dtype.type(lam)) for lam in lams), "lams", got=list(lams), wanted="finite strengths")
    weights = np.ones(q) if weights is None else real(weights, "weights").astype(float)
    fine = weights.shape == (q,) and bool(np.all(weights >= 0)) and 0 < weights.sum() < np.inf
    got, wanted = f"shape {weights.shape}, sum {weights.sum():g}", f"{q} numbers >= 0 that are not all 0"
    require(fine, "weights", got=got, wanted=wanted)
    right = relevance if relevance.dtype == bool else real(relevance, "relevance") > threshold
    own, change = gallery[queries] @ gallery.T, (word_target - word_value) @ gallery.T
    tie, rows, result = ranks.tie_width(gallery.dtype), np.arange(q), {}
    for lam in lams:
        scores = own + np.asarray(lam, own.dtype) * change  # the length of the edited row does not change its order
        scores[rows, queries] = np.nan
        failed = np.isnan(scores).all(axis=1)
        scores[np.isnan(scores)] = -np.inf
        best = scores >= scores.max(axis=1, keepdims=True) - tie * max(1.0, abs(lam))
        hit = np.where(failed, 0.0, (best & right).sum(axis=1) / best.sum(axis=1))
        result[float(lam)] = float(weights @ hit / weights.sum())
    return result
