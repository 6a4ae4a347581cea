"""What the texts of options become: numbers, sizes, pairs, files side by side."""

from __future__ import annotations

import argparse
import re
from typing import Any

from gera_jax import config as config_lib


class Beside(argparse.Action):
    """Files that stand side by side: an option that comes again adds one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        del parser, option_string
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, f"{before}+{values}" if before else values)


def pairs(text: str) -> Any:
    """How many pairs, numbers of pairs, or a file of them."""
    if re.fullmatch(r"\s*-?\d{1,18}\s*", text, re.ASCII):
        return int(text)
    if re.fullmatch(r"[ ,]*\d{1,18}([ ,]+\d{1,18})*[ ,]*", text, re.ASCII):
        return numbers(text.replace(" ", ","))
    return text


def numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise argparse.ArgumentTypeError(f'got "{text}"; wanted whole numbers such as 20,50,100') from None


def size(text: str) -> int | float:
    found = config_lib.literal(text)
    if isinstance(found, bool) or not isinstance(found, int | float) or not (isinstance(found, int) or 0 <= found < 1):
        raise argparse.ArgumentTypeError(f'got "{text}"; wanted a number of items such as 300, or a share such as 0.1')
    return found
