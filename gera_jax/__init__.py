"""Joint spaces of two frozen encoders from a few known pairs, in JAX.

Rooms (`gera_jax.losses`, `gera_jax.graphs`, ...) and the names below load on first use, so that
`import gera_jax` and `gera-jax --help` stay instant: nothing here imports JAX.

>>> import gera_jax
>>> "losses" in dir(gera_jax), "Aligner" in dir(gera_jax)
(True, True)
"""

from __future__ import annotations

import importlib
from typing import Any

from gera_jax import _moved as _moved
from gera_jax._version import __version__

_ROOMS = (
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
)
_HOME = {  # public name -> the module it lives in
    "Aligner": "gera_jax.aligners",
    "check": "gera_jax.cli.commands",
    "compare": "gera_jax.cli.comparing",
    "data_list": "gera_jax.cli.commands",
    "embed": "gera_jax.cli.commands",
    "evaluate": "gera_jax.cli.commands",
    "fit": "gera_jax.cli.comparing",
    "HeatGeodesicEmbedding": "gera_jax.embedding",
    "quickstart": "gera_jax.cli.commands",
    "select_layers": "gera_jax.cli.layers",
    "train": "gera_jax.cli.commands",
}

__all__ = ["__version__", *_ROOMS, *_HOME]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value  # the next look-up no longer comes here
        return value
    from gera_jax.checks import did_you_mean

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}. {did_you_mean(name, [*_ROOMS, *_HOME])}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
