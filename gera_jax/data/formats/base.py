"""What every reader shares: text, ids in files of their own, which array holds the rows, and damage told in one sentence."""

from __future__ import annotations

import abc
import codecs
import contextlib
import difflib
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import InputError, did_you_mean, fail, require, unique_fields

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
    """A file's bytes, unpacked where it is a .gz."""
    if path.suffix.lower() != ".gz":
        return path.read_bytes()
    limit = max(2**26, TEXT_RATIO * path.stat().st_size)
    try:
        with gzip.open(path) as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        fail(str(path), got=f"a truncated or damaged .gz ({error})", wanted="a whole .gz file", remedy=WRITE_AGAIN)
    got, wanted = f"a .gz of {path.stat().st_size} bytes that unpacks to over {limit}", f"at most {TEXT_RATIO} times as much"
    require(len(data) <= limit, str(path), got=got, wanted=wanted, remedy="If it is meant, unpack it first: gunzip.")
    return data


def read_text(path: Path, name: str) -> str:
    """Text in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark; line ends become those of Python."""
    data = read_bytes(path)
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{data[error.start]:02x} at {error.start}" + (", as in Latin-1" if encoding == "utf-8" else "")
        said = "UTF-8" if encoding.startswith("utf-8") else f"{encoding.upper()} although it begins like it"
        remedy = 'Write the file with encoding="utf-8".'
        fail(name, got=f'"{path}", which is no {said} ({wrong})', wanted="text in UTF-8", remedy=remedy)
    got = f'"{path}", which holds zero bytes: no text, or UTF-16 without a byte-order mark'
    require("\0" not in text, name, got=got, wanted="text in UTF-8", remedy='Write the file with encoding="utf-8".')
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
    remedy = "Give a .npy, .txt (one id a line) or .json (a list) file."
    require(path.is_file(), name, got=f'"{path}", which is not there', wanted="a file of ids", remedy=remedy)
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


Header = tuple[tuple[int, ...], np.dtype]
Loaded = tuple[np.ndarray, Any, "list[dict[str, Any]] | None"]  # rows, ids or None, meta or None

ROW_NUMBERS = "row-number"  # given as the name of the ids: the rows of both files are in one order, whatever else is in them
UNPACKED_RATIO, UNPACKED_FREE = 200, 2**26
# "image_id", "imageId", "names", "file", "__index_level_0__": words that people call an id by
ID_WORDS = re.compile(
    r"(^|[\W_])(ids?|uids?|uuids?|guids?|keys?|names?|index|idx|files?|file_?names?|paths?|urls?|hash|sha\d*|md5|barcodes?|words?"
    r"|tokens?|accessions?)$|^__index_level_\d+__$|[a-z]I[dD]s?$"
)


class Source(abc.ABC):
    """One open file or folder: arrays by name, of which one has the rows and perhaps another the ids.

    A reader gives `headers`, `array` and, where it knows more, `id_names`, `ids` and `meta`; the rules are here.
    """

    def __init__(self, path: Path):
        self.path = path

    @abc.abstractmethod
    def headers(self) -> Mapping[str, Header]:
        """Shape and dtype of each array, without reading it."""

    @abc.abstractmethod
    def array(self, name: str) -> np.ndarray:
        """One array, read or memory-mapped."""

    def blocks(self, name: str, size: int) -> Iterator[np.ndarray]:
        """The rows of one array in order, at most `size` at a time, of which a reader that can holds no more in memory."""
        rows = self.array(name)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def check(self, name: str) -> None:
        """Raise `InputError` where the file cannot hold what the header says of an array."""
        del name

    def id_names(self, key: str) -> list[str]:
        """Names of what may hold the ids of `key`."""
        return [name for name, (shape, dtype) in self.headers().items() if name != key and may_hold_ids(name, shape, dtype)]

    def ids(self, name: str, key: str) -> Any:
        """The values of one of `id_names`."""
        return self.array(name)

    def meta(self, key: str) -> list[dict[str, Any]] | None:
        """Words of each row."""
        return None

    def choose(self, key: str) -> str:
        return choose_key(self.path, key, self.headers())

    def inspect(self, key: str) -> Header:
        self.check(key)
        return self.headers()[key]

    def labels(self, key: str, ids_key: str) -> tuple[Any, list[dict[str, Any]] | None]:
        """Ids and meta of the rows of `key`, without the rows."""
        return self.find_ids(key, ids_key, self.inspect(key)[0][0]), self.meta(key)

    def read(self, key: str, ids_key: str) -> Loaded:
        rows = self.array(key)
        return rows, self.find_ids(key, ids_key, len(rows)), self.meta(key)

    def find_ids(self, key: str, ids_key: str, n: int) -> Any:
        """Ids of the n rows of `key`, or None where nothing in the file or beside it is like an id."""
        if ids_key == ROW_NUMBERS:
            return None
        names = self.id_names(key)
        if ids_key:
            if ids_key in names:
                return self.ids(ids_key, key)
            file = next((file for file in (self.path.parent / ids_key, Path(ids_key)) if file.is_file()), None)
            if file is None and (names or not Path(ids_key).suffix):
                got, wanted = f'"{ids_key}"', f'strings or whole numbers in "{self.path.name}", one a row, or a file'
                remedy = did_you_mean(ids_key, names) if names else "It holds none: give a file, one id a line."
                fail("ids", got=got, wanted=wanted, remedy=remedy)
            return read_ids_file(file or Path(ids_key))
        small = {name.lower(): name for name in reversed(names)}
        for word in (f"{key}_ids".lower(), "ids", "id"):
            if word in small:
                return self.ids(small[word], key)
        beside = ids_beside(self.path)
        if beside is not None:
            return beside
        likely = {name: values for name in names if len(values := self.ids(name, key)) == n and like_an_id(name, values)}
        if not likely:
            return None
        shown = "; ".join(f"{name} ({', '.join(_word(value) for value in values[:2])}, ...)" for name, values in likely.items())
        first = next(iter(likely))
        fail(
            f"{self.path.name} ids",
            got=f'nothing called "id" or "ids", but what may be ids: {shown}',
            wanted="the name of the ids, as rows of two files are paired by them",
            remedy=f'Name it: ids_key="{first}", --x-ids {first} or --y-ids {first}; or give {ROW_NUMBERS} as the name, if both '
            "files hold the same items in the same order.",
        )


def may_hold_ids(name: str, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """A list of strings or of whole numbers, or a column of whatever kind that is called like ids.

    Ids as floats or in a matrix [n, 1] are none; they are looked at all the same, so that they are refused and not passed over.

    >>> may_hold_ids("code", (5,), np.dtype(int)), may_hold_ids("image_id", (5, 1), np.dtype(float))
    (True, True)
    """
    listed = len(shape) == 1 and dtype.kind in "USOTiu"
    return listed or (len(shape) > 0 and math.prod(shape[1:]) == 1 and bool(ID_WORDS.search(name)))


def _word(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def like_an_id(name: str, values: Any) -> bool:
    """Whether a column may be what its file calls the rows by: its name says so, or every value is another one.

    Sentences are no ids, and 0, 1, 2, ... say no more than the order of the rows.

    >>> like_an_id("image_id", ["a", "a"]), like_an_id("code", ["x7", "x9"]), like_an_id("caption", ["a cat", "a dog"])
    (True, True, False)
    """
    if ID_WORDS.search(name):
        return True
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    words = all(isinstance(value, str | bytes) and value and len(value.split()) == 1 and len(value) < 200 for value in values)
    numbers = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    counts = numbers and values in (list(range(len(values))), list(range(1, len(values) + 1)))
    return (words or numbers) and not counts and len(values) > 1 and len(set(values)) == len(values)


def choose_key(path: Path, key: str, headers: Mapping[str, Header]) -> str:
    """`key` if it is there; if it is empty the only matrix of floats, else the only matrix, else the only array with layers."""
    if key:
        if key not in headers:
            fail("key", got=f'"{key}"', wanted=f'an array of "{path.name}"', remedy=did_you_mean(key, headers))
        return key
    matrices = [name for name, (shape, _) in headers.items() if len(shape) == 2]
    floats = [name for name in matrices if headers[name][1].kind == "f" or headers[name][1].name == "bfloat16"]
    candidates = floats or matrices or [name for name, (shape, _) in headers.items() if len(shape) == 3]  # with a layer axis
    if not candidates:
        held = ", ".join(f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in list(headers.items())[:6])
        wanted, remedy = "one vector of numbers a row", "Store a matrix [n, d], one list a row, or columns dim_0, dim_1, ..."
        fail("key", got=f'no embeddings in "{path.name}" ({held or "nothing"})', wanted=wanted, remedy=remedy)
    if len(candidates) != 1:
        remedy = f"Set key to one of: {', '.join(candidates)}."
        fail("key", got="no key", wanted=f'the name of one array of "{path.name}"', remedy=remedy)
    return candidates[0]


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Names the file where a library finds it damaged.

    Parsers of damaged files raise whatever they come across, so nothing but their calls stands inside.
    """
    try:
        yield
    except (InputError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        fail(str(path), got=f"a truncated or damaged {kind} ({said})", wanted=f"a whole {kind}", remedy=WRITE_AGAIN)


def check_unpacked(path: Path, what: str, unpacked: int, stored: int) -> None:
    """Refuse what unpacks to far more than it holds, before memory is spent on it."""
    got, wanted = f"{what}, which unpacks from {stored} bytes to {unpacked}", f"at most {UNPACKED_RATIO} times as much"
    remedy = "If it is meant, store it without compression, as .npy."
    require(unpacked <= max(UNPACKED_FREE, UNPACKED_RATIO * stored), str(path), got=got, wanted=wanted, remedy=remedy)


def near_names(path: Path) -> str:
    """A remedy that names the nearest existing files."""
    parent = path.parent
    while not parent.exists():
        path, parent = parent, parent.parent
    names = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return "Did you mean " + " or ".join(f'"{parent / name}"' for name in near) + "?"
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f'"{parent}" holds: {shown}.' if names else f'"{parent}" is empty.'
