"""Which candidate each query should find: row i itself, rows of its group, or given target rows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_pair, check_rank, check_same_rows, keep_logits, not_negative
from gera_jax.ops.collectives import gather_rows, row_offset
from gera_jax.ops.known import known

RENUMBER = "Number the items of both sides together, 0, 1, ...: np.unique(items, return_inverse=True)[1]."


class Matching(NamedTuple):
    """Which rows of x and y belong together, as the caller of a contrastive loss says it; masks and groups are of this device."""

    targets: Array | None  # [n, m of all devices]
    x_groups: Array | None
    y_groups: Array | None
    x_mask: Array | None
    y_mask: Array | None
    axis_name: str | None

    def turned(self) -> Matching:
        """The same for y -> x."""
        targets = None if self.targets is None else jnp.asarray(self.targets).T
        return Matching(targets, self.y_groups, self.x_groups, self.y_mask, self.x_mask, self.axis_name)

    def candidates(self) -> Array | None:
        """[m of all devices] bool, which candidates exist; None for all."""
        return None if self.y_mask is None else gather_rows(self.y_mask, self.axis_name)


class Positives(NamedTuple):
    """Weighted positives of n queries among m candidates.

    `columns [n]` (one positive each) or `mass [n, m]` (bool or non-negative), never both; `valid [n]` says which queries
    count, None for all.
    """

    columns: Array | None
    mass: Array | None
    valid: Array | None


def find_positives(n: int, matching: Matching, dtype: jnp.dtype) -> Positives:
    """Positives of this device's n queries; a query counts if it is unmasked and at least one of its positives exists."""
    targets, x_groups, y_groups, x_mask, y_mask, axis_name = matching
    exists = matching.candidates()
    if x_groups is None and targets is None:
        # Row i matches row i, so both masks are local here.
        valid = x_mask if y_mask is None else y_mask if x_mask is None else x_mask & y_mask
        return Positives(row_offset(n, axis_name) + jnp.arange(n, dtype=jnp.int32), None, valid)
    if targets is None:
        x_groups, y_groups = _one_type(x_groups, y_groups)
        mass = x_groups[:, None] == gather_rows(y_groups, axis_name)[None, :]
        if exists is not None:
            mass &= exists[None, :]
        valid = mass.any(1)
    else:
        mass = not_negative(targets, "targets", _cells(targets, x_mask, exists)).astype(dtype)
        if exists is not None:
            mass = jnp.where(exists[None, :], mass, jnp.zeros((), dtype))
        if x_mask is not None:
            mass = jnp.where(x_mask[:, None], mass, jnp.zeros((), dtype))
        valid = mass.sum(1) != 0  # a row with NaN counts, and spoils the loss
    return Positives(None, mass, valid if x_mask is None else valid & x_mask)


def positive_mean(values: Array, positives: Positives, axis: int = 1) -> Array:
    """Mean of `values` over each query's positives; 0 for a query without any.

    `values` is [n, m], or [m, n] with axis=0: the candidates lie along `axis`.
    """
    if positives.columns is not None:
        columns = jnp.expand_dims(positives.columns, axis)
        return jnp.take_along_axis(values, columns, axis=axis, mode="clip").squeeze(axis)
    mass = positives.mass if axis == 1 else positives.mass.T
    zero = jnp.zeros((), values.dtype)
    if mass.dtype == jnp.bool_:
        total, count = jnp.where(mass, values, zero).sum(axis), mass.sum(axis).astype(values.dtype)
    else:
        total, count = (mass * values).sum(axis), mass.sum(axis)
    none = count == 0
    return jnp.where(none, zero, total) / jnp.where(none, jnp.ones_like(count), count)


def positive_cells(positives: Positives, shape: tuple[int, int], axis: int = 1) -> Array:
    """Which cells hold a positive, bool of `shape`: [n, m], or [m, n] with axis=0."""
    if positives.columns is None:
        mass = positives.mass if positives.mass.dtype == jnp.bool_ else positives.mass > 0
        return mass if axis == 1 else mass.T
    candidates = jnp.arange(shape[axis], dtype=jnp.int32)
    return jnp.expand_dims(positives.columns, axis) == jnp.expand_dims(candidates, 1 - axis)


def keep_candidates(logits: Array, matching: Matching, axis: int = 1) -> Array:
    """Logits with the lowest value for candidates, along `axis`, that do not exist."""
    exists = matching.candidates()
    return logits if exists is None else keep_logits(logits, jnp.expand_dims(exists, 1 - axis))


def check_matching(x: Array, y: Array, matching: Matching, weights: Array | None) -> None:
    """Raise for arguments that contradict each other or x [n, d] and y [m, d] in shape."""
    check_pair(x, y)
    targets, x_groups, y_groups, x_mask, y_mask, axis_name = matching
    if targets is None and x_groups is None and y_groups is None:
        check_same_rows(x, y, "y", "Pass x_groups and y_groups, or targets where the loss takes them, if rows match otherwise.")
    alone = targets is None or (x_groups is None and y_groups is None)
    remedy = "Drop x_groups and y_groups, or targets."
    checks.require(alone, "targets", got="targets and groups together", wanted="one of the two", remedy=remedy)
    if (x_groups is None) != (y_groups is None):
        missing, given = ("x_groups", "y_groups") if x_groups is None else ("y_groups", "x_groups")
        checks.fail(missing, got=f"{given} alone", wanted="x_groups and y_groups", remedy=f"Pass {missing} as well.")
    n, m = len(x), len(y)
    for side, groups, mask, rows in (("x", x_groups, x_mask, n), ("y", y_groups, y_mask, m)):
        if groups is not None:
            name, groups = f"{side}_groups", groups if hasattr(groups, "dtype") else np.asarray(groups)
            checks.require_shape(groups, (rows,), name, remedy="One integer per row.")
            whole = jnp.issubdtype(groups.dtype, jnp.integer)
            checks.require(whole, name, got=f"dtype {groups.dtype}", wanted="integers", remedy=RENUMBER)
        check_mask(mask, (rows,), f"{side}_mask")
    checks.require_shape(weights, (n,), "weights", remedy="One weight per row of x.")
    if targets is not None:
        check_rank(targets, 2, "targets")
        columns = m if axis_name is None else jnp.shape(targets)[1]  # of all devices
        checks.require_shape(targets, (n, columns), "targets", remedy="One row per query, one column per candidate.")


def _cells(targets: Array, x_mask: Array | None, exists: Array | None) -> Array | None:
    """[n, m] bool: targets of rows and candidates that are there; None for all."""
    if x_mask is None and exists is None:
        return None
    sides = zip((x_mask, exists), jnp.shape(targets), strict=True)
    rows, columns = (jnp.ones(count, bool) if mask is None else jnp.asarray(mask) for mask, count in sides)
    return rows[:, None] & columns[None, :]


def _one_type(x_groups: Array, y_groups: Array) -> list[Array]:
    """Both as integers of one type that holds all of them, so that equal items stay equal and others do not meet."""
    sides = [_items(groups, name) for name, groups in (("x_groups", x_groups), ("y_groups", y_groups))]
    dtype = np.promote_types(*(groups.dtype for groups in sides))
    fits = dtype.kind in "iu" and jax.dtypes.canonicalize_dtype(dtype) == dtype
    got = " beside ".join(str(groups.dtype) for groups in sides)
    checks.require(fits, "y_groups", got=got, wanted="integers of one type", remedy=RENUMBER)
    return [jnp.asarray(groups).astype(dtype) for groups in sides]


def _items(groups: Array, name: str) -> Array:
    """Item numbers in a type that JAX has: it would cut known 64-bit ones to 32 bits without a word, and items would merge."""
    given = known(groups)
    if given is None:
        return groups
    types = [jax.dtypes.canonicalize_dtype(dtype) for dtype in (np.int64, np.uint64)]
    for limits in map(np.iinfo, types):
        if given.size == 0 or (int(given.min()) >= limits.min and int(given.max()) <= limits.max):
            return given.astype(limits.dtype)
    far = given[(given < np.iinfo(types[0]).min) | (given > np.iinfo(types[0]).max)]
    checks.fail(name, got=f"{far[:1]} as {given.dtype}", wanted=f"numbers that {types[0]} holds", remedy=RENUMBER)
