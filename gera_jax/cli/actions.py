"""One function a command: arguments into `gera_jax.api`, and what comes back as (result, text)."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping
from typing import Any

from gera_jax import api, checks
from gera_jax import config as config_lib

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
