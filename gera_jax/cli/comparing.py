"""`compare` and `fit`: find the best method for a set of pairs, and train it on all of them."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gera_jax import checks
from gera_jax import config as config_lib

if TYPE_CHECKING:
    from gera_jax.aligners.aligner import Aligner
    from gera_jax.comparison.outcome import Comparison

DATA = ("data", "x", "y", "x_unpaired", "y_unpaired", "x_ids", "y_ids", "x_unpaired_ids", "y_unpaired_ids", "captions")
SPLIT = ("split", "unpaired", "val", "test", "group_key")


def compare(
    data: Any = None,
    *,
    methods: Sequence[Any] | str = (),
    counts: Sequence[int] = (),
    preset: str = "",
    seeds: int | None = None,
    budget: int | None = None,
    metric: str = "mean/R@10",
    output: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = False,
    **source: Any,
) -> Comparison:
    """Methods x pair counts x seeds on one task: which method is best with the pairs there are, and what more would bring.

    Args:
      data: `Pairs`, or the name of a bundled set (`gera-jax data list`); or own embeddings as `x` and `y`, see `source`.
      methods: names (`gera_jax.comparison.methods()`); () = all.
      counts: how many known pairs to look at; () = 20, 50, 100, 200, 500, 1000, 2000 as far as they go, and all of own data.
      preset: "quick", or another name of `gera_jax.comparison.presets`: fewer methods, counts, seeds and settings, where they are
        not given.
      seeds: how many, default 5; a seed is a split, a draw of pairs and a start.
      budget: settings that each method may try, default 4, its default first.
      metric: by which settings are chosen, on validation rows: "mean/R@1", "foscttm", "mean/mean_rank", ...
      output: folder; the same call goes on where a killed sweep stopped, cell by cell.
      jobs: processes of one thread each; None = one a core.
      progress: what is compared, an estimate of the time and a bar, on the error stream.
      **source: x, y, pairs, x_unpaired, x_ids, captions, ... of `gera_jax.load_pairs`, in place of `data`; split ("random" or
        "group"), unpaired, val, test and group_key of `gera_jax.comparison.task.Task`; or config, a block of
        `gera_jax.config.comparison` or a file that gives one, in place of everything that changes a number. A list of counts,
        as in `pairs=(20, 50)`, is read as `counts`.

    Returns:
      `Comparison`: `.recommended` ("" where nothing is better than chance, see `.reason`), `.mean(method, pairs, "mean/R@10")`,
      `.differences(pairs)`, `.more_pairs()`, `.to_dict()`.

    Raises:
      InputError: whatever is wrong, in words, before the first fit.
    """
    from gera_jax.cli.commands import use_compilation_cache
    from gera_jax.comparison import presets
    from gera_jax.comparison.compare import run_compare
    from gera_jax.comparison.task import make_task

    rule = dict(methods=methods, counts=counts, seeds=seeds, budget=budget, metric=metric)
    config = source.pop("config", None)
    if config is not None:
        source, rule = _configured(config, dict(source, data=data, **rule))
        data = source.pop("data", None)
    pairs = source.get("pairs")
    if isinstance(pairs, int) or (isinstance(pairs, list | tuple) and pairs and all(isinstance(p, int) for p in pairs)):
        rule["counts"], source["pairs"] = (pairs,) if isinstance(pairs, int) else pairs, None
    use_compilation_cache()
    rule, beside = presets.fill(preset, rule)
    task = make_task(data, **{**beside, **source})
    if isinstance(rule["methods"], str):
        rule["methods"] = rule["methods"].split(",")
    if preset and len(rule["counts"]) == 0:
        rule["counts"] = presets.spread(task.counts((), range(rule["seeds"])))
    return run_compare(task, **rule, preset=preset, output=output, jobs=jobs, progress=progress)


def _configured(config: Any, beside: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data and the rule of a comparison that a block or a file describes; nothing may be given beside it."""
    usual = inspect.signature(compare).parameters
    given = [name for name, value in beside.items() if value is not None and (name not in usual or value != usual[name].default)]
    checks.require(
        not given,
        "config",
        got=f"a config and {', '.join(given)}",
        wanted="one of them",
        remedy="Write them into the config's file.",
    )
    known = config_lib.schema.COMPARISON
    block = {**config_lib.schema.defaults(known), **config_lib.read(config).to_dict()}
    config_lib.require_fields(block, known, "comparison")
    rule = {name: block.pop(name) for name in ("methods", "counts", "seeds", "budget", "metric")}
    return {name: value or None for name, value in block.items() if value or name not in SPLIT}, {
        **rule,
        "counts": tuple(rule["counts"]),
    }


def fit(
    method: Any,
    output: str | Path,
    *,
    data: Any = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    on_data: Callable[[dict[str, Any]], None] | None = None,
    **source: Any,
) -> Aligner:
    """Fit a method on every known pair and every unpaired row, and save it; `embed` projects new rows with the folder.

    What it is about to fit on is logged before it is fitted. The same call again goes on where a killed training stopped.

    Args:
      method: a name of `gera_jax.comparison.methods()`.
      output: the folder to write; it must not hold another model or a comparison.
      data, **source: as in `compare`; the split is that of the validation rows by which trained methods choose their best step.
      settings: arguments of the closed form, or arguments and dotted fields of the config.
      seed: of the trained methods.
      on_data: called before the fit with what it is about (`gera_jax.training.overview`), which is logged too.
    """
    from gera_jax.cli.commands import use_compilation_cache
    from gera_jax.comparison.winner import fit_winner

    checks.require(
        settings is None or isinstance(settings, Mapping),
        "settings",
        got=repr(settings),
        wanted="names with values",
        remedy="Give a dictionary: settings=dict(width=512).",
    )
    use_compilation_cache()
    return fit_winner(method, Path(output), data=data, settings=dict(settings or {}), seed=seed, on_data=on_data, **source)


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """`gera-jax compare` and `gera-jax fit`."""
    made = command("compare", _compare, "methods x pair counts x seeds: the best method for the pairs there are, with a report")
    made.add_argument("--config", help="a file with a block of gera_jax.config.comparison, in place of the flags below")
    _add_data(made)
    made.add_argument("--pairs", default="", help="known pairs: a FILE.csv of two ids a line, or counts such as 20,50,100")
    made.add_argument("--counts", type=_numbers, default=(), help="counts of known pairs, beside a FILE.csv")
    made.add_argument("--methods", default="", help="names, comma-separated; default: all")
    made.add_argument("--quick", action="store_true", help="fewer methods, counts, seeds and settings, where they are not given")
    made.add_argument("--seeds", type=int, help="splits, draws of pairs and starts (default 5)")
    made.add_argument("--budget", type=int, help="settings that each method may try (default 4)")
    made.add_argument("--metric", default="mean/R@10", help="by which settings are chosen on validation rows")
    _add_split(made)
    made.add_argument("--unpaired", help="independent (default), same_set or none")
    made.add_argument("--val", type=int, help="validation items (default: a tenth, at most 300)")
    made.add_argument("--test", type=int, help="test items (default: a quarter, at most 500)")
    made.add_argument(
        "--output", default="comparison", help="folder of cells, results.json and report.html; the same again goes on"
    )
    made.add_argument("--jobs", type=int, help="processes of one thread each (default: one a core)")
    made = command("fit", _fit, "fit one method on all pairs and save it for embed")
    _add_data(made)
    made.add_argument("--pairs", default="", help="known pairs: a FILE.csv of two ids a line")
    _add_split(made)
    made.add_argument("--method", required=True)
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method; may come often")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--output", required=True, help="folder of the model")


def _add_data(made: argparse.ArgumentParser) -> None:
    made.add_argument("--data", help="a bundled set")
    made.add_argument("--x", help="own embeddings of one modality: FILE or FILE:KEY")
    made.add_argument("--y", help="own embeddings of the other modality")
    made.add_argument("--x-unpaired", help="further rows of x without a partner")
    made.add_argument("--y-unpaired", help="further rows of y without a partner")
    for side in ("x", "y", "x-unpaired", "y-unpaired"):
        made.add_argument(f"--{side}-ids", metavar="NAME", help=f"column or array of ids in --{side}, or a file of ids")
    made.add_argument("--captions", action="store_true", help="an id may come many times: several rows of one item")


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags say of the data and the split."""
    return {name: value for name in DATA + SPLIT if (value := getattr(args, name, None)) not in (None, False)}


def _add_split(made: argparse.ArgumentParser) -> None:
    made.add_argument("--split", help="random (default) or group: look-alikes on one side")
    made.add_argument("--group-key", help="meta field that look-alikes share")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f'got "{text}"; wanted whole numbers such as 20,50,100') from None


def _compare(args: argparse.Namespace, overrides: Mapping[str, str]) -> tuple[Any, str]:
    from gera_jax import reports

    del overrides
    counts, listed = args.counts, args.pairs or None
    if listed and re.fullmatch(r"[ ,]*\d{1,18}([ ,]+\d{1,18})*[ ,]*", listed, re.ASCII):
        checks.require(not counts, "--pairs", got=f"{listed} and --counts", wanted="counts once", remedy="Give --pairs a .csv.")
        counts, listed = tuple(map(int, listed.replace(",", " ").split())), None
    found = compare(
        pairs=listed,
        counts=counts,
        methods=tuple(args.methods.split(",")) if args.methods else (),
        preset="quick" if args.quick else "",
        seeds=args.seeds,
        budget=args.budget,
        metric=args.metric,
        config=args.config,
        output=args.output,
        jobs=args.jobs,
        progress=not args.json,
        **_asked(args),
    )
    return found.to_dict(), f"{reports.text(found)}\n\nReport: {found.info['report']}"


def _fit(args: argparse.Namespace, overrides: Mapping[str, str]) -> tuple[Any, str]:
    del overrides
    settings = {}
    for text in args.set:
        name, given, value = text.partition("=")
        checks.require(bool(given), "--set", got=f'"{text}"', wanted="NAME=VALUE")
        settings[name] = config_lib.literal(value)
    seen: dict[str, Any] = {}
    aligner = fit(
        args.method,
        args.output,
        pairs=args.pairs or None,
        settings=settings,
        seed=args.seed,
        on_data=seen.update,
        **_asked(args),
    )
    x, y = aligner.names
    told = dict(output=args.output, method=args.method, names=[x, y], data=seen)
    command = ["gera-jax", "embed", "--workdir", args.output, "--modality", x, "--input", "X.npy", "--output", "Z.npy"]
    return told, f"{args.output}: {args.method}\n{shlex.join(command)}"
