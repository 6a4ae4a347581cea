"""The configs of mixing and anchors run, start where they say, and differ from their ablations in one thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gera_jax import checks, config, training
from tests.training.helpers import small_config

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "ablations"
ONE_THING = {
    "m2mix_constant": ("m2mix", ["losses.m2.weight.kind"]),
    "m3mix_both_targets": ("m3mix", ["losses.vl.kwargs.target"]),
    "sspc_released_link": ("sspc", [f"losses.anchors_{a}_{b}.kwargs.link" for a in ("image", "text") for b in ("image", "text")]),
    "sspc_two_modalities": ("sspc:source=emoji", []),
}


def changed(one, other):
    return sorted(line.split(":")[0] for line in config.differences(one.to_dict(), other.to_dict()))


@pytest.mark.parametrize("name", ONE_THING)
def test_ablations_change_one_thing(name):
    whole, fields = ONE_THING[name]
    assert changed(config.load(whole), config.load(FOLDER / f"{name}.py")) == sorted(fields)


def test_no_queue_drops_the_queues_alone():
    one, other = config.load("sspc"), config.load(FOLDER / "sspc_no_queue.py")
    assert {field.split(".")[0] for field in changed(one, other)} == {"buffers", "losses"}
    assert other.buffers.length == 0 and not any("queue" in key for term in other.losses.values() for key in term.inputs)
    assert all("x_queue" in term.inputs for name, term in one.losses.items() if name.startswith("anchors"))


@pytest.mark.parametrize("name", ["m2mix", "m3mix", "sspc"])
def test_runs(name):
    c = small_config(name, parallel="jit", total_steps=4)
    if name == "sspc":
        c.buffers.length, c.model.anchors.count = 30, 6
    result = training.train(c, None)
    row = [row for row in result.history if "loss" in row][-1]
    assert np.isfinite(row["loss"])
    terms = {key.removeprefix("loss/") for key in row if key.startswith("loss/")}
    assert terms == set(c.losses)
    assert all(row[f"loss/{term}"] > 0 for term in terms)


def test_sspc_of_three_modalities():
    names = ("image", "text", "speech")
    c = config.load("sspc:source=emoji3,pairs=300")
    anchors = {f"anchors_{a}_{b}" for a in names for b in names}
    assert {name for name in c.losses if name.startswith("anchors")} == anchors
    weights = {name: term.weight for name, term in c.losses.items()}
    assert weights["anchors_image_text"] == pytest.approx(10 * weights["anchors_speech_text"])
    shares = [weights[f"contrastive_{pair}"] for pair in ("image_text", "image_speech", "text_speech")]
    assert shares == pytest.approx([2 / 1.2, 0.2 / 1.2, 0.2 / 1.2])


def test_the_residual_head_starts_at_the_closed_form():
    """Where fine-tuning begins, residual and linear heads are one map."""
    experiments = [
        training.build(config.load(small_config("m2mix", **{"model.head": head}))) for head in ("residual_mlp", "linear")
    ]
    rows = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    found = []
    for experiment in experiments:
        name, width = next(iter(experiment.model.widths.items()))
        rows = np.random.default_rng(0).normal(size=(5, width)).astype(np.float32)
        found.append(np.asarray(experiment.model.project(experiment.init_state().params, name, rows)))
    assert np.allclose(*found, atol=1e-5)


def test_bad_settings():
    c = small_config("sspc")
    c.buffers.length = 30
    c.losses.anchors_x_y.kwargs.assignments = 65
    with pytest.raises(checks.InputError, match="assignments: got 65 of 64 anchors"):
        training.build(c)
