"""Errors that come early and say what to do: name, got, wanted, remedy."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import math
import numbers
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn


class InputError(ValueError):
    """Something that the user gave is wrong; the message says what, and what to do about it.

    The command line ends with exit code 2 on it and shows no traceback.

    >>> str(InputError("pairs", got=0, wanted="at least 1", remedy="Raise data.pairs."))
    'pairs: got 0; wanted at least 1. Raise data.pairs.'
    """

    def __init__(self, name: str, *, got: Any, wanted: str, remedy: str = ""):
        self.name, self.got, self.wanted, self.remedy = name, got, wanted, remedy
        super().__init__(f"{name}: got {got}; wanted {wanted}." + (f" {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple:  # an exception is rebuilt from its positional arguments, and this one has keywords
        return _input_error, (type(self), self.name, str(self.got), self.wanted, self.remedy)


def _input_error(kind: type[InputError], name: str, got: str, wanted: str, remedy: str) -> InputError:
    return kind(name, got=got, wanted=wanted, remedy=remedy)


class RunError(RuntimeError):
    """A run could not go on; the message says what is saved and how to continue (exit code 1)."""


def fail(name: str, *, got: Any, wanted: str, remedy: str = "") -> NoReturn:
    """Raise `InputError`; reads as a sentence where a check needs more than one condition."""
    raise InputError(name, got=got, wanted=wanted, remedy=remedy)


def require(condition: bool, name: str, *, got: Any, wanted: str, remedy: str = "") -> None:
    """Raise `InputError` unless `condition` holds.

    >>> require(1 > 2, "x", got="1 row", wanted="at least 2 rows")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: x: got 1 row; wanted at least 2 rows.
    """
    if not condition:
        raise InputError(name, got=got, wanted=wanted, remedy=remedy)


def require_positive(**values: Any) -> None:
    """Raise `InputError` unless each value is finite and above 0; what is no plain number (a traced one) is the caller's word.

    >>> require_positive(t=1.0, bandwidth=0.0)
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: bandwidth: got 0.0; wanted a positive finite number.
    """
    for name, value in values.items():
        fine = not isinstance(value, numbers.Real) or (math.isfinite(value) and float(value) > 0)
        require(fine, name, got=value, wanted="a positive finite number")


def require_shape(value: Any, shape: tuple[int, ...], name: str, *, wanted: str = "", remedy: str = "") -> None:
    """Raise `InputError` unless an array has exactly `shape`; None stands for an optional array that is not given.

    >>> require_shape(memoryview(b"abc"), (2,), "labels", wanted="one class for each of 2 rows")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: labels: got shape (3,); wanted one class for each of 2 rows.
    """
    if value is None:
        return
    if not hasattr(value, "shape"):
        fail(name, got=f"a {type(value).__name__}", wanted=f"an array of shape {shape}", remedy=f"Pass np.asarray({name}).")
    require(
        tuple(value.shape) == shape, name, got=f"shape {tuple(value.shape)}", wanted=wanted or f"shape {shape}", remedy=remedy
    )


def require_width(got: int, width: int, name: str, of: str) -> None:
    """Raise `InputError` unless rows have the width of the rows that they are compared with."""
    remedy = "Project both modalities into one shared space first."
    require(got == width, name, got=f"width {got}", wanted=f"the width {width} of {of}", remedy=remedy)


def whole(value: Any, name: str, *, least: int = 0, most: int | None = None) -> int:
    """A whole number of Python or NumPy as an int.

    >>> whole(2.5, "seeds", least=1)
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: seeds: got 2.5; wanted a whole number, at least 1.
    """
    fine = isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
    require(fine, name, got=value, wanted=f"a whole number, at least {least}")
    require(most is None or int(value) <= most, name, got=value, wanted=f"a whole number, at most {most}")
    return int(value)


@contextlib.contextmanager
def disk_room(folder: Any) -> Iterator[None]:
    """Turn a full disk inside the block into a `RunError` that names `folder` and says how to go on.

    >>> with disk_room("runs/a"):
    ...     raise OSError(errno.ENOSPC, "No space left on device", "runs/a/metrics.jsonl")
    Traceback (most recent call last):
    ...
    gera_jax.checks.RunError: no space left in runs/a (runs/a/metrics.jsonl). Free some space and run the same command again: ...
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(
            f"no space left in {folder}{where}. Free some space and run the same command again: it goes on from the "
            "last whole checkpoint, or begins anew where there is none."
        ) from error


def place(path: Any, name: str) -> Path:
    """A path as it was given, text or an object that stands for one.

    >>> place(3, "folder")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: folder: got 3; wanted a path.
    """
    require(isinstance(path, str | os.PathLike) and str(path) != "", name, got=repr(path), wanted="a path")
    return Path(path)


def require_place(path: str | Path, name: str) -> None:
    """Raise `InputError` where no file `path` could be made: its folder is missing or closed, or it is a folder itself."""
    path = place(path, name)
    wanted, remedy = "a file in a folder that is", f"Make it: mkdir -p {shlex.quote(str(path.parent))}"
    require(path.parent.is_dir(), name, got=f"{path}, whose folder is not there", wanted=wanted, remedy=remedy)
    require(not path.is_dir(), name, got=f"{path}, a folder", wanted="a file")
    got, remedy = f"{path}, in a folder that may not be written", "Change its permissions, or choose another folder."
    require(os.access(path.parent, os.W_OK), name, got=got, wanted="one that may", remedy=remedy)


def in_words(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none.

    >>> in_words(KeyError("x")), in_words(MemoryError())
    ("'x'", 'MemoryError')
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) < 240 else f"{lines[0][:236]} ..."


@contextlib.contextmanager
def refusing(name: str, *, got: Any, wanted: str, remedy: str = "") -> Iterator[None]:
    """Turn what code raises inside the block, on values that the user chose, into an `InputError` that names them.

    >>> with refusing("optimizer.options", got=dict(b1="x"), wanted="numbers"):
    ...     float("x")
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: optimizer.options: got {'b1': 'x'} (could not convert string to float: 'x'); wanted numbers.
    """
    try:
        yield
    except (InputError, RunError, ImportError):
        raise
    except (Exception, SystemExit) as error:
        raise InputError(name, got=f"{got} ({in_words(error)})", wanted=wanted, remedy=remedy) from error


def named(path: str, name: str = "method") -> Any:
    """The object that "module:name" names, for what a user brings along.

    >>> named("math:sqrt")(4.0)
    2.0

    Raises:
      InputError: no such module, or nothing of that name in it.
    """
    module, _, word = path.partition(":")
    wanted = '"module:name" of something that can be imported'
    with refusing(name, got=f'"{path}"', wanted=wanted, remedy="Is its package installed, or its folder on PYTHONPATH?"):
        try:
            found = importlib.import_module(module)
            for part in word.split("."):
                found = getattr(found, part)
        except ImportError as error:  # `refusing` lets the errors of optional packages pass
            raise ValueError(str(error)) from error
        return found


def unique_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json.loads`: of a field that is given twice JSON would keep the last one in silence.

    >>> unique_fields([("seed", 0), ("seed", 1)])
    Traceback (most recent call last):
    ...
    ValueError: the field "seed" is given twice
    """
    found = dict(fields)
    if len(found) < len(fields):
        names = [name for name, _ in fields]
        raise ValueError(f'the field "{next(name for name in names if names.count(name) > 1)}" is given twice')
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known words.

    >>> did_you_mean("info_nec", ["info_nce", "mmd"])
    'Did you mean "info_nce"?'
    >>> did_you_mean("zzz", ["a", "b"])
    'Known: a, b.'
    """
    known = sorted(known)
    if not known:
        return "There is none."
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(f'"{name}"' for name in near) + "?"
    return f"Known: {', '.join(known)}."


def require_known(word: str, known: Iterable[str], name: str) -> None:
    """Raise `InputError` with the nearest known words unless `word` is one of `known`."""
    known = list(known)
    if word not in known:
        fail(name, got=f'"{word}"', wanted="a known name", remedy=did_you_mean(str(word), known))
