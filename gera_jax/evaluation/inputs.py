"""What metrics take, checked and widened: rows, scores whose order is kept, whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gera_jax.checks import require

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
