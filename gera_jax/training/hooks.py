"""What a run tells the outside while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gera_jax import config as config_lib
from gera_jax import writers
from gera_jax.config.configdict import ConfigDict

SWITCH = {"on": True, "off": False, "auto": "auto"}


class WriterHook:
    """A hook that hands metrics on to a writer."""

    def __init__(self, writer: writers.Writer):
        self._writer = writer

    def __call__(self, step: int, state: Any, metrics: Mapping[str, float]) -> None:
        del state
        self._writer.write(step, metrics)

    def close(self) -> None:
        self._writer.close()


def progress_hook(config: ConfigDict) -> WriterHook | None:
    """A line on the error stream with the time left; None where the length of the run depends on its data."""
    given = {name: config[name] for name in config_lib.DURATIONS if config[name]}
    if list(given) != ["total_steps"]:
        return None
    return WriterHook(writers.ProgressWriter(config.total_steps, names=("loss", f"val/{config.evals.metric}")))


def tensorboard_hook(config: ConfigDict, workdir: str | Path) -> WriterHook | None:
    """Event files in `workdir/tensorboard`, as the config's `tensorboard` says."""
    writer = writers.tensorboard_writer(Path(workdir) / "tensorboard", SWITCH[config.tensorboard])
    return None if writer is None else WriterHook(writer)
