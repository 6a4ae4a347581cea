"""The one trainer that every system uses."""

from gera_jax.training.experiment import build as build
from gera_jax.training.loop import TrainResult, train
from gera_jax.training.runs import load_run

__all__ = ["TrainResult", "load_run", "train"]
