"""Ridge CCA on the bundled clip-art set, near the figures of the data's own notes."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from gera_jax.evaluation import retrieval_metrics
from gera_jax.solvers import RidgeCCA


@pytest.fixture(scope="module")
def clipart():
    """Pool-centred unit rows, seed 0: 500 test items, the rest for training."""
    file = resources.files("gera_jax") / "data" / "files" / "clipart_image_text.npz"
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        raw = [arrays[key].astype(np.float64) for key in ("image", "text")]
    order = np.random.default_rng(0).permutation(len(raw[0]))
    test, train = order[:500], order[500:]
    centred = [rows - rows[train].mean(axis=0) for rows in raw]
    image, text = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in centred)
    return image[train], text[train], image[test], text[test]


def recall(model, test_image, test_text):
    got = retrieval_metrics(model.transform_x(test_image), model.transform_y(test_text))
    return [got[f"x_to_y/R@{k}"] for k in (1, 5, 10)]


def test_a_thousand_pairs(clipart):
    image, text, test_image, test_text = clipart
    known = [0.201, 0.406, 0.493]  # linear probe, mean of three other splits
    model = RidgeCCA(regularization="auto").fit(image[:1000], text[:1000])
    assert recall(model, test_image, test_text) == pytest.approx(known, abs=0.03)
    weak = RidgeCCA(regularization=0.1).fit(image[:1000], text[:1000])  # companion: a ridge six times too small
    assert recall(weak, test_image, test_text) != pytest.approx(known, abs=0.03)


def test_a_hundred_pairs(clipart):
    image, text, test_image, test_text = clipart
    auto = recall(RidgeCCA(regularization="auto").fit(image[:100], text[:100]), test_image, test_text)
    assert auto[2] > 0.16
    fixed = recall(RidgeCCA(regularization=0.1).fit(image[:100], text[:100]), test_image, test_text)
    assert auto[2] > fixed[2] + 0.02  # the rule is worth points at few pairs
    shifted = recall(RidgeCCA(regularization="auto").fit(image[:100], np.roll(text[:100], 1, axis=0)), test_image, test_text)
    assert shifted[2] < 0.06  # companion: wrong pairs are near chance (.02)
