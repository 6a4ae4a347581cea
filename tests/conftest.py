"""Test session settings: eight virtual CPU devices, strict promotion, a compilation cache. Runs before JAX is imported."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

MOST_MAPS = 20_000
ROOT = Path(__file__).resolve().parent.parent

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
# The suite is compile-bound: a second run reads what the first one compiled (a folder for each worker: JAX does not write
# entries atomically), and little programs run once need no optimised code. Both variables win where they are set: .ci/run
# repeats the values of the losses with the code that users run.
CACHE = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", ROOT / ".cache" / "xla")) / os.environ.get("PYTEST_XDIST_WORKER", "")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
if "PYTEST_XDIST_WORKER" in os.environ:  # a worker has a core: threads of BLAS would wait for those of the other worker
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

if "jax" in sys.modules:  # a plugin was quicker: the environment is read at import only
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

if str(ROOT) not in sys.path:  # tests import tests.oracles, tests.contracts and configs
    sys.path.insert(0, str(ROOT))


def pytest_configure(config):
    """A cache entry that two processes write at once is recompiled; that must not fail a test."""
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache")
    config.pluginmanager.register(FewPrograms())  # as a plugin it sees the docstrings in gera_jax too


class FewPrograms:
    """Drops compiled programs between files. Linux lets a process map 65,530 regions; every program takes some, and a worker died of it."""

    def pytest_runtest_teardown(self, item, nextitem):
        maps = Path("/proc/self/maps")
        if (nextitem is None or nextitem.path != item.path) and maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
            import jax

            jax.clear_caches()
            gc.collect()
