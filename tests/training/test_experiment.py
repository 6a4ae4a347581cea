"""Configs that cannot work fail early, in words."""

import pytest

from gera_jax import checks, training
from gera_jax import config as config_lib
from gera_jax.training.experiment import preflight
from tests.training.helpers import small_config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda c: c.losses.contrastive.update(fn="symetric_info_nce"),
            'losses.contrastive.fn: got "symetric_info_nce".*Did you mean "symmetric_info_nce"',
        ),
        (
            lambda c: c.losses.contrastive.inputs.update(x="z.neighbour.x"),
            'losses.contrastive.inputs.x: got "z.neighbour.x".*Did you mean "z.neighbours.x"',
        ),
        (lambda c: c.losses.contrastive.kwargs.update(logit_scal=3.0), 'got "logit_scal".*Did you mean "logit_scale"'),
        (
            lambda c: c.losses.contrastive.update(weight=-1.0),
            "losses.contrastive.weight: got -1.0; wanted a number of at least 0",
        ),
        (lambda c: c.losses.contrastive.update(wieght=1.0), 'field of losses.contrastive: got "wieght".*Did you mean "weight"'),
        (lambda c: c.update(total_epochs=3), r"duration: got \{'total_steps': 12, 'total_epochs': 3\}; wanted exactly one of"),
        (lambda c: c.update(total_steps=0), "duration: got none; wanted exactly one of"),
        (lambda c: c.data.update(pairs=10**6), r"pairs.*got 1000000"),
        (lambda c: c.model.update(head="lienar"), 'model.head: got "lienar".*Did you mean "linear"'),
        (lambda c: c.model.update(init="ridge"), 'model.init: got "ridge".*Did you mean "ridge_cca"'),
        (lambda c: c.optimizer.update(name="adamv"), 'optimizer.name: got "adamv".*Did you mean "adam'),
        (lambda c: c.optimizer.update(lr=0.0), "optimizer.lr: got 0.0; wanted above 0"),
        (lambda c: c.optimizer.options.update(moment=0.5), "optimizer.options: got .*moment"),
        (lambda c: c.evals.update(metric="mean/R@11"), 'evals.metric: got "mean/R@11".*Did you mean "mean/R@1'),
        (lambda c: c.evals.update(every_steps=0), "evals.every_steps: got 0; wanted at least 1"),
        (lambda c: c.update(log_every_steps=-1), "log_every_steps: got -1; wanted at least 0"),
        (lambda c: c.checkpoint.update(every_steps=0), "checkpoint.every_steps: got 0; wanted at least 1"),
        (lambda c: c.optimizer.update(ema=1.5), r"optimizer.ema: got 1.5; wanted 0 \(off\) or a decay below 1"),
        (lambda c: c.optimizer.update(clip_norm=-1.0), "optimizer.clip_norm: got -1.0; wanted at least 0"),  # it would climb
        (lambda c: c.losses.contrastive.update(fn="mse", inputs=dict(x="features.x", y="z.y")), "losses.contrastive"),
        (lambda c: c.model.update(temperature=0.0), "model.temperature: got 0.0; wanted above 0"),
    ],
)
def test_bad_configs(change, words):
    c = small_config(parallel="jit")
    with c.unlocked():
        change(c)
    with pytest.raises(checks.InputError, match=words):
        training.train(c)


def test_overrides_name_the_nearest_field_and_keep_types():
    with pytest.raises(checks.InputError, match='field of optimizer: got "lrr".*Did you mean "lr"'):
        config_lib.load("gera", {"optimizer.lrr": "1"})
    with pytest.raises(checks.InputError, match="total_steps: got '2.5'; wanted a value like"):
        config_lib.load("gera", {"total_steps": "2.5"})
    with pytest.raises(checks.InputError, match='config: got "gerra".*Did you mean "gera"'):
        config_lib.load("gerra")
    with pytest.raises(checks.InputError, match='argument of the config: got "pears".*Did you mean "pairs"'):
        config_lib.load("gera:pears=3")
    assert config_lib.load("gera", {"optimizer.lr": "1"}).optimizer.lr == 1.0


def test_unknown_fields_of_a_config_are_refused():
    c = small_config()
    with c.unlocked():
        c.bacth = 3
    with pytest.raises(checks.InputError, match='field of the config: got "bacth".*Did you mean "batch"'):
        training.train(c)


@pytest.mark.parametrize("name", config_lib.names())
def test_every_config_passes_its_check_and_a_smoke_run(name):
    few = "" if config_lib.load(name).task == "grounding" else "pairs=64,"  # recordings, not pairs, are counted there
    found = preflight(config_lib.load(f"{name}:{few}".rstrip(":,")))
    assert found["steps"] > 0 and len(found["terms"].splitlines()) > 1
    # on one device: eight take twice as long to compile, and test_parallel, test_three, test_grounding and test_buffers use them
    result = training.train(config_lib.load(f"{name}:{few}smoke", {"parallel": "jit"}))
    assert int(result.state.step) == 4


@pytest.mark.parametrize("name", [name for name in config_lib.names() if config_lib.load(name).task == "alignment"])
def test_a_config_is_plain_data(name):
    c = config_lib.load(f"{name}:pairs=100")
    import json

    assert json.loads(config_lib.to_json(c)) == c.to_dict()
    assert config_lib.differences(c.to_dict(), config_lib.load(f"{name}:pairs=300").to_dict())[-1] == "data.pairs: 100 -> 300"


def test_weights_may_be_schedules():
    c = small_config(parallel="jit")
    with c.unlocked():
        c.losses.contrastive = dict(
            fn="symmetric_info_nce", inputs=dict(x="z.x", y="z.y"), weight=dict(kind="linear", start=0.0, end=1.0, steps=6)
        )
    experiment = training.build(c)
    assert "contrastive  symmetric_info_nce   0 -> 1  x=z.x y=z.y" in experiment.summary
    assert [float(experiment.terms[0].weight(step)) for step in (0, 3, 9)] == [0.0, 0.5, 1.0]


def test_the_table_of_terms_fits_a_terminal_and_tells_a_weight_over_the_run():
    lines = preflight(config_lib.load("sspc:source=emoji3"))["terms"].splitlines()
    assert max(map(len, lines)) <= 130
    assert sum(line.startswith("anchors_") for line in lines) == 9 and lines[-3].startswith(" " * 8)
    text = " ".join(" ".join(lines).split())
    assert text.count(" anchors.z.speech [64, 128]") == 1 and "z=z.speech z_anchors=anchors.z.image" in text
    c = small_config(total_steps=40, log_every_steps=1)
    with c.unlocked():
        # up from 0, then down to 0
        c.losses.geometry_x = config_lib.geometry("x", weight=dict(kind="cosine", warmup_percent=50))
        # two steps an epoch: 1 / 20 at the last
        c.losses.geometry_y = config_lib.geometry("y", weight=dict(kind="inverse_epoch"))
    summary = training.build(c).summary
    assert "0 -> 1 -> 0.00616" in summary and "1 -> 0.05 " in summary


@pytest.mark.parametrize(("given", "steps"), [(dict(total_epochs=2), 6), (dict(total_examples=17), 3), (dict(total_steps=5), 5)])
def test_an_epoch_sees_every_pair(given, steps):
    durations = {"total_steps": 0, "total_epochs": 0, "total_examples": 0, **given}
    assert training.experiment.duration(durations, examples=20, batch_size=8) == steps
