"""Losses: pure functions of arrays with one signature.

    >>> import jax.numpy as jnp
    >>> from gera_jax.losses import info_nce
    >>> x, y, real = jnp.eye(3), jnp.eye(3), jnp.array([True, True, False])
    >>> print(f"{info_nce(x, y, logit_scale=1.0, x_mask=real, y_mask=real):.4f}")  # log(1 + 1 / e)
    0.3133

The data are positional and everything else is keyword-only. What all losses have in common is said here once:

mask, x_mask, y_mask, ...: bool, one entry a row (or point), True = a real row. A masked row reaches neither the value nor a
  gradient, even where it holds NaN. If everything is masked, the loss is 0 and its gradient is zero.
weights: [n] >= 0, one a row of the loss. An entry of 0 leaves the row out.
reduction: "mean" is sum(w l) / sum(w) and "sum" is sum(w l), both over the rows of all devices; "none" is w_i l_i of this
  device's rows [n], 0 where masked. With "none" the loss returns [n] and not a scalar.
axis_name: name of the mapped axis over which the rows are spread, None for one device. The value is that of the whole batch on
  every device; average the gradients over the axis (`lax.pmean`).
block_size: where a loss has it, the rows of the tiles in which it computes the matrix of all pairs, instead of storing it; None
  chooses by the size of that matrix. Value and gradient stay the same to rounding. A gradient in tiles computes every tile anew
  (four matrix products, not three), goes round the devices of `axis_name` in a ring, and has no forward mode (`jax.jvp`).

Every loss computes in float32, or in float64 where an input is float64, and returns that type. Wrong ranks, widths, row counts,
shapes of masks, unknown words, and numbers out of range raise `InputError`, a `ValueError`, when the loss is traced; the value of
a traced number cannot be checked. "Raises" of a loss names only what it has beyond that.
"""

from __future__ import annotations

from gera_jax.losses.anchors import anchor_consistency
from gera_jax.losses.contrastive import info_nce, nt_xent, sigmoid_contrastive, symmetric_info_nce
from gera_jax.losses.density import semantic_density
from gera_jax.losses.diffusion_alignment import diffusion_alignment
from gera_jax.losses.grounding import geodesic_guided_contrastive, moment_bce, moment_to_sentence, shapley_interaction
from gera_jax.losses.heat_stress import heat_geodesic_stress
from gera_jax.losses.mixup import geodesic_mixup_contrastive
from gera_jax.losses.mmd import mk_mmd, mmd
from gera_jax.losses.ot_alignment import ot_alignment
from gera_jax.losses.structure import structure_divergence

__all__ = [
    "anchor_consistency",
    "diffusion_alignment",
    "geodesic_guided_contrastive",
    "geodesic_mixup_contrastive",
    "heat_geodesic_stress",
    "info_nce",
    "mk_mmd",
    "mmd",
    "moment_bce",
    "moment_to_sentence",
    "nt_xent",
    "ot_alignment",
    "semantic_density",
    "shapley_interaction",
    "sigmoid_contrastive",
    "structure_divergence",
    "symmetric_info_nce",
]
