"""The time that a comparison will take, and the bar."""

from __future__ import annotations

import io

import numpy as np
import pytest

import gera_jax
from gera_jax.aligners.methods import compared as find
from gera_jax.comparison.compare import Progress
from gera_jax.comparison.sweep import Cell
from gera_jax.data import Pairs


def test_the_estimate_knows_size_trials_and_processes():
    closed, trained = find(["asif"]), find(["gera"])

    def cpu(*args, **kwargs):
        return Progress(*args, (20, 50), (0, 1, 2), **kwargs).left(0)

    assert cpu(trained, budget=1) == 6 * 5.0 and cpu(closed, budget=1) == 6 * 1.5
    assert cpu(trained, budget=4) == 4 * cpu(trained, budget=1) == cpu(trained, budget=9)  # it has four settings
    assert cpu(closed, budget=1, rows=50_000) == 10 * cpu(closed, budget=1) == 10 * cpu(closed, budget=1, rows=5_000)
    assert [cpu(field, budget=1, rows=200) for field in (closed, trained)] == pytest.approx([6 * 0.15, 6 * 1.4])
    assert Progress(closed, (20, 50), (0,), budget=1, jobs=2).estimate() == "2 cells, about 2s in 2 processes (3s of CPU time)"


def test_the_estimate_of_a_small_set_is_near_what_its_fits_take():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(90, 4))
    pairs = Pairs.from_arrays(shared @ rng.normal(size=(4, 12)), shared @ rng.normal(size=(4, 8)))
    methods, counts, seeds = ("ridge_cca", "kernel_cca", "contrastive"), (20, 40), (0, 1)
    found = gera_jax.compare(pairs, methods=methods, counts=counts, seeds=2, budget=1, jobs=1)
    spent = sum(cell.cpu_seconds for cell in found.cells)
    shown = Progress(find(methods), counts, seeds, budget=1, rows=90).left(0)
    assert spent / 4 < shown < 4 * spent
    assert Progress(find(methods), counts, seeds, budget=1).left(0) > 4 * spent or spent > 8  # companion: that of 2,000 rows


def test_the_time_left_counts_what_the_other_methods_took():
    """Nine cheap cells, then one that takes a hundred times as long, in each of three seeds: the estimate must not jump."""
    field = find(["procrustes", "ridge_cca", "gera"])
    show, spent, estimates = Progress(field, (10, 20, 50), (0, 1, 2), budget=1), 0.0, []
    order = [(count, m.name) for _ in range(3) for count in (10, 20, 50) for m in field]
    cost = {"procrustes": 1.0, "ridge_cca": 1.0, "gera": 100.0}
    total = sum(cost[name] for _, name in order)
    for done, (count, name) in enumerate(order, start=1):
        spent += cost[name]
        show.taken.setdefault((name, count), []).append(cost[name])
        if done >= 3:
            estimates.append((show.left(done) + spent) / total)
    assert max(estimates) < 1.01 and min(estimates) > 0.99


def test_a_fast_machine_shortens_what_has_not_been_seen():
    show = Progress(find(["asif", "gera"]), (10,), (0,), budget=1)
    show.taken["asif", 10] = [0.75]
    assert show.left(1) == 2.5  # half of the usual time so far, so half of the usual 5 s


def test_the_bar_counts_cells_and_cpu_seconds_and_tells_failures():
    stream = io.StringIO()
    show = Progress(find(["asif", "ridge_cca"]), (10, 20), (0,), budget=1, stream=stream)
    for done, cell in enumerate(
        (
            Cell("asif", 10, 0, validation=0.5, trials=[({}, 0.5, 2.0)]),
            Cell("ridge_cca", 10, 0, trials=[({}, 0.5, 1.0)]),
            Cell("asif", 20, 0, error="no"),
            Cell("ridge_cca", 20, 0, trials=[({}, 0.5, 3.0)]),
        ),
        start=1,
    ):
        show(cell, done, 4)
    shown = stream.getvalue()
    assert "1/4 cells, 2s CPU, ASIF, 10 pairs" in shown and "4/4 cells, 6s CPU, ridge CCA, 20 pairs |" in shown
    assert "ASIF, 20 pairs, seed 0 failed: no" in shown and "about 00:00 left" in shown
    assert show.bar.n == show.bar.total == 6.0
