"""`gera-jax bridge plan|fit|apply`: move an index to a new model without embedding it again."""

from __future__ import annotations

import argparse
import json
from typing import Any

CODES = "Exit codes: 0 bridge, 10 keep the old model, 11 re-embed; 1, 2 and 3 as of every command."


def plan(args: argparse.Namespace, overrides: Any) -> tuple[Any, str]:
    """The verdict, which is the exit code too, as plain data and as text."""
    from gera_jax import bridge, checks, files

    del overrides
    if args.output:
        checks.require_place(args.output, "output")
    found = bridge.plan(args.old, args.new, want=args.want, old_model=not args.old_model_gone, **_sources(args))
    args.code = found.exit_code
    told = found.to_dict()
    if args.output:
        files.write_text(args.output, json.dumps(told, indent=2) + "\n")
    return told, str(found)


def fit(args: argparse.Namespace, overrides: Any) -> tuple[Any, str]:
    """What was written as plain data and as text."""
    from gera_jax import bridge
    from gera_jax.bridge.folder import require_empty

    del overrides
    require_empty(args.output)
    found = bridge.fit(args.old, args.new, **_sources(args))
    found.save(args.output)
    return dict(output=args.output, **found.card), f"{args.output}: {found}"


def apply(args: argparse.Namespace, overrides: Any) -> tuple[Any, str]:
    """The file that was written as plain data and as text."""
    from gera_jax import bridge

    del overrides
    found = bridge.apply(args.index, args.map, args.output, direction=args.direction, ids=args.ids, progress=not args.json)
    return dict(output=str(found.output), shape=list(found.shape), resumed=found.resumed), str(found)


def _sources(args: argparse.Namespace) -> dict[str, Any]:
    words = ("queries", "old_ids", "new_ids", "drop_suspects", "seed")
    return {name: value for name in words if (value := getattr(args, name)) not in (None, False)}


def add_commands(sub: Any, command: Any) -> None:
    """The three commands; `command` is what makes one."""
    kinds = sub.add_parser("bridge", help="move an index to a new model without embedding it again").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    made = command(kinds, "plan", plan, "keep, bridge or re-embed? from rows that both models have embedded", CODES)
    _rows(made)
    made.add_argument(
        "--want", type=float, default=0.8, metavar="SHARE", help="of the new model's first ten that is enough (default: 0.8)"
    )
    made.add_argument(
        "--old-model-gone", action="store_true", help="the old model cannot embed queries any more: do not advise to keep it"
    )
    made.add_argument("--output", metavar="FILE.json", help="write the plan here too")
    made = command(kinds, "fit", fit, "fit the maps of documents to the new model and of queries to the old one")
    _rows(made)
    made.add_argument("--output", required=True, metavar="FOLDER", help="an empty folder, e.g. map")
    made = command(kinds, "apply", apply, "map a whole index in batches; the same command goes on after a kill")
    made.add_argument("--index", required=True, metavar="FILE[:KEY]", help="rows of the old model, e.g. old.parquet")
    made.add_argument("--map", required=True, metavar="FOLDER", help="of bridge fit")
    made.add_argument("--output", required=True, metavar="FILE", help="a new .parquet, .npy or .npz")
    made.add_argument("--direction", choices=("forward", "backward"), default="forward", help="backward: rows of the new model")
    made.add_argument("--ids", default="", metavar="NAME|FILE", help="ids of the rows: a column, an array or a file")


def _rows(made: argparse.ArgumentParser) -> None:
    made.add_argument("--old", required=True, metavar="FILE[:KEY]", help="the index: all rows under the old model")
    made.add_argument(
        "--new", required=True, metavar="FILE[:KEY]", help="some of its rows under the new model, with the same ids"
    )
    made.add_argument("--queries", metavar="FILE[:KEY]", help="queries under the new model, logged in use; they need no partner")
    made.add_argument("--old-ids", metavar="NAME|FILE", help="ids of the index: a column, an array or a file")
    made.add_argument("--new-ids", metavar="NAME|FILE", help="ids of the rows of the new model")
    made.add_argument("--drop-suspects", action="store_true", help="leave out pairs that seem to be of another model or item")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of folds and landmarks (default: 0)")
