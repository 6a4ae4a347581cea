"""Where the numbers of a run go: JSON lines (the record), TensorBoard (a view), the terminal (progress).

Every writer has `.write(step, metrics)`, `.flush()` and `.close()`, and is a context manager.
"""

from __future__ import annotations

import abc
import contextlib
import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

from gera_jax.checks import InputError, fail, require

logger = logging.getLogger("gera_jax")


def to_number(value: Any) -> float | int | str | bool | None:
    """A plain JSON value of a Python, NumPy or JAX scalar; NaN and infinity become None, text stays.

    >>> to_number(float("nan")), to_number(3), to_number(True), to_number("note")
    (None, 3, True, 'note')
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


class Writer(abc.ABC):
    """What the writers share; a writer overrides `write` and, where it holds something open, the others."""

    @abc.abstractmethod
    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Record the metrics of a step."""

    def flush(self) -> None:  # noqa: B027  (a writer that holds nothing open has nothing to hand over)
        """Hand everything to the operating system."""

    def close(self) -> None:  # noqa: B027
        """Release what is held open; closing twice is fine."""

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JsonLinesWriter(Writer):
    """Appends one JSON object a line, `{"step": 10, "loss": 0.5}`, flushed at once.

    A run that was killed in the middle of a line leaves a torn last line; opening the file again drops it, and `truncate` what
    else cannot be read: the log is a record, which no run stands still for.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()
        self._file: TextIO | None = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  (held until close)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        require(self._file is not None, "JsonLinesWriter", got="a closed writer", wanted="an open one")
        require("step" not in metrics, "metrics", got='a metric named "step"', wanted="any other name")
        line = {"step": int(step), **{name: to_number(value) for name, value in metrics.items()}}
        assert self._file is not None
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def truncate(self, after_step: int) -> int:
        """Drop every line of a later step, for a run that resumes at `after_step`; returns how many went."""
        self.close()
        lines = self.path.read_bytes().splitlines(keepends=True)
        steps = [_step_of(line) for line in lines]
        kept = [line for line, step in zip(lines, steps, strict=True) if step is not None and step <= after_step]
        if None in steps:
            logger.warning("%s: %d lines were not whole and are dropped", self.path, steps.count(None))
        if len(kept) < len(lines):
            from gera_jax.files import replacing  # with NumPy, which `import gera_jax.writers` is to do without

            with replacing(self.path) as partial:
                partial.write_bytes(b"".join(kept))
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
        return len(lines) - len(kept)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _drop_torn_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            with open(self.path, "r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _step_of(line: bytes) -> float | None:
    """The step of a line of metrics, or None for what is not such a line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def read_json_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file; a torn last line is left out, a broken line before it is an error."""
    rows: list[dict[str, Any]] = []
    lines = Path(path).read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line.decode("utf-8")))
        except ValueError as error:
            if number == len(lines):  # no newline after it: the writer was killed here
                break
            raise InputError(
                f"{path}, line {number}",
                got=repr(line[:40].decode("utf-8", "replace")),
                wanted="one JSON object",
                remedy="Delete the line, or the file if nothing needs it.",
            ) from error
    return rows


class TensorBoardWriter(Writer):
    """Writes the numbers as TensorBoard scalars; text and missing values are left out."""

    def __init__(self, directory: str | os.PathLike):
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError('TensorBoard files need tensorboardX: pip install "gera_jax[tensorboard]"') from error
        # Opened with the first step: nothing is written before a run may write, and what a killed run wrote of this and later
        # steps is not shown twice.
        self._open = lambda step: SummaryWriter(str(directory), purge_step=step)
        self._writer: Any = None

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        self._writer = self._writer or self._open(int(step))
        for name, value in metrics.items():
            number = to_number(value)
            if isinstance(number, int | float):
                self._writer.add_scalar(tensorboard_tag(name), float(number), int(step))

    def flush(self) -> None:
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


def tensorboard_tag(name: str) -> str:
    """The name under which TensorBoard takes a metric.

    >>> tensorboard_tag("val/x_to_y/R@10")
    'val/x_to_y/R_at_10'
    """
    return re.sub(r"[^-/\w.]", "_", name.replace("@", "_at_")).lstrip("/")


def tensorboard_writer(directory: str | os.PathLike, enabled: bool | Literal["auto"] = "auto") -> TensorBoardWriter | None:
    """A `TensorBoardWriter`, or None: when off, or when "auto" and tensorboardX is not installed."""
    if enabled not in (True, False, "auto"):
        fail("tensorboard", got=repr(enabled), wanted='True, False or "auto"')
    if not enabled:
        return None
    if enabled == "auto":
        with contextlib.suppress(ImportError):
            return TensorBoardWriter(directory)
        return None
    return TensorBoardWriter(directory)


class ProgressWriter(Writer):
    """One line on stderr that renews itself, with the time left; plain lines, far apart, off a terminal."""

    def __init__(
        self,
        total_steps: int,
        *,
        start_step: int = 0,
        stream: TextIO | None = None,
        every_seconds: float | None = None,  # default 0.2 on a terminal, 10 elsewhere
        names: tuple[str, ...] = (),  # which metrics to show; empty = the first four
        clock: Callable[[], float] = time.monotonic,
    ):
        require(total_steps >= 1, "total_steps", got=total_steps, wanted="at least 1")
        self._total, self._start, self._names, self._clock = total_steps, start_step, names, clock
        self._stream = sys.stderr if stream is None else stream
        self._live = bool(getattr(self._stream, "isatty", lambda: False)())
        self._every = every_seconds if every_seconds is not None else (0.2 if self._live else 10.0)
        self._begin = clock()
        self._last = -math.inf
        self._open = False  # is there an unfinished live line?
        self._gone = False  # has the stream's reader gone?

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self._gone:
            return
        now = self._clock()
        if step < self._total and now - self._last < self._every:
            return
        self._last = now
        line = self._line(step, metrics, now - self._begin)
        self._show("\r\x1b[K" + line if self._live else line + "\n")
        self._open = self._live

    def close(self) -> None:
        if self._open:
            self._show("\n")
            self._open = False

    def _show(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # the reader of a pipe has gone, or its disk is full: the run goes on without a line for it
            self._gone = True

    def _line(self, step: int, metrics: Mapping[str, Any], elapsed: float) -> str:
        parts = [f"step {step:,}/{self._total:,}", f"{100 * step / self._total:.0f}%", *self._shown(metrics)]
        done = step - self._start
        if done > 0 and elapsed > 0:
            rate = done / elapsed
            parts.append(f"{rate:.1f} steps/s" if rate >= 1 else f"{1 / rate:.1f} s/step")
            parts.append(f"{duration((self._total - step) / rate)} left" if step < self._total else duration(elapsed))
        return "  ".join(parts)

    def _shown(self, metrics: Mapping[str, Any]) -> Iterator[str]:
        for name in self._names or list(metrics)[:4]:
            value = to_number(metrics.get(name))
            if isinstance(value, int | float):
                yield f"{name} {value:.4g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(7.6), duration(61), duration(3725), duration(90061)
    ('8s', '1m01s', '1h02m', '1d01h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
