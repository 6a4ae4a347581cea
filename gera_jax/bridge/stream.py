"""An index streamed through a map in batches: the new file is whole or absent, and a killed run goes on where it was.

The mapped rows first go into `.NAME.bridge/rows.npy` beside the output. After every COMMIT rows they are on disk, and then so is
their number. A batch always has the same rows, so a run that was killed ends with the same bytes as one that was not.
"""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gera_jax import files
from gera_jax.checks import InputError, disk_room, fail, place, require
from gera_jax.config.files import path_and_key
from gera_jax.data import builder, load_table
from gera_jax.data.formats import open_source
from gera_jax.data.formats.arrow import ParquetSource, library
from gera_jax.data.formats.base import Source
from gera_jax.data.ids import first_ids

BATCH = 8_192  # rows in memory at once
COMMIT = 8 * BATCH
ROWS, STATE = "rows.npy", "state.json"


class Applied(NamedTuple):
    """The file that was written, its shape, and how many of the rows an earlier run had mapped."""

    output: Path
    shape: tuple[int, int]
    resumed: int

    def __str__(self) -> str:
        went_on = f" ({self.resumed:,} of them by a run before)" if self.resumed else ""
        return f"{self.output}: {self.shape[0]:,} rows of width {self.shape[1]}{went_on}"


def stream(
    index: str | Path,
    output: str | Path,
    mapped: Callable[[np.ndarray], np.ndarray],
    widths: tuple[int, int],
    key: str,
    *,
    ids: str = "",
    on_rows: Callable[[int, int], None] | None = None,
) -> Applied:
    """Write `mapped` of every row of a file into another one.

    Args:
      index: FILE or FILE:KEY of rows [n, dx]; a table of parquet is read in batches, `.npy` and `.npz` too.
      output: `.parquet`, `.npy` or `.npz`, which is not there yet. From parquet to parquet all other columns go along.
      mapped: rows [b, dx] -> [b, dy]. Rows have the index's dtype in the output, float32 at least where that is wider.
      widths: dx and dy.
      key: what the map is, in a word; a run goes on only with the same map.
      ids: where the ids are, as in `load_table`.
      on_rows: called with (rows done, rows in all) after each batch.

    Raises:
      InputError: an output that is there, another width, or rows that are NaN or infinite (with their ids).
    """
    output, (path, column) = place(output, "output"), path_and_key(str(place(index, "index")))
    builder.require_writable(output)
    source = open_source(Path(path))
    column = source.choose(column)
    shape, dtype = source.inspect(column)
    wanted, remedy = f"rows of width {widths[0]}, that of the map", "Give the index that the map was fitted for."
    require(len(shape) == 2 and shape[1] == widths[0], "index", got=f"shape {list(shape)}", wanted=wanted, remedy=remedy)
    require(dtype.kind == "f", "index", got=f"dtype {dtype.name}", wanted="float16, float32 or float64")
    require(shape[0] > 0, "index", got="no row", wanted="at least one")
    partial = output.with_name(f".{output.name}.bridge")
    begun = partial.exists()  # then the ids may be there already
    for file in (output, *([_ids_beside(output)] if output.suffix == ".npy" and not begun else [])):
        remedy = "Choose another name, or move it."
        require(not file.exists(), "output", got=f"{file}, which is there", wanted="a new file", remedy=remedy)
    kind = np.dtype(np.float16 if dtype == np.float16 else np.float32)
    job = dict(key=key, index=os.path.realpath(path), column=column, shape=[shape[0], widths[1]], dtype=kind.name, batch=BATCH)
    job["changed"] = [Path(path).stat().st_mtime_ns, Path(path).stat().st_size]
    with disk_room(output.parent), files.one_writer(partial):
        whole = _Partial(partial, job, (shape[0], widths[1]), kind)
        _map_rows(source, column, ids, mapped, whole, on_rows)
        _FINISH[output.suffix](output, source, column, ids, whole)
        shutil.rmtree(partial, ignore_errors=True)
    return Applied(output, (shape[0], widths[1]), whole.resumed)


class _Partial:
    """Rows on disk that are not all there yet."""

    def __init__(self, folder: Path, job: dict[str, Any], shape: tuple[int, int], dtype: np.dtype):
        self.path, self._state, self._job, self.shape, self.dtype = folder / ROWS, folder / STATE, job, shape, dtype
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, dict(descr=dtype.str, fortran_order=False, shape=shape))
        self.head = head.getvalue()
        self.resumed = self._done()
        with self.path.open("ab") as file:
            file.truncate(self._place(self.resumed) if self.resumed else 0)
            if not self.resumed:
                file.write(self.head)

    def _place(self, rows: int) -> int:
        return len(self.head) + rows * self.shape[1] * self.dtype.itemsize

    def _done(self) -> int:
        """Rows that a run before has written for the same job; of another job there are none."""
        try:
            state = files.read_json(self._state)
            rows = int(state.pop("rows"))
            return rows if state == self._job and self.path.stat().st_size >= self._place(rows) else 0
        except (OSError, KeyError, InputError):
            return 0

    def commit(self, file: Any, rows: int) -> None:
        file.flush()
        os.fsync(file.fileno())
        files.write_json(self._state, {**self._job, "rows": rows})

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows again, from disk."""
        with self.path.open("rb") as file:
            file.seek(len(self.head))
            for start in range(0, self.shape[0], BATCH):
                count = min(BATCH, self.shape[0] - start)
                yield np.fromfile(file, self.dtype, count * self.shape[1]).reshape(count, self.shape[1])


def _map_rows(
    source: Source, column: str, ids: str, mapped: Callable, whole: _Partial, on_rows: Callable[[int, int], None] | None
) -> None:
    done, saved, n = 0, whole.resumed, whole.shape[0]
    with whole.path.open("ab") as file:
        for rows in source.blocks(column, BATCH):
            here, done = done, done + len(rows)
            if done <= whole.resumed:
                continue
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
            if len(bad):
                name = first_ids(load_table(source.path, key=column, ids_key=ids, rows=False).ids[here + bad])
                fail(
                    "index",
                    got=f"{len(bad)} rows with NaN or infinity in rows {here} to {done} ({name})",
                    wanted="finite numbers",
                )
            with np.errstate(over="ignore"):
                file.write(np.ascontiguousarray(mapped(rows), whole.dtype).data)
            if done - saved >= COMMIT or done == n:
                whole.commit(file, done)
                saved = done
            if on_rows is not None:
                on_rows(done, n)
    require(done == n, "index", got=f"{done} rows", wanted=f"{n} as its header says", remedy="Write or copy it again.")


def _ids(source: Source, column: str, ids: str) -> np.ndarray | None:
    table = load_table(source.path, key=column, ids_key=ids, rows=False)
    return None if table.numbered else table.ids


def _ids_beside(output: Path) -> Path:
    return output.with_name(f"{output.stem}.ids.npy")


def _to_npy(output: Path, source: Source, column: str, ids: str, whole: _Partial) -> None:
    """The rows are an .npy already; their ids are there before them."""
    found = _ids(source, column, ids)
    if found is not None:
        with files.replacing(_ids_beside(output)) as partial, partial.open("wb") as file:
            np.save(file, found)
    os.replace(whole.path, output)
    files.sync_folder(output.parent)


def _to_npz(output: Path, source: Source, column: str, ids: str, whole: _Partial) -> None:
    found = _ids(source, column, ids)
    with files.replacing(output) as partial, zipfile.ZipFile(partial, "w") as archive:
        with archive.open(zipfile.ZipInfo("z.npy"), "w", force_zip64=True) as member:
            member.write(whole.head)
            for rows in whole.blocks():
                member.write(rows.data)
        if found is not None:
            with archive.open(zipfile.ZipInfo("ids.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, found)


def _to_parquet(output: Path, source: Source, column: str, ids: str, whole: _Partial) -> None:
    """The table of the index with other vectors in it, which come last; of another format ids and vectors."""
    pa = library()
    name, writer = (column if isinstance(source, ParquetSource) else "") or "z", None
    with files.replacing(output) as partial:
        for columns, rows in _beside(source, column, ids, whole):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), whole.shape[1])
            table = pa.table({**columns, name: vectors})
            if writer is None:
                writer = pa.parquet.ParquetWriter(partial, table.schema, compression="none", use_dictionary=list(columns))
            writer.write_table(table)
        assert writer is not None  # there is a row
        writer.close()


def _beside(source: Source, column: str, ids: str, whole: _Partial) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Each batch of mapped rows with the other columns of the same rows."""
    if not isinstance(source, ParquetSource):
        found, start = _ids(source, column, ids), 0
        for rows in whole.blocks():
            yield {} if found is None else dict(ids=found[start : start + len(rows)].tolist()), rows
            start += len(rows)
        return
    vector = source.wide.get(column, [column])
    others = [name for name in source.schema.names if name not in vector]
    with whole.path.open("rb") as file:
        file.seek(len(whole.head))
        for table in source.tables(others or vector[:1], BATCH):
            rows = np.fromfile(file, whole.dtype, len(table) * whole.shape[1]).reshape(len(table), -1)
            yield {name: table.column(name) for name in others}, rows


_FINISH = {".npy": _to_npy, ".npz": _to_npz, ".parquet": _to_parquet}
