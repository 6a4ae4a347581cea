"""x"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gera_jax.checks import require
from gera_jax.data.sampling import EpochOrder
from gera_jax.moments.data import GroundingData

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
