"""One object for every method: fit on pairs and unpaired rows, transform, predict, score, save and load."""

from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.folder import evaluate
from gera_jax.aligners.methods import Method, method_names, register_method
from gera_jax.aligners.outputs import Score

load = Aligner.load  # the aligner of a folder

__all__ = ["Aligner", "Method", "Score", "evaluate", "load", "method_names", "register_method"]
