"""The picture of the gap between two sets on the sphere."""

from __future__ import annotations

import numpy as np
import pytest

from gera_jax import plots
from gera_jax.checks import InputError


def test_shows_the_gap_before_and_after():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30, 8))
    far = np.eye(8)[0] * 9
    figure = plots.hypersphere_gap({"before": (x + far, y - far), "after": (x, 3 * x)}, names=("image", "text"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0].startswith("before: gap 1.") and titles[2] == "after: gap 0.00"
    image, text = (figure.axes[1].collections[i].get_offsets() for i in (0, 1))
    assert image[:, 0].min() > 0.5 and text[:, 0].max() < -0.5  # the gap lies along the first axis
    assert np.allclose(*(figure.axes[3].collections[i].get_offsets() for i in (0, 1)))
    assert max(np.linalg.norm(image, axis=1)) <= 1 + 1e-6
    assert "image" in plots.svg(figure, "gap", "the gap")


def test_pairs_that_coincide_are_all_in_the_histogram():
    def above_one(x):  # by rounding; such cosines fell out of the last bin
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return (np.diagonal(unit @ unit.T) > 1).all()

    x = next(x for x in np.random.default_rng(0).normal(size=(1000, 2, 7)) if above_one(x))
    _, pairs = plots.hypersphere_gap({"same": (x, x)}).axes[0].patches
    assert pairs.get_xy()[:, 1].max() == pytest.approx(30)  # all in one bin of width 1/30


def test_bad_input():
    with pytest.raises(InputError, match="spaces: got no space"):
        plots.hypersphere_gap({})
    with pytest.raises(InputError, match=r"before: got \(3, 3\) and \(2, 3\); wanted two or more rows in pairs"):
        plots.hypersphere_gap({"before": (np.eye(3), np.eye(3)[:2])})
    with pytest.raises(InputError, match="after: got 1 pairs with NaN or infinite values; wanted finite numbers"):
        plots.hypersphere_gap({"after": (np.eye(3), np.where(np.eye(3)[:, :1] == 1, np.nan, np.eye(3)))})
