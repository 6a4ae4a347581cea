"""Comparisons that are asked for by one word: `gera-jax quickstart`, and `gera-jax compare --quick`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

USUAL: dict[str, Any] = dict(seeds=5, budget=4)

# One setting a method and two seeds. Gentle-CLIP is left out: one of its fits takes as long as one of each of these together.
QUICKSTART: dict[str, Any] = dict(
    methods=("auto", "ridge_cca", "contrastive", "gera", "structure", "m3mix", "sspc"), counts=(50, 200), seeds=2, budget=1
)
SMOKE: dict[str, Any] = dict(methods=("auto", "ridge_cca", "procrustes"), counts=(50, 100), seeds=1, budget=1, test=100)

# Three seeds, as few as an interval is worth something with; of the published methods those that win most cells for their time.
QUICK: dict[str, Any] = dict(methods=("auto", "ridge_cca", "kernel_cca", "csa", "contrastive"), seeds=3, budget=2)


def spread(counts: Sequence[int], most: int = 3) -> tuple[int, ...]:
    """At most so many of the counts, the first and the last among them.

    >>> spread((20, 50, 100, 200, 500, 1000)), spread((20, 50))
    ((20, 100, 1000), (20, 50))
    """
    last = len(counts) - 1
    chosen = range(len(counts)) if len(counts) <= most else (round(last * i / (most - 1) - 0.01) for i in range(most))
    return tuple(counts[i] for i in chosen)
