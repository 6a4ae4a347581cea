"""GeRA with another geometric term: heat-geodesic distances of each neighbourhood instead of its diffusion operator.

    gera-jax train --config configs/ablations/gera_heat.py:source=clipart,pairs=100 --output runs/gera_heat

`heat_geodesic_stress` (Huguet et al. 2023) compares distances up to one scale; everything else is as in configs/gera.py.
Clip art, 100 pairs, five seeds: R@10 +0.3 +- 0.4 points over the twin from a ridge-CCA start, -0.6 +- 0.6 from a random one:
no gain (docs/results/heat_geodesic.md).
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(
        arg, source="clipart", x="", y="", pairs=-1, start="ridge_cca", geometry=1.0, t=1.0, seed=0, smoke=False
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = c.data.x.name, c.data.y.name

    c.model.update(head="linear", dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.graphs = {name: config.graph(on=f"features.{name}", knn=16) for name in (x, y)}
    c.losses = {
        "contrastive": dict(fn="symmetric_info_nce", inputs=dict(x=f"z.{x}", y=f"z.{y}"), weight=1.0, kwargs={}),
        f"geometry_{x}": heat_geometry(x, weight=arg.geometry, t=arg.t),
        f"geometry_{y}": heat_geometry(y, weight=arg.geometry, t=arg.t),
    }
    c.batch.update(pairs=512, anchors=128)
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c


def heat_geometry(name, *, weight, t):
    return dict(
        fn="heat_geodesic_stress", inputs=dict(x=f"neighbours.{name}", z=f"z.neighbours.{name}"), weight=weight, kwargs=dict(t=t)
    )
