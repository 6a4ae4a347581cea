"""How far a comparison is: an estimate of its time before it starts, then a bar that counts cells and CPU time."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from tqdm import tqdm

from gera_jax.comparison.sweep import Cell
from gera_jax.writers import duration

CPU_SECONDS = {False: 1.5, True: 5.0}  # one fit, by needs_validation: means of benchmarks/results/label_efficiency_field.jsonl
ROWS = 5_000  # up to so many rows they hold; beyond, fits take longer in proportion


class Progress:
    """A tqdm bar in CPU seconds, of which each cell has the share that its method took so far.

    Args:
      methods: the field; each has `name`, `label`, `settings` and `needs_validation`.
      counts, seeds: of the sweep.
      budget: settings that a method may try.
      rows: of the larger table.
      jobs: processes.
      stream: where the bar is drawn; None = the error stream.

    Call it with (cell, cells that are done, cells in all) for each cell that was measured.
    """

    def __init__(
        self,
        methods: Sequence[Any],
        counts: Sequence[int],
        seeds: Sequence[int],
        *,
        budget: int,
        rows: int = 0,
        jobs: int = 1,
        stream: TextIO | None = None,
    ):
        self.labels, self.jobs = {m.name: m.label for m in methods}, jobs
        self.order = [(m.name, count) for _ in seeds for count in counts for m in methods]
        grows = max(1.0, rows / ROWS)
        self.prior = {m.name: grows * CPU_SECONDS[m.needs_validation] * min(budget, len(m.settings)) for m in methods}
        self.taken: dict[tuple[str, int], list[float]] = {}
        self.stream = sys.stderr if stream is None else stream
        self.bar: tqdm | None = None
        self.began = time.time()

    def estimate(self) -> str:
        """How long the sweep will take if nothing is remembered, from the size and the usual cost of its methods.

        >>> from types import SimpleNamespace
        >>> trained = SimpleNamespace(name="a", label="A", settings=({}, {"lr": 1}), needs_validation=True)
        >>> Progress([trained], (20, 50), (0, 1, 2), budget=2, jobs=2).estimate()
        '6 cells, about 30s in 2 processes (1m00s of CPU time)'
        """
        cpu = self.left(0)
        wall, processes = duration(cpu / self.jobs), "1 process" if self.jobs == 1 else f"{self.jobs} processes"
        return f"{len(self.order):,} cells, about {wall} in {processes} ({duration(cpu)} of CPU time)"

    def left(self, done: int) -> float:
        """CPU seconds of the cells behind the first `done`: as their method took so far, at their count where known."""
        spent = {name: [s for (m, _), values in self.taken.items() if m == name for s in values] for name in self.prior}
        usual = sum(self.prior[name] * len(values) for name, values in spent.items())
        speed = sum(map(sum, spent.values())) / usual if usual else 1.0  # of this machine, beside the one of the usual costs

        def expected(name: str, count: int) -> float:
            seen = self.taken.get((name, count)) or spent[name]
            return sum(seen) / len(seen) if seen else speed * self.prior[name]

        return sum(expected(*cell) for cell in self.order[done:])

    def __call__(self, cell: Cell, done: int, total: int) -> None:
        seconds = sum(trial[2] for trial in cell.trials)
        self.taken.setdefault((cell.method, cell.pairs), []).append(seconds)
        spent, left = sum(map(sum, self.taken.values())), self.left(done)
        if self.bar is None:
            form = "{desc} |{bar}| {elapsed} spent, about {remaining} left"
            self.bar = tqdm(total=spent + left, bar_format=form, file=self.stream, smoothing=0, mininterval=0, dynamic_ncols=True)
            self.bar.start_t = self.began  # processes that start and programs that compile count, too
        self.bar.total = max(spent + left, 1e-9)
        where = f"{self.labels[cell.method]}, {cell.pairs:,} pairs"
        self.bar.set_description_str(f"{done}/{total} cells, {duration(spent)} CPU, {where}", refresh=False)
        self.bar.update(spent - self.bar.n)
        if cell.error:
            self.bar.write(f"{where}, seed {cell.seed} failed: {cell.error}", file=self.stream)
        if done == total:
            self.bar.close()
