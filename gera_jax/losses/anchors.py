"""Rows described by their relation to anchors, and two spaces that should describe them alike."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_rank, check_same_rows, compute_dtype, keep_rows, reduce_rows, row_weights
from gera_jax.ops.collectives import row_offset
from gera_jax.ops.numerics import safe_normalize, sanitize
from gera_jax.transport import multi_assignment

LINKS = ("linear", "exp")


def anchor_consistency(
    x: Array,
    z: Array,
    *,
    x_anchors: Array,
    z_anchors: Array,
    x_queue: Array | None = None,
    z_queue: Array | None = None,
    queue_mask: Array | None = None,
    assignments: int | None = None,
    epsilon: float = 0.07,
    iterations: int = 20,
    temperature: float = 0.1,
    link: Literal["linear", "exp"] = "linear",
    rescale: bool = True,
    mask: Array | None = None,
    axis_name: str | None = None,
) -> Array:
    """Scores against anchors in one space predict the balanced codes of the other: ell(S_x, Q_z) + ell(S_z, Q_x).

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> print(f"{anchor_consistency(x, x, x_anchors=x, z_anchors=x, temperature=1.0):.6f}")  # log(1 + e) - 1 + log 2
    1.006409
    >>> print(f"{anchor_consistency(x, x, x_anchors=x, z_anchors=x[::-1], temperature=1.0):.6f}")  # the wrong anchors
    2.006409

    S = unit rows times unit anchors; Q = `multi_assignment` codes of [queue; batch], the batch's rows of it;
    ell(S, Q) = mean over rows and anchors of softplus(l) - Q l with the logit l = S / temperature, or exp(S / temperature).

    Rows and anchors are normalised inside. Gradients reach x, z and both sets of anchors through S; codes and queues are
    constants.

    Args (the others are those of every loss, see `gera_jax.losses`):
      x: [n, d] rows in one space, such as frozen features.
      z: [n, k] the same rows, or those that they match, in the other, such as the joint space.
      x_anchors: [K, d].
      z_anchors: [K, k].
      x_queue: [q, d] earlier rows of the first space, which make the balance that of more than one batch.
      z_queue: [q, k] the same of the second.
      queue_mask: [q] bool, True = filled.
      assignments: anchors marked for each row; None = K // 2.
      epsilon: > 0, softness of the codes.
      iterations: rounds of the balancing.
      temperature: > 0, of the prediction.
      link: "linear": l = S / temperature; "exp": l = exp(S / temperature), as released. It is always positive, so that no
        probability is below 1/2 and a code of 0 costs at least log 2.
      rescale: each row of the codes to [0, 1] by its minimum and maximum.
      axis_name: as in every loss; the queues are the same on every device.

    Returns:
      >= 0; 2 log 2 for "linear" when the scores say nothing; at least the binary entropy of the codes. O((n + q) K (d + k +
      iterations)) time, O((n + q) K) memory.

    Source: Swetha et al. 2023, arXiv 2308.13077; read from the authors' code, which has 64 anchors.
    Differs from the authors' code in the default link, and in that codes come from as much of a queue as is filled (there the
    term is 0 until 5,500 rows are queued).
    """
    _check(x, z, x_anchors, z_anchors, x_queue, z_queue, queue_mask, temperature, link, mask)
    n, count = jnp.shape(x)[0], jnp.shape(x_anchors)[0]
    assignments = count // 2 if assignments is None else assignments
    dtype = compute_dtype(x, z, x_anchors, z_anchors)
    options = dict(assignments=assignments, epsilon=epsilon, iterations=iterations, rescale=rescale, axis_name=axis_name)

    def describe(rows, anchors, queue):
        """Scores [n, K] and codes [n, K] of this device's rows."""
        anchors = safe_normalize(jnp.asarray(anchors).astype(dtype))
        scores = _scores(rows, mask, anchors)
        if queue is None:
            return scores, multi_assignment(scores, mask=mask, **options).codes
        waiting = jnp.ones(jnp.shape(queue)[0], bool) if queue_mask is None else jnp.asarray(queue_mask)
        # Every device holds the whole queue: the first one counts it.
        counted = waiting & (row_offset(1, axis_name) == 0)
        batch = jnp.ones(n, bool) if mask is None else mask
        both = jnp.concatenate([_scores(queue, waiting, anchors), scores])
        codes = multi_assignment(both, mask=jnp.concatenate([counted, batch]), **options).codes
        return scores, codes[len(waiting) :]

    x_scores, x_codes = describe(x, x_anchors, x_queue)
    z_scores, z_codes = describe(z, z_anchors, z_queue)
    losses = _cross_entropy(x_scores / temperature, z_codes, link) + _cross_entropy(z_scores / temperature, x_codes, link)
    return reduce_rows(keep_rows(losses, mask), row_weights(mask, None, n, dtype), "mean", axis_name)


def _scores(rows: Array, mask: Array | None, anchors: Array) -> Array:
    rows = sanitize(jnp.asarray(rows).astype(anchors.dtype), mask)
    return jnp.matmul(safe_normalize(rows), anchors.T, precision=jax.lax.Precision.HIGHEST)


def _cross_entropy(scores: Array, codes: Array, link: str) -> Array:
    logits = jnp.exp(scores) if link == "exp" else scores
    return (jax.nn.softplus(logits) - codes * logits).mean(1)


def _check(x, z, x_anchors, z_anchors, x_queue, z_queue, queue_mask, temperature, link, mask) -> None:
    checks.require_known(link, LINKS, "link")
    checks.require_positive(temperature=temperature)
    for name, value in (("x", x), ("z", z), ("x_anchors", x_anchors), ("z_anchors", z_anchors)):
        check_rank(value, 2, name)
    check_same_rows(x, z, "z")
    remedy = "Leave the term of a modality without rows out, or pass its rows as masked."
    checks.require(jnp.shape(x)[0] > 0, "x", got="0 rows", wanted="at least 1 row", remedy=remedy)
    count, other = jnp.shape(x_anchors)[0], jnp.shape(z_anchors)[0]
    remedy = "Anchor j stands for the same thing in both spaces."
    checks.require(other == count, "z_anchors", got=f"{other} anchors", wanted=f"the {count} of x_anchors", remedy=remedy)
    missing = "z_queue" if z_queue is None else "x_queue"
    checks.require(
        (x_queue is None) == (z_queue is None), missing, got="one queue alone", wanted="x_queue and z_queue, or neither"
    )
    rows = None if x_queue is None else jnp.shape(x_queue)[0]
    for name, queue, anchors, like in (("x", x_queue, x_anchors, x), ("z", z_queue, z_anchors, z)):
        width = jnp.shape(like)[1]
        checks.require_width(jnp.shape(anchors)[1], width, f"{name}_anchors", name)
        remedy = "Both queues hold the same rows, in the widths of x and z."
        checks.require_shape(queue, (rows, width), f"{name}_queue", remedy=remedy)
    checks.require(queue_mask is None or x_queue is not None, "queue_mask", got="a mask without queues", wanted="queues with it")
    check_mask(queue_mask, (rows,), "queue_mask")
    check_mask(mask, jnp.shape(x)[:1], "mask")
