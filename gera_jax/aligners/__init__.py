"""One object for every method: fit on pairs and unpaired rows, transform, score, save and load."""

from gera_jax.aligners.aligner import CLOSED_FORMS, VARIANTS, Aligner, method_names

__all__ = ["CLOSED_FORMS", "VARIANTS", "Aligner", "method_names"]
