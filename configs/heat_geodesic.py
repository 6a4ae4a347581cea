"""Two MLPs that embed by heat-geodesic stress (Huguet et al. 2023, arXiv 2305.19043), joined at the known pairs.

    gera-jax train --config heat_geodesic:source=clipart,pairs=100 --output runs/heat_geodesic

Each MLP is trained to keep the heat-geodesic distances of the neighbourhoods of all training rows of its modality, so that it
embeds rows that it has not seen; the contrastive term ties the two embeddings together where pairs are known. To embed one set
of points without pairs use `gera_jax.HeatGeodesicEmbedding`. On clip art with 100 pairs no step was better than the ridge-CCA
start, with the stress or without it (R@10 24.5 both, five seeds): docs/results/heat_geodesic.md.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(arg, source="clipart", x="", y="", pairs=-1, stress=4.0, knn=32, t=2.0, seed=0, smoke=False)
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = c.data.x.name, c.data.y.name

    c.model.update(head="residual_mlp", dim=128, init="ridge_cca", temperature=0.05, learn_temperature=False)
    c.graphs = {name: config.graph(on=f"features.{name}", knn=arg.knn) for name in (x, y)}
    c.losses = {"contrastive": dict(fn="symmetric_info_nce", inputs=dict(x=f"z.{x}", y=f"z.{y}"), weight=1.0, kwargs={})}
    for name in (x, y):
        c.losses[f"stress_{name}"] = dict(
            fn="heat_geodesic_stress",
            inputs=dict(x=f"neighbours.{name}", z=f"z.neighbours.{name}"),
            weight=arg.stress,
            kwargs=dict(t=arg.t),
        )
    c.batch.update(pairs=512, anchors=128)
    c.optimizer = config.adamw(lr=3e-4)
    c.total_steps = 120
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
