"""A sentence finds its moments, each moment weighed by its geodesic similarity to the one that is meant."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import keep_logits, scalar, spoiled
from gera_jax.losses.moments import cells, check_cells, check_moments, masks, unit_rows
from gera_jax.losses.released import hard_geodesic_contrastive
from gera_jax.ops.collectives import gather_rows, global_sum, row_offset

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
