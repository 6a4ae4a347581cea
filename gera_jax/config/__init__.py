"""A config: every field that a run has, as plain data (an `ml_collections.ConfigDict`) that prints, diffs, hashes and reloads.

>>> c = load("gera:pairs=100")
>>> c.data.pairs, c.optimizer.lr
(100, 0.0001)

The fields with their defaults and meanings stand in `gera_jax.config.schema`. A file in `configs/` imports this module alone:
it starts from `base()`, and what it is made of (`adamw`, `geometry`, `each_pair`, ...) is in `gera_jax.config.blocks`.
"""

from gera_jax.config import schema as schema
from gera_jax.config.blocks import DURATIONS as DURATIONS
from gera_jax.config.blocks import SLOTS as SLOTS
from gera_jax.config.blocks import adamw as adamw
from gera_jax.config.blocks import base
from gera_jax.config.blocks import comparison as comparison
from gera_jax.config.blocks import each_pair as each_pair
from gera_jax.config.blocks import embedding_pair as embedding_pair
from gera_jax.config.blocks import geometry as geometry
from gera_jax.config.blocks import graph as graph
from gera_jax.config.blocks import graph_filter as graph_filter
from gera_jax.config.blocks import matched_pairs as matched_pairs
from gera_jax.config.blocks import modalities as modalities
from gera_jax.config.blocks import optimizer as optimizer
from gera_jax.config.blocks import own_or_catalog as own_or_catalog
from gera_jax.config.blocks import pairs as pairs
from gera_jax.config.blocks import preprocess as preprocess
from gera_jax.config.blocks import set_space as set_space
from gera_jax.config.blocks import sides as sides
from gera_jax.config.blocks import smoke as smoke
from gera_jax.config.blocks import smoothed_inputs as smoothed_inputs
from gera_jax.config.blocks import structure as structure
from gera_jax.config.blocks import views_term as views_term
from gera_jax.config.fields import describe as describe
from gera_jax.config.fields import require_fields as require_fields
from gera_jax.config.fields import table as table
from gera_jax.config.files import ConfigDict as ConfigDict
from gera_jax.config.files import differences as differences
from gera_jax.config.files import literal as literal
from gera_jax.config.files import load, names
from gera_jax.config.files import name_and_argument as name_and_argument
from gera_jax.config.files import override as override
from gera_jax.config.files import parse_arg as parse_arg
from gera_jax.config.files import path_and_key as path_and_key
from gera_jax.config.files import read as read
from gera_jax.config.files import split_arguments as split_arguments
from gera_jax.config.files import title as title
from gera_jax.config.files import to_json as to_json
from gera_jax.config.files import with_arguments as with_arguments

__all__ = ["base", "load", "names"]
