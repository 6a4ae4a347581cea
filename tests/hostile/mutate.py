"""Ways to spoil a file: by bytes, by words, by fields of JSON, by arrays, or as a thing of the file system. All drawn from one `Random`."""

from __future__ import annotations

import copy
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

EXTREME = (0, 1, -1, 127, 255, 1 << 15, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
WRONG = (
    None,
    "",
    "x",
    "é\u2028",
    -1,
    0,
    1,
    2.5,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    True,
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    "9" * 5000,
)
WORDS = (
    "nan",
    "inf",
    "-1",
    "1e400",
    "9" * 400,
    "",
    '"',
    "'",
    ",",
    "\t",
    "\x00",
    "\r",
    "\ufeff",
    "é",
    "null",
    "0x10",
    "[" * 50,
    "##",
)
TEXTS = {".csv", ".tsv", ".jsonl", ".json", ".txt", ".vec", ".py"}
Mutation = Callable[[bytes, Random], bytes]


def place(data: bytes, rng: Random) -> int:
    """A byte's number; half of them near the ends, where headers and footers are."""
    if rng.random() < 0.5:
        near = rng.randrange(min(len(data), 160))
        return near if rng.random() < 0.6 else len(data) - 1 - near
    return rng.randrange(len(data))


def flip(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def some_bytes(data: bytes, rng: Random) -> bytes:
    at, length = place(data, rng), rng.choice((1, 2, 4, 16, 64, 300))
    new = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return (data[:at] + new + data[at + length :])[: max(len(data), at + length)]


def number(data: bytes, rng: Random) -> bytes:
    at, size = place(data, rng) // 4 * 4, rng.choice((2, 4, 8))
    value = rng.choice(EXTREME) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def cut(data: bytes, rng: Random) -> bytes:
    return data[: rng.choice((0, 1, 7, 8, place(data, rng), len(data) - 1, len(data) - rng.randrange(1, min(len(data), 64) + 1)))]


def extend(data: bytes, rng: Random) -> bytes:
    return data + rng.choice((b"\x00", b"\n", b"}", rng.randbytes(50), bytes(5000), data))


def drop(data: bytes, rng: Random) -> bytes:
    at = place(data, rng)
    return data[:at] + data[at + rng.choice((1, 3, 8, 100)) :]


def repeat(data: bytes, rng: Random) -> bytes:
    at, length = place(data, rng), rng.choice((1, 8, 100))
    return data[:at] + data[at : at + length] * rng.choice((2, 3, 200)) + data[at + length :]


def other_encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode(errors="replace").replace("item-1", "ítem-1")
    return text.encode(rng.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig", "utf-7", "utf-16-be")), errors="replace")


def word(data: bytes, rng: Random) -> bytes:
    """One word of a text in place of another, or put in between, or a line drawn long."""
    text = data.decode(errors="surrogateescape")
    at = rng.randrange(len(text) + 1)
    new = rng.choice(WORDS) * rng.choice((1, 1, 1, 200))
    return (text[:at] + new + text[at + rng.choice((0, 0, 1, 5)) :]).encode(errors="surrogateescape")


def line_ends(data: bytes, rng: Random) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"", b"\n\n", b"\n\n\x00", b" \n")))


def lines(data: bytes, rng: Random) -> bytes:
    """A line twice, gone, or in another place."""
    parts = data.split(b"\n")
    at = rng.randrange(len(parts))
    chosen = parts.pop(at)
    for _ in range(rng.choice((0, 1, 2))):
        parts.insert(rng.randrange(len(parts) + 1), chosen)
    return b"\n".join(parts)


def fields(data: bytes, rng: Random) -> bytes:
    """A field of a JSON document dropped, of another kind, doubled, nested deep or of an absurd size."""
    try:
        if (parts := data.splitlines()) and len(parts) > 1 and parts[0].endswith(b"}"):  # lines of JSON
            at = rng.randrange(len(parts))
            parts[at] = fields(parts[at], rng)
            return b"\n".join(parts)
        document = json.loads(data)
    except (ValueError, RecursionError):  # spoiled before
        return word(data, rng)
    deep = rng.random() < 0.15
    new = "@deep@" if deep else copy.deepcopy(rng.choice(WRONG))
    holder = {"": document}
    nodes = [(holder, "")]
    for holder_, key in nodes:
        child = holder_[key]
        if isinstance(child, dict | list) and len(nodes) < 4000:
            nodes += [(child, k) for k in (child if isinstance(child, dict) else range(len(child)))]
    inner, key = rng.choice(nodes)
    act = rng.randrange(4)
    if act == 0 and inner is not holder and not deep:
        del inner[key]
    elif act == 1 and isinstance(inner, dict):
        inner[str(key) + rng.choice(("x", "", ".", "é"))] = new
    else:
        inner[key] = new
    depth = rng.choice((500, 5_000, 200_000))
    pattern = rng.choice((("[", "]"), ('{"a":', "}")))
    nested = pattern[0] * depth + "1" + pattern[1] * depth
    return json.dumps(holder[""], indent=2).replace('"@deep@"', nested).encode()


BYTES: tuple[Mutation, ...] = (flip, flip, some_bytes, number, number, cut, extend, drop, repeat)
AS_TEXT: tuple[Mutation, ...] = (word, word, line_ends, lines, other_encoding)


def rows_of_another_kind(rows: np.ndarray, rng: Random) -> np.ndarray:
    """The array with another type, shape or values that are no numbers."""
    rows = np.atleast_1d(rows)

    def spoiled(value: float) -> np.ndarray:
        new = np.array(rows, np.float64 if rows.dtype.kind != "U" else rows.dtype)
        new.reshape(-1)[rng.randrange(max(new.size, 1))] = value
        return new

    number = rows.dtype.kind in "fiu"
    ways: list[Callable[[], Any]] = [
        lambda: rows[:0],
        lambda: rows[:1],
        lambda: rows[..., None],
        lambda: rows.reshape(-1),
        lambda: rows[:-1],
        lambda: rows.astype(object),
        lambda: rows.astype("U"),
        lambda: rows.astype("S"),
        lambda: np.repeat(rows[:1], len(rows), 0),
        lambda: np.zeros((1,) * 30, np.int8),
        lambda: np.zeros(len(rows), [("a", "f4"), ("b", "i8")]),
        lambda: rows.T,
        lambda: np.array("2020-01-01", "M8[D]") + np.arange(len(rows)),
        lambda: np.float32(1),
        lambda: np.zeros((len(rows), 0)),
    ]
    if number and rows.size:
        ways += [
            lambda: spoiled(np.nan),
            lambda: spoiled(np.inf),
            lambda: spoiled(1e300),
            lambda: rows.astype(np.complex64),
            lambda: rows.astype(np.float16),
            lambda: rows.astype(">f8"),
            lambda: rows.astype(np.longdouble),
            lambda: rows > 0,
            lambda: (rows * 1e3).astype(np.uint8),
            lambda: rows.astype(np.float64) * 1e300,
            lambda: rows * np.float32(1e-38),
        ]
    return rng.choice(ways)()


def arrays(path: Path, rng: Random) -> None:
    """One array of an .npy or .npz of another kind, gone, or under another name."""
    with np.errstate(all="ignore"):
        if path.suffix == ".npy":
            return np.save(path, rows_of_another_kind(np.load(path, allow_pickle=False), rng), allow_pickle=True)
        with np.load(path, allow_pickle=False) as stored:
            found = dict(stored)
        name = rng.choice(sorted(found))
        chosen = found.pop(name)
        act = rng.randrange(5)
        if act:
            found[name + "x" if act == 1 else name] = rows_of_another_kind(chosen, rng) if act > 1 else chosen
        return np.savez(path, **found)


def members(path: Path, rng: Random) -> None:
    """Of a zip archive: a member twice, encrypted, stored in another way, cut, or of a strange name."""
    with zipfile.ZipFile(path) as archive:
        found = {info.filename: archive.read(info) for info in archive.infolist()}
    name = rng.choice(sorted(found))
    extra = {
        0: (name, found[name]),
        1: ("../../escaped.npy", found[name]),
        2: ("/" + name, found[name]),
        3: (name + "/", b""),
        4: ("ids.npy", b"no array"),
        5: (name, cut(found[name], rng)),
        6: ("é\x00.npy", found[name]),
    }[rng.randrange(7)]
    new = io.BytesIO()
    with zipfile.ZipFile(
        new, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    ) as archive:
        for key, data in (*found.items(), extra):
            archive.writestr(key, data)
    data = bytearray(new.getvalue())
    if rng.random() < 0.3:  # flags of a local and of a central header: encrypted, or of an unknown compression
        for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            start = data.find(mark)
            data[start + at + (2 if rng.random() < 0.5 else 0)] = rng.choice((1, 99))
    path.write_bytes(bytes(data))


def thing(path: Path, rng: Random, others: list[Path]) -> str:
    """Not the file but what stands in its place: another file's content, a folder, a broken link, nothing."""
    act = rng.choice(
        ("another file", "another file", "another file", "a folder", "a broken link", "a link to itself", "nothing", "unreadable")
    )
    if act == "another file" and others:
        chosen = rng.choice(others)
        path.write_bytes(chosen.read_bytes())
        return f"holds {chosen.name}"
    if act == "unreadable":
        path.chmod(0)
        return act
    path.unlink()
    if act == "a folder":
        path.mkdir()
    elif act != "nothing":
        path.symlink_to("missing" if act == "a broken link" else path.name)
    return act


def mutate(path: Path, rng: Random, others: list[Path]) -> str:
    """Spoil one file in one way, seldom in two; the words say how."""
    told = [_once(path, rng, others)]
    while rng.random() < 0.15 and path.is_file() and path.stat().st_size:
        told.append(_once(path, rng, []))
    return ", then ".join(told)


def _once(path: Path, rng: Random, others: list[Path]) -> str:
    data = path.read_bytes()
    if others and rng.random() < 0.08:
        return thing(path, rng, others)
    if not data:
        path.write_bytes(rng.randbytes(40))
        return "bytes where there were none"
    small = len(data) < 1 << 20  # a bomb is spoiled by bytes only, as nobody wants to unpack it
    special = [act for act, fine in ((arrays, path.suffix in (".npy", ".npz")), (members, data[:2] == b"PK")) if fine and small]
    if special and rng.random() < 0.4:
        act = rng.choice(special)
        try:
            act(path, rng)
            return act.__name__
        except (
            ValueError,
            OSError,
            zipfile.BadZipFile,
            EOFError,
            RuntimeError,
            KeyError,
            IndexError,
            TypeError,
        ):
            path.write_bytes(data)  # already spoiled: then by bytes
    ways: tuple[Mutation, ...] = BYTES
    if data.lstrip()[:1] in (b"{", b"[") and rng.random() < 0.7:
        ways = (fields,)
    elif path.suffix in TEXTS and rng.random() < 0.6:
        ways = AS_TEXT
    way = rng.choice(ways)
    path.write_bytes(way(data, rng))
    return way.__name__


def whole_copy(source: Path, target: Path) -> None:
    """A file or folder as it is, links and all."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)
