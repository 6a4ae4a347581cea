"""Methods against each other on one split, and the page that tells what was found."""

from gera_jax.aligners.methods import methods
from gera_jax.comparison.learning_curve import LearningCurve
from gera_jax.comparison.outcome import Comparison
from gera_jax.comparison.report import write_report
from gera_jax.comparison.results import QuickstartResults, Row
from gera_jax.comparison.table import format_table

__all__ = ["Comparison", "LearningCurve", "QuickstartResults", "Row", "format_table", "methods", "write_report"]
