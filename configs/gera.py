"""GeRA: contrastive learning on pairs, plus diffusion-operator geometry on every training row (arXiv 2310.00672).

    gera-jax train --config gera:source=clipart,pairs=100 --output runs/gera

The heads start at ridge CCA on inputs that are smoothed over the neighbour graph of the training rows; both choices matter
more than the geometric term itself (docs/results/gera.md). `geometry=0` is the contrastive-only twin.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="clipart", x="", y="", pairs=-1, start="ridge_cca", geometry=1.0, seed=0, smoke=False)
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = c.data.x.name, c.data.y.name

    c.model.update(head="linear", dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.graphs = {name: config.graph(on=f"features.{name}", knn=16) for name in (x, y)}
    c.losses = {
        "contrastive": dict(fn="symmetric_info_nce", inputs=dict(x=f"z.{x}", y=f"z.{y}"), weight=1.0, kwargs={}),
        f"geometry_{x}": config.geometry(x, weight=arg.geometry),
        f"geometry_{y}": config.geometry(y, weight=arg.geometry),
    }
    c.batch.update(pairs=512, anchors=128)
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
