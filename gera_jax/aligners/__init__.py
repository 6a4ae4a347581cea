"""One object for every method: fit on pairs and unpaired rows, transform, predict, score, save and load.

Most of it stands at the top of the package: `gera_jax.Aligner`, `Score`, `load`, `evaluate`, `register_method`.
"""

from gera_jax.aligners.aligner import Aligner as Aligner
from gera_jax.aligners.folder import evaluate as evaluate
from gera_jax.aligners.methods import Method as Method
from gera_jax.aligners.methods import method_names
from gera_jax.aligners.methods import register_method as register_method
from gera_jax.aligners.outputs import Score as Score

load = Aligner.load  # the aligner of a folder

__all__ = ["method_names"]
