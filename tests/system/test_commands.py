"""Every command that is printed anywhere is one: README, guides, docstrings, configs, notebooks, messages, and a report's page."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from gera_jax.cli.main import split_overrides
from gera_jax.cli.parser import make_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted(p for room in ("gera_jax", "configs", "docs/examples", "benchmarks") for p in (ROOT / room).rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOUND = re.compile(r"(?:gera-jax|python -m gera_jax) ([a-z][a-z-]*(?:[ ][^\n`|;]*)?)")
STAND_INS = re.compile(r"\{[^{}]*\}|\.\.\.")  # what a message fills in


def commands() -> dict[str, argparse.ArgumentParser]:
    (sub,) = (action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(sub.choices)


def printed(text: str) -> list[list[str]]:
    """Words of the commands in a text that name at least one option or argument; a prose mention is left out."""
    found = []
    for line in FOUND.findall(STAND_INS.sub("STANDIN", re.sub(r"\\\n\s*", "", text))):
        line = re.split(r"\s{2,}#|\s#\s|\*\*|\.\s|\)|\"$|'\)", line)[0].rstrip(' .,:;"')
        try:
            words = shlex.split(line)
        except ValueError:  # a sentence with an apostrophe
            continue
        if words[0] in commands() and (any(word.startswith("--") for word in words) or words[0] in ("data", "config")):
            found.append(words)
    return found


def fault(words: list[str], capsys) -> str:
    """What the parser says of a command; "" where it takes it."""
    rest, _ = split_overrides(list(words))
    try:
        make_parser().parse_args(rest)
    except SystemExit:
        return capsys.readouterr().err.strip().splitlines()[-1]
    return ""


def is_prose(words: list[str]) -> bool:
    """A command that a sentence names with an option but without what is required: `gera-jax compare --quick and ...`."""
    return any(re.fullmatch(r"(and|or|on|prints?|reads?|writes|adds|is|are|calls|of|the|with)", word) for word in words)


@pytest.mark.parametrize("path", [*PAGES, *SOURCES, *NOTEBOOKS], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_printed_command_is_one(path, capsys):
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) + "\n" for cell in cells)
    wrong = {}
    for words in printed(text):
        if not is_prose(words) and (said := fault(words, capsys)) and not partly(words, said):
            wrong[shlex.join(words)] = said
    assert wrong == {}


def partly(words: list[str], said: str) -> bool:
    """A mention in running text, such as `gera-jax train --config FILE`, that leaves required options out; or one of which a message fills in the flags."""
    return ("the following arguments are required" in said and (len(words) <= 3 or "STANDIN" in words)) or said.endswith(
        "arguments: STANDIN"
    )


def test_many_commands_are_found_and_wrong_ones_are_seen(capsys):
    found = [words for path in (*PAGES, *SOURCES) for words in printed(path.read_text())]
    assert len(found) > 40 and {words[0] for words in found} >= {"train", "fit", "compare", "embed", "evaluate", "check", "data"}
    assert "unrecognized arguments: --methode" in fault(["fit", "--methode", "auto", "--output", "m"], capsys)
    assert "invalid choice" in fault(["compare", "--split", "half"], capsys)
    assert printed("`gera-jax evaluate --workdir {folder} --x X.npy`.") == [["evaluate", "--workdir", "STANDIN", "--x", "X.npy"]]


def test_a_report_prints_commands(capsys):
    from gera_jax.reports import words as reports
    from tests.reports.test_page import made

    for words in [words for _, command in reports.next_steps(made()) for words in printed(command)]:
        assert fault(words, capsys) == "", words


def test_every_option_has_choices_or_an_example_and_one_meaning():
    """The same option takes the same kind of value and says the same of it in every command."""
    seen: dict[str, set[str]] = {}
    for name, parser in commands().items():
        for action in parser._actions:
            for option in action.option_strings:
                seen.setdefault(option, set()).add(str(action.metavar or action.choices or type(action).__name__))
            if action.option_strings and action.nargs != 0 and not action.choices:
                assert action.help and action.metavar, (name, action.option_strings)
    several = {option: kinds for option, kinds in seen.items() if len(kinds) > 1}
    # --output names a file where one is written; --pairs says which of its forms a command takes
    assert set(several) <= {"--output", "--pairs", "--config"}, several


def test_help_shows_how_a_field_is_changed(capsys):
    for command in ("train", "check"):
        with pytest.raises(SystemExit):
            make_parser().parse_args([command, "--help"])
        assert "--config.optimizer.lr=1e-4" in capsys.readouterr().out
