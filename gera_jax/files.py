"""Files that are whole or absent, that carry a digest, and folders that have one writer."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gera_jax.checks import InputError, require

DIGEST_BYTES = 16
# A file's seal is CRC-32: it finds each flipped bit and each torn block, at two fifths of the cost of BLAKE2b. What tells two
# contents apart (the key of a cache, what a run is made of) is `digest`.
SEAL, SEAL_LENGTH = b"gera_jax crc32 ", 8  # stands in the comment of an .npz, before the seal of all that comes before it
LOCK = ".lock"
HOST = hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()  # process numbers mean something on one machine


class DamagedError(InputError):
    """A file's content is not what its digest says; whoever can go on without the file catches this."""


def damaged(
    path: Path, reason: str, *, remedy: str = "Put back a copy, or run the command that wrote it again in another folder."
) -> NoReturn:
    """Raise `DamagedError` for `path`."""
    raise DamagedError(str(path), got=f"a damaged file ({reason})", wanted="the file as gera_jax wrote it", remedy=remedy)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A path beside `path` to write to; the file takes the name `path` when the block ends, and is gone when it fails.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a.txt") as partial:
    ...         _ = partial.write_text("whole")
    ...     os.listdir(folder)
    ['a.txt']

    Nobody ever sees a half-written `path`: the bytes are on disk before the name is, and an older file stays until then.
    A link stays, and what it points to is replaced. What a killed writer left beside `path` is removed.

    Raises:
      InputError: `path` is there and is no file (a folder, /dev/null).
    """
    path = Path(os.path.realpath(path))
    wanted, remedy = "the path of a file", "Choose another path."
    require(path.is_file() or not path.exists(), str(path), got="something that is no file", wanted=wanted, remedy=remedy)
    with beside(path) as partial:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file or folder that is not whole yet; what bears it at the end of the block is removed.

    So is what a killed process left there.
    """
    for left in path.parent.glob(f".{glob.escape(path.stem)}.{HOST}.*.part{glob.escape(path.suffix)}"):
        if not _alive(left.name.removesuffix(path.suffix).removesuffix(".part").rpartition(".")[2]):
            _remove(left)
    partial = path.with_name(f".{path.stem}.{HOST}.{secrets.token_hex(4)}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is there, and somebody else's
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Return once the names in a folder are on disk."""
    with contextlib.suppress(OSError):  # some file systems have no such call for folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(text.encode())


def digest(data: bytes | memoryview | np.ndarray) -> str:
    """Hexadecimal BLAKE2b of bytes, or of an array with its dtype and shape.

    >>> digest(np.zeros(3, np.float32)) == digest(np.zeros(3, np.int32))
    False
    """
    hashed = hashlib.blake2b(digest_size=DIGEST_BYTES)
    if isinstance(data, np.ndarray):
        hashed.update(f"{data.dtype.str} {data.shape} ".encode())
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    hashed.update(data)
    return hashed.hexdigest()


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its digest as the last field, whole or not at all."""
    write_text(path, _sealed(content, indent=2))


def read_json(path: str | Path) -> dict[str, Any]:
    """The object of `write_json`, without its digest.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(f"{folder}/a.json", dict(step=3))
    ...     read_json(f"{folder}/a.json")
    {'step': 3}

    Raises:
      DamagedError: one bit of the file differs from what was written.
    """
    path = Path(path)
    try:
        return _unsealed(path.read_bytes(), indent=2)
    except ValueError as error:
        damaged(path, str(error))


def json_line(content: Mapping[str, Any]) -> str:
    """One line of a .jsonl with its digest as the last field."""
    return _sealed(content, indent=None) + "\n"


def parse_json_line(line: str | bytes) -> dict[str, Any]:
    """The object of `json_line`.

    Raises:
      ValueError: the line is cut or altered.
    """
    return _unsealed(line if isinstance(line, bytes) else line.encode(), indent=None)


def _sealed(content: Mapping[str, Any], *, indent: int | None) -> str:
    plain = json.loads(json.dumps(dict(content), default=_plain))  # what a reader will see: tuples are lists, keys are texts
    return json.dumps({**plain, "digest": digest(json.dumps(plain).encode())}, indent=indent)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value.tolist() if isinstance(value, np.ndarray) else str(value)


def _unsealed(data: bytes, *, indent: int | None) -> dict[str, Any]:
    try:
        content = json.loads(data.decode())
    except RecursionError:
        raise ValueError("brackets nested too deep") from None
    if not isinstance(content, dict) or "digest" not in content:
        raise ValueError("no digest: an older version wrote it, or it was altered")
    del content["digest"]
    if _sealed(content, indent=indent).encode() != data.rstrip(b"\n"):
        raise ValueError("its digest does not fit its content")
    return content


def save_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as an .npz with a digest of the whole file, whole or not at all; `numpy.load` reads it too."""
    with replacing(path) as partial:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        with partial.open("rb+") as file:
            file.seek(-2, io.SEEK_END)  # the length of the archive's comment, which is its end
            file.write((len(SEAL) + SEAL_LENGTH).to_bytes(2, "little") + SEAL)
            file.flush()
            file.seek(0)
            file.write(_seal(file, file.seek(0, io.SEEK_END)).encode())


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of `save_npz`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_npz(f"{folder}/a.npz", dict(rows=np.arange(3)))
    ...     load_npz(f"{folder}/a.npz")
    {'rows': array([0, 1, 2])}

    Raises:
      DamagedError: one bit of the file differs from what was written.
    """
    path = Path(path)
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        end = size - SEAL_LENGTH
        file.seek(max(0, end - len(SEAL)))
        tail = file.read()
        if end < len(SEAL) or not tail.startswith(SEAL):
            damaged(path, "no digest: an older version wrote it, or it was cut or altered")
        if _seal(file, end).encode() != tail[len(SEAL) :]:
            damaged(path, "its digest does not fit its content")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as stored:
                return dict(stored)
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            damaged(path, str(error))


def file_seal(path: str | Path, *, sync: bool = False) -> str:
    """Hexadecimal CRC-32 of all bytes of a file; with `sync` they are on disk when it returns.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(f"{folder}/a.txt", "whole")
    ...     file_seal(f"{folder}/a.txt")
    'c459294f'
    """
    with open(path, "rb") as file:
        found = _seal(file, file.seek(0, io.SEEK_END))
        if sync:
            os.fsync(file.fileno())
    return found


def _seal(file: Any, end: int) -> str:
    """CRC-32 of the first `end` bytes; the file stands at `end` afterwards."""
    found, block = 0, memoryview(bytearray(min(end, 1 << 20)))
    file.seek(0)
    while end > 0 and (count := file.readinto(block[:end])):
        found = zlib.crc32(block[:count], found)
        end -= count
    return f"{found:08x}"


@contextlib.contextmanager
def one_writer(folder: str | Path) -> Iterator[None]:
    """Hold `folder` as its only writer; the operating system lets go of it when the process ends, however it ends.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, one_writer(folder):
    ...     with one_writer(folder):
    ...         pass
    Traceback (most recent call last):
    ...
    gera_jax.checks.InputError: folder: got ..., in which process ... writes; wanted one writer. Wait until it ends, ...

    Raises:
      InputError: another process writes there; the message says which.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # not on Windows, where nobody is kept out
        yield
        return
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                "folder",
                got=f"{folder}, in which process {file.read().strip() or '(unknown)'} writes",
                wanted="one writer",
                remedy="Wait until it ends, end it, or choose another folder.",
            ) from None
        except OSError:  # a file system without locks
            yield
            return
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
        file.truncate(0)
