"""Ids in a file of their own, and text of any Unicode encoding."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import fail, require, unique_fields

WRITE_AGAIN = "The copy or the writing of it was cut short: copy or write it again."
PICKLED = "Pickled objects can run code, so they are never loaded: save numbers and strings only, np.array(ids, dtype=str)."
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # UTF-32's mark begins with UTF-16's
TEXT_RATIO = 100  # numbers in words pack to no less than a tenth


def read_bytes(path: Path) -> bytes:
    """A file's bytes, unpacked where it is a .gz.

    Raises:
      InputError: a damaged .gz, or one that unpacks to far more than it holds.
    """
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    limit = max(2**26, TEXT_RATIO * path.stat().st_size)
    try:
        with gzip.open(path) as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        fail(str(path), got=f"a truncated or damaged .gz ({error})", wanted="a whole .gz file", remedy=WRITE_AGAIN)
    require(
        len(data) <= limit,
        str(path),
        got=f"a .gz of {path.stat().st_size} bytes that unpacks to over {limit}",
        wanted=f"at most {TEXT_RATIO} times as much",
        remedy="If it is meant, unpack it first: gunzip.",
    )
    return data


def read_text(path: Path, name: str) -> str:
    """Text in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark; line ends become those of Python.

    Raises:
      InputError: another encoding; the message names `name`, the file and the first byte that does not fit.
    """
    data = read_bytes(path)
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{data[error.start]:02x} at {error.start}" + (", as in Latin-1" if encoding == "utf-8" else "")
        said = "UTF-8" if encoding.startswith("utf-8") else f"{encoding.upper()} although it begins like it"
        fail(
            name,
            got=f'"{path}", which is no {said} ({wrong})',
            wanted="text in UTF-8",
            remedy='Write the file with encoding="utf-8".',
        )
    require(
        "\0" not in text,
        name,
        got=f'"{path}", which holds zero bytes: no text, or UTF-16 without a byte-order mark',
        wanted="text in UTF-8",
        remedy='Write the file with encoding="utf-8".',
    )
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text)


def parse_json(text: str, name: str, where: str) -> Any:
    """`json.loads`, with damage, a field given twice and brackets without end told in a sentence."""
    try:
        return json.loads(text, object_pairs_hook=unique_fields)
    except (ValueError, RecursionError) as error:
        said = "brackets nested too deep" if isinstance(error, RecursionError) else error
        fail(name, got=f'"{where}", which is no JSON ({said})', wanted="JSON", remedy="Write it with json.dump.")


def parse_ids(text: str, where: str, name: str = "ids") -> list:
    """Ids from a JSON list."""
    ids = parse_json(text, name, where)
    require(isinstance(ids, list), name, got=f'a {type(ids).__name__} in "{where}"', wanted="a list of ids")
    return ids


def read_ids_file(path: Path, name: str = "ids") -> Any:
    """Ids from .npy, .txt (one a line) or .json (a list); `name` is what messages call them."""
    require(
        path.is_file(),
        name,
        got=f'"{path}", which is not there',
        wanted="a file of ids",
        remedy="Give a .npy, .txt (one id a line) or .json (a list) file.",
    )
    if path.suffix.lower() == ".npy":
        from gera_jax.data.formats.arrays import NpySource

        return np.array(NpySource(path).array(""))
    text = read_text(path, name)
    if path.suffix.lower() == ".json":
        return parse_ids(text, str(path), name)
    return text.removesuffix("\n").split("\n") if text else []


def ids_beside(path: Path) -> Any:
    """Ids in the file beside `path`: `a.ids.npy`, `.txt` or `.json` beside `a.npy`; None when there is none."""
    stem = re.sub(r"\.gz$", "", path.name, flags=re.IGNORECASE)
    for suffix in (".npy", ".txt", ".json"):
        beside = path.with_name(Path(stem).stem + ".ids" + suffix)
        if beside.exists():
            return read_ids_file(beside)
    return None
