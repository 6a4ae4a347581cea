"""Each file format gives the same table back; each kind of damage is named."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.tables import load_table
from tests.extras import inspect_table

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = ["id5", "id1", "id3", "id0", "id4", "id2"]


def write_npy(folder, rows=ROWS):
    np.save(folder / "a.npy", rows)
    (folder / "a.ids.txt").write_text("\n".join(IDS) + "\n")
    return folder / "a.npy"


def write_npz(folder, rows=ROWS):
    np.savez_compressed(folder / "a.npz", image=rows, ids=IDS)
    return folder / "a.npz"


def write_safetensors(folder, rows=ROWS):
    from safetensors.numpy import save_file

    save_file({"image": rows, "other": np.ones(3)}, folder / "a.safetensors", metadata={"ids": json.dumps(IDS)})
    return folder / "a.safetensors"


def write_parquet(folder, rows=ROWS):
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(list(rows), type=pa.list_(pa.from_numpy_dtype(rows.dtype)))
    pq.write_table(pa.table({"image": column, "id": IDS}), folder / "a.parquet", row_group_size=4)
    return folder / "a.parquet"


WRITERS = [write_npy, write_npz, write_safetensors, write_parquet]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("write", WRITERS)
def test_round_trip_exact(write, dtype, tmp_path):
    path = write(tmp_path, ROWS.astype(dtype))
    table = load_table(path, name="image")
    assert table.rows.dtype == dtype
    np.testing.assert_array_equal(table.rows, ROWS.astype(dtype))
    assert table.ids.tolist() == IDS
    assert not np.array_equal(table.rows, ROWS.astype(dtype)[::-1])
    assert inspect_table(path) == ((6, 4), np.dtype(dtype))


@pytest.mark.parametrize("write", WRITERS)
def test_an_empty_file_is_named(write, tmp_path):
    path = write(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"got an empty file \(0 bytes\).*copy or write it again"):
        load_table(path)


@pytest.mark.parametrize("write", WRITERS)
def test_a_truncated_file_is_named(write, tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match=r"truncated.*copy or write it again"):
        load_table(path)


@pytest.mark.parametrize("write", WRITERS)
def test_noise_is_no_table(write, tmp_path):
    path = write(tmp_path)
    path.write_bytes(b"this is not what it says it is, by far" * 3)
    with pytest.raises(InputError, match=f"a.{path.suffix[1:]}"):
        load_table(path)


@pytest.mark.parametrize("write", [write_npz, write_safetensors, write_parquet])
def test_an_unknown_key_names_the_near_ones(write, tmp_path):
    with pytest.raises(InputError, match=r'key: got "imgae".*Did you mean "image"'):
        load_table(write(tmp_path), key="imgae")


def test_npz_with_two_candidates_asks_for_a_key(tmp_path):
    np.savez(tmp_path / "a.npz", image=ROWS, text=ROWS)
    with pytest.raises(InputError, match=r"key: got no key.*Set key to one of: image, text"):
        load_table(tmp_path / "a.npz")


class Bomb:
    """Would create a file if anything unpickled it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("where", ["image", "ids"])
def test_pickled_objects_are_refused_and_never_unpickled(where, tmp_path):
    arrays = {"image": ROWS, "ids": np.array(IDS)}
    arrays[where] = np.array([Bomb(tmp_path / "boom")] * 6, dtype=object)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=f"array {where}: got pickled objects.*never loaded"):
        load_table(tmp_path / "a.npz", key="image")
    np.save(tmp_path / "b.npy", arrays[where], allow_pickle=True)
    with pytest.raises(InputError, match=r"b.npy.*got pickled objects.*never loaded"):
        load_table(tmp_path / "b.npy")
    assert not (tmp_path / "boom").exists()


def test_a_damaged_member_is_named(tmp_path):
    path = write_npz(tmp_path, np.random.default_rng(0).normal(size=(400, 4)))
    data = bytearray(path.read_bytes())
    data[2000:2100] = bytes(100)
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"damaged npz.*copy or write it again"):
        load_table(path, key="image")


def test_a_path_that_is_not_there_names_near_files(tmp_path):
    write_npz(tmp_path)
    (tmp_path / "clipart.npz").touch()
    with pytest.raises(InputError, match=r"which is not there; wanted a file.*Did you mean \".*clipart.npz\""):
        load_table(tmp_path / "clipartt.npz")
    with pytest.raises(InputError, match=r"holds: a.npz, clipart.npz"):
        load_table(tmp_path / "zzz" / "qqqqqqqqqqqqqqqqqq.npy")


def test_an_unknown_ending(tmp_path):
    (tmp_path / "a.xlsx").write_text("1,2")
    with pytest.raises(InputError, match=r'got "a.xlsx"; wanted one of .npy, .npz, .safetensors, .parquet.*np.savez'):
        load_table(tmp_path / "a.xlsx")


@pytest.mark.parametrize("suffix", ["npy", "json", "txt"])
def test_ids_beside_an_npy_and_by_name(suffix, tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    assert load_table(tmp_path / "a.npy").ids.tolist() == list(range(6))
    for stem in ("a.ids", "named"):
        file = tmp_path / f"{stem}.{suffix}"
        if suffix == "npy":
            np.save(file, np.array(IDS))
        else:
            file.write_text(json.dumps(IDS) if suffix == "json" else "\n".join(IDS))
    assert load_table(tmp_path / "a.npy").ids.tolist() == IDS
    assert load_table(tmp_path / "a.npy", ids_key=f"named.{suffix}").ids.tolist() == IDS


def test_bad_ids_files(tmp_path):
    path = write_npy(tmp_path)
    with pytest.raises(InputError, match=r'ids: got "missing.txt", which is not there'):
        load_table(path, ids_key="missing.txt")
    (tmp_path / "a.ids.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match=r"a ids: got shape \(2,\); wanted one id a row, \(6,\)"):
        load_table(path)
    (tmp_path / "bad.json").write_text("[1,")
    with pytest.raises(InputError, match=r"no JSON"):
        load_table(path, ids_key="bad.json")

    np.save(tmp_path / "short.npy", IDS)
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"short.npy: got \d+ bytes, a truncated file"):
        load_table(path, ids_key="short.npy")
    for name in ("latin.txt", "latin.json"):
        (tmp_path / name).write_bytes(b'["caf\xe9"]')
        with pytest.raises(InputError, match=r'ids: got ".*latin.*", which is no UTF-8'):
            load_table(path, ids_key=name)


def test_an_id_is_a_whole_line_and_no_byte_order_mark(tmp_path):
    ids = ["a\u2028b", *IDS[1:]]
    np.save(tmp_path / "a.npy", ROWS)
    (tmp_path / "a.ids.txt").write_text("\r\n".join(ids) + "\r\n", encoding="utf-8-sig", newline="")
    assert load_table(tmp_path / "a.npy").ids.tolist() == ids


def test_npz_ids_from_arrays_meta_and_a_named_field(tmp_path):
    meta = [{"id": i, "cas": i + "x"} for i in IDS]
    np.savez(tmp_path / "a.npz", image=ROWS, meta=json.dumps(meta))
    table = load_table(tmp_path / "a.npz", key="image")
    assert table.ids.tolist() == IDS
    assert table.meta == meta
    assert load_table(tmp_path / "a.npz", key="image", ids_key="cas").ids.tolist() == [i + "x" for i in IDS]
    with pytest.raises(InputError, match=r'ids: got "cass".*Did you mean "cas"'):
        load_table(tmp_path / "a.npz", key="image", ids_key="cass")
    np.savez(tmp_path / "b.npz", image=ROWS, image_ids=IDS, ids=np.arange(6))
    assert load_table(tmp_path / "b.npz", key="image").ids.tolist() == IDS
    for holes in ([*meta[:4], {}, {}], [{}, {}, *meta[2:]]):
        np.savez(tmp_path / "c.npz", image=ROWS, meta=json.dumps(holes))
        with pytest.raises(InputError, match=r'ids: got 2 entries of meta without "cas" \(first: row [04]\)'):
            load_table(tmp_path / "c.npz", ids_key="cas")


def test_an_npz_may_hold_a_file_that_is_no_array(tmp_path):
    with zipfile.ZipFile(write_npz(tmp_path), "a") as archive:
        archive.writestr("readme.txt", "embeddings of six pictures")
    assert load_table(tmp_path / "a.npz").ids.tolist() == IDS
    with pytest.raises(InputError, match=r'key: got "readme.txt"'):
        load_table(tmp_path / "a.npz", key="readme.txt")


def test_safetensors_metadata_that_is_no_list_of_ids(tmp_path):
    from safetensors.numpy import save_file

    save_file({"image": ROWS}, tmp_path / "a.safetensors", metadata={"id": "clip-b32"})
    assert load_table(tmp_path / "a.safetensors").ids.tolist() == list(range(6))
    with pytest.raises(InputError, match=r'ids: got "id"; wanted strings or whole numbers in "a.safetensors"'):
        load_table(tmp_path / "a.safetensors", ids_key="id")
    save_file({"image": ROWS}, tmp_path / "a.safetensors", metadata={"ids": "[1, 2"})
    with pytest.raises(InputError, match=r'ids: got "a.safetensors, ids", which is no JSON'):
        load_table(tmp_path / "a.safetensors")


def test_memory_maps_stay_on_disk(tmp_path):
    for write in (write_npy, write_safetensors):
        assert isinstance(load_table(write(tmp_path)).rows, np.memmap)


def test_bfloat16_safetensors(tmp_path):
    import ml_dtypes
    from safetensors.numpy import save_file

    save_file({"image": ROWS.astype(ml_dtypes.bfloat16)}, tmp_path / "a.safetensors")
    taken = load_table(tmp_path / "a.safetensors").take(range(6))
    assert taken.dtype == np.float32
    np.testing.assert_allclose(taken, ROWS, rtol=2**-8)
    assert not np.allclose(taken, ROWS, rtol=1e-5)


def test_parquet_columns(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"e": [[1.0, 2.0], [3.0]], "n": [1, 2], "w": ["a", "b"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a.parquet e: got rows of different lengths"):
        load_table(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a.parquet n: got a column of int64; wanted a column of lists"):
        load_table(tmp_path / "a.parquet", key="n")
    fixed = pa.array([[1.0, 2.0], [3.0, 4.0]], type=pa.list_(pa.float64(), 2))
    pq.write_table(pa.table({"e": fixed, "w": ["a", "b"]}), tmp_path / "b.parquet")
    table = load_table(tmp_path / "b.parquet", ids_key="w")
    assert table.rows.tolist() == [[1, 2], [3, 4]]
    assert table.ids.tolist() == ["a", "b"]
    assert table.meta == [{"w": "a"}, {"w": "b"}]
    pq.write_table(
        pa.table({"clip.e": fixed, "clip": [1, 2], "tags": [["a"], []], "deep": [[[1.0]], [[2.0]]]}), tmp_path / "c.parquet"
    )
    assert load_table(tmp_path / "c.parquet").rows.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(InputError, match=r"c.parquet deep: got a column of list<.*list<.*; wanted a column of lists of floats"):
        load_table(tmp_path / "c.parquet", key="deep")


def test_a_parquet_with_a_damaged_middle_is_named(tmp_path):
    path = write_parquet(tmp_path)
    data = bytearray(path.read_bytes())
    data[10:60] = bytes(50)
    path.write_bytes(data)
    with pytest.raises(InputError, match="a truncated or damaged parquet file"):
        load_table(path)
