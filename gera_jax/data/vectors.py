"""Writing projected rows with their ids, in the format that the suffix says."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np

from gera_jax import checks
from gera_jax.data.formats.arrow import library
from gera_jax.files import replacing


def _write_npy(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    """Ids go into `<name>.ids.npy`, where every command looks for them. A kill may leave rows without ids, never with others."""
    beside = path.with_name(f"{path.stem}.ids.npy")
    beside.unlink(missing_ok=True)
    _save(path, z)
    if ids is not None:
        _save(beside, ids)


def _save(path: Path, array: np.ndarray) -> None:
    """`np.save`, but through `write`: into a file itself NumPy writes by C, and its error on a full disk has no number."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.save(types.SimpleNamespace(write=file.write), array)


def _write_npz(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    with replacing(path) as partial:
        np.savez(partial, z=z, **({} if ids is None else {"ids": ids}))


def _write_parquet(path: Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    pyarrow = library()
    columns = {} if ids is None else {"ids": pyarrow.array(ids.tolist())}
    columns["z"] = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(z.reshape(-1)), z.shape[1])
    with replacing(path) as partial:
        pyarrow.parquet.write_table(pyarrow.table(columns), partial)


WRITERS = {".npy": _write_npy, ".npz": _write_npz, ".parquet": _write_parquet}


def require_writable(path: str | Path) -> None:
    """Refuse a file that could not be written, before anything is computed."""
    path = Path(path)
    checks.require(path.suffix in WRITERS, "output", got=f'"{path.name}"', wanted=f"a name that ends in {', '.join(WRITERS)}")
    checks.require_place(path, "output")
    if path.suffix == ".parquet":
        library()


def write(path: str | Path, z: np.ndarray, ids: np.ndarray | None) -> None:
    """Write rows [n, dim] and their ids, whole or not at all."""
    WRITERS[Path(path).suffix](Path(path), z, ids)
