"""Methods against each other on the same splits: cells, what follows from them, and what more pairs would bring."""

from gera_jax.aligners.methods import methods
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.statistics import LearningCurve as LearningCurve

__all__ = ["Comparison", "methods"]
