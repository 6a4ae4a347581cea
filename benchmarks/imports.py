"""CPU seconds that an import takes in a fresh process, and which heavy packages it loads; the median of several processes.

python -m benchmarks.imports
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

HEAVY = ("numpy", "scipy", "scipy.optimize", "jax", "flax", "optax", "orbax", "ml_collections", "matplotlib")
LINES = (
    "import jax",
    "import gera_jax",
    "import gera_jax.config",
    "import gera_jax.data",
    "import gera_jax.solvers",
    "import gera_jax.evaluation",
    "import gera_jax.losses",
    "from gera_jax import Aligner",
    "import gera_jax.training",
    "from gera_jax import cli; cli.main(['--help'])",
)
CODE = """
import contextlib, io, json, sys, time
with contextlib.redirect_stdout(io.StringIO()):
    began = time.process_time()
    {line}
    spent = time.process_time() - began
print(json.dumps([spent, [name for name in {heavy!r} if name in sys.modules]]))
"""


def measure(line: str, *, repeats: int = 5) -> tuple[float, list[str]]:
    """Median CPU seconds of a line and the heavy packages that it loads."""
    found = []
    for _ in range(repeats):
        code = CODE.format(line=line, heavy=HEAVY)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return statistics.median(spent for spent, _ in found), found[0][1]


def main() -> None:
    for line in LINES:
        spent, loaded = measure(line)
        print(f"{line:<50} {spent:5.2f} s  {', '.join(loaded)}", flush=True)


if __name__ == "__main__":
    main()
