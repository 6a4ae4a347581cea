"""The pictures: readable on light and dark pages, the same every time, and refused where they cannot be drawn."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from gera_jax import plots
from gera_jax.checks import InputError
from gera_jax.plots import basics


def test_svg_is_xml_with_page_colours_and_the_same_every_time():
    points = {"a": [(100, 0.2), (300, 0.3)], "b": [(100, 0.25)]}
    first, again = (plots.svg(plots.recall_against_pairs(points, chance=0.02), "q", 'say "a" & b') for _ in range(2))
    assert first == again
    assert ElementTree.fromstring(first).get("aria-label") == 'say "a" & b'
    color = basics.method_styles("ab")["a"][0]
    assert f"var(--s{basics.SERIES.index(color)}, {color})" in first and "var(--ink" not in first.replace(
        "var(--ink, #1c2026)", ""
    )
    assert "fill: #000000" not in first and "stroke: #000000" not in first  # unreadable on a dark page


def test_plots_of_one_count_and_of_bare_runs():
    assert "1,000 known pairs" in plots.svg(plots.recall_against_pairs({"a": [(1000, 0.2)]}), "q", "alt")
    bare = plots.training_curves({"run": [{"step": 1, "loss/a": 2.0}, {"step": 2, "loss/a": None}]})
    assert ">run<" in plots.svg(bare, "c", "alt")


def test_the_metric_that_is_shown_is_the_one_that_is_named():
    rows = [{"step": step, "val/mean/R@1": 0.2, "val/mean/R@10": 0.6} for step in (1, 2)]
    for recall, name, height in ((None, "R@10", 60), ("val/mean/R@1", "R@1", 20)):
        axes = plots.training_curves({"run": rows}, recall=recall).axes[0]
        assert axes.get_ylabel() == f"validation {name} (%)" and axes.lines[0].get_ydata()[0] == pytest.approx(height)


def test_the_last_layers_are_framed_where_they_are():
    axes = plots.layer_heatmap(np.arange(12.0).reshape(3, 4), chosen=(-1, -1)).axes[0]
    assert axes.patches[0].get_xy() == (2.5, 1.5) and axes.get_title(loc="left") == "layers 2 and 3: 11.000"


def test_plots_refuse_what_they_cannot_show(monkeypatch):
    with pytest.raises(InputError, match="points: got no method"):
        plots.recall_against_pairs({})
    with pytest.raises(InputError, match=r"x and y: got \(3, 3\) and \(3, 3\); wanted \[n, 2\] both"):
        plots.joint_space(np.ones((3, 3)), np.ones((3, 3)))
    with pytest.raises(InputError, match="labels: got 2 for 3 pairs; wanted one for each, or none"):
        plots.joint_space(np.ones((3, 2)), np.ones((3, 2)), ["a", "b"])
    for values in ([(10, 0.5)], [(10, 0.5), (20, 0.6)]):
        with pytest.raises(InputError, match="points: got no value of b; wanted at least one for each method"):
            plots.recall_against_pairs({"a": values, "b": []})
    for rows in ([], [{"step": 1, "lr": 0.1}]):
        with pytest.raises(InputError, match="curves: got no recall and no loss in any row"):
            plots.training_curves({"run": rows})
    for x, y, words in (
        (np.ones((3, 1)), np.ones((3, 1)), r"got \(3, 1\) and \(3, 1\)"),
        (np.ones((3, 2)), np.ones((3, 4)), "got"),
        (np.full((3, 2), np.nan), np.ones((2, 2)), "got 3 rows with NaN"),
    ):
        with pytest.raises(InputError, match=f"x and y: {words}"):
            basics.pca_plane(x, y)
    with pytest.raises(InputError, match=r"chosen: got \(3, 0\); wanted a layer of x and one of y, of 3 and 4"):
        plots.layer_heatmap(np.ones((3, 4)), chosen=(3, 0))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "gera_jax\[plots\]"'):
        plots.joint_space(np.ones((3, 2)), np.ones((3, 2)))


def test_pca_plane_keeps_distances_of_a_flat_cloud_and_shrinks_others():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(16, 16)))
    flat = rng.normal(size=(20, 2)) @ basis[:2] + 3.0
    x, y = basics.pca_plane(flat[:10], flat[10:])
    np.testing.assert_allclose(np.linalg.norm(x - y, axis=1), np.linalg.norm(flat[:10] - flat[10:], axis=1), rtol=1e-9)
    full = rng.normal(size=(20, 16))
    x, y = basics.pca_plane(full[:10], full[10:])
    assert (np.linalg.norm(x - y, axis=1) < np.linalg.norm(full[:10] - full[10:], axis=1)).all()
