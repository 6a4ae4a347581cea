"""Two processes of two devices each end with the parameters of one, and neither waits for one that is gone."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from gera_jax import training

SCRIPT = """
import sys
import jax, numpy as np
port, count, number, target, *modes = sys.argv[1:]
if int(count) > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=int(count), process_id=int(number))
from gera_jax import training
from tests.training.helpers import small_config
for mode in modes:
    experiment = training.build(small_config(parallel=mode))
    state = experiment.init_state()
    for step in range(6):
        state, metrics = experiment.train_step(state, experiment.batch(step))
    local = [np.asarray(leaf.addressable_data(0)) for leaf in jax.tree.leaves(state.params)]
    if int(number) == 0:
        np.savez(f"{target}/{mode}.npz", *local)
"""


TRAIN = """
import sys
import jax
port, number, workdir = sys.argv[1:]
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=int(number))
from gera_jax import training
from tests.training.helpers import small_config
training.train(small_config("contrastive", parallel="pmap", total_steps=10**6), workdir)
"""


def launch(script, *arguments):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], env=environment, stderr=subprocess.PIPE, text=True
    )


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def parameters(folder, count, *modes):
    """Parameters after six steps in each mode."""
    port = free_port()
    processes = [launch(SCRIPT, port, count, i, folder, *modes) for i in range(count)]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in processes:
            process.kill()
    return [list(np.load(folder / f"{mode}.npz").values()) for mode in modes]


@pytest.mark.parametrize("lost", [0, 1])
def test_when_one_of_two_processes_dies_the_other_ends_in_words(tmp_path, lost):
    port = free_port()
    processes = [launch(TRAIN, port, number, tmp_path / "run") for number in range(2)]
    try:
        for _ in range(1200):
            if any(path.name.isdigit() for path in (tmp_path / "run" / "checkpoints").glob("*")):
                break
            time.sleep(0.1)
            assert all(process.poll() is None for process in processes)
        processes[lost].kill()
        _, errors = processes[1 - lost].communicate(timeout=60)  # JAX alone takes more than 90 seconds
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert f"process {lost} of 2 is gone" in errors and "go on from the newest checkpoint" in errors, errors[-2000:]
    assert processes[1 - lost].returncode == 1
    assert int(training.load_run(tmp_path / "run").state.step) > 0


def test_two_processes_agree_with_one(tmp_path):
    (one,) = parameters(tmp_path, 1, "jit")
    for two in parameters(tmp_path, 2, "pmap", "shard_map"):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
