"""What the command line does, as Python functions of the same names."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gera_jax import checks
from gera_jax import config as config_lib

if TYPE_CHECKING:
    import numpy as np
    from ml_collections import ConfigDict

    from gera_jax.aligners.doors import FitResult
    from gera_jax.comparison.outcome import Comparison
    from gera_jax.training import TrainResult


logger = logging.getLogger("gera_jax")


def use_compilation_cache() -> None:
    """Keep compiled programs between runs: in JAX_COMPILATION_CACHE_DIR, or in the user's cache where that can be written."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        try:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gera_jax" / "xla"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # a user id without a home, or one that may not be written: then without a cache
            return
        if not os.access(folder, os.W_OK):
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def configure(
    config: Any = "gera",
    overrides: Mapping[str, str] | None = None,
    *,
    x: str = "",
    y: str = "",
    w: str = "",
    x_ids: str = "",
    y_ids: str = "",
    w_ids: str = "",
    pairs: int | str | Path | None = None,
) -> ConfigDict:
    """A config with own data in it.

    Args:
      config: name, `name:arg=value,...`, path of a `.py`, or with nothing but overrides a `.json` or a ConfigDict.
      overrides: dotted field -> text of the value.
      x, y, w: files of embeddings, `FILE` or `FILE:KEY`.
      x_ids, y_ids, w_ids: where their ids are: a column, an array or a file.
      pairs: known pairs to use: how many (0 = all, None = as the config says), or a file of two ids a line, all of them.

    Raises:
      InputError: a config that takes no files, and whatever is wrong with its fields.
    """
    given = {name: value for name, value in dict(x=x, y=y, w=w).items() if value}
    pair_list, pairs = ("", pairs) if pairs is None or isinstance(pairs, int) else (str(pairs), 0)
    arguments = given if pairs is None else {**given, "pairs": pairs}
    if arguments:
        checks.require(
            isinstance(config, str | Path),
            "config",
            got=f"arguments {sorted(arguments)} beside a config in memory",
            wanted="a name or a file of a config",
            remedy="Set its fields: c.data.x.path, c.data.pairs.",
        )
    from gera_jax.aligners.methods import as_config

    made = as_config(config_lib.with_arguments(str(config), **arguments) if arguments else config)
    block = made.data.to_dict()
    for side, text in given.items():
        taken = block.get("source") == "files" and (block[side]["path"], block[side]["key"]) == config_lib.path_and_key(text)
        checks.require(
            taken,
            side,
            got=f"{text}, which {config} does not read",
            wanted="a config that takes files",
            remedy="Let its get_config use gera_jax.config.own_or_catalog, or set the fields: "
            f"--config.data.source=files --config.data.{side}.path=FILE.",
        )
    checks.require(
        pairs is None or block.get("pairs") == pairs,
        "pairs",
        got=f"{pairs}, which {config} does not read",
        wanted="a config that takes it",
        remedy=f"Set the field: --config.data.pairs={pairs}.",
    )
    for side, ids in dict(x=x_ids, y=y_ids, w=w_ids).items():
        if ids:
            checks.require(
                side in given or block.get(side, {}).get("path"),
                f"{side}_ids",
                got=f'"{ids}" without {side}',
                wanted="ids beside the file that they are of",
                remedy=f"Give --{side} FILE too.",
            )
            made.data[side].ids = ids
    if pair_list:
        checks.require(
            block.get("source") == "files",
            "pairs",
            got=f'"{pair_list}" beside the set {block.get("source")}',
            wanted="how many known pairs to use; 0 = all rows whose ids match",
            remedy="Give --x FILE and --y FILE, of which it lists the pairs.",
        )
        made.data.pair_list = pair_list
    return config_lib.load(made, overrides)


def train(
    config: Any = "gera",
    workdir: str | Path | None = None,
    *,
    overrides: Mapping[str, str] | None = None,
    progress: bool = False,
    tables: tuple | None = None,
    **own: Any,
) -> TrainResult | FitResult:
    """Train a config, or fit a method that is none, on the same data and into the same folder.

    Args:
      config: name, `name:arg=value,...`, path of a `.py` or `.json`, or a ConfigDict.
      workdir: folder of the run; None keeps it in memory. The same call again goes on where a killed run stopped.
      overrides: dotted field -> text of the value.
      progress: a line with the time left, on the error stream.
      tables: two `gera_jax.data.Table`s for `data.source = "arrays"`.
      **own: own files x, y, w, their ids x_ids, y_ids, w_ids, and pairs; see `configure`.

    Returns:
      the run: `.evaluate()`, `.project(name, features)`, `.history`, `.params`.
    """
    checks.require(
        workdir is None or not Path(workdir).is_file(),
        "workdir",
        got=f"{workdir}, a file",
        wanted="a folder",
        remedy="Choose another path.",
    )
    use_compilation_cache()
    from gera_jax.aligners import doors

    if tables is None and doors.is_fitted(config):
        return doors.fit_config(config, workdir, overrides=overrides, **own)
    from gera_jax import training
    from gera_jax.training.hooks import progress_hook, tensorboard_hook

    settings = configure(config, overrides, **own)
    hooks = [
        hook
        for hook in (progress_hook(settings) if progress else None, tensorboard_hook(settings, workdir) if workdir else None)
        if hook
    ]
    with checks.disk_room(workdir), contextlib.ExitStack() as closing:
        for hook in hooks:
            closing.callback(hook.close)
        return training.train(settings, workdir, tables=tables, hooks=hooks)


def evaluate(workdir: str | Path, *, split: str = "test", **own: Any) -> Mapping[str, float]:
    """Metrics of a folder's model on the rows that were held out of it, or on rows that are given now.

    Args:
      workdir: a folder of `train`, `fit` or `Aligner.save`.
      split: "test", or "val" of a training run.
      **own: x, y, pairs, x_ids, ... of `load_pairs`: rows that the model was not fitted on.
    """
    use_compilation_cache()
    from gera_jax.aligners import evaluate as evaluate_folder

    return evaluate_folder(workdir, split=split, **own)


def embed(
    workdir: str | Path, modality: str, source: Any, *, key: str = "", ids: str = "", output: str | Path | None = None
) -> np.ndarray:
    """Project new rows into a run's joint space.

    Args:
      workdir: folder of the run, or of a model of `fit`.
      modality: which head, by name.
      source: a file of raw embeddings (as in training), or an array [n, d].
      key: the array's or column's name in a file that holds several.
      ids: where the ids of the rows are: a column, an array or a file.
      output: where to save the result: .npy, .npz or .parquet. Ids that the source has go along; an older file stays until
        the new one is whole.

    Returns:
      float32 [n, dim], rows of length 1.

    Raises:
      InputError: rows of another width, NaN or infinite rows (how many, and the first), or a suffix that cannot be written.
    """
    from gera_jax.cli import vectors

    if output is not None:
        vectors.require_writable(output)
    use_compilation_cache()
    from gera_jax.aligners import load
    from gera_jax.data import as_rows, load_table

    model = load(workdir)
    table = load_table(source, key=key or None, ids_key=ids, name=modality) if isinstance(source, str | Path) else None
    z = model.embed(modality, as_rows(source if table is None else table.rows, f"rows of {modality}"))
    if output is not None:
        vectors.write(output, z, None if table is None or table.numbered else table.ids)
    return z


def check(config: Any = "gera", *, overrides: Mapping[str, str] | None = None, **own: Any) -> dict[str, Any]:
    """Look at a config and at the headers of its files, and read no row: what would run, or the first thing that is wrong.

    Args:
      config, overrides, **own: as in `train`.

    Returns:
      dict of `tables` (shape of each modality), `steps`, and the table of `terms`.
    """
    from gera_jax.training.experiment import preflight

    return preflight(configure(config, overrides, **own))


def data_list() -> list[dict[str, Any]]:
    """The bundled sets and their modalities."""
    from gera_jax.data import catalog

    return [dict(name=name, modalities=list(catalog.info(name).names)) for name in catalog.names()]


def data_show(source: str, *, key: str = "", ids: str = "") -> dict[str, Any]:
    """What a bundled set or a file holds: counts, widths, and every fault that validation finds."""
    from gera_jax.data import catalog, load_table
    from gera_jax.data.validation import validate_table

    tables = catalog.load(source) if source in catalog.names() else (load_table(source, key=key or None, ids_key=ids),)
    found = {}
    for table in tables:
        report = validate_table(table, raise_errors=False)
        found[table.name] = dict(
            rows=len(table.rows),
            width=int(table.rows.shape[1]),
            dtype=str(table.rows.dtype),
            first_ids=[str(i) for i in table.ids[:3]],
            counts=report.counts,
            errors=report.errors,
            warnings=report.warnings,
        )
    return found


def data_build(source: str, output: str | Path, *, key: str = "", ids: str = "") -> list[str]:
    """Write each table of `source` as a TFDS `array_record` data set in `output`, ids included; one that is there already stays.

    Returns:
      paths; `load_table(path)` gives a table back exactly.

    Raises:
      InputError: a data set of other rows is there already.
    """
    from gera_jax.data import builder, catalog, load_table

    tables = catalog.load(source) if source in catalog.names() else (load_table(source, key=key or None, ids_key=ids),)
    return [str(builder.holds(table, output) or builder.build_dataset(table, output)) for table in tables]


def quickstart(
    output: str | Path = "quickstart", *, source: str = "clipart", progress: bool = True, smoke: bool = False
) -> Comparison:
    """`compare` with a preset: `auto`, ridge CCA and the trained systems on a bundled set, with a report.

    Args:
      output: folder of cells, results.json and report.html; the same call goes on where a killed one stopped.
      source: a bundled set of two modalities.
      progress: an estimate of the time and a bar, on the error stream.
      smoke: closed forms alone.
    """
    from gera_jax.cli.comparing import compare

    return compare(source, preset="smoke" if smoke else "quickstart", output=output, progress=progress)
