"""Jobs in several processes: they end when their parent ends, and one that is killed takes no other job along."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, NamedTuple

from gera_jax.checks import RunError

TRIES = 2  # a job whose process dies is tried once more; what kills two processes is the job itself


class Lost(NamedTuple):
    """In place of a job's result: each process that tried it died."""

    exitcode: int | None

    def __str__(self) -> str:
        how = f"signal {-self.exitcode}" if self.exitcode and self.exitcode < 0 else f"exit code {self.exitcode}"
        return f"its process died {TRIES} times ({how}); was there memory enough?"


class _Done(NamedTuple):
    result: Any


class _Broken(NamedTuple):
    words: str


@dataclasses.dataclass
class _Worker:
    process: Any
    pipe: connection.Connection
    slot: int
    job: int | None = None


def each(
    jobs: Sequence[Any], begin: Callable[..., Callable[[Any], Any]], *arguments: Any, processes: int
) -> Iterator[tuple[int, Any]]:
    """Results of the jobs as they come, each with the job's number.

    Args:
      jobs: what a worker gets, one at a time; picklable.
      begin: a module's function, called once in each process as `begin(*arguments, slot)`; what it returns does the jobs.
      processes: how many; `slot` counts them from 0, and the process in place of a dead one has its slot.

    Yields:
      (number of the job, its result), or (number, `Lost`) where its process died twice.

    Raises:
      RunError: no process starts.
      RuntimeError: a job raised; the message is its traceback.
    """
    context = multiprocessing.get_context("spawn")
    waiting, tries = collections.deque(range(len(jobs))), [0] * len(jobs)
    workers: dict[connection.Connection, _Worker] = {}
    packed = pickle.dumps((begin, arguments))  # unpacked, with seconds of imports, by a process that ends with this one already
    failed_starts = 0

    def hire(slot: int) -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, packed, slot), daemon=True)
        process.start()
        theirs.close()  # else its death would not close the pipe
        workers[ours] = _Worker(process, ours, slot)

    def let_go(worker: _Worker) -> None:
        del workers[worker.pipe]
        worker.process.kill()  # dead already, or waiting for a job
        worker.process.join()
        worker.pipe.close()

    def hand_out(worker: _Worker) -> None:
        if not waiting:
            let_go(worker)
            return
        worker.job = waiting.popleft()
        tries[worker.job] += 1
        with contextlib.suppress(OSError):  # it has just died: the next look at its pipe tells
            worker.pipe.send(jobs[worker.job])

    try:
        for slot in range(min(processes, len(jobs))):
            hire(slot)
        while workers:
            for pipe in connection.wait(list(workers)):
                worker = workers[pipe]
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    let_go(worker)
                    job, code = worker.job, worker.process.exitcode
                    if job is None:
                        failed_starts += 1
                        if failed_starts > TRIES * processes:
                            raise RunError(
                                f"jobs: {failed_starts} processes died before their first job (exit code {code}). "
                                'A script needs `if __name__ == "__main__":` around the call; or use jobs=1.'
                            ) from None
                    elif tries[job] < TRIES:
                        waiting.appendleft(job)
                    else:
                        yield job, Lost(code)
                    if waiting:
                        hire(worker.slot)
                    continue
                if isinstance(message, _Broken):
                    raise RuntimeError(message.words)
                if isinstance(message, _Done):
                    job, worker.job = worker.job, None
                    hand_out(worker)
                    yield job, message.result
                else:
                    hand_out(worker)
    finally:
        for worker in list(workers.values()):
            let_go(worker)


def _serve(pipe: connection.Connection, packed: bytes, slot: int) -> None:
    """A worker: says that it is there, then does jobs until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt from the keyboard reaches the parent too, which ends this
    end_with_parent()
    message = None
    try:
        begin, arguments = pickle.loads(packed)
        work = begin(*arguments, slot)
        while True:
            pipe.send(message)
            message = _Done(work(pipe.recv()))
    except Exception:
        with contextlib.suppress(OSError):  # the parent is gone
            pipe.send(_Broken(traceback.format_exc()))


def end_with_parent() -> None:
    """End this process as soon as the one that started it ends, however that comes about."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # at once, even in the middle of a long call that holds the interpreter
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
