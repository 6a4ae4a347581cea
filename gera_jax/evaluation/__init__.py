"""How good a shared space is. Host functions take NumPy and return floats; the diagnostics are JAX functions."""

from __future__ import annotations

from gera_jax.evaluation.diagnostics import alignment, effective_rank, mean_cosine, modality_gap, uniformity
from gera_jax.evaluation.hubness import csls, inverted_softmax, local_density, log_density
from gera_jax.evaluation.layers import layer_scores
from gera_jax.evaluation.retrieval import foscttm, foscttm_from_scores, retrieval_metrics, retrieval_metrics_from_scores
from gera_jax.evaluation.similarity import cknna, linear_cka, mutual_knn, neighbour_count, unbiased_cka
from gera_jax.evaluation.zero_shot import zero_shot_accuracy

__all__ = [
    "alignment",
    "cknna",
    "csls",
    "effective_rank",
    "foscttm",
    "foscttm_from_scores",
    "inverted_softmax",
    "layer_scores",
    "linear_cka",
    "local_density",
    "log_density",
    "mean_cosine",
    "modality_gap",
    "mutual_knn",
    "neighbour_count",
    "retrieval_metrics",
    "retrieval_metrics_from_scores",
    "unbiased_cka",
    "uniformity",
    "zero_shot_accuracy",
]
