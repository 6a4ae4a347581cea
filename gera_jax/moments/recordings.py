"""Recordings as they are loaded: from a bundled set, or from the field's annotation files with clip features beside them."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gera_jax.checks import InputError, did_you_mean, fail, require, require_known, whole
from gera_jax.data import catalog
from gera_jax.data.formats import NpzSource, open_source
from gera_jax.data.formats.base import Source, parse_json, read_text, reading
from gera_jax.data.formats.libraries import h5py


class Annotations(NamedTuple):
    """Sentences and their spans, as one file gives them.

    Args:
      ids: [R] str, recordings in the order of the file.
      durations: [R] seconds.
      recording: [Q] int, which of `ids` a sentence belongs to.
      spans: [Q, 2] seconds; of a sentence that is true in several windows the longest one, which is trained on.
      texts: Q sentences.
      windows: [Q, w, 2] every true window of a sentence, behind them NaN; None where each has one.
    """

    ids: np.ndarray
    durations: np.ndarray
    recording: np.ndarray
    spans: np.ndarray
    texts: list[str]
    windows: np.ndarray | None = None


def read_annotations(path: str | Path, format: str, *, durations: str | Path | Mapping[str, float] = "") -> Annotations:
    """Sentences with spans in seconds from an annotation file.

    Args:
      path: the file.
      format: "activitynet" (JSON: id -> `duration`, `timestamps` [[start, end]], `sentences`), "charades" (text:
        `id start end##sentence`, a line each; durations come extra), "tacos" (JSON: id -> `timestamps` in frames, `sentences`,
        `fps`, `num_frames`) or "qvhighlights" (a JSON object a line: `vid`, `query`, `duration`, `relevant_windows`
        [[start, end], ...]).
      durations: id -> seconds, or a file of it: JSON, or CSV with columns `id` and `length`. "charades" needs it; elsewhere
        it overrides the file.
    """
    require_known(format, READERS, "data.annotations.format")
    path = Path(path)
    require(path.is_file(), "data.annotations", got=f"no file {path}", wanted=f"a {format} file")
    known = dict(durations) if isinstance(durations, Mapping) else read_durations(durations) if durations else {}
    with _shaped(path):
        found = READERS[format](path)
    ids = list(found)
    seconds, recording, spans, texts = [], [], [], []
    with _shaped(path):
        for number, (name, entry) in enumerate(found.items()):
            duration = known.get(name, entry["duration"])
            got, wanted = f"none for {name}", f"seconds of every recording of {path.name}"
            remedy = "Set data.annotations.durations to a CSV with the columns id and length."
            require(duration is not None, "durations", got=got, wanted=wanted, remedy=remedy)
            got = f"{len(entry['spans'])} spans and {len(entry['texts'])} sentences"
            require(len(entry["spans"]) == len(entry["texts"]), f"{path.name} {name}", got=got, wanted="one span a sentence")
            seconds.append(float(duration))
            require(0 < seconds[-1] < np.inf, f"duration of {name}", got=f"{duration} s", wanted="seconds above 0")
            recording += [number] * len(entry["texts"])
            spans += entry["spans"]
            texts += entry["texts"]
        remedy = "Is the file whole?"
        require(bool(texts), "data.annotations", got=f"{path.name} without a sentence", wanted="at least one", remedy=remedy)
        # a span, or where a sentence is true in several windows a list of them
        true = [np.array(span, np.float64).reshape(-1, 2) for span in spans]
        windows = np.full((len(true), max(map(len, true), default=1), 2), np.nan)
        for query, found_spans in enumerate(true):
            windows[query, : len(found_spans)] = found_spans
        longest = np.array([int((each[:, 1] - each[:, 0]).argmax()) for each in true], np.int64)
    return Annotations(
        np.array(ids),
        np.array(seconds, np.float64),
        np.array(recording, np.int64),
        windows[np.arange(len(true)), longest],
        texts,
        windows if windows.shape[1] > 1 else None,
    )


@contextlib.contextmanager
def _shaped(path: Path) -> Iterator[None]:
    """Names the file whose fields are of another kind or shape than its format says."""
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        wanted, remedy = "start and end in numbers, sentences in words", "Compare the file with the format's description."
        fail(str(path), got=f"fields of another kind ({error})", wanted=wanted, remedy=remedy)


def read_durations(path: str | Path) -> dict[str, float]:
    """id -> seconds from JSON or from a CSV with the columns `id` and `length`."""
    path = Path(path)
    require(path.is_file(), "data.annotations.durations", got=f"no file {path}", wanted="a JSON or CSV file")
    if path.suffix == ".json":
        with _shaped(path):
            return {name: float(value) for name, value in _json(path).items()}
    rows = csv.DictReader(read_text(path, str(path)).splitlines(keepends=True))
    columns = rows.fieldnames or ()
    got = f"{path.name} with columns {', '.join(columns) or 'none'}"
    require({"id", "length"} <= {*columns}, "data.annotations.durations", got=got, wanted="columns id and length")
    with _shaped(path):
        return {row["id"]: float(row["length"]) for row in rows}


def read_clips(path: str | Path, ids: Iterable[str]) -> list[np.ndarray]:
    """Clip features [T_i, d] of each recording.

    Args:
      path: an `.h5`/`.hdf5` file (a data set for each id, or a group of that name with one data set in it), an `.npz` (an
        array for each id), or a folder of `<id>.npy`.
      ids: which recordings, in order.

    Raises:
      InputError: no such file, or ids that it lacks (count and first names).
      ImportError: HDF5 without h5py.
    """
    path, ids = Path(path), [str(name) for name in ids]
    require(path.exists(), "data.clips.path", got=f"no file or folder {path}", wanted="an .h5 or .npz file, or a folder of .npy")
    if path.is_dir():
        _require_ids(ids, {file.stem for file in path.glob("*.npy")}, path)
        return [open_source(path / f"{name}.npy").array("") for name in ids]
    if path.suffix == ".npz":
        archive = NpzSource(path)
        _require_ids(ids, set(archive.keys), path)
        return [archive.array(name) for name in ids]
    require(path.suffix in (".h5", ".hdf5"), "data.clips.path", got=path.name, wanted=".h5, .hdf5, .npz or a folder of .npy")
    library = h5py()
    with reading(path, "HDF5 file"), library.File(path, "r") as file:
        _require_ids(ids, set(file), path)
        return [_dataset(file[name], library.Dataset, name) for name in ids]


def clip_header(path: str | Path, name: str) -> tuple[int, ...]:
    """Shape of one recording's clip features, for looking before reading; HDF5 and npy give it from their headers."""
    path = Path(path)
    if path.is_dir():
        return open_source(path / f"{name}.npy").inspect("")[0]
    return read_clips(path, [name])[0].shape


def _dataset(node: Any, kind: type, name: str) -> np.ndarray:
    if isinstance(node, kind):
        return node[()]
    inner = [key for key in node if isinstance(node[key], kind)]
    require(len(inner) == 1, f"clips of {name}", got=f"a group with data sets {inner}", wanted="one data set")
    return node[inner[0]][()]


def _require_ids(ids: list[str], known: set[str], path: Path) -> None:
    missing = [name for name in ids if name not in known]
    if missing:
        got = f"{path.name} without {len(missing)} of {len(ids)} recordings ({', '.join(missing[:3])})"
        wanted, remedy = "clips of every annotated recording", did_you_mean(missing[0], known) if known else ""
        fail("data.clips.path", got=got, wanted=wanted, remedy=remedy)


def _json(path: Path) -> dict[str, Any]:
    found = parse_json(read_text(path, str(path)), str(path), path.name)
    require(isinstance(found, dict), str(path), got=f"a JSON {type(found).__name__}", wanted="an object, recording -> annotation")
    return found


def _fields(path: Path, name: str, entry: Any, wanted: tuple[str, ...]) -> None:
    missing = [field for field in wanted if not isinstance(entry, Mapping) or field not in entry]
    require(not missing, f"{path.name} {name}", got=f"no {', '.join(missing)}", wanted=f"the fields {', '.join(wanted)}")


def _activitynet(path: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for name, entry in _json(path).items():
        _fields(path, name, entry, ("timestamps", "sentences"))
        found[name] = dict(
            duration=entry.get("duration"),
            spans=[list(map(float, span)) for span in entry["timestamps"]],
            texts=[text.strip() for text in entry["sentences"]],
        )
    return found


def _tacos(path: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for name, entry in _json(path).items():
        _fields(path, name, entry, ("timestamps", "sentences", "fps", "num_frames"))
        fps = float(entry["fps"])
        require(fps > 0, f"{path.name} {name}", got=f"fps {fps:g}", wanted="frames a second above 0")
        found[name] = dict(
            duration=entry["num_frames"] / fps,
            spans=[[t / fps for t in span] for span in entry["timestamps"]],
            texts=[text.strip() for text in entry["sentences"]],
        )
    return found


def _charades(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(read_text(path, str(path)).split("\n"), 1):
        if not line.strip():
            continue
        head, hashes, text = line.partition("##")
        parts = head.split()
        try:
            name, span = parts[0], [float(parts[1]), float(parts[2])]
            fine = bool(hashes) and len(parts) == 3
        except (IndexError, ValueError):
            fine = False
        if not fine:
            fail(f"{path.name} line {number}", got=line[:60], wanted="id start end##sentence")
        entry = found.setdefault(name, dict(duration=None, spans=[], texts=[]))
        entry["spans"].append(span)
        entry["texts"].append(text.strip())
    return found


def _qvhighlights(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(read_text(path, str(path)).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        query = parse_json(line, where, path.name)
        _fields(path, f"line {number}", query, ("vid", "query", "duration", "relevant_windows"))
        windows = [[float(start), float(end)] for start, end in query["relevant_windows"]]
        remedy = "Leave that line out."
        require(len(windows) > 0, where, got="no window in which the query is true", wanted="at least one", remedy=remedy)
        entry = found.setdefault(str(query["vid"]), dict(duration=query["duration"], spans=[], texts=[]))
        entry["spans"].append(windows)
        entry["texts"].append(query["query"].strip())
    return found


READERS: dict[str, Callable[[Path], dict[str, dict[str, Any]]]] = {
    "activitynet": _activitynet,
    "charades": _charades,
    "tacos": _tacos,
    "qvhighlights": _qvhighlights,
}


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
    """A bundled set of recordings; "phrases" is real speech features with the spans of spoken phrases."""
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
    got, wanted = ", ".join(f"width {width} in {name}" for name, width in widths.items()), "one width in all parts"
    remedy = "Embed all sentences with the same encoder."
    require(len(set(widths.values())) == 1, "data.sentences", got=got, wanted=wanted, remedy=remedy)
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
    wanted = "parts that share no recording"
    require(not double, "data.annotations", got=f"{len(double)} recordings in two parts ({', '.join(double[:3])})", wanted=wanted)
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
