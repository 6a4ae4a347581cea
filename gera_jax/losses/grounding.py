"""Grounding a sentence among the moments of a recording: the overlap of each moment, and the sentence of a moment."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import keep_logits, scalar, spoiled
from gera_jax.losses.moments import cells, check_cells, check_moments, masks, unit_rows
from gera_jax.ops.collectives import gather_rows, global_sum, row_offset
from gera_jax.ops.numerics import masked_mean


def moment_bce(
    s: Array,
    v: Array,
    *,
    iou: Array,
    iou_min: float = 0.5,
    iou_max: float = 1.0,
    logit_scale: ArrayLike = 10.0,
    logit_bias: ArrayLike = 0.0,
    s_mask: Array | None = None,
    v_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of each moment's probability and its overlap: mean over (i, j) of BCE(p_ij, y_ij).

    >>> import jax.numpy as jnp
    >>> s, v = jnp.array([[1.0, 0.0]]), jnp.array([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{moment_bce(s, v, iou=jnp.array([[1.0, 0.4]])):.6f}")  # (log(1 + e^-10) + log 2) / 2
    0.346596

    p_ij = sigmoid(logit_scale cos(s_i, v_j) + logit_bias), y_ij = clip((iou_ij - iou_min) / (iou_max - iou_min), 0, 1). Rows are
    normalised inside. Gradients reach s, v, logit_scale and logit_bias, not iou.

    Args (the others are those of every loss, see `gera_jax.losses`):
      s: [..., S, d] sentences.
      v: [..., N, d] moments of the same recordings.
      iou: [..., S, N] temporal overlap of sentence i's span and moment j, in [0, 1].
      iou_min, iou_max: overlaps at which the target reaches 0 and 1.
      logit_scale: 1 / temperature, a positive scalar.
      logit_bias: a scalar, or [..., S or 1, N], what is known of a moment without the sentence; nearly no moment is the right
        one, and at 0 (the authors') the cosines have to say so first.

    Returns:
      >= 0, the mean over the existing cells of all recordings and devices; log 2 where every cosine and the bias are 0. O(S N d)
      time, O(S N) memory for each recording.

    Source: the scaled-overlap loss of 2D-TAN (arXiv 1912.03590) on cosines, as in MMN and G2L (arXiv 2307.14277).
    """
    check_moments(s, v, rank=None, s_mask=s_mask, v_mask=v_mask)
    check_cells(iou, s, v, "iou")
    checks.require(iou_min < iou_max, "iou_min", got=iou_min, wanted=f"below iou_max, {iou_max}")
    s, v = unit_rows(s, v, s_mask, v_mask)
    scale = scalar(logit_scale, s.dtype, "logit_scale", positive=True)
    s_mask, v_mask = masks(s, v, s_mask, v_mask)
    bias = _bias(logit_bias, s, v, v_mask)
    exists = s_mask[..., :, None] & v_mask[..., None, :]
    target = jnp.clip((cells(iou, exists, s.dtype) - iou_min) / (iou_max - iou_min), 0.0, 1.0)
    logits = scale * jnp.matmul(s, jnp.swapaxes(v, -1, -2)) + bias
    return masked_mean(jax.nn.softplus(logits) - target * logits, exists, axis_name=axis_name)


def moment_to_sentence(
    s: Array,
    v: Array,
    *,
    iou: Array,
    sentence_iou: Array,
    margin: float = 0.3,
    temperature: float = 0.1,
    positives: int = 1,
    same: float = 0.5,
    s_mask: Array | None = None,
    v_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Each sentence's best moment finds it among the sentences of the batch: the mean over (i, p) of
    logsumexp_k (c_pk - margin [k = i]) / tau - (c_pi - margin) / tau.

    >>> import jax.numpy as jnp
    >>> s = jnp.eye(2)[None]  # one recording, two sentences with disjoint spans
    >>> one = dict(iou=s, sentence_iou=s, temperature=1.0)
    >>> print(f"{moment_to_sentence(s, s, margin=0.0, **one):.6f}")  # log(1 + 1 / e)
    0.313262
    >>> print(f"{moment_to_sentence(s, s, margin=0.3, **one):.6f}")  # log(1 + e^-0.7)
    0.403186

    c_pk = cos(v_p, s_k), p the `positives` moments with the largest iou with sentence i, tau the temperature. Candidates k are
    i itself, all sentences of other recordings, and those of the same recording whose span overlaps i's by less than `same`.
    Rows are normalised inside. Gradients reach s and v.

    Args (the others are those of every loss, see `gera_jax.losses`):
      s: [r, S, d] sentences of r recordings.
      v: [r, N, d] their moments.
      iou: [r, S, N] overlap of sentences and moments, in [0, 1].
      sentence_iou: [r, S, S] overlap of the sentences' own spans, in [0, 1].
      margin: taken from the positive's cosine.
      temperature: tau > 0.
      positives: moments p of a sentence, at least 1; of equal overlaps the first are taken.
      same: overlap from which two sentences of a recording say the same.

    Returns:
      >= 0, the mean over (i, p) of all devices; log m for m candidates that score alike (margin 0). O(r S R S d) time and O(r S R
      S) memory, R the recordings of all devices.

    Source: MMN (arXiv 2109.04872), the video term of its mutual matching; part (a) of G2L's contrast (arXiv 2307.14277).
    """
    check_moments(s, v, rank=3, s_mask=s_mask, v_mask=v_mask)
    check_cells(iou, s, v, "iou")
    (r, sentences, _), remedy = jnp.shape(s), "One entry per pair of sentences of a recording."
    checks.require_shape(sentence_iou, (r, sentences, sentences), "sentence_iou", remedy=remedy)
    checks.require(positives >= 1, "positives", got=positives, wanted="at least 1")
    s, v = unit_rows(s, v, s_mask, v_mask)
    tau = scalar(temperature, s.dtype, "temperature", positive=True)
    s_mask, v_mask = masks(s, v, s_mask, v_mask)
    overlap = cells(iou, s_mask[:, :, None] & v_mask[:, None, :], s.dtype, -1.0)
    best, at = lax.top_k(overlap, min(positives, v.shape[1]))
    queries = jnp.take_along_axis(v[:, None], at[..., None], axis=2)  # [r, S, p, d]
    everyone = gather_rows(s, axis_name)  # [R, S, d]
    logits = jnp.einsum("ispd,qkd->ispqk", queries, everyone) / tau
    own = jnp.einsum("ispd,isd->isp", queries, s) / tau - margin / tau
    mine = (row_offset(r, axis_name) + jnp.arange(r, dtype=jnp.int32))[:, None] == jnp.arange(len(everyone), dtype=jnp.int32)
    exists = gather_rows(s_mask, axis_name)
    apart = (jnp.asarray(sentence_iou) < same) & ~jnp.eye(sentences, dtype=bool)  # i itself comes with its margin, below
    candidate = jnp.where(mine[:, None, :, None], apart[:, :, None, :], exists[None, None]) & exists[None, None]
    others = jax.nn.logsumexp(keep_logits(logits, candidate[:, :, None]), axis=(-2, -1))
    losses = jnp.logaddexp(own, others) - own
    counts = (best >= 0) & s_mask[..., None]
    both = s_mask[:, :, None] & s_mask[:, None, :]
    total = spoiled(jnp.where(counts, losses, 0.0).sum(), cells(sentence_iou, both, s.dtype), overlap)
    total = global_sum(total, axis_name)
    count = global_sum(counts.sum().astype(s.dtype), axis_name)
    return total / jnp.maximum(count, 1.0)


def _bias(value: ArrayLike, s: Array, v: Array, v_mask: Array) -> Array:
    """A scalar, or an array that a row of moments [..., 1, N] or every cell [..., S, N] has."""
    if jnp.ndim(value) == 0:
        return scalar(value, s.dtype, "logit_bias", positive=False)
    (*lead, rows, _), moments = jnp.shape(s), jnp.shape(v)[-2]
    if jnp.shape(value) not in {(*lead, 1, moments), (*lead, rows, moments)}:
        wanted = f"a scalar or shape {(*lead, rows, moments)}, 1 for {rows}"
        checks.fail("logit_bias", got=f"shape {jnp.shape(value)}", wanted=wanted)
    return jnp.where(v_mask[..., None, :], jnp.asarray(value).astype(s.dtype), 0.0)
