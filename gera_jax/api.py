"""What can be done, one function for each command of the command line.

Every function takes the data in the same way: a bundled set's name, `Pairs`, or the words of `gera_jax.load_pairs` (x, y, w,
pairs, x_ids, x_unpaired, ...), and beside them the words of the split: val, test, split ("random" or "group") and group_key.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gera_jax import checks
from gera_jax import config as config_lib

if TYPE_CHECKING:
    import numpy as np

    from gera_jax.aligners.aligner import Aligner
    from gera_jax.aligners.doors import FitResult
    from gera_jax.comparison.outcome import Comparison
    from gera_jax.data import Table
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


def check(
    config: Any = "auto",
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    overrides: Mapping[str, str] | None = None,
    **own: Any,
) -> dict[str, Any]:
    """Look at a config and at the headers of its files, and read no row: what would run, or the first thing that is wrong.

    Args:
      as of `train`.

    Returns:
      dict of `tables` (shape of each modality), `steps`, and the table of `terms`.

    >>> check("ridge_cca", data="emoji", pairs=50)["tables"]
    {'image': [1646, 1280], 'text': [1646, 384]}
    """
    from gera_jax.aligners import doors

    opened = doors.configure(config, overrides, data=data, settings=settings, **own)
    if opened.method:
        return doors.check_opened(opened)
    from gera_jax.training.experiment import preflight

    return preflight(opened.config, tables=opened.tables)


def train(
    config: Any = "gera",
    workdir: str | Path | None = None,
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    overrides: Mapping[str, str] | None = None,
    progress: bool = False,
    tables: tuple[Table, ...] | None = None,
    **own: Any,
) -> TrainResult | FitResult:
    """Train a config on the training part of some data, choose its best step on the validation part, and keep a test part.

    Args:
      config: name, `name:arg=value,...`, path of a `.py` or `.json`, or a ConfigDict; or the name of a method that is no config,
        such as "auto", which is fitted on the same data and into the same folder.
      workdir: folder of the run; None keeps it in memory. The same call again goes on where a killed run stopped.
      data: the name of a bundled set, or `Pairs`.
      settings: arguments and dotted fields of the config, or arguments of the method.
      overrides: dotted field -> text of the value.
      progress: a line with the time left, on the error stream.
      tables: two or three tables for a config whose `data.source` is "arrays".
      **own: own embeddings and the split, see the top of this module; seed, of the split, the batches and the start.

    Returns:
      the run: `.evaluate()`, `.project(name, features)`, `.history`, `.params`.

    >>> run = train("ridge_cca", data="emoji", pairs=50, test=300)
    >>> run.evaluate()["mean/R@10"] > 0.05
    True
    """
    checks.require(
        workdir is None or not checks.place(workdir, "workdir").is_file(),
        "workdir",
        got=f"{workdir}, a file",
        wanted="a folder",
        remedy="Choose another path.",
    )
    from gera_jax.aligners import doors

    use_compilation_cache()
    opened = doors.configure(config, overrides, data=data, settings=settings, **own)
    if opened.method:
        return doors.fit_opened(opened, workdir)
    from gera_jax import training
    from gera_jax.training.loop import progress_hook, tensorboard_hook

    if opened.tables is not None:
        logger.info("%s", opened.tables)
    hooks = [progress_hook(opened.config) if progress else None, tensorboard_hook(opened.config, workdir) if workdir else None]
    hooks = [hook for hook in hooks if hook]
    with checks.disk_room(workdir), contextlib.ExitStack() as closing:
        for hook in hooks:
            closing.callback(hook.close)
        return training.train(opened.config, workdir, tables=tables or opened.tables, hooks=hooks)


def fit(
    method: Any = "auto",
    output: str | Path | None = None,
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    on_data: Callable[[dict[str, Any]], None] | None = None,
    **own: Any,
) -> Aligner:
    """Fit a method on every known pair and every unpaired row, and save it.

    A trained method keeps validation rows back, by which its best step is chosen; other methods keep nothing back. What it is
    about to fit on is logged first. The same call again goes on where a killed training stopped.

    Args:
      method: whatever `Aligner` takes.
      output: the folder to write; it must not hold another model or a comparison. None = nothing is written.
      data: the name of a bundled set, or `Pairs`.
      settings: arguments of the method, or arguments and dotted fields of the config.
      seed: of the split, the draw of pairs and a training.
      on_data: called before the fit with what it is about (`gera_jax.training.evaluate`), which is logged too.
      **own: own embeddings and the split, see the top of this module; pairs may be how many. val: validation items of a trained
        method. test: items that are held out of everything, default none; `evaluate` finds them by the folder.

    >>> fit("ridge_cca", data="emoji", pairs=50).names
    ('image', 'text')
    """
    from gera_jax.aligners import folder as folders
    from gera_jax.aligners.aligner import Aligner
    from gera_jax.aligners.methods import find
    from gera_jax.comparison.task import make_task
    from gera_jax.training.evaluate import overview, overview_text

    checks.require(
        settings is None or isinstance(settings, Mapping),
        "settings",
        got=repr(settings),
        wanted="names with values",
        remedy="Give a dictionary: settings=dict(width=512).",
    )
    use_compilation_cache()
    trained = find(method).needs_validation
    if output is not None:
        remedy = "Choose another --output."
        folders.require_free(
            checks.place(output, "output"), but=folders.RUN_FILE if trained else "", name="output", remedy=remedy
        )
    seed, (counts, own) = checks.whole(seed, "seed"), _counts(own)
    checks.require(len(counts) < 2, "pairs", got=counts, wanted="one number of known pairs")
    test = own.pop("test", None) or 0
    task = make_task(data, **{**own, "test": test, **({} if trained else dict(val=0))})
    pairs, val, held = task.parts(counts[0] if counts else 0, seed)
    seen = overview(pairs, val, held)
    logger.info("%s", overview_text(seen))
    if on_data is not None:
        on_data(seen)
    aligner = Aligner(method, settings=dict(settings or {}), validation=val if trained else None, seed=seed, folder=output).fit(
        pairs
    )
    if output is not None and test:
        aligner.save(output, test=held)
    return aligner


def compare(
    data: Any = None,
    *,
    methods: Sequence[Any] | str = (),
    seeds: int | None = None,
    budget: int | None = None,
    metric: str | None = None,
    config: Any = "",
    output: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = False,
    **own: Any,
) -> Comparison:
    """Methods x pair counts x seeds on one task: which method is best with the pairs there are, and what more would bring.

    Args:
      data: `Pairs`, or the name of a bundled set (`gera-jax data list`).
      methods: names (`gera_jax.comparison.methods()`), classes or objects; () = all.
      seeds: how many, default 5; a seed is a split, a draw of pairs and a start.
      budget: settings that each method may try, default 4, its default first.
      metric: by which settings are chosen, on validation rows: "mean/MRR" (default, the mean reciprocal rank),
        "mean/R@10", "foscttm", ...
      config: a preset ("quick", and others of `gera_jax.comparison.compare`), from which is taken what is not given: fewer
        methods, counts, seeds and settings. Or a block of `gera_jax.config.comparison` or a file that gives one, in place of
        everything that changes a number.
      output: folder; the same call goes on where a killed sweep stopped, cell by cell.
      jobs: processes of one thread each; None = one a core.
      progress: what is compared, an estimate of the time and a bar, on the error stream.
      **own: own embeddings and the split, see the top of this module; counts, how many known pairs to look at, () = 20, 50, 100,
        200, 500, 1000, 2000 as far as they go, and all of own data; unpaired, what of the other rows is given.

    Returns:
      `Comparison`: `.recommended` ("" where nothing is better than chance, see `.reason`), `.mean(method, pairs, "mean/R@10")`,
      `.differences(pairs)`, `.more_pairs()`, `.to_dict()`.

    Raises:
      InputError: whatever is wrong, in words, before the first fit.

    >>> compare("emoji", methods="procrustes", counts=20, seeds=1, jobs=1).counts
    (20,)
    """
    from gera_jax.comparison.compare import configured, fill, run_compare, spread
    from gera_jax.comparison.task import make_task

    wanted = "names of methods, classes or objects, in a list"
    checks.require(methods is None or isinstance(methods, str | Sequence), "methods", got=repr(methods), wanted=wanted)
    preset = config if isinstance(config, str) and not Path(config.partition(":")[0]).suffix else ""
    counts, own = _counts(own)
    rule = dict(methods=methods, counts=counts, seeds=seeds, budget=budget, metric=metric)
    if not preset and config not in ("", None):
        data, own, rule = configured(config, dict(own, data=data, **rule))
    use_compilation_cache()
    rule, beside = fill(preset, rule)
    rule = {name: value for name, value in rule.items() if value is not None}
    task = make_task(data, **{**beside, **own})
    if isinstance(rule.setdefault("methods", ()), str):
        rule["methods"] = rule["methods"].split(",")
    if preset and len(rule["counts"]) == 0:
        rule["counts"] = spread(task.counts((), range(rule["seeds"])))
    return run_compare(task, **rule, preset=preset, output=output, jobs=jobs, progress=progress)


def _counts(own: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Numbers of known pairs, which may be given as `pairs` too (0 = all), and the rest of the data's words."""
    own, pairs = dict(own), own.get("pairs")
    counts = own.pop("counts", ())
    one = isinstance(pairs, int)
    if one or (isinstance(pairs, list | tuple) and pairs and all(isinstance(p, int) for p in pairs)):
        del own["pairs"]
        none = hasattr(counts, "__len__") and len(counts) == 0
        checks.require(none, "pairs", got=f"{pairs} and counts", wanted="one of them", remedy="Give pairs a file.")
        counts = () if one and pairs == 0 else pairs
    return (counts,) if isinstance(counts, int) else counts, own


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
    return compare(source, config="smoke" if smoke else "quickstart", output=output, progress=progress)


def evaluate(folder: str | Path, *, part: str = "test", **own: Any) -> Mapping[str, float]:
    """Metrics of a folder's model on the rows that were held out of it, or on rows that are given now.

    Args:
      folder: of `train`, `fit` or `Aligner.save`.
      part: "test", or "val" of a training run.
      **own: own embeddings, see the top of this module: rows that the model was not fitted on.
    """
    use_compilation_cache()
    from gera_jax.aligners import evaluate as evaluate_folder

    return evaluate_folder(folder, split=part, **own)


def embed(folder: str | Path, modality: str, source: Any, *, ids: Any = None, output: str | Path | None = None) -> np.ndarray:
    """Rows of the shared space for new rows of one modality.

    Args:
      folder: of `train`, `fit` or `Aligner.save`.
      modality: whose rows they are: its name, or "x", "y" or "w" for the first, second or third.
      source: FILE or FILE:KEY of raw embeddings as they were fitted on, a table, a frame or rows [n, d].
      ids: of the rows: a list, or of a file the name of its column or array, or a file.
      output: where to save the result: .npy, .npz or .parquet. Ids that the source has go along; an older file stays until
        the new one is whole.

    Returns:
      float32 [n, dim], rows of length 1.

    Raises:
      InputError: rows of another width, NaN or infinite rows (how many, and the first), or a suffix that cannot be written.
    """
    from gera_jax.data import as_rows, builder
    from gera_jax.data.load import as_table

    if output is not None:
        builder.require_writable(output)
    use_compilation_cache()
    from gera_jax.aligners import load

    model = load(folder)
    slots: dict[str, str] = dict(zip(config_lib.SLOTS, model.names, strict=False))
    name = modality if modality in model.names else slots.get(modality, modality)
    table = as_table(source, name, ids)
    z = model.embed(name, as_rows(table.rows, f"rows of {name}"))
    if output is not None:
        builder.write(output, z, None if table.numbered else table.ids)
    return z


def data_list() -> list[dict[str, Any]]:
    """The bundled sets and their modalities.

    >>> data_list()[0]
    {'name': 'clipart', 'modalities': ['image', 'text']}
    """
    from gera_jax.data import catalog

    return [dict(name=name, modalities=list(catalog.info(name).names)) for name in catalog.names()]


def data_show(source: str, *, ids: str = "") -> dict[str, Any]:
    """What a bundled set or a file (FILE or FILE:KEY) holds: counts, widths, and every fault that validation finds."""
    from gera_jax.data.load import validate_table

    found = {}
    for table in _tables(source, ids):
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


def data_build(source: str, output: str | Path, *, ids: str = "") -> list[str]:
    """Write each table of `source` as a TFDS `array_record` data set in `output`, ids included; one that is there already stays.

    Returns:
      paths; `load_table(path)` gives a table back exactly.

    Raises:
      InputError: a data set of other rows is there already.
    """
    from gera_jax.data import builder

    return [str(builder.holds(table, output) or builder.build_dataset(table, output)) for table in _tables(source, ids)]


def _tables(source: str, ids: str) -> Sequence[Table]:
    from gera_jax.data import catalog, load_table

    if source in catalog.names():
        return catalog.load(source)
    path, key = config_lib.path_and_key(str(source))
    return (load_table(path, key=key, ids_key=ids),)
