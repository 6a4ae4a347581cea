"""Which stretches of a recording are looked at: the sparse pattern of start and length that the field uses."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from gera_jax import checks


@dataclasses.dataclass(frozen=True)
class Proposals:
    """Moments (start, length) of a recording of `clips` clips, dense where they are short and sparser where they are long.

    The first count gives lengths 2, 3, ... at every start; each further count doubles the step, of lengths and of starts.
    Single clips are always there. The map has a row for each start and a column for each length that occurs.

    Args:
      clips: T, clips of the longest recording.
      counts: pooling steps at stride 1, 2, 4, ...

    >>> len(Proposals(64, (15, 8, 8))), len(Proposals(16, (15,))), len(Proposals(128, (15, 8, 8, 8)))
    (1104, 136, 2548)

    Source: the sparse proposals of 2D-TAN, arXiv 1912.03590.
    """

    clips: int
    counts: tuple[int, ...] = (15, 8, 8)

    def __post_init__(self) -> None:
        checks.require(self.clips >= 1, "clips", got=self.clips, wanted="at least 1")
        checks.require(all(count >= 0 for count in self.counts), "model.pooling", got=list(self.counts), wanted="counts >= 0")
        longest = 1 + sum(count * 2**power for power, count in enumerate(self.counts))
        checks.require(
            longest <= self.clips,
            "model.pooling",
            got=f"{list(self.counts)}, moments of up to {longest} clips",
            wanted=f"at most the {self.clips} clips of a recording",
            remedy="Lower the counts.",
        )

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """[L] clips of a moment in each column of the map, rising."""
        found, length = [1], 1
        for power, count in enumerate(self.counts):
            for _ in range(count):
                length += 2**power
                found.append(length)
        return np.array(found)

    @functools.cached_property
    def strides(self) -> np.ndarray:
        """[L] distance of the starts in each column."""
        return np.array([1] + [2**power for power, count in enumerate(self.counts) for _ in range(count)])

    @functools.cached_property
    def grid(self) -> np.ndarray:
        """[T, L] bool, the cells of the map that are moments."""
        start = np.arange(self.clips)[:, None]
        return (start % self.strides == 0) & (start + self.lengths <= self.clips)

    @functools.cached_property
    def spans(self) -> np.ndarray:
        """[N, 2] first clip of each moment and the one behind its last, in the order of the map's cells."""
        start, column = np.nonzero(self.grid)
        return np.stack([start, start + self.lengths[column]], axis=1)

    def __len__(self) -> int:
        return int(self.grid.sum())
