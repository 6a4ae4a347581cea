"""How good a shared space is. Host functions take NumPy and return floats; the diagnostics are JAX functions."""

from __future__ import annotations

from gera_jax.evaluation.diagnostics import alignment, effective_rank, mean_cosine, modality_gap, uniformity
from gera_jax.evaluation.hubness import csls, inverted_softmax, local_density, log_density
from gera_jax.evaluation.retrieval import (
    foscttm,
    foscttm_from_scores,
    retrieval_metrics,
    retrieval_metrics_from_scores,
)
from gera_jax.evaluation.similarity import linear_cka, mutual_knn
from gera_jax.evaluation.zero_shot import zero_shot_accuracy

__all__ = [
    "alignment",
    "csls",
    "effective_rank",
    "foscttm",
    "foscttm_from_scores",
    "inverted_softmax",
    "linear_cka",
    "local_density",
    "log_density",
    "mean_cosine",
    "modality_gap",
    "mutual_knn",
    "retrieval_metrics",
    "retrieval_metrics_from_scores",
    "uniformity",
    "zero_shot_accuracy",
]
