"""What the settings of a closed form may be: checked where they are given, before any row is read."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from gera_jax.checks import require

MOST = 1e18  # NumPy has no type for whole numbers beyond 2^63, and powers of such numbers are infinite


def check_count(value: Any, name: str, least: int) -> None:
    """Raise `InputError` unless `value` is a whole number, at least `least`.

    >>> check_count(2.5, "k", 1)
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: k: got 2.5; wanted at least 1, a whole number.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    require(whole and value >= least, name, got=value, wanted=f"at least {least}" + ("" if whole else ", a whole number"))


def is_number(value: Any) -> bool:
    """True for a real number from 0 to `MOST`."""
    return isinstance(value, Real) and not isinstance(value, bool) and bool(0 <= value <= MOST)


def _limit(value: Any) -> str:
    return f", at most {MOST:g}," if isinstance(value, Real) and value > MOST else ""


def check_number(value: Any, name: str, *, positive: bool = False) -> None:
    """Raise `InputError` unless `value` is a finite number >= 0, or > 0 where it must be `positive`."""
    require(
        is_number(value) and not (positive and value == 0),
        name,
        got=value,
        wanted=f"a number >{'' if positive else '='} 0{_limit(value)}",
    )


def check_auto(value: Any, name: str) -> None:
    """Raise `InputError` unless `value` is a finite number >= 0 or "auto"."""
    require(
        value == "auto" if isinstance(value, str) else is_number(value),
        name,
        got=value,
        wanted=f'a number >= 0{_limit(value)} or "auto"',
    )


def check_dim(dim: Any) -> None:
    """Raise `InputError` unless `dim` is None (as many as the pairs determine) or a whole number, at least 1."""
    require(
        dim is None or (isinstance(dim, Integral) and not isinstance(dim, bool) and dim >= 1),
        "dim",
        got=dim,
        wanted="None or at least 1",
    )
