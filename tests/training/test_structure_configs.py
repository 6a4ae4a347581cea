"""Ablations of STRUCTURE and Gentle-CLIP differ from the whole in what they say, and run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gera_jax import config, training

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "ablations"
CHANGED = {
    "structure_mixture_first": (
        "structure",
        ["losses.structure_image.kwargs.divergence", "losses.structure_text.kwargs.divergence"],
    ),
    "structure_three_steps": ("structure", ["losses.structure_image.kwargs.levels", "losses.structure_text.kwargs.levels"]),
    "structure_unpaired": (
        "structure",
        ["batch.unpaired"] + [f"losses.structure_{m}.inputs.{v}" for m in ("image", "text") for v in "xz"],
    ),
    "gentle_clip_no_density": ("gentle_clip", ["losses.density_image_text"]),
    "gentle_clip_same_set": ("gentle_clip", ["data.unpaired"]),
    "gentle_clip_released": (
        "gentle_clip",
        [
            "batch.pairs",
            "batch.unpaired",
            "data.unpaired",
            "losses.density_image_text.kwargs.form",
            "losses.density_image_text.weight",
            "losses.mmd_image_text.fn",
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_an_ablation_changes(name):
    whole, fields = CHANGED[name]
    lines = config.differences(config.load(whole).to_dict(), config.load(FOLDER / f"{name}.py").to_dict())
    assert sorted(line.split(":")[0] for line in lines) == sorted(fields)


@pytest.mark.parametrize("name", CHANGED)
def test_smoke(name):
    c = config.load(f"{FOLDER}/{name}.py:pairs=64,smoke", {"parallel": "jit"})
    assert int(training.train(c).state.step) == 4


def test_refined_csa_starts_at_weighted_canonical_directions():
    c = config.load("csa_structure:pairs=64,smoke")
    assert c.model.init == "ridge_cca" and c.model.init_options.correlation_power == 1.0
    assert c.losses.structure_image.weight.end == 50 * c.losses.contrastive_image_text.weight
