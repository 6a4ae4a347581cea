"""Processes that end with their parent, by SIGKILL too, and jobs that survive the death of the process that did them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gera_jax import workers
from gera_jax.checks import RunError


def begin(folder, slot):
    return lambda job: job(Path(folder), slot)


class Square:
    def __init__(self, number):
        self.number = number

    def __call__(self, folder, slot):
        return self.number**2


class DieUntil:
    """Kills its own process, as the memory killer does, until it was tried `times` times."""

    def __init__(self, times):
        self.times = times

    def __call__(self, folder, slot):
        tried = folder / f"tried-{self.times}-{len(list(folder.glob(f'tried-{self.times}-*')))}"
        tried.touch()
        if len(list(folder.glob(f"tried-{self.times}-*"))) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"


class Wrong:
    def __call__(self, folder, slot):
        raise OSError("no such disk")


def test_a_killed_process_loses_no_job_and_a_job_that_kills_is_told(tmp_path):
    jobs = [Square(3), DieUntil(1), DieUntil(2), Square(4)]
    found = dict(workers.each(jobs, begin, str(tmp_path), processes=2))
    assert [found[i] for i in (0, 1, 3)] == [9, "lived", 16]
    assert found[2] == workers.Lost(-signal.SIGKILL)
    assert str(found[2]) == "its process died 2 times (signal 9); was there memory enough?"
    assert len(list(tmp_path.glob("tried-2-*"))) == workers.TRIES


def test_a_job_that_raises_ends_the_work_with_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="OSError: no such disk"):
        list(workers.each([Wrong()], begin, str(tmp_path), processes=1))


def dies_at_once(slot):
    os._exit(7)


def test_processes_that_cannot_start_are_told_and_not_tried_for_ever():
    with pytest.raises(RunError, match=r"3 processes died before their first job \(exit code 7\)"):
        list(workers.each([Square(1)], dies_at_once, processes=1))


def death_signal():
    """The signal that this process gets when its parent ends, by the system's word."""
    import ctypes

    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(found))
    return found.value


class Unpacked:
    def __reduce__(self):
        return death_signal, ()


def what_came(argument, slot):
    return lambda job: argument


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a signal at a parent's death")
def test_a_worker_ends_with_its_parent_before_it_imports_what_it_works_with():
    assert list(workers.each([0], what_came, Unpacked(), processes=1)) == [(0, signal.SIGKILL)]


def test_no_worker_outlives_its_consumer(tmp_path):
    pids = []
    for _, pid in workers.each([Pid(), Pid(), Sleep()], begin, str(tmp_path), processes=1):
        pids.append(pid)
        if len(pids) == 2:
            break
    assert pids[0] == pids[1] and gone(pids[0])


class Pid:
    def __call__(self, folder, slot):
        return os.getpid()


class Sleep:
    """A call that holds the interpreter and looks at nothing: only the system can end it."""

    def __call__(self, folder, slot):
        (folder / f"pid-{os.getpid()}").touch()
        time.sleep(600)


PARENT = """
import sys
sys.path.insert(0, {root!r})
from gera_jax import workers
from tests.test_workers import Sleep, begin
if __name__ == "__main__":
    list(workers.each([Sleep(), Sleep()], begin, {folder!r}, processes=2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_leaves_no_workers(tmp_path, number):
    script = tmp_path / "parent.py"
    root = str(Path(__file__).resolve().parent.parent)
    script.write_text(PARENT.format(root=root, folder=str(tmp_path)))
    parent = subprocess.Popen([sys.executable, script])
    try:
        assert until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
        workers = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
        assert not any(gone(pid) for pid in workers)
        parent.send_signal(number)
        parent.wait()
        assert until(lambda: all(gone(pid) for pid in workers))
    finally:
        parent.kill()
        parent.wait()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"  # dead, and not yet collected


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
