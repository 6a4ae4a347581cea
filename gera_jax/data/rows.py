"""The one gate for rows that are given in Python: whatever holds them, out come finite real numbers [n, d]."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.data.formats.base import ID_WORDS

EXACT = 2**53
BLOCK_BYTES = 8 * 2**20  # of rows whose finiteness is looked at together, so that a table on disk is never whole in memory
WANTED = "real numbers [n, d]"


def as_rows(rows: Any, name: str, *, width: int | None = None, least: int = 1, where: np.ndarray | None = None) -> np.ndarray:
    """Rows [n, d] as a NumPy array of finite real numbers, or an error that names the caller's array and row.

    Args:
      rows: a NumPy or JAX array, a memory map, a list of vectors, a torch tensor (any device), a `Table`, a pandas, polars or
        Arrow table of numeric columns, or of one column of vectors.
      name: the caller's word for them, in every message.
      width: d that is asked for; None = any.
      least: rows that there must be; with 0 an empty list is no row of the asked width.
      where: [n] bool; the entries of rows where it is False are not looked at. None = all are.

    Returns:
      [n, d]. float16, float32 and float64 stay as they are, without a copy; bfloat16 and smaller become float32, which holds them
      exactly; whole numbers and bool become float64.

    Raises:
      InputError: complex numbers, texts, objects, masked or sparse arrays, integers above 2^53, rows of unequal width, no matrix,
        another width, too few rows, or rows with a missing, NaN or infinite entry (how many, and the first).

    >>> as_rows([[1, 2], [3, 4]], "x").tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> as_rows(np.array([[1.0], [np.nan]]), "x")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: x: got 1 row with NaN or infinity (row 1); wanted finite numbers. Drop or repair it.
    """
    found = real_numbers(to_array(rows, name), name)
    if not found.size and found.ndim == 1 and least == 0:
        found = found.reshape(0, width or 0)
    require(found.ndim == 2, name, got=f"shape {found.shape}", wanted=WANTED, remedy=_reshaping(found.ndim))
    n, d = found.shape
    require(n >= least, name, got=f"{n} rows", wanted=f"at least {least}")
    require(d > 0 or not n, name, got=f"shape {found.shape}", wanted="at least one column")
    remedy = "Give rows of the same encoder and the same preprocessing."
    require(width in (None, d), name, got=f"width {d}", wanted=f"width {width}", remedy=remedy)
    require(where is None or np.shape(where) == (n,), f"{name} mask", got=f"shape {np.shape(where)}", wanted=f"({n},)")
    _require_finite(found, name, where)
    return found


def to_array(rows: Any, name: str) -> np.ndarray:
    """`rows` as some NumPy array."""
    if isinstance(rows, np.ma.MaskedArray):
        fail(name, got="a masked array", wanted=WANTED, remedy="Drop the rows with masked entries, or fill them.")
    try:
        if isinstance(rows, np.ndarray):
            return np.asarray(rows)  # a matrix of NumPy's as an array, a memory map where it lies
        for mark, read in READERS.items():
            if hasattr(rows, mark):
                return read(rows, name)
        if isinstance(rows, list | tuple):
            return _from_sequence(rows, name)
        return np.asarray(rows)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # what conversions of many libraries raise
        got = f"{_a(rows)} that gives no array ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        fail(name, got=got, wanted=WANTED)


def _from_sequence(rows: Any, name: str) -> np.ndarray:
    if all(isinstance(row, list | tuple) for row in rows):
        try:
            return np.array(rows)
        except ValueError:  # ragged: look where
            pass
    vectors = [row if np.isscalar(row) or row is None else to_array(row, f"{name} row {i}") for i, row in enumerate(rows)]
    shapes = [np.shape(row) for row in vectors]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        remedy = "Pool or cut them to one width."
        fail(name, got=f"rows of unequal shape ({shapes[0]} in row 0, {shapes[odd]} in row {odd})", wanted=WANTED, remedy=remedy)
    return np.array(vectors)


def _from_torch(rows: Any, name: str) -> np.ndarray:
    small = rows.is_floating_point() and rows.element_size() < 4  # bfloat16 among them, which NumPy does not know
    return (rows.detach().float() if small else rows).numpy(force=True)


def _from_sparse(rows: Any, name: str) -> np.ndarray:
    return fail(name, got=f"a sparse {type(rows).__name__}", wanted="dense rows", remedy="Give rows.toarray().")


def _from_pandas(rows: Any, name: str) -> np.ndarray:
    """Numeric columns side by side, or the vectors of the only column."""
    if rows.ndim == 1:
        return to_array(rows.to_numpy() if _is_number(rows.dtype) else rows.tolist(), name)
    if rows.shape[1] == 1 and not _is_number(rows.dtypes.iloc[0]):
        return _from_pandas(rows.iloc[:, 0], name)
    _require_numeric([(column, _is_number(kind)) for column, kind in rows.dtypes.items()], name)
    kinds = [np.dtype(getattr(kind, "numpy_dtype", kind)) for kind in rows.dtypes]
    common = np.result_type(*kinds) if kinds else np.dtype(np.float64)
    return rows.to_numpy(dtype=common if common.kind in "fc" else np.float64, na_value=np.nan)


def _is_number(kind: Any) -> bool:
    return getattr(kind, "kind", "O") in "biufc"


def _from_arrow(rows: Any, name: str) -> np.ndarray:
    """Numeric columns side by side, or the vectors of the only column, of whatever speaks Arrow's C interface (polars does)."""
    import pyarrow as pa

    chunked = pa.chunked_array(rows) if hasattr(rows, "__arrow_c_stream__") else pa.chunked_array([pa.array(rows)])
    if not pa.types.is_struct(chunked.type):
        return _from_column(chunked, name)
    names = [field.name for field in chunked.type]
    columns = pa.Table.from_batches(map(pa.RecordBatch.from_struct_array, chunked.chunks), pa.schema(list(chunked.type))).columns
    if len(columns) == 1:
        vectors = _from_column(columns[0], name)
        return vectors if vectors.ndim > 1 or vectors.dtype.kind not in "biuf" else vectors[:, None]
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    good = [any(test(column.type) for test in numeric) for column in columns]
    _require_numeric(list(zip(names, good, strict=True)), name)
    return np.stack([_from_column(column, name) for column in columns], axis=1) if columns else np.empty((0, 0))


def _from_column(column: Any, name: str) -> np.ndarray:
    """[n] numbers or [n, d] vectors of an Arrow column."""
    import pyarrow as pa

    column = column.combine_chunks()
    column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    if isinstance(column, pa.ExtensionArray):
        column = column.storage  # of a tensor: its numbers, row after row
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)):
        return column.to_numpy(zero_copy_only=False)
    if column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        got = f"{_count(len(missing))} without a vector (first: row {missing[0]})"
        fail(name, got=got, wanted="a vector a row", remedy="Drop those rows.")
    widths = np.asarray(
        column.value_lengths() if not pa.types.is_fixed_size_list(column.type) else np.full(len(column), column.type.list_size)
    )
    odd = np.flatnonzero(widths != widths[:1])
    if odd.size:
        got = f"vectors of unequal width ({widths[0]} in row 0, {widths[odd[0]]} in row {odd[0]})"
        fail(name, got=got, wanted=WANTED, remedy="Pool or cut them to one width.")
    return _from_column(pa.chunked_array([column.flatten()]), name).reshape(len(column), *widths[:1])


def _require_numeric(columns: list[tuple[Any, bool]], name: str) -> None:
    """Of each column its name, and whether it holds numbers."""
    other = [f'"{column}"' for column, good in columns if not good or ID_WORDS.search(str(column))]
    if other:
        got = f"{len(other)} of {len(columns)} columns that hold ids or no numbers ({', '.join(other[:3])})"
        fail(name, got=got, wanted="numeric columns, or one column of vectors", remedy="Give the columns of the embedding alone.")


READERS = {  # an attribute that only one family of libraries has -> how their rows are read
    "numbered_of": lambda table, name: to_array(table.rows, name),  # a `Table`
    "is_floating_point": _from_torch,
    "tocsr": _from_sparse,
    "iloc": _from_pandas,
    "__arrow_c_stream__": _from_arrow,
    "__arrow_c_array__": _from_arrow,
}


def real_numbers(rows: np.ndarray, name: str) -> np.ndarray:
    """`rows` in a float type of this machine, or an error for what are no real numbers and for integers that it would round."""
    kind, word = rows.dtype.kind, rows.dtype.name
    if kind == "f" and rows.dtype.itemsize <= 8:
        return rows if rows.dtype.isnative else rows.astype(rows.dtype.newbyteorder("="))
    if kind in "fiub":
        if kind in "iu" and rows.dtype.itemsize == 8 and rows.size:
            largest = max(abs(int(rows.min())), abs(int(rows.max())))
            require(
                largest <= EXACT,
                name,
                got=f"integers up to {largest}",
                wanted="integers up to 2^53, which float64 holds",
                remedy="Subtract what they share first, such as rows - rows.min(axis=0).",
            )
        with np.errstate(over="ignore"):  # of a long double: found below as infinite
            return rows.astype(np.float64)
    if kind == "V" and rows.dtype.names is None and word.startswith(("bfloat", "float", "int", "uint")):
        return rows.astype(np.float32)
    if not rows.size and kind == "O":
        return rows.astype(np.float64)
    said = {"c": "complex numbers", "U": "texts", "S": "texts", "O": "objects"}.get(kind, f"entries of type {word}")
    if kind == "O" and rows.ndim == 0:
        fail(name, got=_a(rows[()]), wanted=WANTED, remedy="Give an array, a list of vectors, a tensor, or a table of numbers.")
    remedy = {
        "c": "Give both parts as columns of their own: np.concatenate([rows.real, rows.imag], axis=1).",
        "O": "Give rows.astype(np.float32), or np.stack(rows) where each is a vector.",
    }
    return fail(name, got=said, wanted=WANTED, remedy=remedy.get(kind, "Are the right columns given?"))


def _require_finite(rows: np.ndarray, name: str, where: np.ndarray | None) -> None:
    step = max(1, BLOCK_BYTES // max(1, rows.shape[1] * rows.dtype.itemsize))
    bad = 0
    first = 0
    for start in range(0, len(rows), step):
        finite = np.isfinite(rows[start : start + step])
        if finite.all():
            continue
        wrong = ~finite.all(axis=1) if where is None else ~finite.all(axis=1) & where[start : start + step]
        first = first if bad or not wrong.any() else start + int(wrong.argmax())
        bad += int(wrong.sum())
    if bad:
        where = f"row {first}" if bad == 1 else f"first: row {first}"
        remedy = f"Drop or repair {'it' if bad == 1 else 'them'}."
        fail(name, got=f"{_count(bad)} with NaN or infinity ({where})", wanted="finite numbers", remedy=remedy)


def _reshaping(dims: int) -> str:
    if dims == 1:
        return "One row is rows[None], one column rows[:, None]."
    return "Pool over time or patches, or give rows.reshape(len(rows), -1)." if dims > 2 else ""


def _count(rows: int) -> str:
    return f"{rows} row{'s' if rows != 1 else ''}"


def _a(thing: Any) -> str:
    return f"an object of type {type(thing).__name__}"
