"""Files are whole or absent, one flipped bit is found, and a folder has one writer that a dead process is not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from gera_jax import checks, files

ARRAYS = {"rows": np.arange(12, dtype=np.float32).reshape(3, 4), "model/tree": np.array('{"a": 1}'), "none": np.zeros((0, 2))}


def flips(data: bytes, step: int = 1):
    for bit in range(0, 8 * len(data), step):
        altered = bytearray(data)
        altered[bit // 8] ^= 1 << bit % 8
        yield bytes(altered)


def test_npz_comes_back_and_numpy_reads_it(tmp_path):
    files.save_npz(tmp_path / "a.npz", ARRAYS)
    again = files.load_npz(tmp_path / "a.npz")
    assert {name: (a.dtype, a.tolist()) for name, a in again.items()} == {n: (a.dtype, a.tolist()) for n, a in ARRAYS.items()}
    with np.load(tmp_path / "a.npz") as plain:
        assert sorted(plain) == sorted(ARRAYS)


def test_every_flipped_bit_of_an_npz_is_found(tmp_path):
    path = tmp_path / "a.npz"
    files.save_npz(path, {"a": np.arange(2, dtype=np.int8)})
    silent = 0
    for altered in flips(path.read_bytes(), step=7):  # every bit of a byte in turn
        path.write_bytes(altered)
        try:
            files.load_npz(path)
            silent += 1
        except files.DamagedError:
            pass
    assert silent == 0


@pytest.mark.parametrize("cut", [0, 1, 30, -1])
def test_a_cut_npz_is_found(tmp_path, cut):
    path = tmp_path / "a.npz"
    files.save_npz(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(files.DamagedError, match="digest"):
        files.load_npz(path)


def test_an_npz_without_a_digest_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    with pytest.raises(files.DamagedError, match="no digest"):
        files.load_npz(tmp_path / "a.npz")


def test_every_flipped_bit_of_json_is_found(tmp_path):
    content = {"step": 3, "loss": 0.1, "names": ["x", "ü"], "nan": float("nan")}
    files.write_json(tmp_path / "a.json", content)
    again = files.read_json(tmp_path / "a.json")
    assert again.pop("nan") != content.pop("nan")
    assert again == content
    text = (tmp_path / "a.json").read_bytes()
    line = files.json_line(content).encode()
    for read, data in ((files._unsealed, text), (lambda d, indent: files.parse_json_line(d), line)):
        for altered in flips(data.rstrip(b"\n")):
            with pytest.raises(ValueError):
                read(altered, indent=2)


def test_what_python_writes_as_something_else_comes_back_as_json(tmp_path):
    files.write_json(tmp_path / "a.json", {"shape": (2, 3), "n": np.int64(4), 5: np.arange(2)})
    assert files.read_json(tmp_path / "a.json") == {"shape": [2, 3], "n": 4, "5": [0, 1]}


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    files.write_text(tmp_path / "a.txt", "old")

    def fail():
        with files.replacing(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="space"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_what_a_killed_writer_left_is_removed(tmp_path):
    code = "import sys, os, signal\nfrom gera_jax import files\nwith files.replacing(sys.argv[1]) as p:\n  p.write_text('half')\n  os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a[1].txt")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    files.write_text(tmp_path / "a[1].txt", "whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a[1].txt"]


def test_a_dead_process_holds_no_folder(tmp_path):
    code = (
        "import sys, time\nfrom gera_jax import files\nwith files.one_writer(sys.argv[1]):\n"
        "  print('held', flush=True)\n  time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(checks.InputError, match=f"process {holder.pid} on"), files.one_writer(tmp_path):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with files.one_writer(tmp_path):
        assert str(os.getpid()) in (tmp_path / files.LOCK).read_text()


def test_a_link_stays_and_a_device_or_folder_is_no_file(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "far" / "b.txt")
    files.write_text(tmp_path / "a.txt", "whole")
    assert (tmp_path / "a.txt").is_symlink() and (tmp_path / "far" / "b.txt").read_text() == "whole"
    os.mkfifo(tmp_path / "pipe")  # as little a file as /dev/null, which a rename would replace for everyone
    for path in (tmp_path / "pipe", tmp_path / "far"):
        with pytest.raises(checks.InputError, match="got something that is no file"):
            files.write_text(path, "whole")


def test_the_partial_file_of_another_machine_stays(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, files.replacing(tmp_path / "a.txt") as here:
        patch.setattr(files, "HOST", "elsewhere")
        patch.setattr(files, "_alive", lambda pid: False)  # the same number may be free there
        files.write_text(tmp_path / "a.txt", "theirs")
        here.write_text("ours")
    assert (tmp_path / "a.txt").read_text() == "ours"


def test_threads_that_write_one_file_do_not_share_a_partial_one(tmp_path):
    with files.replacing(tmp_path / "a.txt") as first, files.replacing(tmp_path / "a.txt") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "a.txt").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_with_words_crosses_processes():
    error = pickle.loads(pickle.dumps(files.DamagedError("a.npz", got=np.int64(3), wanted="4", remedy="Copy it.")))
    assert type(error) is files.DamagedError
    assert str(error) == "a.npz: got 3; wanted 4. Copy it."
    assert error.remedy == "Copy it."
