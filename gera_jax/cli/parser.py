"""The words of the command line, and what each command does with them: into `gera_jax.api`, and back as (result, text).

Each option stands once, and means the same in every command that has it."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping
from typing import Any

from gera_jax import api, checks
from gera_jax import config as config_lib
from gera_jax._version import __version__
from gera_jax.cli import bridge, kinds, uses
from gera_jax.config.schema import BUNDLED, UNPAIRED

Overrides = Mapping[str, str]
SPLIT = ("val", "test", "split", "group_key", "unpaired", "seed")
DATA = (
    "data",
    *(side + kind for side in config_lib.SLOTS for kind in ("", "_unpaired", "_ids", "_unpaired_ids")),
    "pairs",
    "captions",
    *SPLIT,
)


def given(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say of the data and the split."""
    found = {name: getattr(args, name, None) for name in DATA}
    return {name: value for name, value in found.items() if value is not None and value is not False and value != ""}


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What `--set` says."""
    found = {}
    for text in args.set:
        name, mark, value = text.partition("=")
        checks.require(bool(mark), "--set", got=f'"{text}"', wanted="NAME=VALUE")
        found[name] = config_lib.literal(value)
    return found


def folder(args: argparse.Namespace) -> str:
    """The model that is read."""
    found = [path for path in (args.folder, args.workdir) if path is not None]
    remedy = f"Name it once: gera-jax {args.command} runs/mine"
    checks.require(len(found) == 1, "FOLDER", got=f"{len(found)} folders", wanted="the folder of train or fit", remedy=remedy)
    return found[0]


def command_line(*words: str) -> str:
    """A command as one may paste it into a shell."""
    return shlex.join(["gera-jax", *map(str, words)])


def measured(metrics: Mapping[str, float], part: str) -> list[str]:
    """Metrics, one a line."""
    return [f"{part} {name:<28} {value:.4f}" for name, value in metrics.items()]


def check(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    found = api.check(args.method, overrides=overrides, settings=settings(args), **given(args))
    tables = [f"{name}: {shape[0]} rows of {shape[1]}" for name, shape in found["tables"].items()]
    return found, "\n".join([*tables, f"steps: {found['steps']}", found["terms"], "ok"])


def train(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    result = api.train(
        args.method, args.output, overrides=overrides, settings=settings(args), progress=not args.json, **given(args)
    )
    part = "test" if "test" in result.splits else "val"
    metrics = dict(result.evaluate(part)) if part in result.splits else {}
    summary = dict(
        workdir=args.output, best_step=result.best_step, seconds=result.seconds, split=part, metrics=metrics, data=result.overview
    )
    return summary, "\n".join([str(result), *measured(metrics, part), projecting(args.output)])


def projecting(path: str) -> str:
    """The command that uses a folder."""
    return command_line("embed", path, "--x", "X.npy", "--output", "Z.npy")


def fit(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    seen: dict[str, Any] = {}
    aligner = api.fit(args.method, args.output, settings=settings(args), on_data=seen.update, **given(args))
    told = dict(output=args.output, method=args.method, names=list(aligner.names), data=seen)
    lines = [f"{args.output}: {args.method}", projecting(args.output)]
    return told, "\n".join([*lines, *([command_line("evaluate", args.output)] if args.test else [])])


def compare(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    from gera_jax import reports

    config = args.config or ("quick" if args.quick else "")
    checks.require(not (args.config and args.quick), "--config", got="--config and --quick", wanted="one of them")
    own = {**given(args), **({"counts": args.counts} if args.counts else {})}
    methods = [*(args.methods.split(",") if args.methods else ()), *args.method]
    found = api.compare(
        methods=methods,
        seeds=args.seeds,
        budget=args.budget,
        metric=args.metric,
        config=config,
        output=args.output,
        jobs=args.jobs,
        progress=not args.json,
        **own,
    )
    return found.to_dict(), f"{reports.text(found)}\n\nReport: {found.info['report']}"


def quickstart(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    from gera_jax import reports

    found = api.quickstart(args.output, source=args.data, progress=not args.json, smoke=args.smoke)
    return found.to_dict(), f"{reports.text(found)}\n\nReport: {found.info['report']}"


def evaluate(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    metrics = dict(api.evaluate(folder(args), part=args.part, **given(args)))
    return metrics, "\n".join(measured(metrics, args.part))


def embed(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    sides = {side: path for side in config_lib.SLOTS if (path := getattr(args, side)) is not None}
    by_name = {args.modality: args.input} if args.modality is not None and args.input is not None else {}
    lonely = (args.modality is None) != (args.input is None)
    checks.require(
        len(sides) + len(by_name) == 1 and not lonely,
        "rows",
        got=" and ".join([*(f"--{side}" for side in sides), *(["--modality, --input"] * bool(by_name or lonely))]) or "none",
        wanted="one file",
        remedy="Give --x FILE, --y FILE, or --modality NAME --input FILE.",
    )
    ((modality, source),) = {**sides, **by_name}.items()
    z = api.embed(folder(args), modality, source, ids=getattr(args, f"{modality}_ids", None) or args.ids, output=args.output)
    return dict(output=args.output, shape=list(z.shape)), f"{args.output}: {list(z.shape)} float32, rows of length 1"


def config(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    if not args.name:
        titles = {name: config_lib.title(name) for name in config_lib.names()}
        return titles, "\n".join(f"{name:<18} {title}" for name, title in titles.items())
    rows = config_lib.describe(config_lib.load(args.name, overrides))
    return [row._asdict() for row in rows], config_lib.table(rows)


def select_layers(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    from gera_jax.aligners.layers import select_layers as select

    k = int(args.k) if re.fullmatch(r"-?\d{1,18}", args.k, re.ASCII) else args.k
    found = select(
        args.x,
        args.y,
        x_ids=args.x_ids or "",
        y_ids=args.y_ids or "",
        measure=args.measure,
        k=k,
        config=args.config,
        pairs=args.pairs,
        output=args.output,
        plot=args.plot,
    )
    k = "" if found["k"] is None else f", k {found['k']}"
    table = [
        f"{found['measure']}{k}, on {found['pairs']} known training pairs; rows: layers of x, columns: layers of y",
        "      " + "".join(f"{j:>7}" for j in range(len(found["scores"][0]))),
    ]
    for i, row in enumerate(found["scores"]):
        marks = ("*" if (i, j) == (found["x_layer"], found["y_layer"]) else " " for j in range(len(row)))
        table.append(f"{i:>6}" + "".join(f"{value:>6.3f}{mark}" for value, mark in zip(row, marks, strict=True)))
    layers, last = f"layer {found['x_layer']} of x and {found['y_layer']} of y", f"last layers {found['last']:.3f}"
    table.append(f"best: {layers}, {found['score']:.3f} ({last})")
    if args.output:
        table.append(command_line("train", "--config", args.output, "--workdir", "RUN"))
    if args.plot:
        table.append(f"heat map: {args.plot}")
    return found, "\n".join(table)


def data_list(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    found = api.data_list()
    return found, "\n".join(f"{entry['name']:<18} {' x '.join(entry['modalities'])}" for entry in found)


def data_show(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    found, lines = api.data_show(args.source, ids=args.ids), []
    for name, entry in found.items():
        ids = ", ".join(entry["first_ids"])
        lines.append(f"{name}: {entry['rows']} rows of {entry['width']} ({entry['dtype']}), ids {ids}...")
        lines += [f"  error: {fault}" for fault in entry["errors"]] + [f"  {told}" for told in entry["warnings"]]
    return found, "\n".join(lines)


def data_build(args: argparse.Namespace, overrides: Overrides) -> tuple[Any, str]:
    paths = api.data_build(args.source, args.output, ids=args.ids)
    return dict(paths=paths), "\n".join(f"{path}: a data set that any command reads like a file of embeddings" for path in paths)


FIELDS = (
    "Any field of the config is changed by --config.FIELD=VALUE, such as --config.optimizer.lr=1e-4; "
    "`gera-jax config gera` prints all of them with their meaning."
)
SIDES = dict(x="one modality", y="the other modality", w="a third modality, where the method takes one")
MEASURES = ("mutual_knn", "cknna", "cka", "unbiased_cka")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="gera-jax",
        description="Align two embedding spaces from a few known pairs.",
        epilog=f"Configs: {', '.join(config_lib.names())}. gera-jax COMMAND --help tells more. "
        "Exit codes: 0 done, 1 not finished, 2 wrong input, 3 a bug of gera_jax.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    sub = parser.add_subparsers(dest="command", metavar="COMMAND")

    made = _command(sub, "check", check, "check a method, its config and file headers, in a second", FIELDS)
    _method(made, "auto")
    _data(made)
    _split(made)

    made = _command(sub, "train", train, "train a config and measure it on test rows; the same command resumes", FIELDS)
    _method(made, "gera")
    _data(made)
    _split(made)
    _folder(made, "folder of the run")

    made = _command(sub, "search", uses.search, "find the nearest rows of the other modality")
    _model(made)
    _data(made, sides="xy", bundled=False, unpaired=False, pairs="", what="rows", required=True)
    uses.add_options(made)

    made = _command(sub, "export", uses.export, "write a model's maps for use without gera_jax: safetensors and a NumPy loader")
    _model(made)
    made.add_argument("--output", required=True, metavar="FOLDER", help="an empty folder, e.g. maps")

    made = _command(sub, "config", config, "print every field of a config with its meaning; without a name, all configs")
    made.add_argument("name", nargs="?", default="", metavar="NAME[:ARG]|FILE", help="e.g. gera:pairs=100 or runs/a/config.json")

    made = _command(sub, "fit", fit, "fit one method on all pairs and unpaired rows, and save it")
    _method(made, "auto")
    _data(made)
    _split(made, "; default: none, every pair is fitted on")
    _folder(made, "folder of the model")

    made = _command(sub, "compare", compare, "methods x pair counts x seeds: which is best for your pairs, with a report")
    made.add_argument("--config", metavar="FILE", help="a comparison as a file, e.g. configs/comparisons/gera_best.py, instead")
    made.add_argument("--quick", action="store_true", help="fewer methods, counts, seeds and settings, where they are not given")
    made.add_argument("--methods", default="", metavar="NAME,...", help="e.g. auto,ridge_cca,gera (default: all)")
    made.add_argument("--method", action="append", default=[], metavar="NAME[:ARG]|FILE", help="one more; may come often")
    _data(made, sides="xy", pairs="FILE|N,N,...", more="; N,... = how many to look at, e.g. 20,50,100")
    made.add_argument("--counts", type=kinds.numbers, default=(), metavar="N,...", help="numbers of known pairs, beside a FILE")
    _split(made, seed=False)
    made.add_argument("--seeds", type=int, metavar="N", help="splits, draws of pairs and starts (default 5)")
    made.add_argument("--budget", type=int, metavar="N", help="settings that each method may try (default 4)")
    made.add_argument("--metric", metavar="NAME", help="by which settings are chosen, e.g. mean/R@1 (default: mean/MRR)")
    made.add_argument("--jobs", type=int, metavar="N", help="processes of one thread each (default: one a core)")
    _folder(made, "folder of cells, results.json and report.html; the same again goes on", default="comparison")

    made = _command(sub, "evaluate", evaluate, "measure a model on the rows held out of it, or on rows given now")
    _model(made)
    made.add_argument("--part", choices=("test", "val"), default="test", help="which held-out rows (val: of a training run)")
    _data(made, sides="xy", bundled=False, unpaired=False, pairs="FILE", more="")

    made = _command(sub, "embed", embed, "project new rows of one modality into the shared space of a model")
    _model(made)
    _data(made, bundled=False, unpaired=False, pairs="")
    made.add_argument("--modality", metavar="NAME", help="in place of --x: a modality by its name, e.g. image, with --input")
    made.add_argument("--input", metavar="FILE[:KEY]", help="its rows")
    made.add_argument("--ids", metavar="NAME|FILE", help="their ids: a column, an array or a file")
    made.add_argument("--output", required=True, metavar="FILE", help="e.g. z.npy, z.npz or z.parquet; ids of the rows go along")

    made = _command(sub, "select-layers", select_layers, "find the pair of layers of two encoders that are most alike")
    _data(made, sides="xy", bundled=False, unpaired=False, what="all layers [n, layers, d]", required=True)
    made.add_argument("--config", default="gera", metavar="NAME[:ARG]|FILE", help="what will train on the layers (default: gera)")
    made.add_argument("--measure", default="mutual_knn", metavar="NAME", help=f"{', '.join(MEASURES)} (default: mutual_knn)")
    made.add_argument("--k", default="rice", metavar="N|rice", help="neighbours; rice = ceil(2 n^(1/3)) (default)")
    made.add_argument("--output", metavar="FILE.json", help="write the config with the choice here, for `train --config`")
    made.add_argument("--plot", metavar="FILE", help="save the heat map here, e.g. heat.svg, heat.png or heat.pdf")

    made = _command(sub, "quickstart", quickstart, "compare methods on a bundled set in about a minute, with a report")
    made.add_argument("--data", "--source", default="clipart", metavar="SET", help=_sets())
    made.add_argument("--smoke", action="store_true", help="closed forms alone, in seconds")
    _folder(made, "folder of the report and the cells", default="quickstart")

    bridge.add_commands(sub, _command)

    data = sub.add_parser("data", help="list, show or build data sets").add_subparsers(dest="what", required=True, metavar="WHAT")
    _command(data, "list", data_list, "the bundled sets")
    for name, act, text in (
        ("show", data_show, "what a set or file holds, validated"),
        ("build", data_build, "write a TFDS array_record data set"),
    ):
        made = _command(data, name, act, text)
        made.add_argument("source", metavar="SET|FILE[:KEY]", help="e.g. clipart or images.npz:rows")
        if name == "build":
            made.add_argument("output", metavar="FOLDER", help="folder of data sets")
        made.add_argument("--ids", default="", metavar="NAME|FILE", help="ids of the rows: a column, an array or a file")
    return parser


def _command(sub: Any, name: str, act: Any, text: str, epilog: str = "") -> argparse.ArgumentParser:
    made = sub.add_parser(name, help=text, description=text, epilog=epilog, allow_abbrev=False)  # --w is not --workdir
    made.set_defaults(act=act, options=made._option_string_actions)  # a live table: options are added later
    made.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    return made


def _method(made: argparse.ArgumentParser, default: str) -> None:
    """Which method, and its settings."""
    named = "a method, e.g. auto, ridge_cca, gera:geometry=3, module:Class, or a config's file, e.g. runs/a/config.json"
    made.add_argument("--method", "--config", default=default, metavar="NAME[:ARG]|FILE", help=f"{named} (default: {default})")
    made.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, e.g. width=0.5; may come often"
    )


def _data(
    made: argparse.ArgumentParser,
    *,
    sides: str = "xyw",
    bundled: bool = True,
    unpaired: bool = True,
    pairs: str = "FILE|N",
    more: str = "; N = how many to use, 0 = all",
    what: str = "own embeddings",
    required: bool = False,
) -> None:
    """Where the rows come from and which of them belong together."""
    group = made.add_argument_group("data")
    if bundled:
        group.add_argument("--data", metavar="SET", help=_sets())
    for side in sides:
        help_text = f"{what} of {SIDES[side]}, e.g. images.npz:rows; again for another encoder's table of it"
        group.add_argument(f"--{side}", action=kinds.Beside, metavar="FILE[:KEY]", help=help_text, required=required)
    for side in sides if unpaired else ():
        help_text = f"further rows of {side} without a partner"
        group.add_argument(f"--{side}-unpaired", action=kinds.Beside, metavar="FILE[:KEY]", help=help_text)
    for name in [side + kind for kind in ("", "-unpaired") for side in sides if unpaired or not kind]:
        group.add_argument(f"--{name}-ids", metavar="NAME|FILE", help="its ids: a column, an array or a file, e.g. image_id")
    if pairs:
        group.add_argument("--pairs", type=kinds.pairs, metavar=pairs, help=f"known pairs: a FILE.csv of two ids a line{more}")
        group.add_argument("--captions", action="store_true", help="an id may come many times: several rows of one item")


def _split(made: argparse.ArgumentParser, test: str = "; default: a quarter, at most 500", seed: bool = True) -> None:
    """Which rows are held out."""
    group = made.add_argument_group("split")
    group.add_argument(
        "--val", type=kinds.size, metavar="N", help="validation items, or a share, e.g. 0.1 (default: a tenth, at most 300)"
    )
    group.add_argument("--test", type=kinds.size, metavar="N", help=f"test items, or a share such as 0.25{test}")
    group.add_argument("--split", choices=("random", "group"), help="group: look-alikes stay in one part (default: random)")
    group.add_argument("--group-key", metavar="NAME", help="field of the meta that look-alikes share, e.g. concept")
    group.add_argument("--unpaired", choices=UNPAIRED, help="which other rows are given too (default: independent)")
    if seed:
        group.add_argument("--seed", type=int, metavar="N", help="of the split, the draw of pairs and a training (default: 0)")


def _folder(made: argparse.ArgumentParser, text: str, default: str = "") -> None:
    """The folder that is written."""
    text += f" (default: {default})" if default else ""
    made.add_argument("--output", "--workdir", default=default or None, required=not default, metavar="FOLDER", help=text)


def _model(made: argparse.ArgumentParser) -> None:
    """The folder that is read."""
    made.add_argument("folder", nargs="?", metavar="FOLDER", help="of train or fit, e.g. runs/mine")
    made.add_argument("--workdir", metavar="FOLDER", help="the same")


def _sets() -> str:
    return f"a bundled set: {', '.join(BUNDLED)}"
