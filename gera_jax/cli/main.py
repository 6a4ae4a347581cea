"""Arguments in, text or JSON out; exit code 0 (done), 1 (could not finish), 2 (the input is wrong) or 3 (a bug of ours)."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Sequence

from gera_jax import checks
from gera_jax.cli import failures
from gera_jax.cli.parser import make_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    failures.forgive_letters()
    parser = make_parser()
    try:
        arguments, overrides = split_overrides(list(sys.argv[1:] if argv is None else argv))
        args, unknown = parser.parse_known_args(arguments)
        if unknown and not unknown[0].startswith("--"):
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
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
        logging.getLogger(noisy).setLevel(logging.CRITICAL if noisy == "absl" else logging.ERROR)  # orbax logs what it raises
    try:
        for name in ("workdir", "output"):  # an empty path is the folder that one stands in
            checks.require(getattr(args, name, None) != "", f"--{name}", got="nothing", wanted="a path")
        for word in unknown:
            checks.require_known(word.partition("=")[0], args.options, f"option of {args.command}")
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


def split_overrides(argv: list[str]) -> tuple[list[str], dict[str, str]]:
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
