"""Small numerical pieces that every loss and graph is made of: no names of methods, no randomness, no I/O.

The four functions below are for users. The package itself imports its other pieces from the modules of this room.
"""

from gera_jax.ops.geometry import slerp, squared_distances, temporal_iou
from gera_jax.ops.numerics import safe_normalize

__all__ = ["safe_normalize", "slerp", "squared_distances", "temporal_iou"]
