"""How good a shared space is. Host functions take NumPy and return floats; the diagnostics are JAX functions."""

from __future__ import annotations

from gera_jax.evaluation.diagnostics import alignment, effective_rank, mean_cosine, modality_gap, uniformity
from gera_jax.evaluation.grounding import fuse_scores, grounding_recall, temporal_nms
from gera_jax.evaluation.retrieval import (
    foscttm,
    foscttm_from_scores,
    retrieval_metrics,
    retrieval_metrics_from_scores,
)
from gera_jax.evaluation.shapley import sampled_shapley_values, shapley_interactions, shapley_values
from gera_jax.evaluation.similarity import linear_cka, mutual_knn
from gera_jax.evaluation.zero_shot import zero_shot_accuracy
from gera_jax.ops import temporal_iou

__all__ = [
    "alignment",
    "effective_rank",
    "foscttm",
    "foscttm_from_scores",
    "fuse_scores",
    "grounding_recall",
    "linear_cka",
    "mean_cosine",
    "modality_gap",
    "mutual_knn",
    "retrieval_metrics",
    "retrieval_metrics_from_scores",
    "sampled_shapley_values",
    "shapley_interactions",
    "shapley_values",
    "temporal_iou",
    "temporal_nms",
    "uniformity",
    "zero_shot_accuracy",
]
