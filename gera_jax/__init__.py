"""Joint spaces of two frozen encoders from a few known pairs, in JAX.

Rooms (`gera_jax.losses`, `gera_jax.graphs`, ...) and the names below load on first use, so that
`import gera_jax` and `gera-jax --help` stay instant: nothing here imports JAX.

>>> import gera_jax
>>> "losses" in dir(gera_jax), "Aligner" in dir(gera_jax)
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gera_jax._lazy import attach
from gera_jax._version import __version__

__all__ = [
    "__version__",
    "Aligner",
    "HeatGeodesicEmbedding",
    "Pairs",
    "Score",
    "check",
    "compare",
    "data_list",
    "embed",
    "evaluate",
    "export",
    "fit",
    "load",
    "load_pairs",
    "quickstart",
    "register_format",
    "register_loss",
    "register_method",
    "search",
    "select_layers",
    "train",
]

if TYPE_CHECKING:  # what loads on first use
    from gera_jax import aligners as aligners
    from gera_jax import bridge as bridge
    from gera_jax import checks as checks
    from gera_jax import comparison as comparison
    from gera_jax import config as config
    from gera_jax import data as data
    from gera_jax import embedding as embedding
    from gera_jax import evaluation as evaluation
    from gera_jax import graphs as graphs
    from gera_jax import losses as losses
    from gera_jax import models as models
    from gera_jax import moments as moments
    from gera_jax import ops as ops
    from gera_jax import plots as plots
    from gera_jax import solvers as solvers
    from gera_jax import training as training
    from gera_jax import transport as transport
    from gera_jax import writers as writers
    from gera_jax.aligners import Aligner, Score, load, register_method
    from gera_jax.aligners.export import export
    from gera_jax.aligners.layers import select_layers
    from gera_jax.aligners.search import search
    from gera_jax.api import check, compare, data_list, embed, evaluate, fit, quickstart, train
    from gera_jax.data import Pairs, load_pairs
    from gera_jax.data.formats import register_format
    from gera_jax.embedding import HeatGeodesicEmbedding
    from gera_jax.training.terms import register_loss
else:
    __getattr__, __dir__ = attach(__name__)
