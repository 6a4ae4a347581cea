"""Saving and restoring the state of a run (the only file that imports orbax).

A step is a folder `checkpoints/<step>`: orbax's files in `state`, and checkpoint.json with what the loop knows, what the run is
made of, and a digest of every file. It appears under its name when all of it is on disk. What is stored are the values alone,
as NumPy arrays, so that they can be read on any number of devices.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gera_jax import checks, files

logger = logging.getLogger("gera_jax")

HEAD, STATE = "checkpoint.json", "state"
MARGIN = 2**20  # bytes of a checkpoint beside its arrays, at most
FULL_DISK = ("No space left", "ENOSPC", "Disk quota", "RESOURCE_EXHAUSTED")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A step as it was saved: the whole `TrainState`, what the loop knew, and digests of what the run is made of."""

    step: int
    state: Any
    loop: dict[str, Any]
    made_of: dict[str, str]


def saved_steps(folder: Path) -> list[int]:
    """The steps in a folder of checkpoints, newest first; [] where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), reverse=True)


def newest(folder: Path, abstract: Any, *, damaged: Callable[[int, files.DamagedError], None]) -> Checkpoint | None:
    """The newest whole checkpoint, or None. It only reads, and a run may be saving to the folder meanwhile.

    Args:
      abstract: the state's tree of `jax.ShapeDtypeStruct`.
      damaged: told each newer step that is not what was written, and why.

    Raises:
      InputError: the newest whole checkpoint is of another model, or orbax cannot read it.
    """
    tried: set[int] = set()
    while left := [step for step in saved_steps(folder) if step not in tried]:
        path = folder / str(left[0])
        tried.add(left[0])
        try:
            return read(path, abstract)
        except Exception as error:
            if not path.exists():  # the run that saves here had newer ones and removed it: look again
                continue
            if not isinstance(error, files.DamagedError):
                raise
            damaged(left[0], error)
    return None


def read(path: Path, abstract: Any) -> Checkpoint:
    """The checkpoint in the folder of one step.

    Raises:
      DamagedError: a file is missing, or is not what was written.
      InputError: all files are as written, and do not fit `abstract`, or this version of orbax.
    """
    head = _head(path)
    if str(head["step"]) != path.name:
        files.damaged(path, f"it holds step {head['step']}: the folder was renamed or copied")
    for name, seal in head["files"].items():
        if _readable(path / name, files.file_seal) != seal:
            files.damaged(path / name, "its digest does not fit its content")
    import orbax.checkpoint as ocp

    plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
    try:
        state = _checkpointer(ocp).restore(path / STATE, args=ocp.args.PyTreeRestore(item=abstract, restore_args=plain))
    except Exception as error:  # the files are whole: it is their content that does not fit
        words = (str(error).strip().splitlines() or [""])[0][:200]
        raise checks.InputError(
            "checkpoint",
            got=f"{path}, whole but not readable with orbax {ocp.__version__} ({type(error).__name__}: {words})",
            wanted="one of this config, written by such a version",
            remedy="run.json lists the versions that wrote it; with those it can be read.",
        ) from error
    pairs = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(abstract), strict=True)
    for (key, leaf), wanted in pairs:
        checks.require(
            (leaf.shape, leaf.dtype) == (wanted.shape, wanted.dtype),
            "checkpoint",
            got=f"{path} with {jax.tree_util.keystr(key)} of {leaf.dtype}{list(leaf.shape)}",
            wanted=f"{wanted.dtype}{list(wanted.shape)}, as the config says",
            remedy="Was config.json changed?",
        )
    return Checkpoint(head["step"], state, head["loop"], head["made_of"])


def _head(path: Path) -> dict[str, Any]:
    if path.is_dir() and not (path / HEAD).exists():
        files.damaged(path, f"no {HEAD}: an older version wrote it, or it was altered")
    return _readable(path / HEAD, files.read_json)


def _readable(path: Path, read_file: Callable[[Path], Any]) -> Any:
    try:
        return read_file(path)
    except PermissionError:
        raise
    except OSError as error:
        files.damaged(path, error.strerror or str(error))


def _require_room(folder: Path, state: Any) -> None:
    """Raise what a full disk raises, before orbax's threads do, which write their own tracebacks on the screen."""
    need = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state)) + MARGIN
    if shutil.disk_usage(folder).free < need:
        raise OSError(errno.ENOSPC, f"No space left for the {need >> 20} MiB of a checkpoint", str(folder))


def _checkpointer(ocp: Any) -> Any:
    """One process acts alone: it waits for no other, whatever the number of processes."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax writes dozens of lines for each save, and what it raises too
    alone = ocp.options.MultiprocessingOptions()
    if jax.process_count() > 1:
        me = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"gera{me}")
    # Weights hardly compress (8 %), and compressing them takes longer than the digests.
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


class Checkpoints:
    """The checkpoints of a run that trains here: the newest `latest` steps and the `best` with the highest metric.

    The folder is this process's alone (`files.one_writer`). What a killed run left half-written is removed.

    Args:
      made_of: name -> digest of what the run is made of (config, rows); stored with each step.
    """

    def __init__(self, folder: Path, *, latest: int = 2, best: int = 1, made_of: Mapping[str, str] | None = None):
        self._folder, self._latest, self._best, self._made_of = Path(folder).absolute(), latest, best, dict(made_of or {})
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".*.part"):
            shutil.rmtree(left)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._pending: tuple[int, Future] | None = None

    @property
    def steps(self) -> list[int]:
        """What is on disk, oldest first."""
        return saved_steps(self._folder)[::-1]

    def save(self, step: int, state: Any, loop: Mapping[str, Any]) -> None:
        """Save `state` at `step` unless that step is there already; returns before the files are complete."""
        self.wait()
        if step not in saved_steps(self._folder):
            self._pending = step, self._thread.submit(self._write, step, jax.tree.map(to_host, state), dict(loop))

    def wait(self) -> None:
        """Return once everything saved so far is on disk.

        Raises:
          RunError: the disk is full.
        """
        if self._pending is None:
            return
        (step, saving), self._pending = self._pending, None
        try:
            saving.result()
        except Exception as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            if not (full or any(words in str(error) for words in FULL_DISK)):
                raise
            raise checks.RunError(
                f"checkpoint: no space left in {self._folder} at step {step}; steps {self.steps} are whole. "
                "Free some space and run the same command again: it goes on from there."
            ) from error

    def _write(self, step: int, state: Any, loop: dict[str, Any]) -> None:
        import orbax.checkpoint as ocp

        partial = self._folder / f".{step}.part"
        try:
            _require_room(self._folder, state)
            _checkpointer(ocp).save(partial / STATE, args=ocp.args.PyTreeSave(state))
            seals = {
                path.relative_to(partial).as_posix(): files.file_seal(path, sync=True)
                for path in sorted(partial.rglob("*"))
                if path.is_file()
            }
            for path in partial.rglob("*/"):
                files.sync_folder(path)
            files.write_json(partial / HEAD, dict(step=step, loop=loop, made_of=self._made_of, files=seals))
            os.rename(partial, self._folder / str(step))
            files.sync_folder(self._folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune()

    def _prune(self) -> None:
        steps = saved_steps(self._folder)
        ranked = sorted(steps, key=self._metric, reverse=True)  # of equal ones the newest
        for step in set(steps) - {*steps[: self._latest], *ranked[: self._best]}:
            away = self._folder / f".{step}.part"
            os.rename(self._folder / str(step), away)  # gone at once, so that a reader never finds half of it
            shutil.rmtree(away)

    def _metric(self, step: int) -> float:
        try:
            return _head(self._folder / str(step))["loop"]["last_metric"]
        except files.DamagedError:
            return -np.inf

    def restore(self, abstract: Any) -> Checkpoint | None:
        """The newest whole checkpoint, or None; damaged newer ones are set aside, and that is said.

        Raises:
          InputError: it is whole and of another run.
        """
        self.wait()
        found = newest(self._folder, abstract, damaged=self._set_aside)
        if found is not None:
            old, new = found.made_of, self._made_of
            other = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
            got, remedy = f"{self._folder.parent}, which holds a run of other {', '.join(other)}", "Choose another folder."
            checks.require(not other, "workdir", got=got, wanted="an empty folder or one of the same run", remedy=remedy)
        return found

    def _set_aside(self, step: int, error: files.DamagedError) -> None:
        shelf = self._folder.with_name(f"{self._folder.name}.damaged")
        shelf.mkdir(exist_ok=True)
        names = itertools.chain([str(step)], (f"{step}.{n}" for n in itertools.count(1)))
        target = next(shelf / name for name in names if not (shelf / name).exists())
        os.rename(self._folder / str(step), target)
        before = "the one before" if saved_steps(self._folder) else "the start, as there is no other"
        logger.warning(
            "checkpoint of step %d is damaged: %s is %s; it is kept in %s; going back to %s",
            step,
            Path(error.name).name,
            error.got,
            target,
            before,
        )

    def close(self) -> None:
        """Return once everything is on disk."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def to_host(leaf: Any) -> np.ndarray:
    """The value of an array that is the same on all devices."""
    return np.asarray(leaf.addressable_data(0) if isinstance(leaf, jax.Array) else leaf)
