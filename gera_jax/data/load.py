"""From files, frames, arrays and tables to `Pairs`: the one way in, whatever a door was given, and the look at every row."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.config.schema import SLOTS
from gera_jax.data import catalog
from gera_jax.data.formats import ROW_NUMBERS
from gera_jax.data.ids import SEVERAL, duplicate_rows, first_ids
from gera_jax.data.pair_lists import link, read_pairs
from gera_jax.data.pairs import Pairs
from gera_jax.data.rows import as_rows
from gera_jax.data.side_by_side import is_several, side_by_side
from gera_jax.data.tables import Table, load_table, to_float32

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


def validate_table(table: Table, *, captions: bool = False, raise_errors: bool = True) -> Report:
    """Check every row of a table, in blocks, so that a memory-mapped table is never loaded whole.

    Args:
      captions: repeated ids are many rows of one item, not a fault.
      raise_errors: raise the faults; False returns them in the report.

    Returns:
      `Report` with counts of rows, dim, nonfinite, zero_rows, duplicate_ids, constant_columns. Constant columns are a
      warning: they say nothing, and standardising must not divide by their zero.

    Raises:
      InputError: NaN or infinite rows, zero rows, rows that are all equal, repeated ids, or too few rows; the first
        fault in words, and the number of the others.

    >>> table = Table(np.array([[1., 2.], [np.nan, 1.], [0., 0.]]), ["id7", "id8", "id9"], "image")
    >>> validate_table(table)
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: image: got 1 of 3 rows with NaN or infinite values (first: id8); ...
    """
    n, d = table.rows.shape
    finite, nonzero = np.ones(n, bool), np.ones(n, bool)
    ends = np.cumsum(table.parts, dtype=np.int64)
    lacks = np.zeros(len(ends), np.int64)  # rows without an entry in each of several tables
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    for start in range(0, n, BLOCK_ROWS):
        own = table.rows[start : start + BLOCK_ROWS]
        block = to_float32(own)
        here = slice(start, start + len(block))
        finite[here] = np.isfinite(block).all(axis=1)
        nonzero[here] = block.any(axis=1)
        for part, (end, width) in enumerate(zip(ends, table.parts, strict=True)):
            lacks[part] += np.sum(~block[:, end - width : end].any(axis=1))
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

    if n < 2:
        fault("1 row", "at least 2 rows", "One row has no neighbours and no geometry: give more rows.")
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
    warnings += [f"{table.name}: {count:,} of {n:,} rows are not in table {i + 1}." for i, count in enumerate(lacks) if count]
    counts = dict(
        rows=n, dim=d, nonfinite=len(bad), zero_rows=len(zero), duplicate_ids=len(repeated), constant_columns=len(constant)
    )
    bad_rows = np.unique(np.concatenate([bad, zero, repeated])).astype(np.int64)
    return Report(table.name, counts, [str(error) for error in errors], warnings, bad_rows)


def load_pairs(
    x: Any = None,
    y: Any = None,
    w: Any = None,
    *,
    pairs: Any = None,
    x_unpaired: Any = None,
    y_unpaired: Any = None,
    w_unpaired: Any = None,
    x_ids: Any = None,
    y_ids: Any = None,
    w_ids: Any = None,
    x_unpaired_ids: Any = None,
    y_unpaired_ids: Any = None,
    w_unpaired_ids: Any = None,
    captions: bool = False,
    names: Sequence[str] = SLOTS,
    look: bool = True,
) -> Pairs:
    """The pairs of two or three sets of embeddings, or of a bundled set by its name.

    Args:
      x, y, w: a file (`FILE` or `FILE:KEY`, as a text or a `Path`), a `Table`, a pandas, polars or Arrow frame, or rows of any
        kind that `data.as_rows` takes. Several tables of a modality, of other encoders or layers, are a list of these, files
        "a.npz+b.npz", or an array [n, layers, d]. `x` alone is the name of a bundled set, or `Pairs`, which are given back.
      pairs: ids of known pairs of x and y: a .csv of two columns, [p, 2], a dictionary of an id to one id or several (see
        `pair_lists.read_pairs`). None = rows of equal ids are pairs, and where neither set has ids, rows of equal numbers.
      x_unpaired, y_unpaired, w_unpaired: further rows without a partner.
      x_ids, y_ids, ...: the id of each row: a list of them; of a file also the name of its column or array of ids, or a file of
        ids. None = the ids that a file has.
      captions: an id may come many times, as with five captions of one picture; all rows of an item belong together.
      names: of the modalities, where a `Table` has none of its own.
      look: refuse rows that are NaN, infinite or zero, and unpaired rows that equal a paired one.

    Raises:
      InputError: whatever is wrong with them, in words.

    >>> pairs = load_pairs("molecule")
    >>> print(pairs)
    3,000 rows of molecule, 2,912 rows of text: 2,912 items have rows of both, found by id
    2,912 pairs; without a partner 88 rows of molecule, 0 rows of text
    """
    # by slot: <slot>, <slot>_unpaired, and the ids of both
    given = {name: value for name, value in locals().items() if name.startswith(SLOTS) and value is not None}
    if set(given) == {"x"} and pairs is None:
        if isinstance(x, Pairs):
            return x
        if isinstance(x, str) and x in catalog.names():
            return _bundled(x)
        wanted = "own embeddings as x and y, or the name of a bundled set"
        remedy = f"Bundled sets are {', '.join(catalog.names())}."
        fail("data", got=f'"{x}"' if isinstance(x, str) else f"one {type(x).__name__}", wanted=wanted, remedy=remedy)
    require("x" in given and "y" in given, "x, y", got=", ".join(given) or "nothing", wanted="both, or a bundled set")
    for name in given:
        of = name.removesuffix("_ids")
        require(of in given, name, got="ids without rows", wanted=f"{of} with them")
        require(of.removesuffix("_unpaired") in given, name, got="unpaired rows of no modality", wanted="the modality with them")
    require(pairs is None or w is None, "pairs", got="a list beside three modalities", wanted="ids that all three share")
    sides = [side for side in SLOTS if side in given]
    tables = [as_table(given[side], name, given.get(f"{side}_ids")) for side, name in zip(sides, names, strict=False)]
    warnings = [line for table in tables if look for line in validate_table(table, captions=True).warnings]
    labels = None if pairs is None else list(link(*tables, read_pairs(pairs))[:2])
    found = Pairs.from_tables(tables, labels, captions=captions)
    more = {
        m: as_table(given[f"{side}_unpaired"], f"{side}_unpaired", given.get(f"{side}_unpaired_ids"))
        for m, side in enumerate(sides)
        if f"{side}_unpaired" in given
    }
    if more:
        labels = [table.ids for table in tables] if labels is None else labels
        for m, extra in more.items():
            tables[m], labels[m] = _append(tables[m], labels[m], extra, found.paired(m) if look else ())
        by, found = found.paired_by, Pairs.from_tables(tables, labels, captions=True)
        found = dataclasses.replace(found, paired_by=by)
    source = tuple(word for name, value in {**given, "pairs": pairs}.items() if value is not None for word in _words(name, value))
    return dataclasses.replace(found, source=source + ("--captions",) * captions, warnings=tuple(warnings) + found.warnings)


def as_table(source: Any, name: str, ids: Any = None) -> Table:
    """A table from a file, a table, a frame or rows, under a modality's name; `ids` as in `load_pairs`."""
    from gera_jax.config.files import path_and_key

    column = str(ids) if isinstance(ids, str | Path) else ""
    ids_key = column if ids is None or column else ROW_NUMBERS  # a list of ids replaces whatever the source has
    is_file, is_frame = isinstance(source, str | Path), hasattr(source, "columns")
    require(
        is_file or is_frame or not column, f"{name}_ids", got=f'"{column}" for rows in memory', wanted="a list of ids, one a row"
    )
    if is_several(source):
        table = side_by_side([as_table(one, name, ids) for one in source], name)
        return dataclasses.replace(table, name=name)
    if getattr(source, "ndim", 0) == 3 and not is_frame:
        n, count, width = source.shape
        rows = as_rows(np.asarray(source).reshape(n, -1), name)
        table = Table(rows, name=name, parts=(width,) * count)
    elif is_file:
        path, key = path_and_key(str(source))
        table = load_table(path, key=key, ids_key=ids_key, name=name)
    elif isinstance(source, Table):
        table = source if source.name != "table" else dataclasses.replace(source, name=name)
    elif is_frame:
        table = Table.from_frame(source, ids_key=ids_key, name=name)
    else:
        table = Table(as_rows(source, name), name=name)
    return table if ids is None or column else Table(table.rows, ids, table.name, table.meta, parts=table.parts)


def command(source: Sequence[str]) -> str:
    """`Pairs.source` as it is typed."""
    return shlex.join(source)


def _bundled(name: str) -> Pairs:
    found = Pairs.from_tables(catalog.load(name))
    return dataclasses.replace(found, preprocess=catalog.info(name).preprocess, source=("--data", name))


def _append(table: Table, labels: np.ndarray, extra: Table, paired: Any) -> tuple[Table, np.ndarray]:
    """`table` with the rows of `extra` behind it, and their labels.

    Any paired row may be held out for validation or test, so an unpaired row that is the same embedding is a leak.
    """
    name, wanted = f"unpaired rows of {table.name}", "rows of other items: paired rows are held out to test on"
    remedy = "Embed both with the same encoder."
    require(extra.dim == table.dim, name, got=f"width {extra.dim}", wanted=f"{table.dim}, as in the table", remedy=remedy)
    if not (table.numbered or extra.numbered):
        shared = np.intersect1d(table.ids.astype(str), extra.ids.astype(str))
        got = f"{len(shared)} ids that the table has too ({first_ids(shared)})"
        require(len(shared) == 0, name, got=got, wanted=wanted, remedy="Remove them from the unpaired rows.")
    rows, seen = np.asarray(extra.rows).astype(table.rows.dtype, copy=False), {row.tobytes() for row in paired}
    same = [i for i, row in enumerate(rows) if row.tobytes() in seen] if seen else []
    require(
        not same,
        name,
        got=f"{len(same)} rows equal to a row of a known pair ({first_ids(extra.ids[same])})",
        wanted=wanted,
        remedy="Remove them; if they are other items that look the same, put them into the table itself.",
    )
    new = np.array([f"{table.name} unpaired: {i}" for i in extra.ids])
    meta = None if table.meta is None else [*table.meta, *(extra.meta or [{}] * len(extra))]
    ids = np.concatenate([table.ids.astype(str), new])
    outline = not any(table.rows.strides)  # zeros in place of rows that are not read
    joined = np.broadcast_to(table.rows[0, 0], (len(ids), table.dim)) if outline else np.concatenate([table.rows, rows])
    whole = dataclasses.replace(table, rows=joined, ids=ids, meta=meta)
    return whole, np.concatenate([labels.astype(str), new])


def _words(name: str, value: Any) -> tuple[str, str]:
    """A flag and a file; of what is in memory, a name that the user is to save it under."""
    ending = ".csv" if name == "pairs" else ".txt" if name.endswith("_ids") else ".npy"
    files = "+".join(map(str, value)) if is_several(value) and all(isinstance(one, str | Path) for one in value) else ""
    return f"--{name.replace('_', '-')}", files or (str(value) if isinstance(value, str | Path) else f"{name.upper()}{ending}")


def look_commands(source: Sequence[str]) -> tuple[str, ...]:
    """Commands that show the data of `Pairs.source`, as far as they lie in files.

    >>> look_commands(("--x", "my images.npy", "--y", "Y.npy", "--x-ids", "ids.txt"))
    ("gera-jax data show 'my images.npy' --ids ids.txt",)
    """
    given = dict(zip(source[::2], source[1::2], strict=False))
    if "--data" in given:
        return (f"gera-jax data show {given['--data']}",)
    files = {flag: word for flag, word in given.items() if word != _words(flag[2:].replace("-", "_"), None)[1]}
    ids = {flag: ["--ids", files[f"{flag}-ids"]] if f"{flag}-ids" in files else [] for flag in ("--x", "--y")}
    return tuple(command(["gera-jax", "data", "show", files[flag], *ids[flag]]) for flag in ("--x", "--y") if flag in files)
