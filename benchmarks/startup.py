"""Import time of gera_jax, and time from command to first step with a warm compilation cache; medians of fresh processes.

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST_STEP = """
import sys, time
from gera_jax import api
from gera_jax import config, training
api.use_compilation_cache()
def first(step, state, metrics):
    if step >= 1:
        print(time.time()); sys.stdout.flush(); import os; os._exit(0)
c = config.load("gera:pairs=1000"); c.log_every_steps = 1
training.train(c, sys.argv[1], hooks=[first])
"""


def seconds(*command: str, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        began = time.time()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.time() - began)
    return statistics.median(times)


def first_step(repeats: int = 4) -> list[float]:
    times = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            began = time.time()
            done = subprocess.run([sys.executable, "-c", FIRST_STEP, str(Path(folder) / "run")], capture_output=True, text=True)
            times.append(float(done.stdout.splitlines()[-1]) - began)
    return times


def main() -> None:
    bare = seconds("-c", "pass")
    cold_or_warm, *warm = first_step()
    print(
        json.dumps(
            dict(
                interpreter=round(bare, 3),
                import_gera_jax=round(seconds("-c", "import gera_jax") - bare, 3),
                import_losses=round(seconds("-c", "import gera_jax.losses") - bare, 3),
                import_training=round(seconds("-c", "import gera_jax.training") - bare, 3),
                first_run_to_first_step=round(cold_or_warm, 2),
                warm_command_to_first_step=round(statistics.median(warm), 2),
            ),
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
