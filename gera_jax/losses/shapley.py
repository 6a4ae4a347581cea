"""Which sentence and which moment need each other: the Shapley interaction of pairs as a soft label for their similarity."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import keep_logits
from gera_jax.losses.moments import check_moments, log_shares, masks, unit_rows
from gera_jax.losses.released import released_shapley_interaction
from gera_jax.ops.collectives import global_sum
from gera_jax.ops.numerics import safe_normalize

FORMS = ("intended", "released")


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
    checks.require_known(form, FORMS, "form")
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
