"""Recordings of clips, sentences about them and where each sentence is true: validated, split, prepared, and drawn in batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, require_known
from gera_jax.config.schema import CLIPS_DATA, defaults, filled
from gera_jax.data.sampling import EpochOrder
from gera_jax.moments.recordings import (
    SPLITS,
    Recordings,
    annotations,
    clip_header,
    count_of_training,
    from_files,
    load_phrases,
    sentence_files,
)

SLACK = 1e-3  # seconds by which a rounded span may stand over the end of its recording


@dataclass(frozen=True, eq=False)
class GroundingData:
    """What training and measuring need; everything of a sentence is [Q], everything of a recording [R].

    Args:
      ids: [R] str.
      clips: [R, T, d] float32, prepared; zeros behind a recording's `lengths` clips.
      lengths: [R] number of clips.
      durations: [R] seconds.
      sentences: [Q, k] float32, prepared.
      recording: [Q] which recording.
      spans: [Q, 2] seconds, what is trained on.
      texts: Q sentences, for people.
      splits: "train" | "val" | "test" -> numbers of recordings.
      arrays: fitted preprocessing.
      report: counts and warnings, for people.
      fingerprints: hash of the clips and of the sentences.
      windows: [Q, w, 2] every window in which a sentence is true, behind them NaN; None where each has one, its span.
    """

    ids: np.ndarray
    clips: np.ndarray
    lengths: np.ndarray
    durations: np.ndarray
    sentences: np.ndarray
    recording: np.ndarray
    spans: np.ndarray
    texts: list[str]
    splits: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    report: dict[str, Any]
    fingerprints: dict[str, str]
    windows: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """What a found span is measured by: [Q, w, 2] windows where a sentence may have several, else [Q, 2] spans."""
        return self.spans if self.windows is None else self.windows

    def span_clips(self) -> np.ndarray:
        """Spans [Q, 2] in clips of their own recording."""
        seconds = self.durations[self.recording] / self.lengths[self.recording]
        return self.spans / seconds[:, None]

    def of(self, recordings: np.ndarray) -> np.ndarray:
        """Numbers of the sentences of these recordings, in the order of the sentences."""
        return np.flatnonzero(np.isin(self.recording, recordings))


def build_grounding(block: Mapping[str, Any], *, recordings: Recordings | None = None) -> GroundingData:
    """Load, validate, cut to parts and prepare what a grounding `data` block describes.

    Statistics are of the training recordings alone: clips are standardised in each dimension, sentences centred and brought
    to unit length. A recording of more clips than `clips.length` is averaged down to that many equal parts.

    Args:
      block: see `gera_jax.config.schema.CLIPS_DATA`.
      recordings: in memory, for `source="arrays"`.

    Raises:
      InputError: for faults of the files, of spans and of features; see `validate`.

    >>> data = build_grounding(dict(source="phrases"))
    >>> data.clips.shape, data.sentences.shape, {name: len(rows) for name, rows in data.splits.items()}
    ((300, 64, 512), (4641, 384), {'train': 200, 'val': 40, 'test': 60})
    """
    block = filled(block, defaults(CLIPS_DATA), "data")
    if block["source"] == "arrays":
        require(recordings is not None, "data.source", got='"arrays" without recordings', wanted="recordings in memory")
        raw = recordings
    elif block["source"] == "files":
        raw = from_files(block)
    else:
        raw = load_phrases(block["source"])
    raw = validate(raw, outside=block["outside"], seconds_per_clip=block["clips"]["seconds"])
    length = block["clips"]["length"]
    require(length >= 1, "data.clips.length", got=length, wanted="at least 1")
    rows = [average_clips(clips, length) for clips in raw.clips]
    lengths = np.array([len(clips) for clips in rows])
    splits = {name: np.flatnonzero(raw.split == name) for name in SPLITS}
    splits["train"] = splits["train"][: count_of_training(block, len(splits["train"]))]
    require(len(splits["train"]) > 0, "data", got="no training recording", wanted="at least one")
    clips = np.zeros((len(rows), lengths.max(), rows[0].shape[1]), np.float32)
    for number, values in enumerate(rows):
        clips[number, : len(values)] = values
    train = np.isin(raw.recording, splits["train"])
    exists = np.arange(clips.shape[1]) < lengths[:, None]
    mine = clips[splits["train"]][exists[splits["train"]]]
    arrays = {
        "clips/mean": mine.mean(0),
        "clips/scale": np.maximum(mine.std(0), 1e-6),
        "sentences/mean": raw.sentences[train].astype(np.float32).mean(0),
    }
    data = GroundingData(
        ids=raw.ids,
        clips=np.where(exists[:, :, None], prepare(clips, arrays, "clips"), np.float32(0)),
        lengths=lengths,
        durations=raw.durations,
        sentences=prepare(raw.sentences, arrays, "sentences"),
        recording=raw.recording,
        spans=raw.spans,
        texts=raw.texts,
        splits=splits,
        arrays=arrays,
        report={},
        fingerprints=_fingerprints(raw),
        windows=raw.windows,
    )
    for name, part in splits.items():
        data.report.update({name: len(part), f"{name}/sentences": len(data.of(part))})
    data.report.update(source=block["source"], clips=list(clips.shape[1:]), warnings=raw.warnings)
    return data


def prepare(rows: np.ndarray, arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Rows [..., d] of "clips" (standardised) or "sentences" (centred, unit length) as training saw them, float32."""
    rows = np.asarray(rows, np.float32) - arrays[f"{name}/mean"]
    if f"{name}/scale" in arrays:
        return (rows / arrays[f"{name}/scale"]).astype(np.float32)
    return (rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)).astype(np.float32)


def span_means(data: GroundingData, queries: np.ndarray) -> np.ndarray:
    """Exact mean of the prepared clips under the true span of each query: [n, d] float32, parts of clips by their share."""
    out = np.empty((len(queries), data.clips.shape[2]), np.float32)
    spans = data.span_clips()
    for row, query in enumerate(queries):
        clips = data.clips[data.recording[query], : data.lengths[data.recording[query]]]
        start, end = spans[query]
        edge = np.arange(len(clips))
        share = np.maximum(np.minimum(edge + 1, end) - np.maximum(edge, start), 0)
        out[row] = share @ clips / share.sum()
    return out


def average_clips(clips: np.ndarray, length: int) -> np.ndarray:
    """[T, d] to exact means over `length` equal parts, where T is more than that; float32.

    >>> average_clips(np.array([[0.0], [2.0], [4.0]]), 2).tolist()
    [[0.6666666865348816], [3.3333332538604736]]
    """
    clips = np.asarray(clips, np.float32)
    if len(clips) <= length:
        return clips
    total = np.concatenate([np.zeros((1, clips.shape[1])), np.cumsum(clips, axis=0, dtype=np.float64)])
    edges = np.linspace(0, len(clips), length + 1)
    low = np.minimum(np.floor(edges).astype(int), len(clips) - 1)
    at = total[low] + (edges - low)[:, None] * clips[low]
    return (np.diff(at, axis=0) * length / len(clips)).astype(np.float32)


def validate(raw: Recordings, *, outside: str = "error", seconds_per_clip: float = 0.0) -> Recordings:
    """The same recordings, checked; those without a sentence are left out, with a warning.

    Args:
      outside: what to do with spans that stand over the ends of their recording: "error", or "cut".
      seconds_per_clip: where it is known (> 0), T clips must last as long as the annotation says, to within one clip.
    """
    require_known(outside, ("error", "cut"), "data.outside")
    width = next((clips.shape[1] for clips in raw.clips if clips.ndim == 2), 0)
    for name, clips, duration in zip(raw.ids, raw.clips, raw.durations, strict=True):
        got, wanted = f"shape {clips.shape}", f"[clips, {width}], not empty"
        require(clips.ndim == 2 and len(clips) > 0 and clips.shape[1] == width, f"clips of {name}", got=got, wanted=wanted)
        require(bool(np.isfinite(clips).all()), f"clips of {name}", got="NaN or infinity", wanted="finite features")
        require(0 < duration < np.inf, f"duration of {name}", got=f"{duration:g} s", wanted="above 0, and finite")
        lasts = len(clips) * seconds_per_clip
        require(
            not seconds_per_clip or abs(lasts - duration) <= seconds_per_clip,
            f"clips of {name}",
            got=f"{len(clips)} clips of {seconds_per_clip:g} s, {lasts:g} s, for {duration:g} s in the annotation",
            wanted="the same length to within one clip",
            remedy="Look for another frame rate, or set data.clips.seconds.",
        )
    require(
        len(raw.sentences) == len(raw.spans),
        "sentences",
        got=f"{len(raw.sentences)} embeddings for {len(raw.spans)} annotated sentences",
        wanted="one row a sentence, in the order of the annotation",
    )
    finite = bool(np.isfinite(np.asarray(raw.sentences, np.float32)).all())
    require(finite, "sentences", got="NaN or infinity", wanted="finite rows")
    _check_spans(raw, outside)
    if raw.windows is not None:
        lone = np.isfinite(raw.windows).all(-1)
        _check_spans(replace(raw, spans=raw.windows[lone], recording=raw.recording[np.nonzero(lone)[0]]), outside)
        raw = replace(raw, windows=np.clip(raw.windows, 0, raw.durations[raw.recording][:, None, None]))
    spans = np.clip(raw.spans, 0, raw.durations[raw.recording][:, None])
    silent = np.setdiff1d(np.arange(len(raw.ids)), raw.recording)
    warnings = list(raw.warnings)
    if not len(silent):
        return replace(raw, spans=spans)
    warnings.append(f"recordings: {len(silent)} without a sentence left out ({', '.join(map(str, raw.ids[silent][:3]))}).")
    keep = np.setdiff1d(np.arange(len(raw.ids)), silent)
    require(len(keep) > 0, "recordings", got="none with a sentence", wanted="at least one")
    number = np.full(len(raw.ids), -1)
    number[keep] = np.arange(len(keep))
    return replace(
        raw,
        spans=spans,
        ids=raw.ids[keep],
        clips=[raw.clips[i] for i in keep],
        durations=raw.durations[keep],
        split=raw.split[keep],
        recording=number[raw.recording],
        warnings=warnings,
    )


def _check_spans(raw: Recordings, outside: str) -> None:
    def first(bad: np.ndarray) -> str:
        return ", ".join(
            f"{raw.ids[raw.recording[q]]} at {raw.spans[q, 0]:g}-{raw.spans[q, 1]:g} s of {raw.durations[raw.recording[q]]:g} s"
            for q in np.flatnonzero(bad)[:3]
        )

    require(bool(np.isfinite(raw.spans).all()), "spans", got="NaN or infinity", wanted="seconds")
    start, end = raw.spans.T
    bad = start >= end
    if bad.any():
        remedy = "Swap their ends or drop these sentences."
        fail("spans", got=f"{bad.sum()} that do not end after they start ({first(bad)})", wanted="start < end", remedy=remedy)
    duration = raw.durations[raw.recording]
    bad = (start < -SLACK) | (end > duration + SLACK)
    if outside == "cut":
        bad = (end <= 0) | (start >= duration)
    if bad.any():
        got, wanted = f"{bad.sum()} outside of their recording ({first(bad)})", "0 <= start < end <= duration"
        remedy = 'Repair the annotation, or set data.outside="cut".' if outside == "error" else "Drop these sentences."
        fail("spans", got=got, wanted=wanted, remedy=remedy)


def inspect_grounding(block: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes from headers and annotations, without reading features: "clips" [R, T, d], "sentences" [Q, k], "train" [recordings,
    most sentences of one]."""
    block = filled(block, defaults(CLIPS_DATA), "data")
    if block["source"] != "files":
        raw = load_phrases(block["source"])
        train = np.isin(raw.recording, np.flatnonzero(raw.split == "train"))
        most = int(np.bincount(raw.recording[train]).max())
        recordings = count_of_training(block, int((raw.split == "train").sum()))
        length = min(block["clips"]["length"], len(raw.clips[0]))
        return {
            "clips": (len(raw.ids), length, raw.clips[0].shape[1]),
            "sentences": raw.sentences.shape,
            "train": (recordings, most),
        }
    parts = annotations(block)
    clips = clip_header(block["clips"]["path"], str(parts["train"].ids[0]))
    require(len(clips) == 2, "data.clips.path", got=f"shape {clips}", wanted="rows of features, [rows, width]")
    sentences = [source.inspect(key)[0] for source, key in sentence_files(block, parts).values()]
    most = int(np.bincount(parts["train"].recording).max())
    return {
        "clips": (sum(len(p.ids) for p in parts.values()), min(block["clips"]["length"], clips[0]), clips[1]),
        "sentences": (sum(shape[0] for shape in sentences), sentences[0][1]),
        "train": (count_of_training(block, len(parts["train"].ids)), most),
    }


def _fingerprints(raw: Recordings) -> dict[str, str]:
    clips, sentences = hashlib.sha256(), hashlib.sha256(np.ascontiguousarray(raw.sentences).data)
    for rows in raw.clips:
        clips.update(np.ascontiguousarray(rows).data)
    sentences.update(np.ascontiguousarray(raw.spans).data)
    return {"clips": clips.hexdigest(), "sentences": sentences.hexdigest()}


RECORDING_STREAM, SENTENCE_STREAM = 31, 32


class GroundingSampler:
    """Batches of recordings, cut into one shard for each device.

    `batch(step)` is a dict of fresh arrays with a leading axis of the local shards (s of them) and one of B/s recordings:
    `clips` [s, B/s, T, d] float32, `mask.clips` [s, B/s, T]; `sentences` [s, B/s, S, k], `spans` [s, B/s, S, 2] in clips of
    the recording, `mask.sentences` [s, B/s, S]. Recordings that only fill up the last shards have no clip and no sentence.

    Args:
      data: see `build_grounding`.
      seed: all randomness; the same seed and step give the same global batch whatever the number of shards.
      batch_size: recordings B of the global batch; more than there are gives all of them in every batch.
      sentences: most sentences S of a recording in a batch, drawn anew each time where it has more; 0 = all.
      shards, local_shards: number of shards of the global batch, and which of them this process makes.
    """

    def __init__(
        self,
        data: GroundingData,
        *,
        seed: int,
        batch_size: int,
        sentences: int = 0,
        shards: int = 1,
        local_shards: Iterable[int] | None = None,
    ):
        require(seed >= 0, "seed", got=seed, wanted="at least 0")
        require(batch_size >= 1, "batch.recordings", got=batch_size, wanted="at least 1")
        require(sentences >= 0, "batch.sentences", got=sentences, wanted="0 (all) or more")
        self.data, self.shards, self._seed = data, shards, seed
        self.local_shards = list(range(shards) if local_shards is None else local_shards)
        self._train = data.splits["train"]
        self.batch_size = min(batch_size, len(self._train))
        self._pad = -self.batch_size % shards
        self._order = EpochOrder(len(self._train), size=self.batch_size, seed=seed, stream=RECORDING_STREAM)
        self._own = {int(r): np.flatnonzero(data.recording == r) for r in self._train}
        most = max(len(own) for own in self._own.values())
        self.sentences = min(sentences or most, most)
        self._spans = data.span_clips().astype(np.float32)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every recording comes at least once."""
        return self._order.steps_per_epoch

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The local shards of the batch of `step` >= 0."""
        require(step >= 0, "step", got=step, wanted="at least 0")
        data, places = self.data, self._order(int(step))
        size = self.batch_size + self._pad
        out = {
            "clips": np.zeros((size, *data.clips.shape[1:]), np.float32),
            "mask.clips": np.zeros((size, data.clips.shape[1]), bool),
            "sentences": np.zeros((size, self.sentences, data.sentences.shape[1]), np.float32),
            "spans": np.zeros((size, self.sentences, 2), np.float32),
            "mask.sentences": np.zeros((size, self.sentences), bool),
        }
        for row, recording in enumerate(self._train[places]):
            own = self._own[int(recording)]
            if len(own) > self.sentences:
                rng = np.random.default_rng([self._seed, SENTENCE_STREAM, int(step), row])
                own = np.sort(rng.choice(own, self.sentences, replace=False))
            out["clips"][row] = data.clips[recording]
            out["mask.clips"][row, : data.lengths[recording]] = True
            out["sentences"][row, : len(own)] = data.sentences[own]
            out["spans"][row, : len(own)] = self._spans[own]
            out["mask.sentences"][row, : len(own)] = True
        return {name: value.reshape(self.shards, -1, *value.shape[1:])[self.local_shards] for name, value in out.items()}
