"""Labels of any kind as numbers 0, 1, ...: the one place that decides which rows belong to one item or class."""

from __future__ import annotations

from typing import Any

import numpy as np

from gera_jax.checks import fail, require

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

    Raises:
      InputError: a label that is missing (None, NaN), numbers beside strings, floats so large that they may have merged.
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
