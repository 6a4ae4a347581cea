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
    "check",
    "compare",
    "data_list",
    "embed",
    "evaluate",
    "fit",
    "quickstart",
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
    from gera_jax.aligners import Aligner
    from gera_jax.cli.commands import check, data_list, embed, evaluate, quickstart, train
    from gera_jax.cli.comparing import compare, fit
    from gera_jax.cli.layers import select_layers
    from gera_jax.embedding import HeatGeodesicEmbedding
else:
    _HOMES = {  # public name -> the module it lives in; the others are rooms
        "Aligner": "gera_jax.aligners",
        "HeatGeodesicEmbedding": "gera_jax.embedding",
        "check": "gera_jax.cli.commands",
        "compare": "gera_jax.cli.comparing",
        "data_list": "gera_jax.cli.commands",
        "embed": "gera_jax.cli.commands",
        "evaluate": "gera_jax.cli.commands",
        "fit": "gera_jax.cli.comparing",
        "quickstart": "gera_jax.cli.commands",
        "select_layers": "gera_jax.cli.layers",
        "train": "gera_jax.cli.commands",
    }
    __getattr__, __dir__ = attach(__name__, _HOMES, rooms=set(__all__) - {"__version__", *_HOMES})
