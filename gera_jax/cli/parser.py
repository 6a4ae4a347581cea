"""The words of the command line: each option stands once, and means the same in every command that has it."""

from __future__ import annotations

import argparse
import re
from typing import Any

from gera_jax import config as config_lib
from gera_jax._version import __version__
from gera_jax.cli import actions
from gera_jax.config.schema import UNPAIRED
from gera_jax.config.sources import BUNDLED

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

    made = _command(sub, "check", actions.check, "check a method, its config and file headers, in a second", FIELDS)
    _method(made, "gera")
    _data(made)
    _split(made)

    made = _command(sub, "train", actions.train, "train a config and measure it on test rows; the same command resumes", FIELDS)
    _method(made, "gera")
    _data(made)
    _split(made)
    _folder(made, "folder of the run")

    made = _command(sub, "config", actions.config, "print every field of a config with its meaning; without a name, all configs")
    made.add_argument("name", nargs="?", default="", metavar="NAME[:ARG]|FILE", help="e.g. gera:pairs=100 or runs/a/config.json")

    made = _command(sub, "fit", actions.fit, "fit one method on all pairs and unpaired rows, and save it")
    _method(made, "auto")
    _data(made)
    _split(made, "; default: none, every pair is fitted on")
    _folder(made, "folder of the model")

    made = _command(sub, "compare", actions.compare, "methods x pair counts x seeds: which is best for your pairs, with a report")
    made.add_argument("--config", metavar="FILE", help="a comparison as a file, e.g. configs/comparisons/gera_best.py, instead")
    made.add_argument("--quick", action="store_true", help="fewer methods, counts, seeds and settings, where they are not given")
    made.add_argument("--methods", default="", metavar="NAME,...", help="e.g. auto,ridge_cca,gera (default: all)")
    made.add_argument("--method", action="append", default=[], metavar="NAME[:ARG]|FILE", help="one more; may come often")
    _data(made, sides="xy", pairs="FILE|N,N,...", more="; N,... = how many to look at, e.g. 20,50,100")
    made.add_argument("--counts", type=_numbers, default=(), metavar="N,...", help="numbers of known pairs, beside a FILE")
    _split(made, seed=False)
    made.add_argument("--seeds", type=int, metavar="N", help="splits, draws of pairs and starts (default 5)")
    made.add_argument("--budget", type=int, metavar="N", help="settings that each method may try (default 4)")
    made.add_argument("--metric", metavar="NAME", help="by which settings are chosen, e.g. mean/R@1 (default: mean/R@10)")
    made.add_argument("--jobs", type=int, metavar="N", help="processes of one thread each (default: one a core)")
    _folder(made, "folder of cells, results.json and report.html; the same again goes on", default="comparison")

    made = _command(sub, "evaluate", actions.evaluate, "measure a model on the rows held out of it, or on rows given now")
    _model(made)
    made.add_argument("--part", choices=("test", "val"), default="test", help="which held-out rows (val: of a training run)")
    _data(made, sides="xy", bundled=False, unpaired=False, pairs="FILE", more="")

    made = _command(sub, "embed", actions.embed, "project new rows of one modality into the shared space of a model")
    _model(made)
    _data(made, bundled=False, unpaired=False, pairs="")
    made.add_argument("--modality", metavar="NAME", help="in place of --x: a modality by its name, e.g. image, with --input")
    made.add_argument("--input", metavar="FILE[:KEY]", help="its rows")
    made.add_argument("--ids", metavar="NAME|FILE", help="their ids: a column, an array or a file")
    made.add_argument("--output", required=True, metavar="FILE", help="e.g. z.npy, z.npz or z.parquet; ids of the rows go along")

    made = _command(sub, "select-layers", actions.select_layers, "find the pair of layers of two encoders that are most alike")
    _data(made, sides="xy", bundled=False, unpaired=False, what="all layers [n, layers, d]", required=True)
    made.add_argument("--config", default="gera", metavar="NAME[:ARG]|FILE", help="what will train on the layers (default: gera)")
    made.add_argument("--measure", default="mutual_knn", metavar="NAME", help=f"{', '.join(MEASURES)} (default: mutual_knn)")
    made.add_argument("--k", default="rice", metavar="N|rice", help="neighbours; rice = ceil(2 n^(1/3)) (default)")
    made.add_argument("--output", metavar="FILE.json", help="write the config with the choice here, for `train --config`")
    made.add_argument("--plot", metavar="FILE", help="save the heat map here, e.g. heat.svg, heat.png or heat.pdf")

    made = _command(sub, "quickstart", actions.quickstart, "compare methods on a bundled set in about a minute, with a report")
    made.add_argument("--data", "--source", default="clipart", metavar="SET", help=_sets())
    made.add_argument("--smoke", action="store_true", help="closed forms alone, in seconds")
    _folder(made, "folder of the report and the cells", default="quickstart")

    data = sub.add_parser("data", help="list, show or build data sets").add_subparsers(dest="what", required=True, metavar="WHAT")
    _command(data, "list", actions.data_list, "the bundled sets")
    for name, act, text in (
        ("show", actions.data_show, "what a set or file holds, validated"),
        ("build", actions.data_build, "write a TFDS array_record data set"),
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
        help_text = f"{what} of {SIDES[side]}, e.g. images.npz:rows"
        group.add_argument(f"--{side}", metavar="FILE[:KEY]", help=help_text, required=required)
    for side in sides if unpaired else ():
        group.add_argument(f"--{side}-unpaired", metavar="FILE[:KEY]", help=f"further rows of {side} without a partner")
    for name in [side + kind for kind in ("", "-unpaired") for side in sides if unpaired or not kind]:
        group.add_argument(f"--{name}-ids", metavar="NAME|FILE", help="its ids: a column, an array or a file, e.g. image_id")
    if pairs:
        group.add_argument("--pairs", type=_pairs, metavar=pairs, help=f"known pairs: a FILE.csv of two ids a line{more}")
        group.add_argument("--captions", action="store_true", help="an id may come many times: several rows of one item")


def _split(made: argparse.ArgumentParser, test: str = "; default: a quarter, at most 500", seed: bool = True) -> None:
    """Which rows are held out."""
    group = made.add_argument_group("split")
    group.add_argument(
        "--val", type=_size, metavar="N", help="validation items, or a share, e.g. 0.1 (default: a tenth, at most 300)"
    )
    group.add_argument("--test", type=_size, metavar="N", help=f"test items, or a share such as 0.25{test}")
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


def _pairs(text: str) -> Any:
    """How many pairs, numbers of pairs, or a file of them."""
    if re.fullmatch(r"\s*-?\d{1,18}\s*", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"[ ,]*\d{1,18}([ ,]+\d{1,18})*[ ,]*", text, re.ASCII):
        return _numbers(text.replace(" ", ","))
    return text


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f'got "{text}"; wanted whole numbers such as 20,50,100') from None


def _size(text: str) -> int | float:
    found = config_lib.literal(text)
    if isinstance(found, bool) or not isinstance(found, int | float) or not (isinstance(found, int) or 0 <= found < 1):
        raise argparse.ArgumentTypeError(f'got "{text}"; wanted a number of items such as 300, or a share such as 0.1')
    return found
