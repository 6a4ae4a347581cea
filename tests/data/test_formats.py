"""Every format gives the table back that another library wrote; what is damaged, ambiguous or unpacks without end is told."""

from __future__ import annotations

import contextlib
import gzip
import json
import warnings

import numpy as np
import pytest

from gera_jax.checks import InputError
from gera_jax.data.tables import Table, load_table
from tests import extras
from tests.extras import inspect_table

ROWS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = ["id5", "007", "id3", "zwölf", '"', "id2"]
TEXT_ROWS = [" ".join(map(repr, row.tolist())) for row in ROWS]


def frame(**columns):
    import pyarrow as pa

    return pa.table({"id": IDS, **columns})


def lists():
    import pyarrow as pa

    return pa.array(ROWS.tolist(), pa.list_(pa.float32()))


def parquet(path, table):
    import pyarrow.parquet as pq

    pq.write_table(table, path, row_group_size=4)


def write_folder(path):
    path.mkdir()
    for start, name in ((0, "part-2.parquet"), (3, "part-10.parquet")):  # in the order of their numbers
        parquet(path / name, frame(e=lists()).slice(start, 3))
    (path / "_SUCCESS").touch()


def write_tensor(path):
    import pyarrow as pa

    parquet(path, frame(e=pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS)))


def write_wide(path):
    parquet(path, frame(label=[1, 0, 1, 0, 0, 1], **{f"dim_{i}": ROWS[:, i] for i in (3, 0, 2, 1)}))  # not in order


def write_large_lists(path):
    import pyarrow as pa

    parquet(path, frame(e=lists().cast(pa.large_list(pa.float32()))))


def write_feather(path):
    from pyarrow import feather

    feather.write_feather(frame(e=lists()), path)


def write_stream(path):
    import pyarrow as pa

    table = frame(e=lists())
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def csv_text(delimiter=",", quote='"'):
    cells = [quote + i.replace(quote, 2 * quote) + quote if quote else i for i in IDS]
    lines = [delimiter.join([cell, *map(repr, row.tolist())]) for cell, row in zip(cells, ROWS, strict=True)]
    return "\n".join([delimiter.join(["id", "a", "b", "c", "d"]), *lines]) + "\n"


def write_jsonl(path):
    path.write_text("".join(json.dumps(dict(id=i, e=row.tolist())) + "\n" for i, row in zip(IDS, ROWS, strict=True)))


def write_list_cells(path):
    lines = [f'"{i.replace(chr(34), 2 * chr(34))}","{row.tolist()}"' for i, row in zip(IDS, ROWS, strict=True)]
    path.write_text("id,e\n" + "\n".join(lines) + "\n")


def write_h5(path):
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("model/e", data=ROWS, compression="gzip")
        file["ids"] = IDS


def write_h5ad(path):
    import anndata
    import pandas as pd

    obs = pd.DataFrame({"label": list("aabbab")}, index=IDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what anndata thinks of its pandas
        anndata.AnnData(np.ones((6, 9), np.float32), obs=obs, obsm={"X_clip": ROWS}).write_h5ad(path)


def write_pt(path):
    torch = extras.torch()
    torch.save({"rows": torch.tensor(ROWS, requires_grad=True), "ids": IDS}, path)


def write_pt_by_id(path):
    torch = extras.torch()
    torch.save({i: torch.tensor(row) for i, row in zip(IDS, ROWS, strict=True)}, path)


def write_vec(path, heading="6 4\n"):
    path.write_text(heading + "".join(f"{i} {row}\n" for i, row in zip(IDS, TEXT_ROWS, strict=True)))


def write_faiss(path):
    import faiss

    index = faiss.IndexFlatIP(4)
    index.add(ROWS)
    faiss.write_index(index, str(path))
    path.with_name(path.stem + ".ids.json").write_text(json.dumps(IDS))


WRITERS = {
    "folder": write_folder,
    "tensor.parquet": write_tensor,
    "wide.parquet": write_wide,
    "large.parquet": write_large_lists,
    "a.feather": write_feather,
    "a.arrow": write_stream,
    "A.CSV": lambda path: path.write_text(csv_text()),
    "semicolon.csv": lambda path: path.write_text(csv_text(";")),
    "utf16.csv": lambda path: path.write_text(csv_text(), "utf-16"),
    "a.tsv": lambda path: path.write_text(csv_text("\t", "")),
    "lists.csv": write_list_cells,
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_text().encode())),
    "a.jsonl": write_jsonl,
    "a.h5": write_h5,
    "a.h5ad": write_h5ad,
    "a.pt": write_pt,
    "by_id.pth": write_pt_by_id,
    "a.vec": write_vec,
    "glove.txt": lambda path: write_vec(path, ""),
    "a.faiss": write_faiss,
}


@pytest.mark.parametrize("name", WRITERS)
def test_round_trip(name, tmp_path):
    WRITERS[name](tmp_path / name)
    table = load_table(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(table.rows, np.float32), ROWS)
    assert table.ids.tolist() == IDS and not table.numbered
    assert inspect_table(tmp_path / name)[0] == (6, 4)
    assert not np.array_equal(np.asarray(table.rows, np.float32), ROWS[::-1])  # the companion: rows in another order


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "folder"])
def test_a_cut_file_is_told_in_a_sentence(name, tmp_path):
    WRITERS[name](tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for keep in (0.9, 0.3, 0.02):
        (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
        table = None
        with contextlib.suppress(InputError):  # any other error ends the test
            table = load_table(tmp_path / name)
        lines = name in ("A.CSV", "semicolon.csv", "utf16.csv", "a.tsv", "lists.csv", "a.jsonl", "glove.txt")
        assert table is None or (lines and len(table) < 6)  # text that is cut between two lines is whole text


def test_an_id_map_of_faiss_gives_its_numbers(tmp_path):
    import faiss

    index = faiss.IndexIDMap(faiss.IndexFlatL2(4))
    index.add_with_ids(ROWS, np.array([2**62 + 1, 5, 0, 7, 8, 9]))
    faiss.write_index(index, str(tmp_path / "a.index"))
    table = load_table(tmp_path / "a.index")
    np.testing.assert_array_equal(table.rows, ROWS)
    assert table.ids.tolist() == [2**62 + 1, 5, 0, 7, 8, 9]
    other = faiss.index_factory(4, "HNSW4,Flat")
    other.add(ROWS)
    faiss.write_index(other, str(tmp_path / "b.index"))
    with pytest.raises(InputError, match=r"an index of faiss of kind .*wanted an IndexFlat.*reconstruct_n"):
        load_table(tmp_path / "b.index")


def test_words_with_blanks_and_strange_line_ends(tmp_path):
    words = [". . .", "a\u2028b", "c\x85d", "the", "0.5", "at name@domain.com"]  # as in GloVe's 840B and fastText's
    (tmp_path / "a.txt").write_text(
        "".join(f"{i} {row}\n" for i, row in zip(words, TEXT_ROWS, strict=True)), encoding="utf-8", newline=""
    )
    with pytest.raises(InputError, match=r"a.txt line 1: got|a.txt line 2: got"):
        load_table(tmp_path / "a.txt")  # nothing says the width, and the first word has blanks
    (tmp_path / "a.vec").write_text("6 4\n" + (tmp_path / "a.txt").read_text(encoding="utf-8"), encoding="utf-8", newline="")
    table = load_table(tmp_path / "a.vec")
    assert table.ids.tolist() == words
    np.testing.assert_array_equal(table.rows, ROWS)


def test_plain_rows_in_txt_are_no_word_vectors(tmp_path):
    np.savetxt(tmp_path / "a.txt", ROWS)
    with pytest.raises(InputError, match="numbers only, without a word.*np.loadtxt"):
        load_table(tmp_path / "a.txt")


def test_a_csv_without_a_heading_keeps_its_first_row(tmp_path):
    np.savetxt(tmp_path / "a.csv", ROWS, delimiter=",", fmt="%.9g")
    table = load_table(tmp_path / "a.csv")
    np.testing.assert_array_equal(table.rows.astype(np.float32), ROWS)
    assert table.numbered
    (tmp_path / "b.csv").write_text(csv_text().partition("\n")[2])
    assert load_table(tmp_path / "b.csv").ids.tolist() == IDS
    (tmp_path / "c.csv").write_text(",0,1,2\na,5,6.5,7\nb,8,9.5,1\n")  # what pandas writes
    table = load_table(tmp_path / "c.csv", ids_key="unnamed 0")
    assert table.ids.tolist() == ["a", "b"] and table.rows.tolist() == [[5, 6.5, 7], [8, 9.5, 1]]


def test_one_wrong_cell_does_not_take_its_column_out_of_the_vector(tmp_path):
    (tmp_path / "a.csv").write_text("id,a,b,c\nx,1,2,3\ny,4,oops,6\nz,7,8,9\nw,1,2,4\n")
    with pytest.raises(InputError, match=r'a.csv b: got "oops" in row 1; wanted a number in each row'):
        load_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("id,a,b,c\nx,1,2,3\ny,4,NA,6\nz,7,8,9\n")
    assert np.isnan(load_table(tmp_path / "a.csv").rows[1, 1])
    (tmp_path / "a.csv").write_text("id,a,b,label\nx,1,2,3\ny,4,5,6\n")
    with pytest.raises(InputError, match="3 columns of numbers, label among them"):
        load_table(tmp_path / "a.csv")


def test_a_quote_that_is_never_closed_swallows_no_line(tmp_path):
    (tmp_path / "a.csv").write_text('id,a,b\nx,1,2\n"y,3,4\nz,5,6\n')
    with pytest.raises(InputError, match="a truncated or damaged table of text"):
        load_table(tmp_path / "a.csv")


def test_data_frames(tmp_path):
    import pandas
    import polars

    listed = pandas.DataFrame({"id": IDS, "e": list(ROWS)})
    wide = pandas.DataFrame(ROWS, columns=[f"f{i}" for i in range(4)], index=IDS)
    for source in (
        listed,
        listed.set_index("id"),
        wide,
        polars.from_pandas(listed),
        frame(e=lists()),
        polars.DataFrame({"id": IDS, "e": ROWS}),
        pandas.DataFrame({"id": pandas.Categorical(IDS), "e": list(ROWS)}),
    ):
        table = Table.from_frame(source, name="image")
        np.testing.assert_array_equal(np.asarray(table.rows, np.float32), ROWS)
        assert table.ids.tolist() == IDS
    with pytest.raises(InputError, match='key: got "f".*Did you mean "e"|Known'):
        Table.from_frame(listed, key="f")
    wide.to_parquet(tmp_path / "a.parquet")
    assert load_table(tmp_path / "a.parquet").ids.tolist() == IDS  # pandas' own index
