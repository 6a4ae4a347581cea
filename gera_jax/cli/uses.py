"""What becomes of a model: `gera-jax search` and `gera-jax export`."""

from __future__ import annotations

import argparse
from typing import Any

from gera_jax import checks


def search(args: argparse.Namespace, overrides: Any) -> tuple[Any, str]:
    """The hits as plain data and as text."""
    from gera_jax.aligners.search import search
    from gera_jax.cli.parser import folder

    where = {}
    for text in args.where:
        name, mark, value = text.partition("=")
        checks.require(bool(mark), "--where", got=f'"{text}"', wanted="FIELD=VALUE")
        where[name] = value
    options = dict(query=args.query, rows=args.row, top=args.top, where=where)
    found = search(folder(args), args.x, args.y, **options, x_ids=args.x_ids, y_ids=args.y_ids)
    return found.to_dict(), str(found)


def export(args: argparse.Namespace, overrides: Any) -> tuple[Any, str]:
    """What was written as plain data and as text."""
    from gera_jax.aligners.export import export
    from gera_jax.cli.parser import folder

    found = export(folder(args), args.output)
    return dict(folder=str(found.folder), maps=found.maps, left_out=found.left_out), str(found)


def add_options(made: argparse.ArgumentParser) -> None:
    """What stands beside the model and the rows."""
    made.add_argument("--query", choices=("x", "y"), default="x", help="the modality of the queries (default: x)")
    made.add_argument("--row", action="append", default=[], metavar="ID", help="a query by its id; may come often (default: all)")
    made.add_argument("--top", type=int, default=10, metavar="N", help="hits of a query (default: 10)")
    made.add_argument("--where", action="append", default=[], metavar="FIELD=VALUE", help="only such rows of the gallery")
