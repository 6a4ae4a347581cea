"""One step on one device or on many, and several processes of one run.

The first process owns the folder, all begin with its state, and none waits for one that is gone. JAX finds a lost process after
100 seconds of silence and then aborts the others in C++. Here each process holds a connection to the first, which the operating
system closes when either ends, however it ends.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gera_jax import checks

AXIS = "devices"
MODES = ("auto", "jit", "pmap", "shard_map")


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How `step(state, batch, axis_name)` is compiled.

    A batch has a leading axis of shards, one for each device of this process; the state is the same on all devices.
    `jit` runs on one device; `pmap` and `shard_map` on all of them, with the same result.
    """

    mode: str

    @classmethod
    def choose(cls, mode: str) -> Parallel:
        """`auto` is plain jit on one device and pmap on several."""
        checks.require_known(mode, MODES, "parallel")
        if mode == "auto":
            mode = "jit" if jax.device_count() == 1 else "pmap"
        wanted = '"pmap" or "shard_map"'
        checks.require(mode != "jit" or jax.process_count() == 1, "parallel", got='"jit" with several processes', wanted=wanted)
        return cls(mode)

    @property
    def shards(self) -> int:
        return 1 if self.mode == "jit" else jax.device_count()

    @property
    def local_shards(self) -> range:
        if self.mode == "jit":
            return range(1)
        first = jax.process_index() * jax.local_device_count()
        return range(first, first + jax.local_device_count())

    def wrap(self, step: Callable) -> Callable[[Any, dict[str, np.ndarray]], Any]:
        """`step` as a compiled function of the state and a batch of NumPy arrays [local shards, ...]."""
        if self.mode == "jit":
            compiled = jax.jit(step)
            return lambda state, batch: compiled(state, {name: value[0] for name, value in batch.items()})
        if self.mode == "pmap":
            return jax.pmap(lambda state, batch: step(state, batch, AXIS), axis_name=AXIS, in_axes=(None, 0), out_axes=None)
        mesh = jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))
        everywhere, split = PartitionSpec(), PartitionSpec(AXIS)

        def local(state, batch):
            return step(state, {name: value[0] for name, value in batch.items()}, AXIS)

        compiled = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(everywhere, split), out_specs=everywhere, check_vma=False))
        sharding = NamedSharding(mesh, split)

        def run(state, batch):
            place = jax.make_array_from_process_local_data
            return compiled(state, {name: place(sharding, value) for name, value in batch.items()})

        return run


logger = logging.getLogger("gera_jax")

BEAT, SILENCE, PATIENCE = 1.0, 40.0, 20.0  # seconds: between signs of life, until silence is loss, for connecting
DONE, FAILED = "done", "failed "


def is_first() -> bool:
    """Whether this process owns the folder of the run."""
    return jax.process_index() == 0


def suffix() -> str:
    """What tells the files of several processes apart."""
    return f"_process_{jax.process_index()}" if jax.process_count() > 1 else ""


def from_first(tree: Any) -> Any:
    """The first process's values of a tree of arrays, which has the same shapes on all."""
    if jax.process_count() == 1:
        return tree
    from jax.experimental import multihost_utils

    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def text_from_first(text: str, *, length: int = 4096) -> str:
    """The first process's text of at most `length` bytes."""
    data = text.encode().ljust(length)
    return bytes(from_first(np.frombuffer(data, np.uint8))).decode().rstrip()


class Watch:
    """While the block runs, a process that loses another ends as well: in words, with exit code 1, within `SILENCE` seconds.

    It ends by `os._exit`, since no exception reaches a thread that waits in a collective operation for the lost process.

    Args:
      finish: called before that; returns what is saved, as a sentence.
    """

    def __init__(self, finish: Callable[[], str]):
        self._finish = finish
        self._peers: dict[int, socket.socket] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        if jax.process_count() > 1:
            self._connect()
            self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if self._thread is None:
            return
        if isinstance(error, Exception) and not isinstance(error, checks.RunError | checks.InputError):
            self._thread.join(5 * BEAT)  # if the cause is a lost process, the watch ends this one in its own words
        self._over.set()
        self._tell(DONE if error is None else f"{FAILED}{type(error).__name__}: {error}")
        self._thread.join(2 * BEAT)
        for peer in self._peers.values():
            peer.close()

    def _connect(self) -> None:
        me, count = jax.process_index(), jax.process_count()
        listener = socket.create_server(("", 0)) if me == 0 else None
        address = dict(hosts=_own_hosts(), port=listener.getsockname()[1], word=os.urandom(16).hex()) if listener else {}
        address = json.loads(text_from_first(json.dumps(address)))
        if listener is None:
            peer = _call(**address, me=me)
            self._peers = {} if peer is None else {0: peer}
            return
        listener.settimeout(PATIENCE)
        with listener:
            try:
                while len(self._peers) < count - 1:
                    peer, _ = listener.accept()
                    peer.settimeout(PATIENCE)
                    word, _, number = peer.makefile(errors="replace").readline(100).partition(" ")
                    if word == address["word"]:
                        self._peers[int(number)] = peer
            except OSError:
                missing = sorted({*range(1, count)} - {*self._peers})
                logger.warning("processes %s cannot be watched: if one is lost, JAX finds it later, in its own words", missing)

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            heard = dict.fromkeys(self._peers, time.monotonic())
            for number, peer in self._peers.items():
                peer.settimeout(BEAT)
                selector.register(peer, selectors.EVENT_READ, number)
            while heard and not self._over.is_set():
                self._tell("alive")
                for key, _ in selector.select(BEAT):
                    number, words = key.data, _receive(self._peers[key.data])
                    heard[number] = time.monotonic()
                    if not words:
                        self._end(number, "its connection closed")
                    elif DONE in words:
                        selector.unregister(key.fileobj)
                        del heard[number]
                    elif failed := [word for word in words if word.startswith(FAILED)]:
                        self._end(number, failed[0].removeprefix(FAILED))
                for number, last in heard.items():
                    if time.monotonic() - last > SILENCE:
                        self._end(number, f"nothing was heard from it for {SILENCE:.0f} seconds")

    def _end(self, number: int, why: str) -> None:
        if self._over.is_set():
            return
        words = f"process {number} of {jax.process_count()} is gone ({why}): this process, {jax.process_index()}, ends as well. "
        logger.error("%s", words + "Start all processes again with the same command: they go on from the newest checkpoint.")
        self._tell(f"{FAILED}{words}")
        try:
            logger.error("%s", self._finish())
            logging.shutdown()
        finally:  # whatever else goes wrong now, such as a full disk
            os._exit(1)

    def _tell(self, word: str) -> None:
        for peer in self._peers.values():
            try:
                peer.sendall((" ".join(word.split())[:1000] + "\n").encode())
            except OSError:  # the one who reads there is gone; the watch will see it
                continue


def _receive(peer: socket.socket) -> list[str]:
    try:
        return peer.recv(65536).decode(errors="replace").splitlines()
    except OSError:
        return []


def _call(hosts: list[str], port: int, word: str, me: int) -> socket.socket | None:
    for host in hosts:
        try:
            peer = socket.create_connection((host, port), timeout=PATIENCE / len(hosts))
            peer.sendall(f"{word} {me}\n".encode())
            return peer
        except OSError:
            continue
    logger.warning("process %d cannot watch process 0 at %s, port %d", me, ", ".join(hosts), port)
    return None


def _own_hosts() -> list[str]:
    """Names under which other machines, or processes of this one, may find this machine."""
    hosts = [socket.gethostname()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it asks which interface leads outside
            hosts.insert(0, probe.getsockname()[0])
        except OSError:
            pass
    return [*hosts, "127.0.0.1"]
