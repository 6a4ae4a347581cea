"""What happens to features before training: centre or standardise, PCA, L2, diffusion filter; fitted on training rows only."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, require_known
from gera_jax.config.schema import PREPROCESS, defaults
from gera_jax.data.rows import real_numbers
from gera_jax.data.side_by_side import Columns, check_parts
from gera_jax.data.tables import Table

BLOCK_BYTES = 32 * 2**20
CACHE_BYTES = 2**20  # a block that stays in the cache through all steps: three times as fast as a large one
PCA_ROWS = 50_000
PART_PCA = 512  # directions of each of several tables
FILTER_BLOCK = 8_192
OPTIONS = defaults(PREPROCESS)
FILTER = OPTIONS["filter"]
ARRAYS = ("mean", "scale", "components", "pool", "pool_rows")
MATERIALIZE_BYTES = 2**30


class Preprocessor:
    """(x - mean) / std -> PCA -> unit length -> [x, filter(x)], from statistics of the training rows alone.

    Rows of several tables side by side (`parts`) go table by table through the first three steps. Then they are scaled by the
    square roots of their weights and joined, and the whole has length 1. Zeros, of a table that lacks the item, stay 0 and count
    in no statistic.

    Args:
      center: subtract the mean of the training rows.
      standardize: divide each dimension by its standard deviation (centres too), however small beside the others'; dimensions
        that are constant up to the rounding of the caller's dtype, a deviation of at most eps |mean|, stay as they are.
      pca: number of principal directions to keep, or as many as the training rows have if that is less; 0 = all dimensions
        as they are. Without centring they are those of the second moment.
      l2: scale rows to length 1, whatever their magnitude; a zero row stays zero.
      filter: `strength` b of x <- l2((1 - b) x + b P x) with P the softmax at `temperature` over the `k` nearest training
        rows (at most `max_pool` of them), 0 = off; `concatenate` gives l2([x, filter(x)]), twice as wide.
      parts: widths of the tables that stand side by side; () = there is one. Then `pca=0` keeps at most 512 directions of each.
      weights: one for each part, at least 0; () = equal ones (`solvers.several_tables` estimates others from held-out pairs).
      name: the modality, used in every message.

    Statistics and features are computed in float64 from the caller's dtype and become float32 at the end: a common offset costs
    no digits.

    Raises:
      InputError: an unknown option, or one out of range.

    >>> rows = np.random.default_rng(0).normal(3.0, 1.0, (50, 6))
    >>> features = Preprocessor(pca=4).fit(rows)(rows)
    >>> features.shape, features.dtype, bool(np.allclose(np.linalg.norm(features, axis=1), 1))
    ((50, 4), dtype('float32'), True)
    """

    def __init__(
        self,
        *,
        center: bool = OPTIONS["center"],
        standardize: bool = OPTIONS["standardize"],
        pca: int = OPTIONS["pca"],
        l2: bool = OPTIONS["l2"],
        filter: Mapping[str, Any] | None = None,
        parts: Sequence[int] = (),
        weights: Sequence[float] = (),
        name: str = "x",
    ):
        options = {**FILTER, **dict(filter or {})}
        for word in options:
            require_known(word, FILTER, f"field of preprocess.{name}.filter")
        at = f"preprocess.{name}"
        require(isinstance(pca, int | np.integer) and pca >= 0, f"{at}.pca", got=pca, wanted="0 (off) or a width above 0")
        require(0 <= options["strength"] <= 1, f"{at}.filter.strength", got=options["strength"], wanted="0 (off) to 1")
        require(options["k"] >= 1, f"{at}.filter.k", got=options["k"], wanted="at least 1 neighbour")
        require(options["temperature"] > 0, f"{at}.filter.temperature", got=options["temperature"], wanted="above 0")
        require(options["max_pool"] >= 2, f"{at}.filter.max_pool", got=options["max_pool"], wanted="at least 2 rows")
        remedy = "The filter mixes rows of length 1: set l2=True or filter.strength=0."
        require(l2 or not options["strength"], f"{at}.l2", got="False with a filter", wanted="True", remedy=remedy)
        check_parts(at, parts, weights)
        each = dict(center=bool(center), standardize=bool(standardize), pca=int(pca), l2=bool(l2))
        widths, shares = [int(part) for part in parts], [float(weight) for weight in weights]
        self.options: dict[str, Any] = dict(**each, filter=options, parts=widths, weights=shares)
        each["pca"] = each["pca"] or PART_PCA
        self.tables = [Preprocessor(**each, name=f"{name}, table {i + 1}") for i in range(len(parts))]
        self.name = name
        self.width = 0  # of the rows that go in; known after fit
        self.explained_variance = 1.0
        self.mean = self.scale = self.components = self.pool = self.pool_rows = None

    @property
    def dim(self) -> int:
        """Width of the rows that come out."""
        self._require_fitted()
        width = self.width if self.components is None else self.components.shape[1]
        width = sum(table.dim for table in self.tables) or width
        return 2 * width if self.pool is not None and self.options["filter"]["concatenate"] else width

    def fit(self, rows: np.ndarray, index: np.ndarray | None = None, *, seed: int = 0) -> Preprocessor:
        """Take mean, deviation, directions and filter pool from `rows[index]`; returns self.

        Args:
          rows: [n, d]; a memory-mapped array is read in blocks.
          index: [m] the training rows; all of them by default.
          seed: which rows are drawn where PCA (50,000) or the filter (`max_pool`) look at a sample.

        Raises:
          InputError: NaN or infinite training rows, by their number in `rows`; fewer training rows than the filter has
            neighbours.
        """
        index = np.arange(len(rows)) if index is None else np.sort(np.asarray(index, dtype=np.int64))
        options, self.width = self.options, rows.shape[1]
        require(len(index) > 0, f"{self.name} training rows", got=0, wanted="at least 1")
        self.mean = self.scale = self.components = self.pool = self.pool_rows = None
        self.explained_variance = 1.0
        if self.tables or options["weights"]:
            self._fit_tables(rows, index, seed)
        elif options["center"] or options["standardize"]:
            # Sums of differences from one of the rows: what all rows share does not round what tells them apart.
            origin = self._wide(rows[index[:1]])[0]
            self.mean = origin + sum((block - origin).sum(0) for block in self._blocks(rows, index)) / len(index)
            if options["standardize"]:
                factor = _power(self._reach(rows, index))
                variance = sum(np.square((block - self.mean) * factor).sum(0) for block in self._blocks(rows, index)) / len(index)
                deviation = np.sqrt(variance) / factor
                # A dimension that is constant up to rounding holds no information; dividing would blow up its noise.
                constant = deviation <= _grain(rows.dtype) * np.abs(self.mean)
                self.scale = np.where(constant, 1.0, 1.0 / np.where(constant, 1.0, deviation))
        if options["pca"] and not self.tables:
            self._fit_pca(rows, index, seed)
        if options["filter"]["strength"]:
            self._fit_filter(rows, index, seed)
        return self

    def weighted(self, weights: Sequence[float]) -> Preprocessor:
        """A fitted copy with other weights of its tables."""
        made = copy.copy(self)
        check_parts(f"preprocess.{self.name}", self.options["parts"], weights)
        made.options = {**self.options, "weights": [float(weight) for weight in weights]}
        return made

    def _fit_tables(self, rows: np.ndarray, index: np.ndarray, seed: int) -> None:
        at, wanted = f"preprocess.{self.name}.parts", f"widths whose sum is {self.width}, that of the rows"
        require(sum(self.options["parts"]) == self.width, at, got=self.options["parts"], wanted=wanted)
        for table, columns in zip(self.tables, self._columns(), strict=True):
            own = Columns(rows, columns)
            there = [own[index[start : start + PCA_ROWS]].any(axis=1) for start in range(0, len(index), PCA_ROWS)]
            table.fit(own, index[np.concatenate(there)], seed=seed)
        self.explained_variance = float(np.mean([table.explained_variance for table in self.tables]))

    def _columns(self) -> list[slice]:
        ends = np.cumsum(self.options["parts"]).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def _fit_pca(self, rows: np.ndarray, index: np.ndarray, seed: int) -> None:
        keep = min(self.options["pca"], self.width, len(index))
        sample = _sample(index, PCA_ROWS, [seed, 21])
        factor = 1.0 if self.options["standardize"] else _power(self._reach(rows, sample).max())
        blocks = (self._affine(block) * factor for block in self._blocks(rows, sample))
        moment = sum(block.T @ block for block in blocks)
        values, vectors = np.linalg.eigh(moment)
        vectors = vectors[:, ::-1][:, :keep]
        # Eigenvectors have no sign of their own: the largest entry is positive, so that every machine agrees.
        signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(keep)])
        self.components = (vectors * signs).astype(np.float32)
        total = values.sum()
        self.explained_variance = float(values[::-1][:keep].sum() / total) if total > 0 else 1.0

    def _fit_filter(self, rows: np.ndarray, index: np.ndarray, seed: int) -> None:
        options = self.options["filter"]
        sample = _sample(index, options["max_pool"], [seed, 22])
        wanted, remedy = f"fewer neighbours than the {len(sample)} training rows", "Lower it."
        require(options["k"] < len(sample), f"preprocess.{self.name}.filter.k", got=options["k"], wanted=wanted, remedy=remedy)
        self.pool = np.concatenate([self._project(block).astype(np.float32) for block in self._blocks(rows, sample)])
        self.pool_rows = sample

    def __call__(self, rows: np.ndarray, *, row_numbers: np.ndarray | None = None) -> np.ndarray:
        """Rows [..., d] as features [..., dim], float32, a fresh array.

        Args:
          row_numbers: [...] which rows of the fitted table these are. With them the filter leaves a training row out of
            its own neighbours, as it does for a row that it has never seen.

        Raises:
          InputError: another width than that of the rows that `fit` saw, NaN or infinite rows, features beyond float32 (with
            l2=False), or no `fit` yet.
        """
        self._require_fitted()
        rows = np.asanyarray(rows)
        got, wanted = f"shape {rows.shape}", f"width {self.width}, as in training"
        remedy = "Use embeddings of the encoder that was trained on."
        require(rows.ndim >= 1 and rows.shape[-1] == self.width, f"{self.name} rows", got=got, wanted=wanted, remedy=remedy)
        flat = rows.reshape(-1, self.width)
        out = np.empty((len(flat), self.dim), np.float32)
        step = FILTER_BLOCK if self.pool is not None else max(1, CACHE_BYTES // (8 * self.width))
        numbers = None if row_numbers is None else np.asarray(row_numbers).reshape(-1)
        for start in range(0, len(flat), step):
            part = slice(start, start + step)
            block = self._wide(flat[part])
            self._require_finite(block, np.arange(len(flat))[part] if numbers is None else numbers[part])
            with np.errstate(over="ignore"):
                block = self._project(block).astype(np.float32)
            out[part] = block if self.pool is None else self._filter(block, None if numbers is None else numbers[part])
        if not self.options["l2"]:
            got, remedy = "values beyond float32", "Set l2=True or standardize=True."
            require(bool(np.isfinite(out).all()), f"{self.name} features", got=got, wanted="magnitudes below 3e38", remedy=remedy)
        return out.reshape(*rows.shape[:-1], self.dim)

    def _blocks(self, rows: np.ndarray, index: np.ndarray) -> Iterator[np.ndarray]:
        """Float64 copies of the rows at the sorted `index`, a block at a time: a table on disk is never whole in memory."""
        step = max(1, BLOCK_BYTES // (8 * rows.shape[1]))
        for start in range(0, len(index), step):
            block = self._wide(rows[index[start : start + step]])
            self._require_finite(block, index[start : start + step])
            yield block

    def _reach(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Largest distance of each column's entries from its mean, or from 0 where nothing is centred."""
        mean = 0.0 if self.mean is None else self.mean
        return np.max([np.abs(block - mean).max(axis=0) for block in self._blocks(rows, index)], axis=0)

    def _wide(self, rows: np.ndarray) -> np.ndarray:
        """A float64 copy."""
        return np.array(real_numbers(np.asarray(rows), f"{self.name} rows"), np.float64)

    def _require_finite(self, block: np.ndarray, numbers: np.ndarray) -> None:
        if not np.isfinite(block).all():
            wrong = numbers[~np.isfinite(block).all(axis=1)]
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            remedy = "Embed these rows again, or leave them out."
            fail(f"{self.name} rows", got=f"NaN or infinity in row {wrong[0]}{more}", wanted="finite numbers", remedy=remedy)

    def _affine(self, block: np.ndarray) -> np.ndarray:
        """In place: each block is a copy of its rows."""
        if self.mean is not None:
            block -= self.mean
        if self.scale is not None:
            block *= self.scale
        return block

    def _project(self, block: np.ndarray) -> np.ndarray:
        if self.tables:
            weights = self.options["weights"] or [1.0] * len(self.tables)
            pieces = []
            for table, columns, weight in zip(self.tables, self._columns(), weights, strict=True):
                there = block[:, columns].any(axis=1)[:, None]
                pieces.append(math.sqrt(weight) * np.where(there, table._project(block[:, columns].copy()), 0.0))
            joined = np.concatenate(pieces, axis=1)
            return _unit(joined) if self.options["l2"] else joined
        block = self._affine(block)
        if self.components is not None:
            block = block @ self.components
        return _unit(block) if self.options["l2"] else block

    def _filter(self, block: np.ndarray, numbers: np.ndarray | None) -> np.ndarray:
        from gera_jax.graphs import diffusion_filter  # only here: tables without a filter need no jax

        options = self.options["filter"]
        exclude: Any = False
        if numbers is not None:
            at = np.searchsorted(self.pool_rows, numbers).clip(max=len(self.pool_rows) - 1)
            exclude = np.where(self.pool_rows[at] == numbers, at, -1).astype(np.int32)
        mixed = np.asarray(
            diffusion_filter(
                block,
                self.pool,
                k=options["k"],
                temperature=options["temperature"],
                strength=options["strength"],
                exclude_self=exclude,
            )
        )
        return _unit(np.concatenate([block, mixed], axis=1)) if options["concatenate"] else mixed

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Everything as arrays for `numpy.savez` (no pickles); `from_arrays` gives the same features to the last bit."""
        self._require_fitted()
        head = dict(options=self.options, name=self.name, width=self.width, explained_variance=self.explained_variance)
        found = {word: getattr(self, word) for word in ARRAYS}
        own = {"header": np.array(json.dumps(head)), **{word: a for word, a in found.items() if a is not None}}
        return own | {f"{i}/{key}": a for i, table in enumerate(self.tables) for key, a in table.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Preprocessor:
        """The preprocessor that `to_arrays` wrote.

        Raises:
          InputError: the arrays are not those of a preprocessor.
        """
        if "header" not in arrays:
            fail("preprocessor", got=f"arrays {sorted(arrays)}", wanted="those of Preprocessor.to_arrays()")
        head = json.loads(str(np.asarray(arrays["header"])[()]))
        made = cls(**head["options"], name=head["name"])
        made.width, made.explained_variance = head["width"], head["explained_variance"]
        for word in ARRAYS:
            if word in arrays:
                setattr(made, word, np.array(arrays[word]))
        for i in range(len(made.tables)):
            inside = {key.removeprefix(f"{i}/"): a for key, a in arrays.items() if key.startswith(f"{i}/")}
            made.tables[i] = cls.from_arrays(inside)
        return made

    def _require_fitted(self) -> None:
        require(self.width > 0, f"{self.name} preprocessor", got="no fit", wanted="fit(rows) first")


class Features:
    """Rows of a table as training sees them.

    >>> table = Table(np.arange(12.0).reshape(4, 3), ["a", "b", "c", "d"])
    >>> features = Features(table, Preprocessor(l2=False).fit(table.rows))
    >>> features.take([[0, 3]]).tolist(), len(features), features.dim
    ([[[-4.5, -4.5, -4.5], [4.5, 4.5, 4.5]]], 4, 3)
    """

    def __init__(self, table: Table, preprocessor: Preprocessor):
        self._rows, self.preprocessor = table.rows, preprocessor
        n, itemsize = len(table), np.dtype(table.rows.dtype).itemsize
        self.materialized = n * max(table.dim * itemsize, preprocessor.dim * 4) <= MATERIALIZE_BYTES
        self._kept = preprocessor(table.rows[np.arange(n)], row_numbers=np.arange(n)) if self.materialized else None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dim(self) -> int:
        """Width of a row of features."""
        return self.preprocessor.dim

    def take(self, index: Any) -> np.ndarray:
        """Features [..., d] at the row numbers `index` [...], float32, a fresh array."""
        index = np.asarray(index, dtype=np.int64)
        inside = index.size == 0 or (index.min() >= 0 and index.max() < len(self))
        require(inside, "row numbers", got=f"values outside of 0 to {len(self) - 1}", wanted="rows of the table")
        if self._kept is not None:
            return self._kept[index]
        # Sorted, so that neighbouring rows of a file are read together. Repeats stay: the filter compiles once per shape.
        flat = index.reshape(-1)
        if (flat[1:] >= flat[:-1]).all():  # as the sampler asks with one shard: no copy to put them back in order
            return self.preprocessor(self._rows[flat], row_numbers=flat).reshape(*index.shape, self.dim)
        order = np.argsort(flat)
        out = np.empty((len(flat), self.dim), np.float32)
        out[order] = self.preprocessor(self._rows[flat[order]], row_numbers=flat[order])
        return out.reshape(*index.shape, self.dim)


def _unit(block: np.ndarray) -> np.ndarray:
    """Rows of length 1, whatever their magnitude, in place."""
    largest = np.abs(block).max(axis=1, keepdims=True, initial=0.0)
    block /= np.where(largest > 0, largest, 1)
    block /= np.where(largest > 0, np.sqrt(np.einsum("nd,nd->n", block, block))[:, None], 1)
    return block


def _power(largest: np.ndarray) -> np.ndarray:
    """Powers of two that bring magnitudes into [1/2, 1): exact factors that keep squares in range; 1 for 0."""
    return np.where(largest > 0, np.ldexp(1.0, np.clip(-np.frexp(largest)[1], -1000, 1000)), 1.0)


def _grain(dtype: np.dtype) -> float:
    """Distance of the floats at 1; of float64 for integers, which have none."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else float(np.finfo(np.float64).eps)


def _sample(index: np.ndarray, most: int, seed: list[int]) -> np.ndarray:
    if len(index) <= most:
        return index
    return np.sort(np.random.default_rng(seed).choice(index, most, replace=False))
