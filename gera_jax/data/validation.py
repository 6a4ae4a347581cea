"""Validation of tables, once, before minutes are spent: every fault with its count, the first ids and the remedy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.data.ids import first_ids
from gera_jax.data.items import SEVERAL, duplicate_rows
from gera_jax.data.tables import Table, to_float32

BLOCK_ROWS = 16_384


@dataclass(frozen=True)
class Report:
    """What validation found.

    Args:
      name: the table.
      counts: how many of each kind, also where it is 0.
      errors: faults that stop a run (found only with `raise_errors=False`; else they are raised).
      warnings: things to know that do not stop a run.
      bad_rows: rows [r] that are NaN, infinite, zero or repeated: `table.without(report.bad_rows)` is clean of them.
    """

    name: str
    counts: dict[str, int]
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    bad_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def __bool__(self) -> bool:
        return not self.errors


def validate_table(
    table: Table,
    *,
    dim: int | None = None,
    captions: bool = False,
    minimum_rows: int = 2,
    raise_errors: bool = True,
    block_rows: int = BLOCK_ROWS,
) -> Report:
    """Check every row of a table, in blocks, so that a memory-mapped table is never loaded whole.

    Args:
      dim: the width d that is wanted (that of the training table, say); None takes any.
      captions: repeated ids are many rows of one item, not a fault.
      minimum_rows: fewer rows are a fault.
      raise_errors: raise the faults; False returns them in the report.
      block_rows: rows a block; memory is O(block_rows * d).

    Returns:
      `Report` with counts of rows, dim, nonfinite, zero_rows, duplicate_ids, constant_columns. Constant columns are a
      warning: they say nothing, and standardising must not divide by their zero.

    Raises:
      InputError: NaN or infinite rows, zero rows, rows that are all equal, repeated ids, another width, or too few rows; the
        first fault in words, and the number of the others.

    >>> table = Table(np.array([[1., 2.], [np.nan, 1.], [0., 0.]]), ["id7", "id8", "id9"], "image")
    >>> validate_table(table)
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: image: got 1 of 3 rows with NaN or infinite values (first: id8); ...
    """
    require(block_rows >= 1, "block_rows", got=block_rows, wanted="at least 1")
    n, d = table.rows.shape
    finite, nonzero = np.ones(n, bool), np.ones(n, bool)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for start in range(0, n, block_rows):
        own = table.rows[start : start + block_rows]
        block = to_float32(own)
        here = slice(start, start + len(block))
        finite[here] = np.isfinite(block).all(axis=1)
        nonzero[here] = block.any(axis=1)
        # fmin and fmax pass over NaN: one broken row must not hide a constant column
        # as exact as they are stored: in float32 a column of time stamps seems constant
        exact = own if own.dtype.itemsize > 4 else block
        low, high = np.fmin(low, np.fmin.reduce(exact, axis=0)), np.fmax(high, np.fmax.reduce(exact, axis=0))
    constant = np.flatnonzero(~(low < high)) if n > 1 else np.zeros(0, np.int64)
    repeated = np.zeros(0, np.int64) if captions else duplicate_rows(table.ids)
    bad, zero = np.flatnonzero(~finite), np.flatnonzero(~nonzero)

    errors: list[InputError] = []

    def fault(got: str, wanted: str, remedy: str) -> None:
        errors.append(InputError(table.name, got=got, wanted=wanted, remedy=remedy))

    if dim is not None and d != dim:
        fault(f"width {d}", f"width {dim}", "Embed both files with the same encoder.")
    if n < minimum_rows:
        fault(
            f"{n} row{'s' if n != 1 else ''}",
            f"at least {minimum_rows} rows",
            "One row has no neighbours and no geometry: give more rows.",
        )
    drop = "Embed those rows again, or drop them: table.without(validate_table(table, raise_errors=False).bad_rows)."
    if len(bad):
        fault(
            f"{len(bad)} of {n} rows with NaN or infinite values ({first_ids(table.ids[bad])})",
            "finite numbers (within float32)",
            drop,
        )
    if len(zero):
        fault(
            f"{len(zero)} of {n} rows of zeros ({first_ids(table.ids[zero])})",
            "rows with a direction: a zero row is often an encoder that failed",
            drop,
        )
    if len(constant) == d and not (len(bad) or len(zero)):  # no method can tell its items apart
        fault(f"{n} rows of width {d} that are all equal", "rows that differ", "Is the right array or column given?")
    if len(repeated):
        fault(
            f"{len(repeated)} of {n} rows with a repeated id ({first_ids(table.ids[repeated])})",
            "each id once",
            SEVERAL,
        )
    if errors and raise_errors:
        first = errors[0]
        more = f" {len(errors) - 1} more kinds of fault: see validate_table(table, raise_errors=False).errors."
        fail(first.name, got=first.got, wanted=first.wanted, remedy=first.remedy + (more if len(errors) > 1 else ""))

    warnings = []
    if len(constant):
        warnings.append(
            f"{table.name}: {len(constant)} of {d} columns are constant ({first_ids(constant)}); they say "
            "nothing, and standardising leaves them at 0."
        )
    counts = dict(
        rows=n, dim=d, nonfinite=len(bad), zero_rows=len(zero), duplicate_ids=len(repeated), constant_columns=len(constant)
    )
    bad_rows = np.unique(np.concatenate([bad, zero, repeated])).astype(np.int64)
    return Report(table.name, counts, [str(error) for error in errors], warnings, bad_rows)
