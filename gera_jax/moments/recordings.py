"""Recordings as they are loaded: from a bundled set, or from annotation files with features beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import require, require_known, whole
from gera_jax.data import catalog
from gera_jax.data.formats import NpzSource, open_source
from gera_jax.data.formats.base import Source
from gera_jax.moments.files import Annotations, read_annotations, read_clips

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Recordings:
    """As loaded: clips as a list of [T_i, d]; `split` [R] names the part of each recording."""

    ids: np.ndarray
    clips: list[np.ndarray]
    durations: np.ndarray
    sentences: np.ndarray
    recording: np.ndarray
    spans: np.ndarray
    texts: list[str]
    split: np.ndarray
    warnings: list[str] = field(default_factory=list)
    windows: np.ndarray | None = None


def load_phrases(name: str = "phrases") -> Recordings:
    """A bundled set of recordings; "phrases" is real speech features with the spans of spoken phrases.

    Raises:
      InputError: an unknown name.
    """
    require_known(name, catalog.GROUNDING, "data.source")
    source = NpzSource(catalog.FILES / catalog.GROUNDING[name].file)
    clips, meta = source.array("clips"), json.loads(str(source.array("meta")))
    return Recordings(
        ids=np.array([f"recording_{i:03d}" for i in range(len(clips))]),
        clips=list(clips),
        durations=source.array("durations").astype(np.float64),
        sentences=source.array("sentence"),
        recording=source.array("sentence_recording").astype(np.int64),
        spans=source.array("span").astype(np.float64),
        texts=[entry["text"] for entry in meta],
        split=source.array("split"),
    )


def annotations(block: Mapping[str, Any]) -> dict[str, Annotations]:
    """Part -> what its annotation file says."""
    spec = block["annotations"]
    require(bool(spec["train"]), "data.annotations.train", got="nothing", wanted="an annotation file")
    return {name: read_annotations(spec[name], spec["format"], durations=spec["durations"]) for name in SPLITS if spec[name]}


def sentence_files(block: Mapping[str, Any], parts: Mapping[str, Annotations]) -> dict[str, tuple[Source, str]]:
    """Part -> its file of sentences and the array in it, by the headers: a row for each sentence, and one width in all parts."""
    found, shapes = {}, {}
    for name, part in parts.items():
        path = block["sentences"][name]
        require(bool(path), f"data.sentences.{name}", got="nothing", wanted="an .npy with one row a sentence")
        source = open_source(Path(path))
        found[name] = source, source.choose("")
        shapes[name] = source.inspect(found[name][1])[0]
        require(
            len(shapes[name]) == 2 and shapes[name][0] == len(part.texts),
            f"data.sentences.{name}",
            got=f"shape {shapes[name]}",
            wanted=f"[{len(part.texts)}, width], one row a sentence in the order of {block['annotations'][name]}",
        )
    widths = {name: shape[1] for name, shape in shapes.items()}
    require(
        len(set(widths.values())) == 1,
        "data.sentences",
        got=", ".join(f"width {width} in {name}" for name, width in widths.items()),
        wanted="one width in all parts",
        remedy="Embed all sentences with the same encoder.",
    )
    return found


def count_of_training(block: Mapping[str, Any], there: int) -> int:
    """How many of the training recordings that are `there` a block trains on."""
    count = whole(block["recordings"], "data.recordings")
    wanted = f"at most the {there} training recordings, or 0 for all"
    require(count <= there, "data.recordings", got=count, wanted=wanted)
    return count or there


def from_files(block: Mapping[str, Any]) -> Recordings:
    """Clips, sentences and spans of every part that a `data` block names."""
    parts = annotations(block)
    ids = np.concatenate([part.ids for part in parts.values()])
    double = [str(name) for name, count in zip(*np.unique(ids, return_counts=True), strict=True) if count > 1]
    require(
        not double,
        "data.annotations",
        got=f"{len(double)} recordings in two parts ({', '.join(double[:3])})",
        wanted="parts that share no recording",
    )
    sentences = [np.asarray(source.array(key)) for source, key in sentence_files(block, parts).values()]
    offsets = np.cumsum([0, *(len(part.ids) for part in parts.values())])
    return Recordings(
        ids=ids,
        clips=read_clips(block["clips"]["path"], ids),
        sentences=np.concatenate(sentences),
        durations=np.concatenate([part.durations for part in parts.values()]),
        recording=np.concatenate([part.recording + first for part, first in zip(parts.values(), offsets, strict=False)]),
        spans=np.concatenate([part.spans for part in parts.values()]),
        texts=[t for part in parts.values() for t in part.texts],
        split=np.concatenate([[name] * len(part.ids) for name, part in parts.items()]),
        windows=_windows(list(parts.values())),
    )


def _windows(parts: list[Annotations]) -> np.ndarray | None:
    """The windows of all parts, as wide as the widest; None where no sentence has several."""
    if all(part.windows is None for part in parts):
        return None
    windows = [part.spans[:, None] if part.windows is None else part.windows for part in parts]
    most = max(each.shape[1] for each in windows)
    return np.concatenate([np.pad(each, ((0, 0), (0, most - each.shape[1]), (0, 0)), constant_values=np.nan) for each in windows])
