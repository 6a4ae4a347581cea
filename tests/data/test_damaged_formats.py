"""Files that are damaged, locked, lie about their sizes or unpack without end are refused in words."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.tables import load_table
from tests import extras
from tests.data.test_formats import lists, parquet, write_h5
from tests.extras import inspect_table

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = ["id5", "007", "id3", "zwölf", '"', "id2"]


def test_pickles_are_never_loaded(tmp_path):
    for name in ("a.pkl", "a.joblib"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch boom'\ntR.")
        with pytest.raises(InputError, match=r"a pickle; .*Pickled objects can run code.*np.savez"):
            load_table(tmp_path / name)
    torch = extras.torch()
    torch.save({"rows": np.ones(3), "f": print}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="objects that only running code can load|damaged file of PyTorch"):
        load_table(tmp_path / "a.pt")


def test_what_unpacks_without_end_is_refused_before_it_is_read(tmp_path, monkeypatch):
    n = 5 * 2**20
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("e.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, dict(descr="<f4", fortran_order=False, shape=(n, 4)))
        for _ in range(20):
            file.write(bytes(2**22))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id,a,b\n" + bytes(80 * 2**20), 1))
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("e", shape=(2**40, 4), dtype="f4", chunks=(2**10, 4))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("80 MiB were unpacked"))
    for name, words in (
        ("a.npz", "array e, which unpacks from"),
        ("a.csv.gz", "that unpacks to over"),
        ("a.h5", "data set e, which unpacks from 0 bytes"),
    ):
        with pytest.raises(InputError, match=words):
            inspect_table(tmp_path / name)


@pytest.mark.parametrize(("offset", "value", "words"), [(6, 1, "password"), (8, 99, "damaged"), (14, 7, "Bad CRC-32")])
def test_archives_that_are_locked_or_packed_otherwise(offset, value, words, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", e=ROWS)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[offset] = value
    data[directory + offset + 2] = value
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match=words):
        load_table(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4), ",
        "(" * 9000,
        "{'descr': '<f4\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
    ],
)
def test_npy_headers_that_no_one_writes(header, tmp_path):
    text = header.ljust(118) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(200)
    for name in ("a.npy", "b.ids.npy"):
        (tmp_path / name).write_bytes(data)
    np.save(tmp_path / "b.npy", ROWS)
    for read in (load_table, inspect_table) if "()" not in header else (load_table,):
        with pytest.raises(InputError):
            read(tmp_path / "a.npy")
    with pytest.raises(InputError):
        load_table(tmp_path / "b.npy")


def test_safetensors_whose_shape_and_place_disagree(tmp_path):
    """Read as its own parser did, `e` takes its last rows from the next tensor."""
    from safetensors.numpy import save_file

    save_file({"e": ROWS, "z": np.ones((6, 4), np.float32)}, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    for old, new in (
        (b'"shape":[6,4],"data_offsets":[0,96]', b'"shape":[9,4],"data_offsets":[0,96]'),
        (b'"shape":[6,4],"data_offsets":[0,96]', b'"shape":[6,4],"data_offsets":[4,96]'),
        (b'"F32","shape":[6,4],"data_offsets":[0,', b'"F64","shape":[6,4],"data_offsets":[0,'),
    ):
        assert old in data
        (tmp_path / "b.safetensors").write_bytes(data.replace(old, new, 1))
        with pytest.raises(InputError, match="damaged .safetensors"):
            load_table(tmp_path / "b.safetensors", key="e")


def test_two_columns_of_one_name(tmp_path):
    import pyarrow as pa

    parquet(tmp_path / "a.parquet", pa.Table.from_arrays([pa.array(IDS), lists(), lists()], ["id", "e", "e"]))
    with pytest.raises(InputError, match=r"names of two columns or more \(e\)"):
        load_table(tmp_path / "a.parquet", key="e")


def test_hdf5_strings_that_say_to_be_longer_than_the_file(tmp_path):
    import h5py

    write_h5(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        start = file["ids"].id.get_offset()
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[start + 16 + 3] = 0x90  # the second id now has 2.4 billion letters
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(InputError, match="strings longer than the file"):
        load_table(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("arrays", "want"),
    [
        (dict(values=np.array(["a", "b", "c"], "S"), mask=np.zeros(3, bool)), ["a", "b", "c"]),
        (dict(categories=np.array(["c", "a", "b"], "S"), codes=np.array([1, 2, 0], np.int8)), ["a", "b", "c"]),
        (dict(values=np.array(["a", "b", "c"], "S"), mask=np.array([False, True, False])), "1 row.* without an id .*row 1"),
        (dict(categories=np.array(["c", "a", "b"], "S"), codes=np.array([1, 2, -1], np.int8)), "1 row.* without an id .*row 2"),
        (dict(categories=np.array(["c", "a"], "S"), codes=np.array([1, 2, 0], np.int8)), "damaged AnnData file"),
        (dict(values=np.array(["a", "b"], "S"), mask=np.zeros(3, bool)), "damaged AnnData file"),
    ],
    ids=range(6),
)
def test_names_of_anndata_that_are_groups_of_arrays(tmp_path, arrays, want):
    """So newer versions of anndata write strings that may be missing, and columns of few values."""
    import h5py

    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["obsm/X"] = np.eye(3, dtype=np.float32)
        file.create_group("obs/cell").attrs["encoding-type"] = "any"
        file["obs"].attrs["_index"] = "cell"
        for name, array in arrays.items():
            file[f"obs/cell/{name}"] = array
    if isinstance(want, list):
        assert load_table(tmp_path / "a.h5ad").ids.tolist() == want
    else:
        with pytest.raises(InputError, match=want):
            load_table(tmp_path / "a.h5ad")
