"""Small numerical pieces that every loss and graph is made of: no names of methods, no randomness, no I/O."""

from gera_jax.ops.collectives import gather_rows, global_sum, meets_itself, row_offset
from gera_jax.ops.distances import squared_distances
from gera_jax.ops.numerics import at_least_float32, masked_mean, median_of_nonnegative, safe_normalize, sanitize, unit_factor
from gera_jax.ops.spans import temporal_iou
from gera_jax.ops.sphere import slerp
from gera_jax.ops.symmetric import gram, self_squared_distances, symmetric_powers, symmetric_product

__all__ = [
    "at_least_float32",
    "gather_rows",
    "global_sum",
    "gram",
    "masked_mean",
    "median_of_nonnegative",
    "meets_itself",
    "row_offset",
    "safe_normalize",
    "sanitize",
    "self_squared_distances",
    "slerp",
    "squared_distances",
    "symmetric_powers",
    "symmetric_product",
    "temporal_iou",
    "unit_factor",
]
