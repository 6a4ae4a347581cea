"""What a fit of the recipe may cost, and what is left out so that it costs no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from gera_jax.checks import fail
from gera_jax.solvers.auto.choice import parts
from gera_jax.solvers.auto.trained import BATCH, EPOCHS, STEPS
from gera_jax.solvers.auto.views import KEPT, LANDMARKS

SPEED = 3e10  # multiplications of float32 a second of one core, those of a fit on two busy cores: the same budget, the same heads
COMPILING = 5.0  # seconds, once
STEP = 1.5e6  # multiplications of a pair in a step of the trained heads
SEARCHED = 660  # multiplications of two rows' score, and of looking for the best ones


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is fitted: views, unpaired rows of x and of y, whether there is co-training.

    >>> plan = Plan(("plain", "narrow"), 1000, (20_000, 20_000), (1024, 768), 512, True)
    >>> 15 < plan.seconds < 40, 0.3 < plan.memory < 0.9
    (True, True)
    """

    views: tuple[str, ...]
    pairs: int
    unpaired: tuple[int, int]
    widths: tuple[int, int]
    dim: int
    cotrains: bool

    @property
    def seconds(self) -> float:
        """CPU seconds of one core."""
        p, folds = self.pairs, len(parts(self.pairs)) if self.pairs >= 100 else 0
        rows, dims = [p + n for n in self.unpaired], [min(self.dim, width) for width in self.widths]
        work = sum(n * width * (2 * width + dim) for n, width, dim in zip(rows, self.widths, dims, strict=True))
        sizes = [max(dims)] * ("plain" in self.views) + [self._landmarks] * self._kernels
        for size in sizes:
            work += 2 * p * size**2 + (folds + 1 + self.cotrains) * 20 * size**3
            work += 2 * sum(rows) * size**2 if self.cotrains else 0
        work += sum(rows) * self._landmarks * (max(dims) + self._landmarks) * self._kernels
        work += rows[0] * rows[1] * SEARCHED if self.cotrains else 0
        trained = 0.0
        if "trained" in self.views:
            steps = float(np.clip(EPOCHS * p // BATCH, *STEPS))
            trained = COMPILING + (folds + 1) * steps * BATCH * STEP / SPEED
        return 1.0 + work / SPEED + trained

    @property
    def memory(self) -> float:
        """GiB beside the tables."""
        rows = [self.pairs + n for n in self.unpaired]
        pools = sum(n * min(self.dim, width) for n, width in zip(rows, self.widths, strict=True))
        kept = sum(min(n * self._landmarks, KEPT) for n in rows) * self._kernels + pools * ("plain" in self.views)
        return 4 * (pools + kept + 12 * self._landmarks**2 * self._kernels + 8 * max(self.widths) ** 2) / 2**30

    @property
    def _landmarks(self) -> int:
        return min(max(400, self.pairs), LANDMARKS)

    @property
    def _kernels(self) -> int:
        return sum(view in ("kernel", "narrow") for view in self.views)

    def fits(self, seconds: float | None, memory: float | None) -> bool:
        """Does it cost no more than that?"""
        return self.seconds <= (seconds or np.inf) and self.memory <= (memory or np.inf)


def within(plan: Plan, seconds: float | None, memory: float | None) -> tuple[Plan, list[str]]:
    """The most of a plan that a budget allows, and in words what is left out.

    Unpaired rows go first, evenly of both sides, for they are worth least; then trained heads, then kernels.

    Args:
      plan: of everything.
      seconds: of one core; None = as many as it takes.
      memory: GiB; None = as much as it takes.

    Raises:
      InputError: the budget is too small for ridge CCA alone.

    >>> whole = Plan(("plain", "narrow"), 1000, (20_000, 20_000), (1024, 768), 512, True)
    >>> less, words = within(whole, 15, None)
    >>> 1_000 < less.unpaired[0] < 20_000, words[0].endswith("of 20,000 and 20,000 unpaired rows")
    (True, True)
    """
    words: list[str] = []
    for views in _fewer(plan.views):
        bare = dataclasses.replace(plan, views=views, unpaired=(0, 0), cotrains=False)
        gone = [view for view in plan.views if view not in views]
        if not bare.fits(seconds, memory):
            continue
        words += [f"the view {view}" for view in gone]
        share = _largest(dataclasses.replace(plan, views=views), seconds, memory)
        found = dataclasses.replace(plan, views=views, unpaired=_share(plan.unpaired, share))
        if share < 1:
            left = [f"{a - b:,}" for a, b in zip(plan.unpaired, found.unpaired, strict=True)]
            whole = " and ".join(f"{n:,}" for n in plan.unpaired)
            words.append(f"{' and '.join(left)} of {whole} unpaired rows")
        return found, words
    name, got, wanted = (
        ("seconds", seconds, bare.seconds) if bare.seconds > (seconds or np.inf) else ("memory", memory, bare.memory)
    )
    unit = "" if name == "seconds" else " GiB"
    return fail(
        name,
        got=f"{got:g}{unit}",
        wanted=f"at least {np.ceil(10 * wanted) / 10:g}{unit}, what ridge CCA of {plan.pairs:,} pairs takes",
        remedy="Give more, or fewer pairs.",
    )


def _fewer(views: Sequence[str]) -> list[tuple[str, ...]]:
    """The views, those without the trained one, and the plain one alone."""
    some = [tuple(views), tuple(view for view in views if view != "trained"), tuple(view for view in views if view == "plain")]
    return [own for own in dict.fromkeys(some) if own]


def _share(unpaired: tuple[int, int], share: float) -> tuple[int, int]:
    return int(share * unpaired[0]), int(share * unpaired[1])


def _largest(plan: Plan, seconds: float | None, memory: float | None) -> float:
    """The largest share of the unpaired rows that fits, to 1 %."""
    if plan.fits(seconds, memory):
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 0.01:
        middle = (low + high) / 2
        fits = dataclasses.replace(plan, unpaired=_share(plan.unpaired, middle)).fits(seconds, memory)
        low, high = (middle, high) if fits else (low, middle)
    return low
