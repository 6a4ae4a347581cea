"""Which candidate each query should find: row i itself, rows of its group, or given target rows."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from gera_jax import checks
from gera_jax.losses.inputs import check_mask, check_pair, check_rank, check_same_rows, not_negative
from gera_jax.ops.collectives import gather_rows, row_offset
from gera_jax.ops.numerics import known

RENUMBER = "Number the items of both sides together, 0, 1, ...: np.unique(items, return_inverse=True)[1]."


class Matching(NamedTuple):
    """Which rows of x and y belong together, as the caller of a contrastive loss says it; masks and groups are of this device."""

    targets: Array | None  # [n, m of all devices]
    x_groups: Array | None
    y_groups: Array | None
    x_mask: Array | None
    y_mask: Array | None
    axis_name: str | None

    def alone(self) -> bool:
        """Whether each row has one match, the row of its number."""
        return self.targets is None and self.x_groups is None

    def items(self, n: int, m: int) -> tuple[Array | None, Array | None]:
        """Numbers of the n rows and the m columns that are equal where they match; None where targets say it."""
        if self.targets is not None:
            return None, None
        if self.x_groups is None:
            return row_numbers(n, self.axis_name), row_numbers(m, self.axis_name)
        return _one_type(self.x_groups, self.y_groups)

    def counted(self, mask: Array | None, mass: Array | None) -> Array | None:
        """[n] bool, the rows that count: they are unmasked and have a match; None for all.

        Args:
          mask: of the rows.
          mass: sum of each row's positives that exist; not needed where each row is `alone`.
        """
        if self.alone():
            return self.x_mask if self.y_mask is None else self.y_mask if self.x_mask is None else self.x_mask & self.y_mask
        some = mass != 0  # a row with NaN counts, and spoils the loss
        return some if mask is None else some & mask

    def shares(self, dtype: jnp.dtype) -> Array | None:
        """Targets in the type of the computation; known ones below 0 raise."""
        if self.targets is None:
            return None
        columns = None if self.y_mask is None else gather_rows(self.y_mask, self.axis_name)
        not_negative(self.targets, "targets", _cells(self.targets, self.x_mask, columns))
        return jnp.asarray(self.targets).astype(dtype)


def row_numbers(n: int, axis_name: str | None) -> Array:
    """[n] numbers of this device's rows among those of all devices."""
    return row_offset(n, axis_name) + jnp.arange(n, dtype=jnp.int32)


def positive_mass(row_items: Array | None, column_items: Array | None, shares: Array | None) -> tuple[Array, Array]:
    """How much each cell is a positive, and which ones are: where items are equal, or where shares are above 0."""
    if shares is None:
        same = row_items[:, None] == column_items[None, :]
        return same, same
    return not_negative(shares, "targets"), shares > 0


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
