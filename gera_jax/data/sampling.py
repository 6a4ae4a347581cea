"""Batches as a pure function of (seed, step): a run resumes without iterator state, and all processes draw the same batch."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gera_jax.checks import require, require_known

if TYPE_CHECKING:
    from gera_jax.data.alignment import AlignmentData

DRAW_STREAM, PARTNER_STREAM = 31, 32
DRAWS = {"beta": ("alpha", "beta")}  # kind -> its parameters, all above 0


def check_draw(spec: Mapping[str, Any], at: str) -> dict[str, Any]:
    """A draw's spec with every field: `kind` and the parameters of the kind, each 1 unless given.

    >>> check_draw({"kind": "beta", "alpha": 2.0}, "draws.mix")
    {'kind': 'beta', 'alpha': 2.0, 'beta': 1.0}
    """
    kind = spec.get("kind", "beta")
    require_known(kind, DRAWS, f"{at}.kind")
    for field in spec:
        require_known(field, ("kind", *DRAWS[kind]), f"field of {at}")
    whole = {"kind": kind, **{name: spec.get(name, 1.0) for name in DRAWS[kind]}}
    for name in DRAWS[kind]:
        fine = isinstance(whole[name], int | float) and not isinstance(whole[name], bool) and 0 < whole[name] < math.inf
        require(fine, f"{at}.{name}", got=whole[name], wanted="a number above 0")
    return whole


def draw(spec: Mapping[str, Any], *, seed: int, step: int, name: str) -> np.float32:
    """The number of a step, from the distribution that `spec` names; a function of (seed, step, name) alone.

    Args:
      spec: as `check_draw` returns it: Beta(alpha, beta), in [0, 1], mean alpha / (alpha + beta).
      name: draws of other names are independent.

    >>> spec = check_draw({"alpha": 0.5, "beta": 0.5}, "draws.mix")
    >>> bool(draw(spec, seed=0, step=3, name="mix") == draw(spec, seed=0, step=3, name="mix"))
    True
    """
    rng = np.random.default_rng([seed, DRAW_STREAM, zlib.crc32(name.encode()), step])
    return np.float32(rng.beta(spec["alpha"], spec["beta"]))


def partners(n: int, *, seed: int, step: int) -> np.ndarray:
    """A random permutation [n] of the rows of a whole batch: row i is mixed with row partners[i] (which may be i itself).

    >>> sorted(partners(4, seed=0, step=0).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, PARTNER_STREAM, step]).permutation(n).astype(np.int32)


def require_shared(shards: int, **sizes: int) -> None:
    """Refuse sizes of a batch that are not shared evenly by its shards."""
    for name, size in sizes.items():
        require(size >= 0, f"batch.{name}", got=size, wanted="0 (off) or more")
        remedy = f"Set it to {size // shards * shards or shards}."
        require(size % shards == 0, f"batch.{name}", got=size, wanted=f"a multiple of the {shards} devices", remedy=remedy)


# A stream of random numbers for each kind of draw; anchors and unpaired rows have one for each modality.
PAIR_STREAM, ANCHOR_STREAM, UNPAIRED_STREAM = 11, 12, 14


class EpochOrder:
    """Positions 0..n-1 in a fresh random order each epoch, `size` a step.

    >>> order = EpochOrder(6, size=3, seed=0, stream=11)
    >>> np.sort(np.concatenate([order(0), order(1)])).tolist()
    [0, 1, 2, 3, 4, 5]

    An epoch has ceil(n / size) steps. Where `size` does not divide n, the last step is filled up with the first positions of
    the same epoch. Every position therefore comes once or twice in an epoch, and twice in one step only if size > n.
    """

    def __init__(self, n: int, *, size: int, seed: int, stream: int):
        self.n, self.size, self.seed, self.stream = n, size, seed, stream
        self.steps_per_epoch = -(-n // size) if size else 1
        self._kept: tuple[int, np.ndarray | None] = (-1, None)

    def __call__(self, step: int) -> np.ndarray:
        """Positions [size] of a step; steps may be asked for in any order."""
        epoch, within = divmod(step, self.steps_per_epoch)
        kept, permutation = self._kept  # one read, so that a thread that loads ahead does no harm
        if kept != epoch:
            permutation = np.random.default_rng([self.seed, self.stream, epoch]).permutation(self.n)
            self._kept = (epoch, permutation)
        return permutation[np.arange(within * self.size, (within + 1) * self.size) % self.n]


class Sampler:
    """Batches of pairs, neighbourhoods and unpaired rows, cut into one shard for each device.

    `batch(step)` is a dict of fresh arrays. Their first axis is the s shards of this process:

    - `rows.<name>` [s, R, d] float32: the distinct rows that the shard needs. The last of them is repeated up to R rows.
    - `pairs.<name>` [s, B/s], `neighbours.<name>` [s, A/s, m], `unpaired.<name>` [s, U/s], all int32: indices into these rows.
    - `groups` [s, B/s] int32: the item of each pair.
    - `mask` [s, B/s] bool: False for a pair that only fills up the last shards.
    - `mask.<name>` [s, B/s] bool, for each modality that some known pair lacks: False also where the item has no row of that
      modality. Its index then points to another row.
    - `draws.<name>` [s] float32: one number of the step.
    - `mixed.lam` [s] float32 and `partner` [s, B/s] int32, with `mixed`: the share that a pair keeps of itself, and the place
      in the whole batch of the pair that it is mixed with.

    Args:
      data: see `build_data`.
      seed: all randomness; the same seed and step give the same global batch whatever the number of shards.
      batch_size: pairs B of the global batch; more than there are gives all pairs in every batch.
      anchors: neighbourhoods A of the global batch, of each modality that has a neighbour table.
      neighbours: modality -> rows [N, m] of its table, column 0 the anchor itself.
      unpaired: rows U of the global batch, of each modality, drawn from the training rows outside of the known pairs.
      shards, local_shards: number of shards of the global batch, and which of them this process makes.
      draws: name -> distribution of a number drawn each step; see `check_draw`.
      mixed: distribution of the share that a pair keeps of itself when it is mixed with its partner, or None (off).
    """

    def __init__(
        self,
        data: AlignmentData,
        *,
        seed: int,
        batch_size: int,
        anchors: int = 0,
        neighbours: Mapping[str, np.ndarray] | None = None,
        unpaired: int = 0,
        shards: int = 1,
        local_shards: Iterable[int] | None = None,
        draws: Mapping[str, Mapping] | None = None,
        mixed: Mapping | None = None,
    ):
        neighbours = dict(neighbours or {}) if anchors else {}
        require(seed >= 0, "seed", got=seed, wanted="at least 0")
        require(batch_size >= 1, "batch.pairs", got=batch_size, wanted="at least 1")
        require(shards >= 1, "shards", got=shards, wanted="at least 1")
        require_shared(shards, anchors=anchors, unpaired=unpaired)
        self.data, self.shards = data, shards
        self.local_shards = list(range(shards) if local_shards is None else local_shards)
        wanted = f"shards 0 to {shards - 1}"
        require(all(0 <= s < shards for s in self.local_shards), "local_shards", got=self.local_shards, wanted=wanted)
        self.batch_size = min(batch_size, len(data.pairs))
        self.incomplete = [name for name, rows in zip(data.names, data.pairs.T, strict=True) if (rows < 0).any()]
        self._pad = -self.batch_size % shards
        self._seed, self._draws, self._mixed = seed, dict(draws or {}), mixed
        self._pairs = EpochOrder(len(data.pairs), size=self.batch_size, seed=seed, stream=PAIR_STREAM)
        self._neighbours = {name: self._check_neighbours(name, table) for name, table in neighbours.items()}
        self._anchors = {
            name: EpochOrder(len(table), size=anchors, seed=seed, stream=ANCHOR_STREAM + self._number(name))
            for name, table in self._neighbours.items()
        }
        self._unpaired_rows = data.unpaired if unpaired else {}
        for name, rows in self._unpaired_rows.items():
            got, wanted = f"{unpaired}, but {name} has no unpaired training rows", "0 where every training row is in a known pair"
            remedy = 'Set it to 0, lower data.pairs, or set data.unpaired="independent".'
            require(len(rows) > 0, "batch.unpaired", got=got, wanted=wanted, remedy=remedy)
        self._unpaired = {
            name: EpochOrder(len(rows), size=unpaired, seed=seed, stream=UNPAIRED_STREAM + self._number(name))
            for name, rows in self._unpaired_rows.items()
        }
        per_shard = dict.fromkeys(data.names, (self.batch_size + self._pad + unpaired) // shards)
        for name, table in self._neighbours.items():
            per_shard[name] += anchors // shards * table.shape[1]
        self._row_count = {name: min(count, len(data.pool[name])) for name, count in per_shard.items()}

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which every pair comes at least once: ceil(pairs / batch_size)."""
        return self._pairs.steps_per_epoch

    @property
    def padded(self) -> bool:
        """Whether batches hold pairs that only fill up the last shards."""
        return self._pad > 0

    def row_count(self, name: str) -> int:
        """R: rows of modality `name` in a shard, the same in every batch."""
        require_known(name, self._row_count, "modality")
        return self._row_count[name]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """The local shards of the batch of `step` >= 0."""
        require(step >= 0, "step", got=step, wanted="at least 0")
        order = self._pairs(int(step))
        pairs = self.data.pairs[np.concatenate([order, np.repeat(order[:1], self._pad)])]
        mask = np.arange(len(pairs)) < self.batch_size
        groups = np.max(
            [np.where(rows >= 0, self.data.groups[name][rows], -1) for name, rows in zip(self.data.names, pairs.T, strict=True)],
            axis=0,
        )
        out = {"groups": self._local(groups).astype(np.int32), "mask": self._local(mask)}
        out.update(self._drawn(int(step)))
        for side, name in enumerate(self.data.names):
            has = pairs[:, side] >= 0
            if name in self.incomplete:
                out[f"mask.{name}"] = self._local(mask & has)
            wanted = {"pairs": self._local(np.where(has, pairs[:, side], self.data.pool[name][0]))}
            if name in self._anchors:
                wanted["neighbours"] = self._local(self._neighbours[name][self._anchors[name](int(step))])
            if name in self._unpaired:
                wanted["unpaired"] = self._local(self._unpaired_rows[name][self._unpaired[name](int(step))])
            rows = np.empty((len(self.local_shards), self._row_count[name]), np.int64)
            places: dict[str, list[np.ndarray]] = {block: [] for block in wanted}
            for shard in range(len(rows)):
                parts = [index[shard] for index in wanted.values()]
                distinct, inverse = np.unique(np.concatenate([part.ravel() for part in parts]), return_inverse=True)
                rows[shard, : len(distinct)], rows[shard, len(distinct) :] = distinct, distinct[-1]
                ends = np.cumsum([part.size for part in parts])[:-1]
                for block, part, place in zip(wanted, parts, np.split(inverse.ravel(), ends), strict=True):
                    places[block].append(place.reshape(part.shape).astype(np.int32))
            out[f"rows.{name}"] = self.data.features[name].take(rows)
            out.update({f"{block}.{name}": np.stack(found) for block, found in places.items()})
        return out

    def _drawn(self, step: int) -> dict[str, np.ndarray]:
        """The step's numbers, the same in every shard, and the partners to mix with."""
        out = {f"draws.{name}": draw(spec, seed=self._seed, step=step, name=name) for name, spec in self._draws.items()}
        if self._mixed is not None:
            out["mixed.lam"] = draw(self._mixed, seed=self._seed, step=step, name="mixed.lam")
        out = {name: np.full(len(self.local_shards), value, np.float32) for name, value in out.items()}
        if self._mixed is not None:
            whole = np.arange(self.batch_size + self._pad, dtype=np.int32)  # filling pairs are their own partners
            whole[: self.batch_size] = partners(self.batch_size, seed=self._seed, step=step)
            out["partner"] = self._local(whole)
        return out

    def _local(self, values: np.ndarray) -> np.ndarray:
        """[n, ...] of the global batch -> [local shards, n / shards, ...], a copy."""
        return values.reshape(self.shards, -1, *values.shape[1:])[self.local_shards]

    def _number(self, name: str) -> int:
        return self.data.names.index(name)

    def _check_neighbours(self, name: str, table: np.ndarray) -> np.ndarray:
        require_known(name, self.data.names, "modality of neighbours")
        table = np.asarray(table)
        got, wanted = f"{table.dtype} {table.shape}", "row numbers [N, m]"
        require(table.ndim == 2 and table.dtype.kind in "iu" and len(table) > 0, f"neighbours.{name}", got=got, wanted=wanted)
        inside = np.zeros(len(self.data.features[name]), bool)
        inside[self.data.pool[name]] = True
        known = table.min() >= 0 and table.max() < len(inside) and inside[table].all()
        remedy = f"Take neighbours among data.pool[{name!r}]."
        require(known, f"neighbours.{name}", got="rows outside of the training rows", wanted="training rows only", remedy=remedy)
        return table
