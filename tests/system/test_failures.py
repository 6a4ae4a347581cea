"""Whatever goes wrong: one sentence, an exit code that is true, and no traceback."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import tempfile
import zipfile
import zlib

import numpy as np
import pytest

from gera_jax import api, checks
from gera_jax.cli import main


def of_number(number: int) -> OSError:
    return OSError(number, os.strerror(number), "some/path")


FORESEEN = [
    *(
        of_number(number)
        for number in (
            errno.ENOENT,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOSPC,
            errno.EDQUOT,
            errno.ENAMETOOLONG,
            errno.EMFILE,
            errno.EIO,
            errno.ELOOP,
        )
    ),
    zipfile.BadZipFile("Bad magic number"),
    zlib.error("incorrect header check"),
    json.JSONDecodeError("Expecting value", "", 0),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    EOFError("Compressed file ended"),
    MemoryError(),
    RecursionError("deep"),
    ImportError("No module named 'faiss'", name="faiss"),
    ValueError("embedded null byte"),
    RuntimeError("Could not determine home directory."),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
    RuntimeError("Unable to initialize backend 'cuda': none"),
    checks.InputError("x", got=1, wanted="2"),
]


@pytest.fixture
def raising(monkeypatch, tmp_path):
    """`gera-jax data list` with an exception of choice in it; details of bugs go into a folder of the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def arrange(error: BaseException) -> list[str]:
        def act():
            raise error

        monkeypatch.setattr(api, "data_list", act)
        return ["data", "list"]

    return arrange


@pytest.mark.parametrize("error", FORESEEN, ids=lambda e: f"{type(e).__name__}-{getattr(e, 'errno', '')}")
def test_what_can_be_foreseen_is_a_sentence_and_two(error, raising, capsys, tmp_path):
    argv = raising(error)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (
        err.startswith("gera-jax: ")
        and err.count("\n") == 1
        and "Traceback" not in err
        and out == ""
        and not list(tmp_path.iterdir())
    )
    assert "some/path" in err or not isinstance(error, OSError)
    assert main([*argv, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: __import__("pyarrow.parquet").parquet.read_table(folder / "file"),
        lambda folder: __import__("h5py").File(folder / "file"),
        lambda folder: __import__("safetensors").safe_open(folder / "file", framework="np"),
        lambda folder: zipfile.ZipFile(folder / "file"),
    ],
    ids=["pyarrow", "h5py", "safetensors", "zipfile"],
)
def test_faults_of_readers_are_about_their_file(make, raising, capsys, tmp_path):
    (tmp_path / "file").write_bytes(b"\x07" * 200)
    with pytest.raises(Exception) as found:
        make(tmp_path)
    assert main(raising(found.value)) == 2
    assert "damaged" in capsys.readouterr().err or isinstance(found.value, OSError)


@pytest.mark.parametrize(
    ("error", "code"), [(checks.RunError("stopped"), 1), (KeyboardInterrupt(), 1), (BrokenPipeError(32, "Broken pipe"), 1)]
)
def test_a_run_that_did_not_end_is_one(error, code, raising, capsys):
    assert main(raising(error)) == code
    assert capsys.readouterr().err.startswith("gera-jax: ")


def test_a_bug_of_ours_is_called_so_and_its_details_are_kept(raising, capsys, tmp_path):
    assert main(raising(AssertionError("lost in the middle\nof it"))) == 3
    err = capsys.readouterr().err
    (details,) = tmp_path.glob("gera-jax-*.txt")
    assert err.count("\n") == 1 and "bug of gera_jax" in err and str(details) in err
    assert "Traceback" in details.read_text() and "lost in the middle" in details.read_text() and "numpy" in details.read_text()
    assert main([*raising(KeyError("k")), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["code"] == 3


def test_signs_that_a_stream_cannot_show_stop_nothing(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(api, "data_list", lambda: [dict(name="a ± 1 \udcff é", modalities=["x"])])
    assert main(["data", "list"]) == 0
    assert raw.getvalue().startswith(b"a +- 1 \xff \\xe9")


@contextlib.contextmanager
def nobody_reads():
    """The output goes into a pipe whose other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, contextlib.redirect_stdout(stream):
        yield


def test_a_reader_that_is_gone_does_no_harm_after_the_work():
    with nobody_reads():
        assert main(["data", "list"]) == 0


def test_a_reader_that_is_gone_before_the_work_is_done_is_no_success(monkeypatch):
    monkeypatch.setattr(api, "data_list", lambda: print("progress", flush=True))
    with nobody_reads():
        assert main(["data", "list"]) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the device is of Linux")
def test_a_result_that_cannot_be_printed_is_no_success(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["data", "list"]) == 2
        assert "the work is done, but its result cannot be printed: No space left" in capsys.readouterr().err


def test_usage_faults_are_no_exceptions(capsys):
    for argv in (["check", "--config.data.pairs"], ["evaluate", "--workdir", "w", "--config.seed=1"], ["nope"]):
        assert main(argv) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_without_a_home_there_is_no_cache(monkeypatch):
    import jax

    def home():
        raise RuntimeError("Could not determine home directory.")

    before = jax.config.jax_compilation_cache_dir
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(api.Path, "home", home)
    api.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


def test_folders_that_cannot_be(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.float32))
    (tmp_path / "file").write_text("")
    for argv, words in (
        (["data", "build", f"{tmp_path}/x.npy", f"{tmp_path}/file/built"], "Not a directory"),
        (["data", "show", f"{tmp_path}/{'n' * 300}.npy"], "File name too long"),
        (["check", "--config", f"{tmp_path}/{'n' * 300}.json"], "File name too long"),
        (["train", "--workdir", f"{tmp_path}/file", "--config", "gera:source=sphere,pairs=48,smoke"], "file"),
        (["evaluate", "--workdir", f"{tmp_path}/file"], "without run.json"),
        (["train", "--workdir", "", "--config", "gera:source=sphere,pairs=48,smoke"], "--output: got nothing"),
        (["fit", "--method", "asif", "--data", "clipart", "--output", ""], "--output: got nothing"),
        (["check", "--pairs", "-5"], "data.pairs: got -5; wanted at least 0"),
        (["check", "--pairs", "\u00b2"], 'got "\u00b2"'),
    ):
        assert main(argv) == 2, argv
        err = capsys.readouterr().err
        assert words in err and "Traceback" not in err, err
