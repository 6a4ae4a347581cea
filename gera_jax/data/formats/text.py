"""Text: `.csv`, `.tsv`, `.jsonl` and word vectors (`.vec`, GloVe's `.txt`), each also as `.gz`."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax.checks import InputError, fail, require
from gera_jax.data.formats.arrow import ArrowSource, library
from gera_jax.data.formats.base import Header, Source, parse_json, read_bytes, read_text, reading

MISSING = ("", "NA", "N/A", "na", "null", "NULL", "None", "NaN", "nan")


class CsvSource(ArrowSource):
    """Columns of text, of which those of numbers are a vector; ids stay as they are written, so that "007" is no 7."""

    def __init__(self, path: Path):
        pa = library()
        text = read_text(path, str(path))
        tabs = ".tsv" in (suffix.lower() for suffix in path.suffixes)
        first = text.partition("\n")[0]
        remedy = "If it is an object a line, call it .jsonl."
        require(not first.startswith(("{", "[")), str(path), got="JSON", wanted="columns of text", remedy=remedy)
        delimiter = "\t" if tabs else max(",;\t", key=first.count)
        names, headed = _heading(path, text, delimiter, quoted=not tabs)
        with reading(path, "table of text"):
            self.table = pa.csv.read_csv(
                io.BytesIO(text.encode()),
                read_options=pa.csv.ReadOptions(
                    column_names=names,
                    skip_rows=0 if not headed else 1,
                    block_size=min(max(len(text.encode()) + 1, 2**20), 2**31 - 1),
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=delimiter, quote_char=False if tabs else '"', newlines_in_values=True
                ),
                convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
            )
        partly: dict[str, str] = {}
        columns = [_typed(column, name, partly) for name, column in zip(names, self.table.columns, strict=True)]
        table = pa.table(columns, names=names)
        super().__init__(path, table.schema, table.num_rows, table.select, partly)

    def ids(self, name: str, key: str) -> Any:
        return whole_numbers(self.table.column(name).to_pylist())

    def id_names(self, key: str) -> list[str]:
        inside = {column for columns in self.wide.values() for column in columns}
        return [name for name in self.schema.names if name not in inside]


def whole_numbers(words: list[str]) -> list:
    """Words as whole numbers where each is one as it would be written; the words themselves otherwise.

    >>> whole_numbers(["1", "20"]), whole_numbers(["1", "007"])
    ([1, 20], ['1', '007'])
    """
    plain = all(re.fullmatch(r"0|-?[1-9]\d{0,40}", word, re.ASCII) for word in words)
    return [int(word) for word in words] if plain else words


def _heading(path: Path, text: str, delimiter: str, *, quoted: bool) -> tuple[list[str], bool]:
    """Names of the columns, and whether the file says them; a first line of numbers is a row, not a heading."""
    with reading(path, "table of text"):
        quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        line = next(csv.reader(io.StringIO(text), delimiter=delimiter, quoting=quoting), [])
    require(bool(line), str(path), got="no line", wanted="a heading and a row a line")
    numbers = [_is_number(cell) for cell in line]
    cells = line if numbers[0] else line[1:]
    counts = len(cells) > 2 and any(cells == [str(i + start) for i in range(len(cells))] for start in (0, 1))
    if counts or not any(numbers[1:] or numbers):
        return [name or f"unnamed {i}" for i, name in enumerate(line)], True
    names = [f"column_{i}" for i in range(len(line))]
    return (names if numbers[0] else ["id", *names[1:]]), False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _typed(column: Any, name: str, partly: dict[str, str]) -> Any:
    """A column of text as float64 where every cell is a number or missing, as lists where every cell is a list."""
    pa = library()
    cells = pa.compute.utf8_trim_whitespace(column)
    cells = pa.compute.if_else(pa.compute.is_in(cells, value_set=pa.array(MISSING)), pa.scalar(None, pa.string()), cells)
    try:
        numbers = cells.cast(pa.float64())
        return numbers if numbers.null_count < len(numbers) else column
    except pa.ArrowInvalid:
        pass
    words = cells.to_pylist()
    first = next((word for word in words if word is not None), "")
    if first.startswith("[") and first.endswith("]"):
        return pa.array([_list(word, name, row) for row, word in enumerate(words)])
    wrong = [row for row, word in enumerate(words) if word is not None and not _is_number(word)]
    if not wrong:  # numbers as Python writes them
        return pa.array([None if word is None else float(word) for word in words], pa.float64())
    if len(wrong) < len(words) / 2:  # most are numbers: one wrong cell must not take the column out of the vector
        partly[name] = f'"{words[wrong[0]][:40]}" in row {wrong[0]}'
    return column


def _list(word: str | None, name: str, row: int) -> list[float]:
    try:
        return [float(value) for value in json.loads(word or "")]
    except (ValueError, TypeError, RecursionError):
        got, wanted = f'"{(word or "")[:40]}" in row {row}', "a list of numbers such as [0.5, 0.25]"
        remedy = 'Write whole lists: NumPy shortens long ones to "..."; better, save the rows as .npz.'
        fail(f"column {name}", got=got, wanted=wanted, remedy=remedy)


class JsonLines(ArrowSource):
    """`.jsonl`: an object a line; lists of numbers are vectors, ids stay what JSON says they are."""

    def __init__(self, path: Path):
        rows = []
        for number, line in enumerate(read_text(path, str(path)).split("\n"), 1):
            if line.strip():
                row = parse_json(line, str(path), f"{path.name} line {number}")
                wanted = "an object a line"
                require(isinstance(row, dict), str(path), got=f"a JSON {type(row).__name__} in line {number}", wanted=wanted)
                rows.append({name: _vector(value) for name, value in row.items()})
        require(bool(rows), str(path), got="no line", wanted="an object a line")
        self.values = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
        table = library().table({name: _column(path, name, values) for name, values in self.values.items()})
        super().__init__(path, table.schema, table.num_rows, table.select)

    def ids(self, name: str, key: str) -> Any:
        return self.values[name]


def _vector(value: Any) -> Any:
    """A list of numbers as an array, a twentieth of its memory; what is no number stays a list."""
    if isinstance(value, list) and value and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        try:
            return np.array(value, np.float64)
        except OverflowError:
            return value
    return value


def _column(path: Path, name: str, values: list) -> Any:
    pa = library()
    vectors = [row for row, value in enumerate(values) if isinstance(value, np.ndarray)]
    if vectors:
        if len(vectors) < len(values):
            row = next(row for row, value in enumerate(values) if not isinstance(value, np.ndarray))
            fail(f"{path.name} {name}", got=f"{str(values[row])[:40]} in row {row}", wanted="a list of numbers in each row")
        return pa.array(values, pa.list_(pa.float64()))
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, ValueError, TypeError):  # of many kinds, or too large: as it would be printed
        return pa.array([value if value is None or isinstance(value, str) else json.dumps(value) for value in values])


class WordVectors(Source):
    """A word and its numbers a line; the first line may say how many words and how many numbers.

    A word may hold blanks (GloVe has such): the numbers are counted from the end of the line.
    """

    def __init__(self, path: Path):
        super().__init__(path)
        lines = read_bytes(path).split(b"\n")  # only there: words may hold every other kind of line end
        while lines and not lines[-1].strip():
            lines.pop()
        require(bool(lines), str(path), got="no line", wanted="a word and its numbers a line")
        head = lines[0].split()
        said = None
        if len(head) == 2 and all(re.fullmatch(rb"\d{1,12}", word) for word in head):
            said, lines = (int(head[0]), int(head[1])), lines[1:]
        got, wanted = f"{len(lines)} lines of vectors", f"{said[0] if said else 0}, as its first line says"
        remedy = "The copy was cut short: copy it again."
        require(said is None or said[0] == len(lines), str(path), got=got, wanted=wanted, remedy=remedy)
        self.words, rows = [], []
        width = said[1] if said else len(lines[0].split()) - 1
        require(width > 0, f"{path.name} line 1", got=_shown(lines[0] if lines else b""), wanted="a word and its numbers")
        for number, line in enumerate(lines, 2 if said else 1):
            word, row = _word_and_numbers(path, number, line, width)
            self.words.append(word)
            rows.append(row)
        self.rows = np.stack(rows) if rows else np.zeros((0, width), np.float32)
        if (
            len(self.words) > 1
            and all(_is_number(word) for word in self.words)
            and not all(word.lstrip("-").isdecimal() for word in self.words)
        ):
            got, wanted = "numbers only, without a word at the head of each line", "a word and its numbers a line"
            remedy = "If they are plain rows, save them as .npy: np.save(path, np.loadtxt(path))."
            fail(str(path), got=got, wanted=wanted, remedy=remedy)

    def headers(self) -> dict[str, Header]:
        return {"vectors": (self.rows.shape, self.rows.dtype), "words": ((len(self.words),), np.dtype("U1"))}

    def array(self, name: str) -> np.ndarray:
        return self.rows

    def find_ids(self, key: str, ids_key: str, n: int) -> Any:
        return super().find_ids(key, ids_key or "words", n)

    def ids(self, name: str, key: str) -> Any:
        return whole_numbers(self.words)


def _word_and_numbers(path: Path, number: int, line: bytes, width: int) -> tuple[str, np.ndarray]:
    parts = line.rstrip().rsplit(None, width)
    try:
        word, row = parts[0].decode(), np.array(parts[1:], np.float32)
        if len(parts) == width + 1:
            return word, row
    except (ValueError, IndexError, InputError):
        pass
    remedy = "Remove that line, or write the file again."
    fail(f"{path.name} line {number}", got=_shown(line), wanted=f"a word in UTF-8 and {width} numbers", remedy=remedy)


def _shown(line: bytes) -> str:
    return f'"{line[:40].decode(errors="replace")}"'
