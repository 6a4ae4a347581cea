"""Rows written to files: in the format that a suffix says, and as TFDS data sets in array_record files, read without TensorFlow.

The parquet writer of TFDS loses rows and its tfrecord files need TensorFlow, so both are refused. TFDS stores rows in a
hashed order: each row carries its id and its position, and reading sorts by position.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gera_jax import files
from gera_jax.checks import did_you_mean, fail, require, require_place
from gera_jax.data.formats.arrow import library
from gera_jax.data.formats.base import WRITE_AGAIN, Header, Loaded, Source, choose_key, near_names, reading
from gera_jax.data.tables import Table, load_table


def _write_npy(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    """Ids go into `<name>.ids.npy`, where every command looks for them. A kill may leave rows without ids, never with others."""
    beside = path.with_name(f"{path.stem}.ids.npy")
    beside.unlink(missing_ok=True)
    _save(path, z)
    if ids is not None:
        _save(beside, ids)


def _save(path: Path, array: np.ndarray) -> None:
    """`np.save`, but through `write`: into a file itself NumPy writes by C, and its error on a full disk has no number."""
    with files.replacing(path) as partial, partial.open("wb") as file:
        np.save(types.SimpleNamespace(write=file.write), array)


def _write_npz(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    with files.replacing(path) as partial:
        np.savez(partial, z=z, **({} if ids is None else {"ids": ids}))


def _write_parquet(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    pyarrow = library()
    columns = {} if ids is None else {"ids": pyarrow.array(ids.tolist())}
    columns["z"] = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(z.reshape(-1)), z.shape[1])
    with files.replacing(path) as partial:
        pyarrow.parquet.write_table(pyarrow.table(columns), partial)


WRITERS = {".npy": _write_npy, ".npz": _write_npz, ".parquet": _write_parquet}


def require_writable(path: str | Path) -> None:
    """Refuse a file that could not be written, before anything is computed."""
    path = Path(path)
    require(path.suffix in WRITERS, "output", got=f'"{path.name}"', wanted=f"a name that ends in {', '.join(WRITERS)}")
    require_place(path, "output")
    if path.suffix == ".parquet":
        library()


def write(path: str | Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    """Write rows [n, dim] and their ids, whole or not at all."""
    WRITERS[Path(path).suffix](Path(path), z, ids)


DIGESTS = "digests.json"  # file -> digest, sealed
POSITION, META = "position", "meta_json"
KEY = "embedding"
BLOCK_ROWS = 4096


def build_dataset(tables: Table | Mapping[str, Table], directory: str | Path, *, name: str = "") -> Path:
    """Write a table as a TFDS data set (array_record), or one table a split; `load_table(path)` gives it back exactly.

    Args:
      tables: one table (split "train"), or {split: table} with equal widths, dtypes and kinds of ids. The other modality
        is another data set: its rows may differ in number and width.
      directory: where data sets live; `<directory>/<name>/1.0.0` is written.
      name: of the data set; the table's name by default.

    Returns:
      The path of the data set, for `load_table`; with several splits `path / "<split>"`.

    Raises:
      InputError: nothing to write, splits that differ, bfloat16 rows, or a data set that is there already.

    >>> import tempfile
    >>> from gera_jax.data.tables import load_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = build_dataset(Table(np.eye(3, dtype=np.float16), ["c", "a", "b"], "image"), folder)
    ...     load_table(path)
    Table(embedding: 3 x 3 float16, ids c ... b)
    """
    import tensorflow_datasets as tfds

    splits = {"train": tables} if isinstance(tables, Table) else dict(tables)
    require(bool(splits), "tables", got="no table", wanted="at least one split")
    first = next(iter(splits.values()))
    kinds = {split: (t.dim, t.rows.dtype.name, t.ids.dtype.kind == "U", t.meta is not None) for split, t in splits.items()}
    wanted, remedy = "the same in each split", "Build a data set for each kind of table."
    require(len(set(kinds.values())) == 1, "splits", got=f"(dim, dtype, text ids, meta) {kinds}", wanted=wanted, remedy=remedy)
    got, remedy = f"dtype {first.rows.dtype.name}", "Convert them with rows.astype('float32'), which loses nothing."
    require(first.rows.dtype.kind == "f", f"{first.name} rows", got=got, wanted="float16, float32 or float64", remedy=remedy)
    path = _place(directory, name or _snake(first.name))
    remedy = "Remove it, or give another name."
    require(not path.exists(), "directory", got=f'"{path}", which is there already', wanted="a new data set", remedy=remedy)

    raw = tfds.features.Encoding.BYTES  # exact, and several times faster to write than the default
    text_ids, has_meta = first.ids.dtype.kind == "U", first.meta is not None
    features: dict[str, Any] = {
        KEY: tfds.features.Tensor(shape=(first.dim,), dtype=first.rows.dtype.newbyteorder("="), encoding=raw),
        "id": tfds.features.Text() if text_ids else first.ids.dtype.type,
        POSITION: np.int64,
    }
    if has_meta:
        features[META] = tfds.features.Text()

    class Info(tfds.core.DatasetInfo):
        def initialize_from_bucket(self) -> None:
            """There is no published copy: TFDS would look for one, and leave a folder in the system's temporary one."""

    def info(self: Any) -> Any:
        return Info(
            builder=self,
            description="Embeddings with ids, in the order of `position`.",
            features=tfds.features.FeaturesDict(features),
        )

    def examples(self: Any, table: Table) -> Any:
        for start in range(0, len(table), BLOCK_ROWS):
            block = np.ascontiguousarray(table.rows[start : start + BLOCK_ROWS])
            for i, row in enumerate(block, start):
                record = {KEY: row, "id": str(table.ids[i]) if text_ids else int(table.ids[i]), POSITION: i}
                if table.meta is not None:
                    record[META] = json.dumps(table.meta[i])
                yield i, record

    # A class of its own for each call: TFDS takes the data set's name from it.
    # pkg_dir_path and code_path are None because no source file belongs to it (TFDS would look for checksums there).
    body = dict(
        VERSION=tfds.core.Version(path.name),
        pkg_dir_path=None,
        code_path=None,
        name=path.parent.name,
        _info=info,
        _split_generators=lambda self, _: {split: examples(self, t) for split, t in splits.items()},
        _generate_examples=examples,
        __module__=__name__,
    )
    builder_class = type(path.parent.name, (tfds.core.GeneratorBasedBuilder,), body, skip_registration=True)
    tfds.disable_progress_bar()
    with files.beside(path.parent) as partial, contextlib.redirect_stdout(io.StringIO()):  # it announces a download
        builder = builder_class(data_dir=str(partial), file_format="array_record")
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        whole = partial / path.parent.name / path.name
        files.write_json(whole / DIGESTS, {file.name: files.file_seal(file, sync=True) for file in whole.iterdir()})
        path.parent.mkdir(parents=True, exist_ok=True)
        os.rename(whole, path)
        files.sync_folder(path.parent)
    return path


def holds(table: Table, directory: str | Path) -> Path | None:
    """The path of the data set of `table` in `directory` where it is there already, row for row; None otherwise."""
    path = _place(directory, _snake(table.name))
    if not path.exists():
        return None
    there = load_table(path)
    same = (
        there.rows.dtype == table.rows.dtype
        and np.array_equal(there.rows, table.rows, equal_nan=True)
        and there.ids.tolist() == table.ids.tolist()
        and there.meta == table.meta
    )
    return path if same else None


def _place(directory: str | Path, name: str) -> Path:
    return Path(directory).resolve() / name / "1.0.0"


def _snake(name: str) -> str:
    """A data set name that TFDS takes: small letters, digits, underscores."""
    return "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_") or KEY


def is_dataset(path: Path) -> bool:
    """True where `path` is, or holds one or more, TFDS data sets."""
    return bool(_versions(path))


def _versions(path: Path) -> list[Path]:
    """Version directories at `path`, `path/1.0.0` or `path/name/1.0.0`."""
    found = [p.parent for pattern in ("", "*/", "*/*/") for p in path.glob(pattern + "features.json")]
    return sorted(p for p in found if (p / "dataset_info.json").exists())


class DatasetSource(Source):
    """A TFDS directory; headers come from its two JSON files, without importing TFDS."""

    def __init__(self, path: Path, split: str = ""):
        versions = _versions(path)
        if len(versions) != 1:
            got = f'"{path}", which holds {len(versions)} TFDS data sets'
            remedy = "Give the path of one: " + ", ".join(str(p.relative_to(path)) for p in versions[:5]) + "."
            wanted = "a directory with features.json and dataset_info.json of one data set"
            fail("path", got=got, wanted=wanted, remedy=remedy if versions else near_names(path / "features.json"))
        super().__init__(versions[0])
        with reading(self.path, "TFDS directory"):
            info = json.loads((self.path / "dataset_info.json").read_text(encoding="utf-8"))
            stored = info.get("fileFormat", "tfrecord")
            self.rows = {s["name"]: sum(int(n) for n in s["shardLengths"]) for s in info["splits"]}
            features = json.loads((self.path / "features.json").read_text(encoding="utf-8"))["featuresDict"]["features"]
            self.features = {name: _header(feature) for name, feature in features.items()}
        require(
            bool(self.rows) and min(self.rows.values()) >= 0,
            str(self.path),
            got=f"splits {self.rows}",
            wanted="a split of some rows",
            remedy=WRITE_AGAIN,
        )
        require(
            stored == "array_record",
            str(self.path),
            got=f"a TFDS data set of {stored} files",
            wanted="array_record files",
            remedy="The parquet writer of TFDS loses rows and tfrecord needs TensorFlow: build it again with "
            'file_format="array_record", or with gera_jax.data.builder.build_dataset.',
        )
        if split and split not in self.rows:
            fail("split", got=f'"{split}"', wanted=f'a split of "{self.path}"', remedy=did_you_mean(split, self.rows))
        if not split and len(self.rows) > 1:
            fail(
                "split",
                got="no split",
                wanted=f'one of the splits of "{self.path}"',
                remedy="Name it after the path: " + " or ".join(f'"{self.path / s}"' for s in self.rows) + ".",
            )
        self.split = split or next(iter(self.rows))

    def headers(self) -> dict[str, Header]:
        return {name: ((self.rows[self.split], *shape), dtype) for name, (shape, dtype) in self.features.items()}

    def choose(self, key: str) -> str:
        return choose_key(self.path, key, self.headers())

    def _id_name(self, key: str, ids_key: str) -> str:
        """The feature that holds the ids; one that only looks like them is as good as none."""
        if ids_key and ids_key not in self.features:
            fail("ids", got=f'"{ids_key}"', wanted=f'a feature of "{self.path}"', remedy=did_you_mean(ids_key, self.features))
        names = (ids_key,) if ids_key else (f"{key}_ids", "ids", "id")
        found = next((name for name in names if name in self.features), "")
        got = f"features {', '.join(self.features)}, none of them an id"
        wanted = "an id in each row: TFDS gives rows back in a hashed order"
        remedy = 'Name the id feature with --x-ids or ids_key=, or build the data set again with an "id".'
        require(bool(found), str(self.path), got=got, wanted=wanted, remedy=remedy)
        return found

    def read(self, key: str, ids_key: str) -> Loaded:
        id_name = self._id_name(key, ids_key)
        self._require_whole()
        with reading(self.path, "TFDS directory"):
            return self._read(key, id_name)

    def _require_whole(self) -> None:
        """Hold every file against its digest, where the data set was written here."""
        if not (self.path / DIGESTS).is_file():
            return
        for name, wanted in files.read_json(self.path / DIGESTS).items():
            file = self.path / name
            if not file.is_file() or files.file_seal(file) != wanted:
                files.damaged(file, "its digest differs" if file.is_file() else "it is missing", remedy=WRITE_AGAIN)

    def array(self, name: str) -> np.ndarray:
        return self.read(name, "")[0]

    def labels(self, key: str, ids_key: str) -> tuple[Any, list[dict[str, Any]] | None]:
        return self.read(key, ids_key)[1:]  # records hold both

    def _read(self, key: str, id_name: str) -> Loaded:
        import tensorflow_datasets as tfds

        wanted = [key, id_name, *(f for f in (POSITION, META) if f in self.features)]
        (n, dim), dtype = self.inspect(key)
        # Other features (pictures, say) are left as the bytes that they are.
        skip = {feature: tfds.decode.SkipDecoding() for feature in self.features if feature not in wanted}
        builder = tfds.builder_from_directory(str(self.path))
        source = builder.as_data_source(split=self.split, decoders=skip or None)
        got, remedy = f"{len(source)} rows in its files", "A file is missing or cut short: build it again."
        require(len(source) == n, str(self.path), got=got, wanted=f"{n} as dataset_info.json says", remedy=remedy)
        rows, ids, meta, position = np.empty((n, dim), dtype), [], [], np.arange(n)
        for start in range(0, n, BLOCK_ROWS):
            for i, record in enumerate(source.__getitems__(range(start, min(start + BLOCK_ROWS, n))), start):
                rows[i] = record[key]
                ids.append(record[id_name].decode() if isinstance(record[id_name], bytes) else record[id_name])
                position[i] = record.get(POSITION, i)
                if META in wanted:
                    meta.append(json.loads(record[META]))
        order = np.argsort(position, kind="stable")
        return rows[order], [ids[i] for i in order], [meta[i] for i in order] if meta else None


def _header(feature: Mapping[str, Any]) -> Header:
    """Shape of a row and dtype of a feature."""
    tensor = feature.get("tensor", {})
    shape = tuple(int(d) for d in tensor.get("shape", {}).get("dimensions", ()))
    dtype = tensor.get("dtype", "object")
    return shape, np.dtype("object" if dtype in ("string", "bfloat16") else dtype)
