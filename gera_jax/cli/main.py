"""Arguments in, text or JSON out; exit code 0 (done), 1 (could not finish), 2 (the input is wrong) or 3 (a bug of ours)."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from gera_jax import checks
from gera_jax import config as config_lib
from gera_jax._version import __version__
from gera_jax.cli import commands, comparing, failures, layers


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    failures.forgive_letters()
    parser = _parser()
    try:
        arguments, overrides = _split_overrides(list(sys.argv[1:] if argv is None else argv))
        args = parser.parse_args(arguments)
        if overrides and args.command not in ("train", "check", "config"):
            parser.error(f"--config.* goes with train, check and config, not with {args.command}")
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if not hasattr(args, "act"):
        parser.print_help()
        return 0
    one_run = args.command in ("train", "check", "evaluate", "select-layers", "fit")  # of many runs a line each is enough
    logging.basicConfig(
        level=logging.INFO if one_run and not args.json else logging.WARNING, format="%(message)s", stream=sys.stderr
    )
    for noisy in ("absl", "jax", "orbax", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        for name in ("workdir", "output"):  # an empty path is the folder that one stands in
            checks.require(getattr(args, name, None) != "", f"--{name}", got="nothing", wanted="a path")
        result, text = args.act(args, overrides)
        shown = json.dumps(result, default=float) if args.json else text
    except (Exception, KeyboardInterrupt) as error:
        found = failures.describe(error)
        with contextlib.suppress(OSError):  # nobody may be there to hear it
            print(
                json.dumps({"error": found.sentence, "code": found.code}) if args.json else f"gera-jax: {found.sentence}",
                file=sys.stdout if args.json else sys.stderr,
                flush=True,
            )
        failures.close_output()
        return found.code
    try:
        print(shown, flush=True)
    except BrokenPipeError:  # the work is done, and who reads it has seen enough
        failures.close_output()
    except OSError as error:
        with contextlib.suppress(OSError):
            print(
                f"gera-jax: the work is done, but its result cannot be printed: {failures.describe(error).sentence}",
                file=sys.stderr,
            )
        failures.close_output()
        return failures.WRONG
    return failures.DONE


def _split_overrides(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--config.field=value` and `--config.field value` out of the arguments."""
    rest, overrides = [], {}
    while argv:
        word = argv.pop(0)
        if not word.startswith("--config."):
            rest.append(word)
            continue
        field, given, value = word.removeprefix("--config.").partition("=")
        if not given:
            if not argv:
                print(f"gera-jax: {word}: got no value; wanted {word}=VALUE.", file=sys.stderr)
                raise SystemExit(2)
            value = argv.pop(0)
        overrides[field] = value
    return rest, overrides


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gera-jax",
        description="Align two embedding spaces from a few known pairs.",
        epilog=f"Configs: {', '.join(config_lib.names())}. gera-jax COMMAND --help tells more. "
        "Exit codes: 0 done, 1 not finished, 2 wrong input, 3 a bug of gera_jax.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, act: Any, help_text: str, inside: Any = sub) -> argparse.ArgumentParser:
        made = inside.add_parser(name, help=help_text, description=help_text, parents=[common])
        made.set_defaults(act=act)
        return made

    for name, act, text in (
        ("train", _train, "train a config; the same command again resumes"),
        ("check", _check, "check a config and file headers, in a second"),
    ):
        made = command(name, act, text)
        made.add_argument("--config", default="gera", metavar="NAME[:ARG]|FILE", help="e.g. gera:pairs=100 or runs/a/config.json")
        for side, which in (("x", "one modality"), ("y", "the other modality"), ("w", "a third, where the config takes one")):
            made.add_argument(f"--{side}", metavar="FILE[:KEY]", help=f"own embeddings of {which}")
            made.add_argument(f"--{side}-ids", metavar="NAME", help="their ids: a column, an array or a file")
        made.add_argument(
            "--pairs", metavar="N|FILE", help="known pairs: how many, 0 = all rows whose ids match; or a list of them"
        )
        if name == "train":
            made.add_argument("--workdir", required=True, help="folder of the run")
    made = command("config", _config, "print every field of a config with its meaning; without a name, list the configs")
    made.add_argument("name", nargs="?", default="", metavar="NAME[:ARG]|FILE", help="e.g. gera:pairs=100 or runs/a/config.json")
    made = command("evaluate", _evaluate, "measure a run on its held-out rows")
    made.add_argument("--workdir", required=True)
    made.add_argument("--split", default="test", help="test (default) or val")
    made.add_argument("--x", help="rows that the model was not fitted on: FILE or FILE:KEY")
    made.add_argument("--y", help="rows of the other modality")
    made.add_argument("--pairs", help="which of them belong together: a FILE.csv of two ids a line (default: by id or position)")
    for side in ("x", "y"):
        made.add_argument(f"--{side}-ids", metavar="NAME", help=f"column or array of ids in --{side}, or a file of ids")
    made = command("embed", _embed, "project new rows with a run's heads")
    made.add_argument("--workdir", required=True)
    made.add_argument("--modality", required=True, help="which head, e.g. image")
    made.add_argument("--input", required=True, help="raw embeddings: FILE or FILE:KEY")
    made.add_argument("--ids", default="", metavar="NAME", help="ids of the rows: a column, an array or a file")
    made.add_argument("--output", required=True, help="where to save them, .npy, .npz or .parquet; ids of the rows go along")
    layers.add_arguments(command("select-layers", layers.act, "find the pair of layers of two encoders that are most alike"))
    made = command("quickstart", _quickstart, "compare methods on a bundled set in about a minute, with a report")
    made.add_argument("--output", default="quickstart", help="folder of the report and the cells")
    made.add_argument("--source", default="clipart", help="a bundled set (`gera-jax data list`)")
    made.add_argument("--smoke", action="store_true", help="closed forms alone, in seconds")
    comparing.add_commands(command)
    data = sub.add_parser("data", help="list, show or build data sets").add_subparsers(dest="what", required=True, metavar="WHAT")
    command("list", _data_list, "the bundled sets", data)
    made = command("show", _data_show, "what a set or file holds, validated", data)
    made.add_argument("source", help="a name of `data list` or a FILE[:KEY]")
    made.add_argument("--ids", default="", metavar="NAME", help="ids of the rows: a column, an array or a file")
    made = command("build", _data_build, "write a TFDS array_record data set", data)
    made.add_argument("source", help="a name of `data list` or a FILE[:KEY]")
    made.add_argument("output", help="folder of data sets")
    made.add_argument("--ids", default="", metavar="NAME", help="ids of the rows: a column, an array or a file")
    return parser


def _own(args: argparse.Namespace) -> dict[str, Any]:
    """What `commands.train` and `check` take of own data, from the arguments."""
    sides = {f"{side}{ids}": getattr(args, f"{side}{ids}") or "" for side in config_lib.SLOTS for ids in ("", "_ids")}
    counted = args.pairs is not None and re.fullmatch(r"\s*-?\d{1,18}\s*", args.pairs, re.ASCII)
    return dict(**sides, pairs=int(args.pairs) if counted else args.pairs)


def command_line(*words: str) -> str:
    """A command as one may paste it into a shell."""
    return shlex.join(["gera-jax", *map(str, words)])


def _train(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    result = commands.train(args.config, args.workdir, overrides=overrides, progress=not args.json, **_own(args))
    split = "test" if "test" in result.splits else "val"
    metrics = dict(result.evaluate(split)) if split in result.splits else {}
    summary = dict(
        workdir=args.workdir,
        best_step=result.best_step,
        seconds=result.seconds,
        split=split,
        metrics=metrics,
        data=result.overview,
    )
    lines = [
        str(result),
        *_lines(metrics, split),
        command_line("embed", "--workdir", args.workdir, "--modality", result.names[0], "--input", "X.npy", "--output", "Z.npy"),
    ]
    return summary, "\n".join(lines)


def _evaluate(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    words = ("x", "y", "x_ids", "y_ids", "pairs")
    own = {name: getattr(args, name) for name in words if getattr(args, name)}
    metrics = dict(commands.evaluate(args.workdir, split=args.split, **own))
    return metrics, "\n".join(_lines(metrics, args.split))


def _lines(metrics: dict[str, float], split: str) -> list[str]:
    return [f"{split} {name:<28} {value:.4f}" for name, value in metrics.items()]


def _embed(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    path, key = config_lib.path_and_key(args.input)
    z = commands.embed(args.workdir, args.modality, path, key=key, ids=args.ids, output=args.output)
    return dict(output=args.output, shape=list(z.shape)), f"{args.output}: {list(z.shape)} float32, rows of length 1"


def _check(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    found = commands.check(args.config, overrides=overrides, **_own(args))
    tables = [f"{name}: {shape[0]} rows of {shape[1]}" for name, shape in found["tables"].items()]
    return found, "\n".join([*tables, f"steps: {found['steps']}", found["terms"], "ok"])


def _config(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    if not args.name:
        titles = {name: config_lib.title(name) for name in config_lib.names()}
        return titles, "\n".join(f"{name:<18} {title}" for name, title in titles.items())
    rows = config_lib.describe(config_lib.load(args.name, overrides))
    return [row._asdict() for row in rows], config_lib.table(rows)


def _quickstart(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    found = commands.quickstart(args.output, source=args.source, progress=not args.json, smoke=args.smoke)
    from gera_jax import reports

    return found.to_dict(), f"{reports.text(found)}\n\nReport: {found.info['report']}"


def _data_list(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    found = commands.data_list()
    return found, "\n".join(f"{entry['name']:<18} {' x '.join(entry['modalities'])}" for entry in found)


def _data_show(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    path, key = config_lib.path_and_key(args.source)
    found = commands.data_show(path, key=key, ids=args.ids)
    lines = []
    for name, entry in found.items():
        ids = ", ".join(entry["first_ids"])
        lines.append(f"{name}: {entry['rows']} rows of {entry['width']} ({entry['dtype']}), ids {ids}...")
        lines += [f"  error: {fault}" for fault in entry["errors"]] + [f"  {told}" for told in entry["warnings"]]
    return found, "\n".join(lines)


def _data_build(args: argparse.Namespace, overrides: dict[str, str]) -> tuple[Any, str]:
    path, key = config_lib.path_and_key(args.source)
    paths = commands.data_build(path, args.output, key=key, ids=args.ids)
    return dict(paths=paths), "\n".join(f"{path}: a data set that any command reads like a file of embeddings" for path in paths)
