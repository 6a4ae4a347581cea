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

OWN = ("data", "x", "y", "x_unpaired", "y_unpaired", "x_ids", "y_ids", "x_unpaired_ids", "y_unpaired_ids")  # what names the data


def compare(
    data: Any = None,
    *,
    x: Any = None,
    y: Any = None,
    pairs: Any = None,
    counts: Sequence[int] = (),
    methods: Sequence[str] = (),
    quick: bool = False,
    seeds: int | None = None,
    budget: int | None = None,
    metric: str = "mean/R@10",
    split: str = "random",
    unpaired: str = "independent",
    val: int | None = None,
    test: int | None = None,
    group_key: str = "",
    x_unpaired: Any = None,
    y_unpaired: Any = None,
    x_ids: Any = None,
    y_ids: Any = None,
    x_unpaired_ids: Any = None,
    y_unpaired_ids: Any = None,
    config: Any = None,
    preset: bool = False,
    output: str | Path | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> Comparison:
    """Methods x pair counts x seeds on one task: which method is best with the pairs there are, and what more would bring.

    Args:
      data: a bundled set (`gera-jax data list`); or own embeddings as
      x, y: files (`FILE`, `FILE:KEY`), `Table`s, or arrays.
      pairs: known pairs of own data, a .csv of two ids a line or [p, 2] ids; None = rows of equal ids. A list of counts, as in
        `pairs=(20, 50)`, is read as `counts`.
      counts: how many known pairs to look at; () = 20, 50, 100, 200, 500, 1000, 2000 as far as they go, and all of own data.
      methods: names (`gera_jax.comparison.methods()`); () = all.
      quick: `presets.QUICK` in place of the defaults of methods, seeds and budget, and at most three counts.
      seeds: how many, default 5; a seed is a split, a draw of pairs and a start.
      budget: settings that each method may try, default 4, its default first.
      metric: by which settings are chosen, on validation rows: "mean/R@1", "foscttm", "mean/mean_rank", ...
      split: "random", or "grouped": look-alikes on one side.
      unpaired: "independent" (half of the other training items give x only, the others y only), "same_set" or "none".
      val, test: items; default a tenth (at most 300) and a quarter (at most 500).
      group_key: the meta field of grouped splits.
      x_unpaired, y_unpaired: further rows without a partner.
      x_ids, y_ids, x_unpaired_ids, y_unpaired_ids: the id of each row of these: a list; of a file also the name of its column or
        array of ids, or a file of ids. Rows are paired by position where neither x nor y has ids, and that is said.
      config: a block of `gera_jax.config.comparison`, or a file that gives one, in place of all the above.
      preset: the methods were not the caller's choice, so the report says how to compare all.
      output: folder; the same call goes on where a killed sweep stopped, cell by cell.
      jobs: processes of one thread each; None = one a core.
      progress: what is compared, an estimate of the time and a bar, on the error stream.

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

    own = dict(
        data=data,
        x=x,
        y=y,
        x_unpaired=x_unpaired,
        y_unpaired=y_unpaired,
        x_ids=x_ids,
        y_ids=y_ids,
        x_unpaired_ids=x_unpaired_ids,
        y_unpaired_ids=y_unpaired_ids,
    )
    cut = dict(split=split, unpaired=unpaired, group_key=group_key)
    rule = dict(seeds=seeds, budget=budget, metric=metric)
    if config is not None:
        beside = {**own, **cut, **rule, "pairs": pairs, "counts": counts, "methods": methods, "val": val, "test": test}
        usual = inspect.signature(compare).parameters
        plain = (str, int, tuple)  # what a default may be equal to; an array is none
        beside = [
            name
            for name, value in beside.items()
            if not (value is usual[name].default or (isinstance(value, plain) and value == usual[name].default))
        ]
        checks.require(
            not beside,
            "config",
            got=f"a config and {', '.join(beside)}",
            wanted="one of them",
            remedy="Write them into the config's file.",
        )
        checks.require(not quick, "config", got="a config and quick", wanted="one of them", remedy="Write fewer seeds into it.")
        known = config_lib.comparison().to_dict()
        block = {**known, **config_lib.read(config).to_dict()}
        config_lib.require_fields(block, known, "comparison")
        own = {name: block[name] or None for name in own}
        cut, rule = {name: block[name] for name in cut}, {name: block[name] for name in rule}
        pairs, val, test = (block[name] or None for name in ("pairs", "val", "test"))
        counts, methods = tuple(block["counts"]), block["methods"]
    if isinstance(pairs, Sequence) and not isinstance(pairs, str) and len(pairs) and all(isinstance(p, int) for p in pairs):
        counts, pairs = pairs, None
    if isinstance(pairs, int):
        counts, pairs = (pairs,), None
    use_compilation_cache()
    task = make_task(**own, **cut, pairs=pairs, val=val, test=test)
    names = methods.split(",") if isinstance(methods, str) else methods
    usual = presets.QUICK if quick else presets.USUAL
    rule = {name: usual.get(name) if value is None else value for name, value in rule.items()}
    if quick:
        names, preset = names or usual["methods"], preset or not names
        counts = counts or presets.spread(task.counts((), range(rule["seeds"])))
    done = dict(output=output, jobs=jobs, progress=progress)
    return run_compare(task, **rule, methods=names, counts=counts, preset=preset, **done)


def fit(
    method: str,
    output: str | Path,
    *,
    data: str | None = None,
    x: Any = None,
    y: Any = None,
    pairs: Any = None,
    x_unpaired: Any = None,
    y_unpaired: Any = None,
    x_ids: Any = None,
    y_ids: Any = None,
    x_unpaired_ids: Any = None,
    y_unpaired_ids: Any = None,
    split: str = "random",
    group_key: str = "",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    on_data: Callable[[dict[str, Any]], None] | None = None,
) -> Aligner:
    """Fit a method on every known pair and every unpaired row, and save it; `embed` projects new rows with the folder.

    What it is about to fit on is logged before it is fitted. The same call again goes on where a killed training stopped.

    Args:
      method: a name of `gera_jax.comparison.methods()`.
      output: the folder to write; it must not hold another model or a comparison.
      data, x, y, pairs, x_unpaired, y_unpaired, x_ids, y_ids, x_unpaired_ids, y_unpaired_ids: as in `compare`.
      split, group_key: as in `compare`, of the validation rows by which trained methods choose their best step.
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
    return fit_winner(
        method,
        Path(output),
        data=data,
        x=x,
        y=y,
        pairs=pairs,
        x_unpaired=x_unpaired,
        y_unpaired=y_unpaired,
        x_ids=x_ids,
        y_ids=y_ids,
        x_unpaired_ids=x_unpaired_ids,
        y_unpaired_ids=y_unpaired_ids,
        split=split,
        group_key=group_key,
        settings=dict(settings or {}),
        seed=seed,
        on_data=on_data,
    )


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
    made.add_argument("--unpaired", default="independent", help="independent (default), same_set or none")
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


def _add_split(made: argparse.ArgumentParser) -> None:
    made.add_argument("--split", default="random", help="random (default) or grouped")
    made.add_argument("--group-key", default="", help="meta field of a grouped split")


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
        quick=args.quick,
        seeds=args.seeds,
        budget=args.budget,
        metric=args.metric,
        split=args.split,
        unpaired=args.unpaired,
        val=args.val,
        test=args.test,
        group_key=args.group_key,
        config=args.config,
        output=args.output,
        jobs=args.jobs,
        progress=not args.json,
        **{name: getattr(args, name) for name in OWN},
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
        split=args.split,
        group_key=args.group_key,
        settings=settings,
        seed=args.seed,
        on_data=seen.update,
        **{name: getattr(args, name) for name in OWN},
    )
    x, y = aligner.names
    told = dict(output=args.output, method=args.method, names=[x, y], data=seen)
    command = ["gera-jax", "embed", "--workdir", args.output, "--modality", x, "--input", "X.npy", "--output", "Z.npy"]
    return told, f"{args.output}: {args.method}\n{shlex.join(command)}"
