"""How good a shared space is. Host functions take NumPy and return floats; the diagnostics are JAX functions.

Wrong shapes, widths and row counts, unknown words, and numbers out of range raise `InputError` in every function; "Raises" names
what a function has beyond that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gera_jax._lazy import attach
from gera_jax.evaluation.classification import (
    delta_retrieval,
    expected_calibration_error,
    few_shot_accuracy,
    shift_robustness,
    zero_shot_accuracy,
)
from gera_jax.evaluation.retrieval import foscttm, foscttm_from_scores, retrieval_metrics, retrieval_metrics_from_scores
from gera_jax.evaluation.similarity import cknna, layer_scores, linear_cka, mutual_knn, neighbour_count, unbiased_cka
from gera_jax.evaluation.split import chance_level, csls, inverted_softmax, local_density, log_density

__all__ = [
    "alignment",
    "chance_level",
    "cknna",
    "csls",
    "delta_retrieval",
    "effective_rank",
    "expected_calibration_error",
    "few_shot_accuracy",
    "foscttm",
    "foscttm_from_scores",
    "fuse_scores",
    "grounding_recall",
    "inverted_softmax",
    "layer_scores",
    "linear_cka",
    "local_density",
    "log_density",
    "mean_cosine",
    "modality_gap",
    "mutual_knn",
    "neighbour_count",
    "relative_alignment",
    "retrieval_metrics",
    "retrieval_metrics_from_scores",
    "sampled_shapley_values",
    "set_uniformity",
    "shapley_interactions",
    "shapley_values",
    "shift_robustness",
    "temporal_iou",
    "temporal_nms",
    "unbiased_cka",
    "uniformity",
    "zero_shot_accuracy",
]

if TYPE_CHECKING:  # these need JAX, and load on first use
    from gera_jax.evaluation.geometry import (
        alignment,
        effective_rank,
        mean_cosine,
        modality_gap,
        relative_alignment,
        set_uniformity,
        uniformity,
    )
    from gera_jax.evaluation.grounding import fuse_scores, grounding_recall, temporal_nms
    from gera_jax.evaluation.shapley import sampled_shapley_values, shapley_interactions, shapley_values
    from gera_jax.ops import temporal_iou
else:
    __getattr__, __dir__ = attach(__name__)
