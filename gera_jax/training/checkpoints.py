"""Saving and restoring a run (the only file that imports orbax)."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gera_jax import checks

logger = logging.getLogger("gera_jax")


class Checkpoints:
    """The newest `latest` and the `best` steps with the highest metric, kept together.

    Each step holds the whole `TrainState` and a small dict of the loop (best metric, evaluations without gain).
    """

    def __init__(self, folder: Path, *, latest: int = 2, best: int = 1):
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax writes dozens of lines for each save
        self._ocp, self._folder = ocp, Path(folder).absolute()
        policies = ocp.checkpoint_managers
        # Two lists: orbax's own max_to_keep with best_fn deletes the newest step when it is not among the best.
        keep = policies.AnyPreservationPolicy([
            policies.LatestN(latest), policies.BestN(get_metric_fn=lambda m: m["metric"], n=best)])
        self._options = ocp.CheckpointManagerOptions(
            best_fn=lambda m: m["metric"], best_mode="max", preservation_policy=keep, cleanup_tmp_directories=True)
        self._manager = self._open()

    def _open(self) -> Any:
        return self._ocp.CheckpointManager(self._folder, options=self._options)

    def save(self, step: int, state: Any, loop: Mapping[str, Any]) -> None:
        """Save `state` at `step` unless that step is there already; returns before the files are complete."""
        if step in self._manager.all_steps():
            return
        args = self._ocp.args
        composite = args.Composite(state=args.StandardSave(state), loop=args.JsonSave(dict(loop)))
        self._guard(lambda: self._manager.save(step, args=composite, metrics={"metric": float(loop["last_metric"])}), step)

    def wait(self) -> None:
        """Return once everything saved so far is on disk."""
        self._guard(self._manager.wait_until_finished, self._manager.latest_step())

    def _guard(self, act: Any, step: int | None) -> None:
        try:
            act()
        except Exception as error:
            full = getattr(error, "errno", None) == errno.ENOSPC or any(
                words in str(error) for words in ("No space left", "ENOSPC", "Disk quota", "RESOURCE_EXHAUSTED"))
            if not full:
                raise
            good = [s for s in self._manager.all_steps() if s != step]
            raise checks.RunError(
                f"checkpoint: no space left in {self._folder} at step {step}; steps {good} are whole. "
                "Free some space and run the same command again: it goes on from there.") from error

    def restore(self, abstract: Any) -> tuple[int, Any, dict[str, Any]] | None:
        """The newest whole (step, state, loop), or None; a damaged step is set aside, and that is said."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                args = self._ocp.args
                found = self._manager.restore(step, args=args.Composite(
                    state=args.StandardRestore(abstract), loop=args.JsonRestore()))
                return step, found.state, dict(found.loop)
            except Exception as error:  # whatever is broken in the files, orbax says it in its own many ways
                reason = str(error).strip().splitlines()[:1]
                logger.warning("checkpoint of step %d is damaged (%s: %s); going back to the one before",
                               step, type(error).__name__, reason[0][:200] if reason else "")
                self._set_aside(step)
        return None

    def _set_aside(self, step: int) -> None:
        self._manager.close()
        damaged = self._folder / str(step)
        if damaged.exists() and jax.process_index() == 0:
            target = self._folder.parent / f"{self._folder.name}.damaged" / str(step)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            shutil.move(damaged, target)
        self._manager = self._open()

    def close(self) -> None:
        self.wait()
        self._manager.close()
