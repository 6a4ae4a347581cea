"""Small numerical pieces that every loss and graph is made of: no names of methods, no randomness, no I/O.

The four functions below are for users. The package itself imports its other pieces from the modules of this room.
"""

from gera_jax.ops.distances import squared_distances
from gera_jax.ops.numerics import safe_normalize
from gera_jax.ops.spans import temporal_iou
from gera_jax.ops.sphere import slerp

__all__ = ["safe_normalize", "slerp", "squared_distances", "temporal_iou"]
