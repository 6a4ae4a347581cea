"""The whole files that hostile use starts from: 60 pairs in every format that is read, and every folder that a command writes.

Everything lies in one folder and is named from there, so that a copy of the folder is a world of its own.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ROWS, X, Y = 60, ("--x", "in/x.npz:image"), ("--y", "in/y.npz:text")
SPLIT = ("--val", "10", "--test", "20")
FEW_STEPS = tuple(
    f"--config.{field}"
    for field in (
        "data.split.val=15",
        "data.split.test=15",
        "total_steps=4",
        "evals.every_steps=2",
        "checkpoint.every_steps=2",
        "log_every_steps=1",
        "batch.anchors=8",
        "model.dim=4",
        "graphs.x.knn=4",
        "graphs.y.knn=4",
        "tensorboard=off",
        "parallel=jit",
        *(f"data.preprocess.{side}.{option}" for side in "xy" for option in ("pca=0", "filter.strength=0")),
    )
)
TRAIN = ("train", *X, *Y, "--pairs", "0", *FEW_STEPS)
COMPARE = (
    "compare",
    *X,
    *Y,
    *SPLIT,
    "--methods",
    "ridge_cca,procrustes",
    "--seeds",
    "1",
    "--budget",
    "2",
    "--counts",
    "20",
    "--jobs",
    "1",
)
FIT = ("fit", "--method", "ridge_cca", *X, *Y)
BOMB = 3 << 30  # bytes that a bomb unpacks to


@contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """Work in `folder`: commands name files from there."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def ground(base: Path | None = None) -> Path:
    """The folder of whole files, made by the code of today where `base` lacks it; whoever uses it copies from it."""
    code = hashlib.blake2b(digest_size=6)
    for path in sorted([*(ROOT / "gera_jax").rglob("*.py"), *(ROOT / "configs").rglob("*.py"), Path(__file__)]):
        code.update(path.read_bytes())
    folder = (base or ROOT / ".cache" / "hostile") / code.hexdigest()
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            whole = Path(made) / "whole"
            (whole / "in").mkdir(parents=True)
            with inside(whole):
                for name, write in WRITERS.items():
                    write(Path("in") / name)
                _stored()
            try:
                whole.rename(folder)
            except OSError:  # another process was as quick
                if not folder.is_dir():
                    raise
    return folder


def _stored() -> None:
    """What the commands write, by the commands."""
    import contextlib
    import io

    from gera_jax.cli import main

    for argv in (
        (*TRAIN, "--workdir", "in/run"),
        (*FIT, "--output", "in/fit"),
        (*COMPARE, "--output", "in/cmp"),
        ("data", "build", "in/x.npz:image", "in/built"),
    ):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = main([*argv, "--json"])
        assert code == 0, said.getvalue()


def _rows(side: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hidden, maps = rng.normal(size=(ROWS, 4)), dict(x=rng.normal(size=(4, 9)), y=rng.normal(size=(4, 6)))
    return (hidden @ maps[side]).astype(np.float32), np.array([f"item-{i}" for i in range(ROWS)])


ROWS_X, IDS = _rows("x")
META = json.dumps([dict(id=str(i), group=str(n % 7)) for n, i in enumerate(IDS)])


def _table() -> dict[str, list]:
    return dict(id=IDS.tolist(), **{f"dim_{j}": ROWS_X[:, j].tolist() for j in range(ROWS_X.shape[1])})


def _delimited(path: Path, delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(_table())
        writer.writerows(zip(*_table().values(), strict=True))


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(id=IDS.tolist(), image=ROWS_X.tolist())), path)


def _feather(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather

    feather.write_feather(pa.table(dict(id=IDS.tolist(), image=ROWS_X.tolist())), path)


def _parquet_folder(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.mkdir()
    for part in range(2):
        rows = slice(30 * part, 30 * part + 30)
        pq.write_table(pa.table(dict(id=IDS[rows].tolist(), image=ROWS_X[rows].tolist())), path / f"part-{part}.parquet")


def _hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["image"], file["id"] = ROWS_X, IDS.astype("S")


def _anndata(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        obs = file.create_group("obs")
        obs.attrs.update({"_index": "_index", "encoding-type": "dataframe", "encoding-version": "0.2.0"})
        obs["_index"] = IDS.astype("S")
        file["obsm/image"], file["X"] = ROWS_X, ROWS_X


def _safetensors(path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(dict(image=ROWS_X), path, metadata=dict(ids=json.dumps(IDS.tolist())))


def _torch(path: Path) -> None:
    try:
        import torch
    except ImportError:  # an extra of some GiB; without it the reader asks for it, whatever the file holds
        path.write_bytes(zipped("archive/data.pkl"))
        return
    torch.save(dict(image=torch.tensor(ROWS_X)), path)


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"")
    return buffer.getvalue()


def _faiss(path: Path) -> None:
    import faiss

    index = faiss.IndexFlatL2(ROWS_X.shape[1])
    index.add(ROWS_X)
    faiss.write_index(index, str(path))


def _text(text: str) -> Callable[[Path], None]:
    return lambda path: Path.write_text(path, text) and None


def _numpy(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def _array(rows: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, rows)


def bomb(path: Path, *, member: str = "image.npy", honest: bool = True) -> None:
    """A small .npz whose array unpacks to 3 GiB of zeros; an honest one says so in the array's header, another says 60 rows."""
    width = ROWS_X.shape[1]
    shape = (BOMB // 4 // width, width) if honest else ROWS_X.shape
    head = _npy_header(shape)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block, count = bytes(1 << 24), BOMB >> 24
    once = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(head)
    for _ in range(count):
        checksum = zlib.crc32(block, checksum)
    info = zipfile.ZipInfo(member)
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ids.npy", _npy_header(IDS.shape, IDS.dtype.str) + IDS.tobytes())
        archive.writestr(info, b"")  # its place in the archive; what it holds is put in by hand
        info.file_size, info.CRC = len(head) + BOMB, checksum
        archive.fp.seek(info.header_offset)
        data = packed + once * count + packer.flush()
        info.compress_size = len(data)
        archive.fp.write(info.FileHeader(zip64=False) + data)
        archive.start_dir = archive.fp.tell()
        archive._didModify = True


def _npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    import io

    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, dict(descr=descr, fortran_order=False, shape=shape))
    return file.getvalue()


def _hdf5_bomb(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("image", shape=(BOMB, 9), dtype="f4", chunks=(1 << 16, 9), fillvalue=0)
        file["id"] = IDS.astype("S")


SPANS = {f"v{i}": dict(duration=16.0, timestamps=[[2, 6]], sentences=["A."]) for i in range(8)}
TACOS = {name: dict(timestamps=[[20, 60]], sentences=["A."], fps=10.0, num_frames=160) for name in SPANS}
PICTURES = np.random.default_rng(3).normal(size=(8, 6)).astype(np.float32)
WRITERS: dict[str, Callable[[Path], None]] = {
    "x.npz": _numpy(image=ROWS_X, ids=IDS),
    "y.npz": _numpy(text=_rows("y")[0], ids=IDS),
    "meta.npz": _numpy(image=ROWS_X, meta=np.array(META)),
    "x.npy": _array(ROWS_X),
    "x.ids.npy": _array(IDS),
    "x.ids.txt": _text("\n".join(IDS)),
    "x.ids.json": _text(json.dumps(IDS.tolist())),
    "x.safetensors": _safetensors,
    "x.parquet": _parquet,
    "parts": _parquet_folder,
    "x.feather": _feather,
    "x.csv": _delimited,
    "x.tsv": lambda path: _delimited(path, "\t"),
    "x.jsonl": _text("".join(json.dumps(dict(id=i, image=r)) + "\n" for i, r in zip(IDS.tolist(), ROWS_X.tolist(), strict=True))),
    "x.h5": _hdf5,
    "x.h5ad": _anndata,
    "x.pt": _torch,
    "x.vec": _text(f"{ROWS} 9\n" + "".join(f"{i} {' '.join(map(str, r))}\n" for i, r in zip(IDS, ROWS_X.tolist(), strict=True))),
    "x.faiss": _faiss,
    "bomb.npz": bomb,
    "liar.npz": lambda path: bomb(path, honest=False),
    "bomb.h5": _hdf5_bomb,
    "pairs.csv": _text("x,y\n" + "".join(f"{i},{i}\n" for i in IDS)),
    "pairs.tsv": _text("".join(f"{i}\t{i}\n" for i in IDS)),
    "layers.npz": _numpy(image=np.stack([ROWS_X, -ROWS_X], axis=1), ids=IDS),
    "config.py": _text((ROOT / "configs" / "gera.py").read_text()),
    "spans.json": _text(json.dumps(SPANS)),
    "tacos.json": _text(json.dumps(TACOS)),
    "charades.txt": _text("".join(f"{name} 2.0 6.0##A.\n" for name in SPANS)),
    "lengths.csv": _text("id,length\n" + "".join(f"{name},16\n" for name in SPANS)),
    "clips.npz": _numpy(**dict.fromkeys(SPANS, PICTURES)),
    "sentences.npy": _array(PICTURES),
}
