"""A fitted model's maps as a folder that needs nothing of gera_jax: safetensors, a card in JSON, and a loader in NumPy alone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import checks, files
from gera_jax._version import __version__
from gera_jax.aligners import load_maps
from gera_jax.aligners.aligner import Aligner
from gera_jax.aligners.folder import require_free
from gera_jax.data import Preprocessor
from gera_jax.solvers.linear import LinearHeads

ARRAYS, CARD, LOADER = "maps.safetensors", "card.json", Path(load_maps.__file__).name
TOLERANCE = 1e-5  # largest difference of an exported map's rows from the model's, relative to the largest entry
TRIED = 64  # rows on which they are compared


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written: the names of the maps, and what could not be exported and why."""

    folder: Path
    maps: list[str]
    left_out: dict[str, str]

    def __str__(self) -> str:
        lines = [
            f"{self.folder}: {', '.join(self.maps)}",
            f"python -c 'from {LOADER[:-3]} import load' in {self.folder} reads them",
        ]
        return "\n".join(lines + [f"not exported: {name} ({why})" for name, why in self.left_out.items()])


def export(model: Aligner | str | Path, folder: str | Path) -> Exported:
    """Write the maps of a model into an empty folder.

    `predict_y` and `predict_x` are exported of every method that keeps them: rows of one side in the other side's own space.
    `transform_x` and `transform_y` are exported where they are linear but for unit length (Procrustes, ridge CCA and their like).
    Each exported map was compared with the model's own on 64 rows before it is written.

    Args:
      model: a fitted aligner of two modalities, or the folder of one.
      folder: of the files `maps.safetensors` (weights in float32), `card.json` and `load_maps.py`.

    Raises:
      InputError: nothing of the model can be exported, or the folder holds something else.

    >>> import tempfile
    >>> rng = np.random.default_rng(0); x = rng.normal(size=(60, 8)); y = x @ rng.normal(size=(8, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(Aligner("ridge_cca").fit(x, y), f"{folder}/maps").maps
    ['transform_x', 'transform_y', 'predict_y', 'predict_x']
    """
    folder = checks.place(folder, "folder")
    require_free(folder)
    aligner = model if isinstance(model, Aligner) else Aligner.load(model)
    arrays: dict[str, np.ndarray] = {}
    maps: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name, side in (("transform_x", 0), ("transform_y", 1), ("predict_y", 0), ("predict_x", 1)):
        try:
            steps = _shared(aligner, side) if name.startswith("transform") else _predictor(aligner, side)
        except _NotLinearError as reason:
            left_out[name] = str(reason)
            continue
        stored, width = _stored(steps, name, arrays), aligner._fitted().widths[side]
        _check(stored, arrays, getattr(aligner, name), width, name)
        maps[name] = dict(input=aligner.names[side], input_width=width, steps=stored)
    why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
    checks.require(bool(maps), "export", got=f"a model of which nothing can be exported ({why})", wanted="a map of it")
    card = dict(made_by=f"gera_jax {__version__}", method=str(aligner._stored_method())[:200], modalities=list(aligner.names))
    write_folder(folder, arrays, dict(card, maps=maps, left_out=left_out))
    return Exported(folder, list(maps), left_out)


def write_folder(folder: Path, arrays: dict[str, np.ndarray], card: dict[str, Any]) -> None:
    """The three files of exported maps; the card says the steps of each map and stands in the metadata of the arrays too."""
    from safetensors.numpy import save_file

    with checks.disk_room(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with files.replacing(folder / ARRAYS) as partial:
            save_file(arrays, partial, metadata=dict(card=json.dumps(card)))
        files.write_text(folder / LOADER, Path(load_maps.__file__).read_text())
        files.write_text(folder / CARD, json.dumps(dict(card, seal=files.file_seal(folder / ARRAYS)), indent=2))


class _NotLinearError(Exception):
    """Why a map is not a chain of affine maps and unit lengths."""


Step = tuple[np.ndarray, np.ndarray, np.ndarray] | None  # (mean, weights, offset), or None = rows of unit length


def _shared(aligner: Aligner, side: int) -> list[Step]:
    """The steps of `transform_x` or `transform_y`."""
    model: Any = aligner._fitted()
    heads, preprocessors = getattr(model, "model", None), getattr(model, "preprocessors", None)
    if preprocessors is None or not isinstance(heads, LinearHeads):
        raise _NotLinearError("the method's map into the shared space is not linear")
    weights = np.asarray((heads.x_weights, heads.y_weights)[side], np.float64)
    mean = np.asarray(heads._means[side], np.float64)
    return [*_prepared(preprocessors[side]), (mean, weights, np.zeros(weights.shape[1])), None]


def _prepared(made: Preprocessor) -> list[Step]:
    if made.tables or made.pool is not None:
        raise _NotLinearError("its inputs are smoothed, or of several tables")
    width = made.width
    weights = np.eye(width) if made.scale is None else np.diag(made.scale)
    weights = weights if made.components is None else weights @ made.components
    mean = np.zeros(width) if made.mean is None else np.asarray(made.mean)
    return [(mean, weights, np.zeros(weights.shape[1])), *([None] if made.options["l2"] else [])]


def _predictor(aligner: Aligner, side: int) -> list[Step]:
    """The steps of `predict_y` or `predict_x`."""
    if aligner._predictors is None:
        raise _NotLinearError("the model keeps no training pairs")
    found = aligner._predictors.maps[side]
    return [(found.x_mean, found.weights, found.y_mean)]


def _stored(steps: list[Step], name: str, arrays: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """The steps in words; their arrays go into `arrays`."""
    found = []
    for i, step in enumerate(steps):
        if step is None:
            found.append(dict(op="unit"))
            continue
        words = {word: f"{name}.{i}.{word}" for word in ("mean", "weights", "offset")}
        arrays.update(zip(words.values(), _compact(step), strict=True))
        found.append(dict(op="affine", **words))
    return found


def _compact(step: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Mean and offset in float64, where a large common offset needs its digits, and the weights in float32."""
    mean, weights, offset = step
    return (
        np.ascontiguousarray(mean, np.float64),
        np.ascontiguousarray(weights, np.float32),
        np.ascontiguousarray(offset, np.float64),
    )


def _check(
    steps: list[dict[str, str]], arrays: dict[str, np.ndarray], own: Callable[[np.ndarray], np.ndarray], width: int, name: str
) -> None:
    """Refuse an export whose arrays give other rows than the model."""
    mean = arrays[steps[0]["mean"]]
    rows = mean + max(1e-6, float(np.abs(mean).mean())) * np.random.default_rng(0).normal(size=(TRIED, width))
    got, want = load_maps.apply(steps, arrays, rows), own(rows)
    worst = float(np.abs(got - want).max() / max(float(np.abs(want).max()), 1e-30))
    checks.require(worst <= TOLERANCE, name, got=f"rows that differ by {worst:.1e}", wanted=f"at most {TOLERANCE:g}")
