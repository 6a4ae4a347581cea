"""Joint spaces of two frozen encoders from a few known pairs, in JAX.

Rooms (`gera_jax.losses`, `gera_jax.graphs`, ...) and the names below load on first use, so that
`import gera_jax` and `gera-jax --help` stay instant: nothing here imports JAX.

>>> import gera_jax
>>> "losses" in dir(gera_jax), "Aligner" in dir(gera_jax)
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gera_jax import _moved as _moved
from gera_jax._lazy import attach
from gera_jax._version import __version__

__all__ = [
    "__version__",
    "aligners",
    "checks",
    "comparison",
    "config",
    "data",
    "embedding",
    "evaluation",
    "graphs",
    "losses",
    "models",
    "moments",
    "ops",
    "plots",
    "solvers",
    "training",
    "transport",
    "writers",
    "Aligner",
    "HeatGeodesicEmbedding",
    "Pairs",
    "Score",
    "check",
    "compare",
    "data_list",
    "embed",
    "evaluate",
    "fit",
    "load",
    "load_pairs",
    "quickstart",
    "register_format",
    "register_loss",
    "register_method",
    "select_layers",
    "train",
]

if TYPE_CHECKING:  # type checkers do not see through `__getattr__`
    from gera_jax import (
        aligners,
        checks,
        comparison,
        config,
        data,
        embedding,
        evaluation,
        graphs,
        losses,
        models,
        moments,
        ops,
        plots,
        solvers,
        training,
        transport,
        writers,
    )
    from gera_jax.aligners import Aligner, Score, load, register_method
    from gera_jax.aligners.layers import select_layers
    from gera_jax.api import check, compare, data_list, embed, evaluate, fit, quickstart, train
    from gera_jax.data import Pairs, load_pairs
    from gera_jax.data.formats import register_format
    from gera_jax.embedding import HeatGeodesicEmbedding
    from gera_jax.training.terms import register_loss
else:
    _HOMES = {  # public name -> the module it lives in; the others are rooms
        "Aligner": "gera_jax.aligners",
        "HeatGeodesicEmbedding": "gera_jax.embedding",
        "Pairs": "gera_jax.data",
        "Score": "gera_jax.aligners",
        "check": "gera_jax.api",
        "compare": "gera_jax.api",
        "data_list": "gera_jax.api",
        "embed": "gera_jax.api",
        "evaluate": "gera_jax.api",
        "fit": "gera_jax.api",
        "load": "gera_jax.aligners",
        "load_pairs": "gera_jax.data",
        "quickstart": "gera_jax.api",
        "register_format": "gera_jax.data.formats",
        "register_loss": "gera_jax.training.terms",
        "register_method": "gera_jax.aligners",
        "select_layers": "gera_jax.aligners.layers",
        "train": "gera_jax.api",
    }
    __getattr__, __dir__ = attach(__name__, _HOMES, rooms=set(__all__) - {"__version__", *_HOMES})
