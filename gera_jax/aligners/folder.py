"""The one folder of a model: what `Aligner.save`, `fit` and `train` write, and what `load`, `evaluate` and `embed` read.

A model lies in aligner.npz, whole or absent and with a digest. A folder in which a training ran holds the run's own files too
(config.json, run.json, checkpoints), by which the same call goes on; one without aligner.npz is read by its best checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, files
from gera_jax._version import __version__
from gera_jax.aligners.kinds import path_of
from gera_jax.aligners.table_pairs import TablePairs
from gera_jax.data import Pairs, load_pairs
from gera_jax.solvers.store import from_arrays, to_arrays

logger = logging.getLogger("gera_jax")
MODEL_FILE, FORM = "aligner.npz", 3  # the file of a saved model, and the number of its layout
RUN_FILE = "run.json"
HELD = {MODEL_FILE: "a model", RUN_FILE: "a model", "results.json": "a comparison", "cells.jsonl": "a comparison"}
ROOMS = ("gera_jax.solvers", "gera_jax.aligners", "gera_jax.training.runs", "gera_jax.data.preprocessing")


def require_free(folder: Path, *, but: str = "", name: str = "folder", remedy: str = "Choose another one.") -> None:
    """Refuse a folder that holds a model or a comparison; `but` is a file that may be there."""
    checks.require(folder.is_dir() or not folder.exists(), name, got=f"{folder}, which is a file", wanted="a folder")
    held = [words for name, words in HELD.items() if name != but and (folder / name).exists()]
    if but and (folder / but).exists() and held == [HELD[MODEL_FILE]]:
        return  # the model at the end of the run that is there
    told = held[0] if held else ""
    checks.require(not held, name, got=f"{folder}, which holds {told}", wanted="an empty folder", remedy=remedy)


def write(folder: Path, stored: Mapping[str, Any], model: Any) -> Path:
    """Write the file of a model; the folder is made where it is not there."""
    guest = _guest(model)
    content = dict(stored, form=FORM, version=__version__, guest=guest, model=model)
    arrays = to_arrays(content, (*ROOMS, *_guest_rooms(guest)))
    with checks.disk_room(folder):
        folder.mkdir(parents=True, exist_ok=True)
        files.save_npz(folder / MODEL_FILE, arrays)
    return folder / MODEL_FILE


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    A method from outside of gera_jax is imported by the name that stands in the file: read only folders that you trust.
    """
    path = folder / MODEL_FILE
    arrays = files.load_npz(path)
    stored = from_arrays(arrays, (*ROOMS, *_guest_rooms(_peek(arrays))))
    got, wanted = "a model of another version", "one of this version of gera_jax"
    remedy = "Fit it again, or use the version that saved it."
    checks.require(isinstance(stored, dict) and stored.get("form") == FORM, str(path), got=got, wanted=wanted, remedy=remedy)
    return stored


def _guest(model: Any) -> str:
    """ "module:Class" of a fitted object from outside of gera_jax, or ""."""
    held = getattr(model, "model", None)
    held = held.models[0] if isinstance(held, TablePairs) else held
    if held is None or type(held).__module__.startswith("gera_jax."):
        return ""
    path = path_of(held)
    got, wanted = f"a {type(held).__qualname__}, whose class no other process can import", "a class at the top of a module"
    remedy = "Move it to a file of its own and import it from there."
    checks.require(bool(path), "Aligner.save", got=got, wanted=wanted, remedy=remedy)
    return path


def _peek(arrays: Mapping[str, np.ndarray]) -> str:
    """The name of the guest's class, before anything is built; "" where there is none."""
    try:
        name = json.loads(str(np.asarray(arrays["tree"])[()]))["dict"]["guest"]
    except (LookupError, TypeError, ValueError, RecursionError):  # then `from_arrays` says what is wrong
        return ""
    return name if isinstance(name, str) else ""


def _guest_rooms(name: str) -> tuple[str, ...]:
    return (name.partition(":")[0],) if name else ()


def record(test: Pairs) -> dict[str, Any]:
    """What is stored of held-out pairs, so that `evaluate` finds them again: the words that name the data, and row numbers."""
    return dict(source=list(test.source), fingerprints=list(test.fingerprints), rows=test.rows, paired_by=test.paired_by)


def held_out(stored: Mapping[str, Any], folder: Path) -> Pairs:
    """The pairs of a `record`, from the files that it names."""
    wanted = "the files that the model was fitted on"
    with checks.refusing("data", got=" ".join(stored["source"]), wanted=wanted, remedy=_give_rows(folder)):
        try:
            pairs = load_pairs(**keywords(stored["source"]))
        except checks.InputError as error:
            raise ValueError(str(error)) from error
    checks.require(
        list(pairs.fingerprints) == list(stored["fingerprints"]),
        "data",
        got=f"other rows than {folder} was fitted on",
        wanted="the same: another split might hold rows that were trained on",
        remedy=f"Put the old data back. {_give_rows(folder)}",
    )
    return dataclasses.replace(pairs, rows=np.asarray(stored["rows"]), unpaired=tuple(rows[:0] for rows in pairs.unpaired))


def _give_rows(folder: Path) -> str:
    return f"Give the rows: gera-jax evaluate {shlex.quote(str(folder))} --x X.npy --y Y.npy"


def require_model(folder: Path) -> None:
    """Refuse a folder that holds neither a saved model nor a run; what else is wrong with a run, its reader says."""
    checks.require(
        any((folder / name).exists() for name in (MODEL_FILE, RUN_FILE, "checkpoints")),
        "folder",
        got=f"{folder} without {RUN_FILE} or {MODEL_FILE}",
        wanted="the folder of a run or a model",
        remedy="gera-jax fit and gera-jax train write one.",
    )


def keywords(words: Any) -> dict[str, Any]:
    """Arguments of `load_pairs` from the words of a command line.

    >>> keywords(["--x", "a.npy", "--x-ids", "id", "--captions"]), keywords(["--data", "emoji"])
    ({'x': 'a.npy', 'x_ids': 'id', 'captions': True}, {'x': 'emoji'})
    """
    found: dict[str, Any] = {}
    words = list(words)
    while words:
        name = words.pop(0).removeprefix("--").replace("-", "_")
        found["x" if name == "data" else name] = words.pop(0) if words and not words[0].startswith("--") else True
    return found


def evaluate(folder: str | Path, *, split: str = "test", **own: Any) -> Mapping[str, float]:
    """Metrics of a model on held-out rows: those that it was kept from, or rows that are given now.

    Args:
      folder: of `Aligner.save`, `fit` or `train`.
      split: "test" or, of a training run, "val".
      **own: x, y and what else `load_pairs` takes, rows that the model was not fitted on.

    Raises:
      InputError: nothing was held out and nothing is given; what to do is said.
    """
    from gera_jax.aligners.aligner import Aligner

    folder = checks.place(folder, "folder")
    own = {name: value for name, value in own.items() if value is not None}
    if own:
        return _measured(Aligner.load(folder), load_pairs(**own))
    require_model(folder)
    if not (folder / MODEL_FILE).is_file():
        from gera_jax.training import load_run

        return load_run(folder).evaluate(split)
    held = read(folder)["held"].get(split)
    got = f"{folder}, a model that held out no {split} rows"
    checks.require(held is not None, "folder", got=got, wanted="rows that the model was not fitted on", remedy=_give_rows(folder))
    return _measured(Aligner.load(folder), held_out(held, folder))


def _measured(aligner: Any, pairs: Pairs) -> Mapping[str, float]:
    """The score on some pairs, after what they are has been said."""
    from gera_jax.data.pairs import meeting
    from gera_jax.training.evaluate import gallery_text, overview

    found = overview(pairs.take([]), pairs.take([]), pairs)
    logger.info("%s", "\n".join([*meeting(found), gallery_text(found)]))
    return aligner.score(pairs)
