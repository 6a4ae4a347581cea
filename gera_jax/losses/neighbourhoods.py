"""What the losses of neighbourhoods [anchors, points, width] share; a whole batch is one neighbourhood (form "batch")."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_rank, compute_dtype, keep_rows, on_every_device, reduce_rows, row_weights
from gera_jax.ops.collectives import gather_rows
from gera_jax.ops.numerics import sanitize


def check_neighbourhoods(x: Array, z: Array, form: str, mask: Array | None, weights: Array | None) -> None:
    """Raise unless z holds the points of x: one set [b, d] for form "batch", else one neighbourhood an anchor [a, m, d]."""
    rank = 2 if form == "batch" else 3
    check_rank(x, rank, "x")
    check_rank(z, rank, "z")
    points = jnp.shape(x)[:-1]
    wanted, remedy = f"{points} as the leading axes of x, then any width", "Pass the same points after projection."
    checks.require(jnp.shape(z)[:-1] == points, "z", got=f"shape {jnp.shape(z)}", wanted=wanted, remedy=remedy)
    checks.require(math.prod(points) > 0, "x", got=f"shape {jnp.shape(x)}", wanted="at least one point")
    check_mask(mask, points, "mask")
    if form == "batch":
        remedy = "Drop weights, or use mask to leave rows out."
        wanted = "no weights (one set, one loss)"
        checks.require(weights is None, "weights", got='weights with form="batch"', wanted=wanted, remedy=remedy)
    else:
        checks.require_shape(weights, points[:1], "weights", remedy="One weight per neighbourhood.")


def as_neighbourhoods(
    x: Array, z: Array, mask: Array | None, form: str, axis_name: str | None
) -> tuple[Array, Array, Array | None]:
    """x [a, m, d] as a constant, z [a, m, k] and mask [a, m]; for form "batch" the rows of all devices as one neighbourhood."""
    dtype = compute_dtype(x, z)
    x, z = lax.stop_gradient(jnp.asarray(x)).astype(dtype), jnp.asarray(z).astype(dtype)
    if form != "batch":
        return x, z, mask
    return (*(gather_rows(v, axis_name)[None] for v in (x, z)), None if mask is None else gather_rows(mask, axis_name)[None])


def centred(points: Array, mask: Array | None) -> Array:
    """Points with the masked ones in the centre of the others, so that they cost the distances no digits."""
    if mask is None:
        return points
    points = sanitize(points, mask)
    count = jnp.maximum(mask.sum(1), 1).astype(points.dtype)[:, None, None]
    return sanitize(points - lax.stop_gradient(points.sum(1, keepdims=True) / count), mask)


def reduce_neighbourhoods(
    losses: Array, valid: Array | None, weights: Array | None, form: str, reduction: str, axis_name: str | None
) -> Array:
    """Reduce the losses [a] of the neighbourhoods; the one of form "batch" is its own mean, sum and "none"."""
    losses = keep_rows(losses, valid)
    if form == "batch":
        return on_every_device(losses[0], axis_name)
    return reduce_rows(losses, row_weights(valid, weights, len(losses), losses.dtype), reduction, axis_name)
