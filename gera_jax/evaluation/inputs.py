"""What metrics take, checked and widened: rows, scores whose order is kept, whole numbers, and labels of any kind as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import fail, require

EXACT = 2**53  # whole numbers up to here are float64's own


def rows_of(x: Any, name: str) -> np.ndarray:
    """A [rows, width] NumPy array: float32 and float64 as they came, narrower numbers in float32, wider ones in float64."""
    x = _table(x, name)
    if x.dtype in (np.float32, np.float64):
        return x
    exact = x.dtype.itemsize <= 2 or x.dtype.kind == "V"  # "V": bfloat16 and its like
    return x.astype(np.float32 if exact else np.float64)


def scores_of(x: Any, name: str) -> np.ndarray:
    """A [rows, columns] array of floats in exactly the order of the numbers that came, ties included."""
    return in_order(_table(x, name))


def in_order(x: np.ndarray) -> np.ndarray:
    """Floats in the order of `x`: its own numbers where float32 or float64 holds them, else their places among all of `x`.

    >>> in_order(np.array([2**60 + 1, 2**60, 2**60 + 1])).tolist(), in_order(np.array([3, -1])).tolist()
    ([1.0, 0.0, 1.0], [3.0, -1.0])
    """
    if x.dtype in (np.float32, np.float64) or x.dtype.kind == "V":
        return x if x.dtype.kind == "f" else x.astype(np.float32)
    with np.errstate(over="ignore"):
        wide = x.astype(np.float32 if x.dtype.itemsize <= 2 else np.float64)
    if x.size == 0 or x.dtype.itemsize <= 4:
        return wide
    same = int(x.min()) >= -EXACT and int(x.max()) <= EXACT if x.dtype.kind in "iu" else np.array_equal(wide, x, equal_nan=True)
    if same:
        return wide
    places = np.unique(x, return_inverse=True)[1].reshape(x.shape).astype(np.float64)
    return np.where(np.isnan(x), np.nan, places) if x.dtype.kind == "f" else places


def real(x: Any, name: str) -> np.ndarray:
    """`x` as an array of real numbers."""
    x = np.asarray(x)
    known = x.dtype.kind in "biuf" or (x.dtype.kind == "V" and x.dtype.names is None and x.dtype.subdtype is None)
    remedy = "Convert it with .astype(np.float64) if that is what it holds."
    require(known, name, got=f"dtype {x.dtype}", wanted="real numbers", remedy=remedy)
    return x


def whole(value: Any, name: str, least: int = 1) -> int:
    """`value` as an int; a fraction is no count, and cutting it would answer another question.

    >>> whole(np.int64(3), "k")
    3
    """
    fine = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(fine, name, got=repr(value), wanted=f"a whole number, at least {least}")
    require(value >= least, name, got=value, wanted=f"at least {least}")
    return int(value)


def counts(ks: Sequence[int]) -> tuple[int, ...]:
    """The k of a metric at k."""
    fine = isinstance(ks, Sequence | np.ndarray) and len(ks) > 0
    fine = fine and all(isinstance(k, int | np.integer) and not isinstance(k, bool) and k >= 1 for k in ks)
    require(fine, "ks", got=ks, wanted="a sequence of one or more whole numbers, each at least 1")
    return tuple(int(k) for k in ks)


def _table(x: Any, name: str) -> np.ndarray:
    x = real(x, name)
    require(x.ndim == 2, name, got=f"shape {x.shape}", wanted="[rows, width]")
    require(x.shape[0] > 0, name, got="0 rows", wanted="at least 1 row")
    return x


LARGEST = 2**53  # from here on neighbouring whole numbers are one number in float64


def label_codes(*labels: Any, names: tuple[str, ...]) -> list[np.ndarray]:
    """Codes of each array of labels, equal where labels are equal, in the order of the labels; exact for every kind.

    >>> label_codes(np.array([2**60, 2**60 + 1]), np.array([2**60 + 1], np.uint64), names=("x_groups", "y_groups"))
    [array([0, 1]), array([1])]
    >>> label_codes(["dog", "cat"], names=("labels",))
    [array([1, 0])]

    Args:
      labels: [n], [m], ... each: integers (signed beside unsigned, Python's of any size), strings, bytes, bools, or floats; as
        array, list, or column of a table. All arrays hold one kind.
      names: of the arrays, for messages.

    Returns:
      int64 arrays of the shapes of `labels`.
    """
    plain = [_plain(values, name) for values, name in zip(labels, names, strict=True)]
    kinds = [{"U": "strings", "S": "bytes"}.get(values.dtype.kind, "numbers") for values in plain]
    for kind, name in zip(kinds, names, strict=True):
        remedy = f"Convert one of them, such as with np.asarray({name}).astype(str)."
        require(kind == kinds[0], name, got=f"{kind} beside {kinds[0]} in {names[0]}", wanted="labels of one kind", remedy=remedy)
    if kinds[0] == "numbers":
        plain = _one_type(plain)
    _, codes = np.unique(np.concatenate([values.ravel() for values in plain]), return_inverse=True)
    cuts = np.cumsum([values.size for values in plain])[:-1]
    return [part.reshape(values.shape) for part, values in zip(np.split(codes, cuts), plain, strict=True)]


def _plain(values: Any, name: str) -> np.ndarray:
    """Integers (as objects where no type holds them), floats, strings or bytes; no label missing."""
    if isinstance(values, list | tuple):  # NumPy would make floats of 2**63 beside -1, and strings of 1 beside "a"
        values = np.array(values, dtype=object)
    values = np.asarray(values)
    if values.dtype.kind == "T":
        values = values.astype(object)
    if values.dtype.kind == "O":
        values = _of_objects(values, name)
    remedy = f"Number the labels: np.unique({name}, return_inverse=True)[1]."
    require(values.dtype.kind in "biufUSO", name, got=f"dtype {values.dtype}", wanted="integers or strings", remedy=remedy)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        _none_missing(missing, name)
        large = np.abs(values) >= (2**24 if values.dtype.itemsize == 4 else 2**11 if values.dtype.itemsize == 2 else LARGEST)
        remedy = "Numbers of this size in floating point may stand for several items: read them as int64."
        require(not large.any(), name, got=f"{values[large][:1]} as {values.dtype}", wanted="integers as integers", remedy=remedy)
    return values


def _of_objects(values: np.ndarray, name: str) -> np.ndarray:
    flat = values.ravel()
    _none_missing(
        np.array([value is None or value != value or type(value).__name__ == "NAType" for value in flat], bool).reshape(
            values.shape
        ),
        name,
    )
    for kinds, dtype in (
        ((str,), str),
        ((bytes,), bytes),
        ((bool, int, np.bool_, np.integer), object),
        ((bool, int, float, np.bool_, np.integer, np.floating), float),
    ):
        if all(isinstance(value, kinds) for value in flat):
            whole = dtype is object
            return np.array([int(value) for value in flat] if whole else list(flat), dtype).reshape(values.shape)
    found = sorted({type(value).__name__ for value in flat})
    fail(name, got=f"labels of the kinds {', '.join(found)}", wanted="labels of one kind, integers or strings")


def _none_missing(missing: np.ndarray, name: str) -> None:
    require(
        not missing.any(),
        name,
        got=f"{int(missing.sum())} of {missing.size} rows without a label (first: row "
        f"{int(np.argmax(missing)) if missing.any() else 0})",
        wanted="a label for every row",
        remedy="Leave those rows out, or give each a number of its own.",
    )


def _one_type(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Numbers in a type in which all are what they were: int64, uint64, float64, or Python's own."""
    kinds = {values.dtype.kind for values in arrays if values.size}
    ends = [int(end) for values in arrays if values.size and values.dtype.kind in "biuO" for end in (values.min(), values.max())]
    low, high = min(ends, default=0), max(ends, default=0)
    if "f" in kinds:
        fine = low > -LARGEST and high < LARGEST
        return [values.astype(np.float64 if fine else object) for values in arrays]
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return [values.astype(dtype) for values in arrays]
    return [values.astype(object) for values in arrays]
