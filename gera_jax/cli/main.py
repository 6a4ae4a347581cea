"""Arguments in, text or JSON out; exit code 0 (done), 1 (could not finish), 2 (the input is wrong) or 3 (a bug of ours).

This is the one place where the command line turns exceptions into words."""

from __future__ import annotations

import binascii
import codecs
import contextlib
import csv
import errno
import json
import logging
import lzma
import os
import pickle
import platform
import sys
import tempfile
import tokenize
import traceback
import zipfile
import zlib
from collections.abc import Sequence
from importlib import metadata
from typing import Any, NamedTuple

from gera_jax import checks
from gera_jax.cli.parser import make_parser

DONE, STOPPED, WRONG, BUG = 0, 1, 2, 3
PACKAGES = ("gera_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "ml_collections")
TROUBLE = {  # what to do, by the number of an operating system's error
    errno.ENOENT: "Is the path right? Folders on the way to a new file must be there.",
    errno.ENOTDIR: "A part of the path is a file, not a folder.",
    errno.EISDIR: "Give a file, not a folder.",
    errno.EEXIST: "It is there already: choose another path.",
    errno.EACCES: "Change its permissions, or choose another path.",
    errno.EPERM: "Change its permissions, or choose another path.",
    errno.EROFS: "The file system is read-only: choose another path.",
    errno.ENOSPC: "Free some space and run the same command again.",
    errno.EDQUOT: "Your quota is used up: free some space and run the same command again.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Too many files are open: close other programs, or raise `ulimit -n`.",
    errno.ENFILE: "Too many files are open: close other programs.",
    errno.ENOMEM: "Give the process more memory, or fewer rows.",
}
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    binascii.Error,
    json.JSONDecodeError,
    csv.Error,
    pickle.UnpicklingError,
    UnicodeError,
    EOFError,
    tokenize.TokenError,
    RecursionError,
)
READERS = {
    "pyarrow",
    "h5py",
    "safetensors",
    "safetensors_rust",
    "zipfile",
    "gzip",
    "torch",
    "faiss",
    "tensorflow_datasets",
    "array_record",
}  # a fault inside of them is about the file that they read
DEVICE = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory", "Unable to initialize backend", "No visible")


class Failure(NamedTuple):
    """A sentence for people, and the exit code."""

    sentence: str
    code: int


def describe(error: BaseException) -> Failure:
    """What to tell of an exception.

    >>> describe(checks.InputError("pairs", got=0, wanted="at least 1"))
    Failure(sentence='pairs: got 0; wanted at least 1.', code=2)
    >>> describe(OSError(errno.EROFS, "Read-only file system", "/run.json")).sentence
    '/run.json: Read-only file system. The file system is read-only: choose another path.'
    >>> describe(KeyboardInterrupt()).code
    1
    """
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", STOPPED)
    if isinstance(error, checks.RunError):
        return Failure(str(error), STOPPED)
    if isinstance(error, BrokenPipeError):
        return Failure("whoever read the output is gone, so the work was not finished. Run the same command again.", STOPPED)
    if isinstance(error, checks.InputError):
        return Failure(str(error), WRONG)
    for of_kind in (_missing_package, _memory, _system, _device, _content):
        if sentence := of_kind(error):
            return Failure(sentence, WRONG)
    return Failure(_bug(error), BUG)


def _missing_package(error: BaseException) -> str:
    if not isinstance(error, ImportError) or (error.name or "").startswith("gera_jax"):
        return ""
    return (
        checks.in_words(error)
        if "pip install" in str(error)
        else (f"{checks.in_words(error)}. Install what is missing: pip install {error.name or 'it'}")
    )


def _system(error: BaseException) -> str:
    """Errors of the operating system, with the path; a path that no system takes is one too."""
    if isinstance(error, OSError) and error.errno is not None:
        path = f"{_text(error.filename)}: " if error.filename is not None else ""
        return f"{path}{error.strerror or checks.in_words(error)}. {TROUBLE.get(error.errno, '')}".rstrip()
    if isinstance(error, ValueError) and "null byte" in str(error):
        return "a path holds a zero byte; wanted the name of a file"
    if isinstance(error, RuntimeError) and "home directory" in str(error).lower():
        return f"{checks.in_words(error)}. Set HOME, or write paths without ~."
    return ""


def _memory(error: BaseException) -> str:
    if not isinstance(error, MemoryError):
        return ""
    return f"more memory is wanted than there is ({checks.in_words(error)}). Take fewer or narrower rows, or another machine."


def _device(error: BaseException) -> str:
    """Limits of the accelerator, as JAX says them in its RuntimeErrors."""
    words = [word for word in DEVICE if word in str(error)]
    if not isinstance(error, RuntimeError) or not words:
        return ""
    remedy = (
        "Lower the batch (--config.batch.pairs, .anchors, .unpaired) or the model."
        if "xhausted" in words[0].lower() or ("memory" in words[0])
        else "Is the device there? JAX_PLATFORMS=cpu works without one."
    )
    return f"the device cannot do it ({checks.in_words(error)}). {remedy}"


def _content(error: BaseException) -> str:
    """Files that are not what their names say."""
    inside = {type(error).__module__.split(".")[0], *_packages(error)}
    if not isinstance(error, DAMAGE) and not inside & READERS:
        return ""
    return (
        f"a file cannot be read: {checks.in_words(error)} ({type(error).__name__}). "
        "It is damaged, or not what its name says: write or copy it again."
    )


def _packages(error: BaseException) -> set[str]:
    """Packages of the last functions that the exception passed."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return {str(frame.f_globals.get("__name__", "")).split(".")[0] for frame in frames[-3:]}


def _text(path: Any) -> str:
    return os.fsdecode(path) if isinstance(path, bytes) else str(path)


def _bug(error: BaseException) -> str:
    where = _write_details(error)
    return f"this is a bug of gera_jax, not of your input: {type(error).__name__}: {checks.in_words(error)}. " + (
        f"Details are in {where}: please send it with the command." if where else "Details could not be written."
    )


def _write_details(error: BaseException) -> str:
    """The path of a file of the system's temporary folder with the traceback and all versions; "" where none can be written."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    lines = [
        f"python {platform.python_version()} on {platform.platform()}",
        *(f"{name} {v}" for name, v in versions.items()),
        "",
        *traceback.format_exception(error),
    ]
    try:
        handle, path = tempfile.mkstemp(prefix="gera-jax-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError:
        return ""
    return path


def forgive_letters() -> None:
    """From here on no character stops the output: what a stream cannot encode is written another way."""
    codecs.register_error("gera_jax", _replace)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a stand-in for a stream
            stream.reconfigure(errors="gera_jax")


def close_output() -> None:
    """Nobody reads the output any more: what is left of it goes nowhere, so that Python's own flush at the end raises nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
                stream.flush()
    os.close(nowhere)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a path as they were; "+-" for the sign that our tables hold; escapes for the rest."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return {"±": "+-"}.get(letter) or letter.encode("ascii", "backslashreplace").decode(), error.start + 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    forgive_letters()
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
        found = describe(error)
        with contextlib.suppress(OSError):  # nobody may be there to hear it
            print(
                json.dumps({"error": found.sentence, "code": found.code}) if args.json else f"gera-jax: {found.sentence}",
                file=sys.stdout if args.json else sys.stderr,
                flush=True,
            )
        close_output()
        return found.code
    try:
        print(shown, flush=True)
    except BrokenPipeError:  # the work is done, and who reads it has seen enough
        close_output()
    except OSError as error:
        with contextlib.suppress(OSError):
            print(
                f"gera-jax: the work is done, but its result cannot be printed: {describe(error).sentence}",
                file=sys.stderr,
            )
        close_output()
        return WRONG
    return getattr(args, "code", DONE)  # a verdict is an exit code


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
