"""What the losses of sentences and moments share: checks, unit rows that masks have cleaned, picks of the best moments."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, clean_rows, keep_logits
from gera_jax.ops import safe_normalize
from gera_jax.ops.numerics import check_real


def check_moments(s: Array, v: Array, *, rank: int | None, s_mask: Array | None, v_mask: Array | None) -> None:
    """Raise unless s [..., S, d] and v [..., N, d] agree in their leading axes and width, and the masks fit."""
    for name, value, rows in (("s", s, "sentences"), ("v", v, "moments")):
        if jnp.ndim(value) < 2 or (rank is not None and jnp.ndim(value) != rank):
            wanted = f"three axes [recordings, {rows}, width]" if rank == 3 else f"[..., {rows}, width]"
            checks.fail(name, got=f"shape {jnp.shape(value)}", wanted=wanted, remedy=f"Give {name} a row axis for each of them.")
    (*lead, _, width), (*found, _, got) = jnp.shape(s), jnp.shape(v)
    remedy = "Sentences and moments of a recording share their place."
    checks.require(lead == found, "v", got=f"leading axes {found}", wanted=f"those of s, {lead}", remedy=remedy)
    checks.require_width(got, width, "v", "s")
    for name, value in (("s", s), ("v", v)):
        check_real(value, name)
    check_mask(s_mask, jnp.shape(s)[:-1], "s_mask")
    check_mask(v_mask, jnp.shape(v)[:-1], "v_mask")


def check_cells(value: Array, s: Array, v: Array, name: str) -> None:
    """Raise unless `value` is [..., S, N]."""
    shape = jnp.shape(s)[:-1] + jnp.shape(v)[-2:-1]
    checks.require_shape(value, shape, name, remedy="One entry per sentence and moment.")


def unit_rows(s: Array, v: Array, s_mask: Array | None, v_mask: Array | None) -> tuple[Array, Array]:
    """Both with rows of length 1, float32 or better; masked rows and zero rows become 0 with a zero gradient."""
    s, v = clean_rows((s, v), (s_mask, v_mask))
    return safe_normalize(s), safe_normalize(v)


def masks(s: Array, v: Array, s_mask: Array | None, v_mask: Array | None) -> tuple[Array, Array]:
    """Both masks as arrays [..., S], [..., N]; all True where none is given."""
    s_mask, v_mask = (jnp.ones(x.shape[:-1], bool) if m is None else m for x, m in ((s, s_mask), (v, v_mask)))
    return s_mask, v_mask


def cells(value: Array, exists: Array, dtype: jnp.dtype, missing: float = 0.0) -> Array:
    """`value` [..., S, N] without gradient, `missing` where the cell does not exist."""
    return jnp.where(exists, lax.stop_gradient(jnp.asarray(value)).astype(dtype), jnp.asarray(missing, dtype))


def coalition_value(cosines: Array, s_keep: Array, v_keep: Array) -> Array:
    """v(C) = (mean over moments of max over sentences + mean over sentences of max over moments of A) / 2, of those in C.

    >>> import jax.numpy as jnp
    >>> print(f"{coalition_value(jnp.zeros((2, 4)), jnp.array([True, False]), jnp.ones(4, bool)):.2f}")
    0.25

    Args:
      cosines: [S, M] logits; A is their softmax over the moments in C.
      s_keep, v_keep: [S], [M] bool, the sentences and the moments in C.

    Returns:
      A scalar in [0, 1]; 0 where no sentence or no moment is in C.
    """
    cell = s_keep[:, None] & v_keep[None, :]
    a = jnp.where(cell, jax.nn.softmax(keep_logits(cosines, cell), axis=1), 0.0)
    sentences, moments = (jnp.maximum(keep.sum(), 1).astype(a.dtype) for keep in (s_keep, v_keep))
    return (a.max(0).sum() / moments + a.max(1).sum() / sentences) / 2


def log_shares(cosines: Array, exists: Array) -> Array:
    """Log-softmax [S, M] of each sentence over the moments that exist; 0 for the others."""
    logits = keep_logits(cosines, exists)
    return jnp.where(exists, logits - jax.nn.logsumexp(logits, axis=1, keepdims=True), 0.0)
