"""Losses exactly as their authors' released code has them, where that differs in kind from the sound form beside it.

They are reached by form="released" of `geodesic_guided_contrastive` and of `shapley_interaction`, whose docstrings list the
differences.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax.losses.inputs import lowest
from gera_jax.losses.moments import coalition_value, log_shares
from gera_jax.ops import safe_normalize

FILL = -1e9  # what the authors write into the embedding of a player that is out


def hard_geodesic_contrastive(own, far, other, g, u, top, at, exists, tau, target, target_far) -> tuple[Array, Array]:
    """`geodesic_guided_contrastive(form="released")`: means [r, S] over a sentence's positives, and their number.

    `target` and `target_far` are the cosines of v_p with its own and with other recordings' moments.
    """
    low = lowest(own.dtype)
    there = top >= 0  # fewer moments than positives
    picked = jnp.where(there, top * jnp.exp(jnp.take_along_axis(own, at, axis=2)), 0.0) / tau
    source = jnp.arange(g.shape[-1], dtype=jnp.int32) == jnp.argmax(u, axis=2).astype(jnp.int32)[..., None]
    around = jnp.where(source, 0.0, g)
    hard = jnp.where(u < 0.5, jnp.exp(own) * (1.0 + around) * jnp.exp(target), 0.0)  # u >= 0.5: a logit of 0 that stays
    count = other.sum(2, keepdims=True).astype(own.dtype)
    log_share = far - jax.nn.logsumexp(jnp.where(other, far, low), axis=2, keepdims=True)
    log_share = jnp.where(other, log_share, 0.0)
    h = 1000.0 * jnp.exp(log_share)
    mean_c = jnp.where(other, target_far, 0.0).sum(2, keepdims=True) / jnp.maximum(count, 1.0)
    above = log_share > -jnp.log(jnp.maximum(count, 1.0))  # h > its mean, which is 1000 / count
    elsewhere = far * (jnp.where(above, target_far, 0.0) + jnp.where(target_far > mean_c, h, 0.0))
    parts = (
        jnp.where(there, picked, low),
        jnp.where(exists, hard / tau, low),
        jnp.where(other, elsewhere / tau, low),
        jnp.full((*own.shape[:2], 1), math.log(1e-6), own.dtype),
    )
    denominator = jax.nn.logsumexp(jnp.concatenate(parts, axis=2), axis=2)
    counted = there.sum(2).astype(own.dtype)
    mean = jnp.where(there, picked, 0.0).sum(2) / jnp.maximum(counted, 1.0)
    return denominator - mean, counted


def released_shapley_interaction(s: Array, v: Array, s_keep: Array, v_keep: Array) -> tuple[Array, Array]:
    """`shapley_interaction(form="released")`: the loss of one recording, and whether it counts."""
    cosines = s @ v.T
    exists = s_keep[:, None] & v_keep[None, :]
    phi = released_interactions(s, v, s_keep, v_keep)
    # Of those that exist phi is listed moment by moment and log A sentence by sentence; place t of one meets that of the other.
    sentences, moments = s_keep.sum(dtype=jnp.int32), v_keep.sum(dtype=jnp.int32)
    place = _rank(s_keep)[:, None] * moments + _rank(v_keep)[None, :]
    i, j = place % jnp.maximum(sentences, 1), place // jnp.maximum(sentences, 1)
    first = (jnp.argsort(~s_keep, stable=True), jnp.argsort(~v_keep, stable=True))  # those that exist, in their order
    i, j = (jnp.take(order, jnp.clip(index, 0, len(order) - 1)) for order, index in zip(first, (i, j), strict=True))
    q = safe_normalize(phi.reshape(-1)).reshape(phi.shape)[i, j]
    ratio = sentences.astype(s.dtype) / jnp.maximum(moments, 1).astype(s.dtype)
    return ratio * jnp.where(exists, q * log_shares(cosines, exists), 0.0).sum(), exists.any()


def _rank(keep: Array) -> Array:
    return jnp.cumsum(keep.astype(jnp.int32)) - 1


def released_interactions(s: Array, v: Array, s_keep: Array, v_keep: Array) -> Array:
    """phi [S, M] with the authors' signs and their way of taking players out."""
    value = partial(coalition_value, s_keep=s_keep, v_keep=v_keep)
    cosines = s @ v.T
    no_sentence, no_moment = FILL * v.sum(1), FILL * s.sum(1)  # logits [M] of a sentence, [S] of a moment that is out
    both = FILL * FILL * s.shape[1]
    whole = value(cosines)
    rows = jnp.arange(s.shape[0], dtype=jnp.int32)
    columns = jnp.arange(v.shape[0], dtype=jnp.int32)

    def sentence_out(logits: Array, i: Array, entries: Array) -> Array:
        return value(jnp.where((rows == i)[:, None], entries, logits))

    alone = jax.vmap(lambda i: sentence_out(cosines, i, no_sentence))(rows)

    @jax.checkpoint
    def moment_out(j: Array) -> Array:
        out = columns == j
        logits = jnp.where(out, no_moment[:, None], cosines)
        pair = jax.vmap(lambda i: sentence_out(logits, i, jnp.where(out, jnp.asarray(both, s.dtype), no_sentence)))(rows)
        return whole - value(logits) + alone - pair

    phi = lax.map(moment_out, columns).T
    return jnp.where(s_keep[:, None] & v_keep[None, :], phi, 0.0)
