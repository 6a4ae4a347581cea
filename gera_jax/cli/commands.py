"""What the command line does, as Python functions of the same names."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gera_jax import checks
from gera_jax import config as config_lib

if TYPE_CHECKING:
    import numpy as np

    from gera_jax.comparison.results import QuickstartResults
    from gera_jax.training import TrainResult


def use_compilation_cache() -> None:
    """Keep compiled programs between runs (JAX_COMPILATION_CACHE_DIR, or a folder of the user's cache)."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(home / "gera_jax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def train(config: Any = "gera", workdir: str | Path | None = None, *, overrides: Mapping[str, str] | None = None,
          progress: bool = False, tables: tuple | None = None) -> TrainResult:
    """Train a config.

    Args:
      config: name, `name:arg=value,...`, path of a `.py` or `.json`, or a ConfigDict.
      workdir: folder of the run; None keeps it in memory. The same call again goes on where a killed run stopped.
      overrides: dotted field -> text of the value.
      progress: a line with the time left, on the error stream.
      tables: two `gera_jax.data.Table`s for `data.source = "arrays"`.

    Returns:
      the run: `.evaluate()`, `.project(name, features)`, `.history`, `.params`.
    """
    use_compilation_cache()
    from gera_jax import training
    from gera_jax.training.hooks import progress_hook, tensorboard_hook

    settings = config_lib.load(config, overrides)
    hooks = [hook for hook in (progress_hook(settings) if progress else None,
                               tensorboard_hook(settings, workdir) if workdir else None) if hook]
    with checks.disk_room(workdir), contextlib.ExitStack() as closing:
        for hook in hooks:
            closing.callback(hook.close)
        return training.train(settings, workdir, tables=tables, hooks=hooks)


def evaluate(workdir: str | Path, *, split: str = "test") -> dict[str, float]:
    """Metrics of a run's best parameters on its validation or test rows: retrieval, FOSCTTM, neighbourhoods kept."""
    use_compilation_cache()
    from gera_jax.training import load_run

    return load_run(workdir).evaluate(split)


def embed(workdir: str | Path, modality: str, source: Any, *, key: str = "", output: str | Path | None = None) -> np.ndarray:
    """Project new rows into a run's joint space.

    Args:
      workdir: folder of the run.
      modality: which head, by name.
      source: a file of raw embeddings (as in training), or an array [n, d].
      key: the array's name in an .npz, .safetensors or .parquet.
      output: where to save the result as .npy.

    Returns:
      float32 [n, dim], rows of length 1.
    """
    use_compilation_cache()
    import numpy as np

    from gera_jax.data import load_table
    from gera_jax.estimators import Aligner
    from gera_jax.training import load_run

    model = Aligner.load(workdir) if (Path(workdir) / "aligner.npz").is_file() else load_run(workdir)
    rows = load_table(source, key=key or None, name=modality).rows if isinstance(source, str | Path) else np.asarray(source)
    z = model.embed(modality, rows)
    if output is not None:
        np.save(output, z)
    return z


def check(config: Any = "gera", *, overrides: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Look at a config and at the headers of its files, and read no row: what would run, or the first thing that is wrong.

    Returns:
      dict of `tables` (shape of each modality), `steps`, and the table of `terms`.
    """
    from gera_jax.training.preflight import preflight

    return preflight(config_lib.load(config, overrides))


def data_list() -> list[dict[str, Any]]:
    """The bundled sets and their modalities."""
    from gera_jax.data import catalog

    return [dict(name=name, modalities=list(catalog.info(name).names)) for name in catalog.names()]


def data_show(source: str, *, key: str = "") -> dict[str, Any]:
    """What a bundled set or a file holds: counts, widths, and every fault that validation finds."""
    from gera_jax.data import catalog, load_table, validate_table

    tables = catalog.load(source) if source in catalog.names() else (load_table(source, key=key or None),)
    found = {}
    for table in tables:
        report = validate_table(table, raise_errors=False)
        found[table.name] = dict(rows=len(table.rows), width=int(table.rows.shape[1]), dtype=str(table.rows.dtype),
                                 first_ids=[str(i) for i in table.ids[:3]], counts=report.counts, errors=report.errors,
                                 warnings=report.warnings)
    return found


def data_build(source: str, output: str | Path, *, key: str = "") -> list[str]:
    """Write each table of `source` as a TFDS `array_record` data set in `output`, ids included.

    Returns:
      paths; `load_table(path)` gives a table back exactly.
    """
    from gera_jax.data import builder, catalog, load_table

    tables = catalog.load(source) if source in catalog.names() else (load_table(source, key=key or None),)
    return [str(builder.build_dataset(table, output)) for table in tables]


def quickstart(output: str | Path = "quickstart", *, source: str = "clipart", pairs: tuple[int, ...] = (100, 300, 1000),
               progress: bool = True, smoke: bool = False) -> QuickstartResults:
    """The main job on a bundled set: GeRA and its contrastive twin from two starts beside the closed forms; table and report."""
    use_compilation_cache()
    checks.require(len(pairs) > 0, "pairs", got="none", wanted="at least one number of pairs")
    from gera_jax.comparison.quickstart import run_quickstart

    return run_quickstart(Path(output), source=source, pairs=pairs, progress=progress, smoke=smoke)
