"""Sentences among the moments of a recording: their overlaps, geodesic weights of moments, and Shapley interactions."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from gera_jax import checks
from gera_jax.losses.inputs import keep_logits, spoiled
from gera_jax.losses.moments import cells, check_cells, check_moments, log_shares, masks, unit_rows
from gera_jax.losses.released import hard_geodesic_contrastive, released_shapley_interaction
from gera_jax.ops.collectives import gather_rows, global_sum, row_offset
from gera_jax.ops.numerics import masked_mean, safe_normalize, scalar


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


FORMS = ("clean", "released")
DIRECTIONS = ("sparing", "pushing")


def geodesic_guided_contrastive(
    s: Array,
    v: Array,
    *,
    similarity: Array,
    iou: Array,
    form: Literal["clean", "released"] = "clean",
    positives: int = 5,
    temperature: float = 0.1,
    direction: Literal["sparing", "pushing"] = "sparing",
    s_mask: Array | None = None,
    v_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Weighted softmax of each sentence over moments: the mean over sentences i of
    l_i = -sum_{j in P} g_ij log(e_ij / (sum_{P} e_ik + sum_{Neg} w_ik e_ik)) / sum_P g_ij.

    >>> import jax.numpy as jnp
    >>> s, v = jnp.array([[[1.0, 0.0]]]), jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    >>> cells = dict(similarity=jnp.array([[[1.0, 0.0]]]), iou=jnp.array([[[1.0, 0.0]]]))
    >>> print(f"{geodesic_guided_contrastive(s, v, **cells, temperature=1.0):.6f}")  # log(1 + 1 / e)
    0.313262

    e_ij = exp(cos(s_i, v_j) / tau); P holds the `positives` moments of the recording with the largest similarity g_ij > 0 (of
    equal ones the first); Neg holds the moments of the recording with iou_ij < 0.5 outside of P, and all moments of the other
    recordings. w_ik = 1 - g_ik ("sparing": a moment near the right one is pushed less), 1 + g_ik ("pushing") or 1 (other
    recordings). Rows are normalised inside. Gradients reach s and v, not similarity and iou.

    "released" is the loss that the authors trained (its hard version), logarithms of exponentials of exponentials, in log space:
    with E_ij = exp(cos(s_i, v_j)), p the moment with the largest iou, c_ij = cos(v_p, v_j), the mean over i and the five
    r in P (g_ir = 0 allowed) of log(sum_r exp(g_ir E_ir / tau) + sum_j exp(H_ij / tau) + sum_j exp(H'_ij / tau) + 1e-6)
    - g_ir E_ir / tau, where H_ij = E_ij (1 + g_ij [j != p]) exp(c_ij) [iou_ij < 0.5] in the recording and
    H'_ij = cos(s_i, v_j) (c_ij [h_ij > mean h] + h_ij [c_ij > mean c]), h_ij = 1000 softmax_j cos(s_i, v_j), in the others.

    Args (the others are those of every loss, see `gera_jax.losses`):
      s: [r, S, d] sentences of r recordings.
      v: [r, N, d] their moments.
      similarity: [r, S, N] g in [0, 1], as `graphs.geodesic_similarity` gives it.
      iou: [r, S, N] overlap of sentences and moments, in [0, 1].
      form: "clean" or "released".
      positives: size of P, at least 1.
      temperature: tau > 0.
      direction: "sparing" or "pushing"; "released" has its own.

    Returns:
      A scalar, the mean over the sentences of all devices; "clean" is >= 0, and log m for m moments that score and weigh alike. A
      sentence with no g > 0 counts as masked ("clean"). O(r S R N d) time and O(r S R N) memory, R the recordings of all devices.

    Source: G2L, arXiv 2307.14277; the clean form is ours. Differs from the authors' code ("released" too): sums of exponentials
    in log space (theirs overflow float32), moments that do not exist are left out, one recording alone has no other moments
    (theirs is NaN), and other recordings are those of all devices.
    """
    check_moments(s, v, rank=3, s_mask=s_mask, v_mask=v_mask)
    check_cells(similarity, s, v, "similarity")
    check_cells(iou, s, v, "iou")
    checks.require_known(form, FORMS, "form")
    checks.require_known(direction, DIRECTIONS, "direction")
    checks.require(positives >= 1, "positives", got=positives, wanted="at least 1")
    s, v = unit_rows(s, v, s_mask, v_mask)
    tau = scalar(temperature, s.dtype, "temperature", positive=True)
    s_mask, v_mask = masks(s, v, s_mask, v_mask)
    exists = s_mask[:, :, None] & v_mask[:, None, :]
    g, u = cells(similarity, exists, s.dtype, -1.0), cells(iou, exists, s.dtype, -1.0)
    top, at = lax.top_k(g, min(positives, v.shape[1]))
    own = jnp.einsum("isd,ijd->isj", s, v)
    everything = gather_rows(v, axis_name).reshape(-1, v.shape[-1])  # [R N, d]
    mine = (row_offset(len(s), axis_name) + jnp.arange(len(s), dtype=jnp.int32))[:, None]
    owner = jnp.arange(len(everything), dtype=jnp.int32) // v.shape[1]
    other = (gather_rows(v_mask, axis_name).reshape(-1) & (owner != mine))[:, None, :]  # [r, 1, R N]
    far = jnp.einsum("isd,md->ism", s, everything)
    if form == "clean":
        losses, weight = _clean(own, far, other, g, u, top, at, exists, tau, direction)
    else:
        target = jnp.take_along_axis(v, jnp.argmax(u, axis=2)[..., None], axis=1)  # v_p [r, S, d]
        target, target_far = jnp.einsum("isd,ijd->isj", target, v), jnp.einsum("isd,md->ism", target, everything)
        losses, weight = hard_geodesic_contrastive(own, far, other, g, u, top, at, exists, tau, target, target_far)
    weight = jnp.where(s_mask, weight, 0.0)
    total = global_sum(spoiled((weight * losses).sum(), g, u), axis_name)
    count = global_sum(weight.sum(), axis_name)
    return total / jnp.maximum(count, 1.0)


def _clean(own, far, other, g, u, top, at, exists, tau, direction) -> tuple[Array, Array]:
    """Losses [r, S] and their weights."""
    positive = (at[..., None, :] == jnp.arange(g.shape[-1], dtype=at.dtype)[:, None]) & (top[..., None, :] > 0)
    positive = positive.any(-1)
    omega = 1.0 - g if direction == "sparing" else 1.0 + g
    weight = jnp.where(positive, 1.0, jnp.where((u < 0.5) & exists, omega, 0.0))
    some = weight > 0
    own, far = own / tau, far / tau
    near = keep_logits(own + jnp.log(jnp.where(some, weight, 1.0)), some)
    away = keep_logits(far, other)
    denominator = jnp.logaddexp(jax.nn.logsumexp(near, axis=2), jax.nn.logsumexp(away, axis=2))
    share = jnp.maximum(top, 0.0)
    mass = share.sum(2)
    valid = mass > 0
    mean = (share * jnp.take_along_axis(own, at, axis=2)).sum(2) / jnp.where(valid, mass, 1.0)
    return denominator - mean, valid.astype(own.dtype)


SHAPLEY_FORMS = ("intended", "released")


def shapley_interaction(
    s: Array,
    v: Array,
    *,
    form: Literal["intended", "released"] = "intended",
    s_mask: Array | None = None,
    v_mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Cross-entropy of the softmax A over moments and normalised interactions: L = -(S / M) sum_ij q_ij log A_ij.

    >>> import jax.numpy as jnp
    >>> circle = lambda *angles: jnp.stack([jnp.cos(jnp.deg2rad(jnp.array(angles))), jnp.sin(jnp.deg2rad(jnp.array(angles)))], 1)
    >>> s, v = circle(10.0, 80.0), circle(0.0, 60.0, 100.0)
    >>> print(f"{shapley_interaction(s, v):.5f}")
    -0.47774

    A_ij = softmax_j cos(s_i, v_j); q = phi / |phi|, the leave-out interaction of sentence i and moment j in the game of
    `coalition_value`: phi_ij = v(all) - v(all - i) - v(all - j) + v(all - i - j). Who is out is masked in the logits. Rows are
    normalised inside. Gradients reach s and v through log A; q has none.

    "released" is the authors' objective with its quirks: phi_ij = v(all) - v(all - j) + v(all - i) - v(all - i - j); "out" is an
    embedding of -1e9 in each coordinate, which a moment whose cosine is then +infinity wins; phi is read moment by moment
    against log A read sentence by sentence; gradients flow through q; the sign is turned (cross-entropy is maximised), and it
    is the sum over recordings.

    Args (the others are those of every loss, see `gera_jax.losses`):
      s: [..., S, d] sentences.
      v: [..., M, d] moments, in the same order of recordings.
      form: "intended" or "released".

    Returns:
      A scalar, the mean over recordings, of either sign (interactions have both). O(S M^2) time for each recording ("released":
      O(S^2 M^2)), O(S M) memory: one moment is out at a time.

    Source: the semantic Shapley interaction of G2L (arXiv 2307.14277), after LOUPE (arXiv 2208.02515); signs of the interaction
    index as in Grabisch and Roubens 1999. The default differs from the authors' code in all points named under "released".
    """
    check_moments(s, v, rank=None, s_mask=s_mask, v_mask=v_mask)
    checks.require_known(form, SHAPLEY_FORMS, "form")
    s, v = unit_rows(s, v, s_mask, v_mask)
    s_mask, v_mask = masks(s, v, s_mask, v_mask)
    flat = [value.reshape(-1, *value.shape[kept:]) for value, kept in ((s, -2), (v, -2), (s_mask, -1), (v_mask, -1))]
    losses, valid = jax.vmap(_intended if form == "intended" else released_shapley_interaction)(*flat)
    total = global_sum(jnp.where(valid, losses, 0.0).sum(), axis_name)
    if form == "released":
        return total
    count = global_sum(valid.sum().astype(s.dtype), axis_name)
    return jnp.where(count > 0, total / jnp.maximum(count, 1.0), 0.0)


def leave_out_interactions(cosines: Array, s_keep: Array, v_keep: Array) -> Array:
    """phi [S, M] of each pair in the game of `coalition_value`, from the coalition of all that are kept; 0 for the others.

    Differences of nearly equal values are taken inside of the sums, so that phi keeps its digits where it is small.
    """
    exists = s_keep[:, None] & v_keep[None, :]
    # A sentence's own largest cosine is taken out first; the softmax does not change.
    top = keep_logits(cosines, exists).max(1, keepdims=True)
    e = jnp.where(exists, jnp.exp(jnp.where(exists, cosines - top, 0.0)), 0.0)
    whole = _marginals(e, s_keep, v_keep)

    def without(j: Array) -> Array:
        rest = jnp.arange(e.shape[1], dtype=jnp.int32) != j
        return whole - _marginals(jnp.where(rest, e, 0.0), s_keep, v_keep & rest)

    phi = lax.map(without, jnp.arange(e.shape[1], dtype=jnp.int32)).T
    return jnp.where(exists, phi, 0.0)


def _marginals(e: Array, s_keep: Array, v_keep: Array) -> Array:
    """v(C) - v(C - i) [S] for each sentence i of C, from e = exp(cosines) [S, M] with zeros outside of C."""
    a = e / jnp.maximum(e.sum(1, keepdims=True), jnp.finfo(e.dtype).tiny)
    best = jnp.argmax(a, axis=0)
    mine = jnp.arange(a.shape[0], dtype=best.dtype)[:, None] == best
    lead = a.max(0) - jnp.where(mine, 0.0, a).max(0)  # what a moment loses with its best sentence
    row = a.max(1)
    sentences, moments = (keep.sum().astype(a.dtype) for keep in (s_keep, v_keep))
    by_moment = jnp.where(mine, lead, 0.0).sum(1) / jnp.maximum(moments, 1.0)
    mean = row.sum() / jnp.maximum(sentences, 1.0)
    by_sentence = jnp.where(sentences > 1, (row - mean) / jnp.maximum(sentences - 1.0, 1.0), row)
    return jnp.where(s_keep, (by_moment + by_sentence) / 2, 0.0)


def _intended(s: Array, v: Array, s_keep: Array, v_keep: Array) -> tuple[Array, Array]:
    """Loss of one recording, and whether it counts."""
    cosines = s @ v.T
    exists = s_keep[:, None] & v_keep[None, :]
    phi = leave_out_interactions(lax.stop_gradient(cosines), s_keep, v_keep)
    # Rounding that stands where there is no interaction must not be normalised to a label of length 1.
    q = safe_normalize(jnp.where(jnp.abs(phi) > 32 * jnp.finfo(phi.dtype).eps, phi, 0.0).reshape(-1))
    log_a = log_shares(cosines, exists)
    sentences, moments = (keep.sum().astype(s.dtype) for keep in (s_keep, v_keep))
    loss = -(sentences / jnp.maximum(moments, 1.0)) * (q * log_a.reshape(-1)).sum()
    return loss, exists.any()
