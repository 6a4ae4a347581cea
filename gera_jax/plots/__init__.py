"""Pictures of runs and joint spaces, as matplotlib figures; `svg` makes one fit for a page, light or dark.

matplotlib is imported inside and pyplot not at all: nothing is shown, leaked or needs a display.
"""

from gera_jax.plots.basics import joint_space, recall_against_pairs, training_curves
from gera_jax.plots.basics import svg as svg
from gera_jax.plots.spaces import hypersphere_gap, layer_heatmap

__all__ = ["hypersphere_gap", "joint_space", "layer_heatmap", "recall_against_pairs", "training_curves"]
