"""The one trainer that every system uses."""

from gera_jax.training.evaluate import alignment_metrics
from gera_jax.training.experiment import Experiment, build
from gera_jax.training.loop import TrainResult, train
from gera_jax.training.runs import Run, load_run

__all__ = ["Experiment", "Run", "TrainResult", "alignment_metrics", "build", "load_run", "train"]
