"""Contrastive learning on pairs alone: the twin that GeRA is measured against.

gera-jax train --config contrastive:source=clipart,pairs=100 --output runs/contrastive
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="clipart", x="", y="", pairs=-1, start="ridge_cca", seed=0, smoke=False)
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = c.data.x.name, c.data.y.name

    c.model.update(head="linear", dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.losses = {
        "contrastive": dict(fn="symmetric_info_nce", inputs=dict(x=f"z.{x}", y=f"z.{y}"), weight=1.0, kwargs={}),
    }
    c.batch.pairs = 512
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
