"""Two processes of two devices each end with the parameters of one."""

import os
import socket
import subprocess
import sys

import numpy as np

SCRIPT = """
import sys
import jax, numpy as np
mode, port, count, number, target = sys.argv[1:]
if int(count) > 1:
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=int(count), process_id=int(number))
from gera_jax import training
from tests.training.helpers import small_config
experiment = training.build(small_config(parallel=mode))
state = experiment.init_state()
for step in range(6):
    state, metrics = experiment.train_step(state, experiment.batch(step))
local = [np.asarray(leaf.addressable_data(0)) for leaf in jax.tree.leaves(state.params)]
if int(number) == 0:
    np.savez(target, *local)
"""


def parameters(tmp_path, mode, count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = tmp_path / f"{mode}-{count}.npz"
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    processes = [subprocess.Popen([sys.executable, "-c", SCRIPT, mode, str(port), str(count), str(i), str(target)], env=environment,
                                  stderr=subprocess.PIPE, text=True) for i in range(count)]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=180)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in processes:
            process.kill()
    with np.load(target) as arrays:
        return [arrays[name] for name in arrays]


def test_two_processes_agree_with_one(tmp_path):
    one = parameters(tmp_path, "jit", 1)
    for mode in ("pmap", "shard_map"):
        two = parameters(tmp_path, mode, 2)
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
