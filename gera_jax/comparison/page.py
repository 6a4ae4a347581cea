"""The frame of a self-contained HTML page: styles inside, sections that leave themselves out when empty."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path

from gera_jax.files import write_text

NO_PICTURES = 'The pictures need matplotlib: pip install "gera_jax[plots]", then run again.'


def write_page(path: str | os.PathLike, title: str, words: str, sections: Sequence[str], style: str = "") -> Path:
    """One self-contained HTML page: a title, a sentence under it, the sections that are not empty; `style` comes on top."""
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_style()}{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header>\n<h1>{escape(title)}</h1>\n<p class="headline">{escape(words)}</p>\n</header>\n'
        + "\n".join(filter(None, sections))
        + "\n</main>\n</body>\n</html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page.encode(errors="backslashreplace").decode())  # a path may hold bytes that are no text
    return path


def section(heading: str, *parts: str) -> str:
    """A section with its heading; nothing where every part is empty."""
    body = "\n".join(filter(None, parts))
    return f"<section>\n<h2>{escape(heading)}</h2>\n{body}\n</section>" if body else ""


def figure(picture: str, caption: str) -> str:
    """A picture (SVG or an image tag) with its caption under it; wide ones scroll."""
    words = f"<figcaption>{escape(caption)}</figcaption>"
    return f'<figure>\n<div class="scroll">{picture}</div>\n{words}\n</figure>'


def _style() -> str:
    return resources.files("gera_jax.comparison").joinpath("style.css").read_text(encoding="utf-8")
