"""What the losses of sentences and moments share: checks, unit rows that masks have cleaned, picks of the best moments."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_real, check_shape, compute_dtype
from gera_jax.ops import safe_normalize, sanitize


def check_moments(s: Array, v: Array, *, rank: int | None, s_mask: Array | None, v_mask: Array | None) -> None:
    """Raise unless s [..., S, d] and v [..., N, d] agree in their leading axes and width, and the masks fit."""
    for name, value, rows in (("s", s, "sentences"), ("v", v, "moments")):
        if jnp.ndim(value) < 2 or (rank is not None and jnp.ndim(value) != rank):
            wanted = f"three axes [recordings, {rows}, width]" if rank == 3 else f"[..., {rows}, width]"
            checks.fail(name, got=f"shape {jnp.shape(value)}", wanted=wanted, remedy=f"Give {name} a row axis for each of them.")
    lead = jnp.shape(s)[:-2]
    if jnp.shape(v)[:-2] != lead:
        checks.fail(
            "v",
            got=f"leading axes {jnp.shape(v)[:-2]}",
            wanted=f"those of s, {lead}",
            remedy="Sentences and moments of a recording share their place.",
        )
    if jnp.shape(s)[-1] != jnp.shape(v)[-1]:
        checks.fail(
            "v",
            got=f"width {jnp.shape(v)[-1]}",
            wanted=f"the width {jnp.shape(s)[-1]} of s",
            remedy="Project both modalities into one shared space first.",
        )
    for name, value in (("s", s), ("v", v)):
        check_real(value, name)
    check_mask(s_mask, jnp.shape(s)[:-1], "s_mask")
    check_mask(v_mask, jnp.shape(v)[:-1], "v_mask")


def check_cells(value: Array, s: Array, v: Array, name: str) -> None:
    """Raise unless `value` is [..., S, N]."""
    check_shape(value, jnp.shape(s)[:-1] + jnp.shape(v)[-2:-1], name, "One entry per sentence and moment.")


def unit_rows(s: Array, v: Array, s_mask: Array | None, v_mask: Array | None) -> tuple[Array, Array]:
    """Both with rows of length 1, float32 or better; masked rows and zero rows become 0 with a zero gradient."""
    s, v = jnp.asarray(s), jnp.asarray(v)
    dtype = compute_dtype(s, v)
    return safe_normalize(sanitize(s.astype(dtype), s_mask)), safe_normalize(sanitize(v.astype(dtype), v_mask))


def masks(s: Array, v: Array, s_mask: Array | None, v_mask: Array | None) -> tuple[Array, Array]:
    """Both masks as arrays [..., S], [..., N]; all True where none is given."""
    return (
        jnp.ones(s.shape[:-1], bool) if s_mask is None else s_mask,
        jnp.ones(v.shape[:-1], bool) if v_mask is None else v_mask,
    )


def cells(value: Array, exists: Array, dtype: jnp.dtype, missing: float = 0.0) -> Array:
    """`value` [..., S, N] without gradient, `missing` where the cell does not exist."""
    return jnp.where(exists, lax.stop_gradient(jnp.asarray(value)).astype(dtype), jnp.asarray(missing, dtype))


def floor(dtype: jnp.dtype) -> Array:
    """A logit that weighs nothing; finite, so that a sum over nothing has a finite value and a zero gradient."""
    return jnp.asarray(jnp.finfo(dtype).min / 2, dtype)
