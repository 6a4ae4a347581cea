"""m2-Mix: fine-tuning a joint space on hard negatives that lie between the modalities (arXiv 2203.03897).

    gera-jax train --config m2mix:source=clipart,pairs=300 --output runs/m2mix

The joint space is ridge CCA on the known pairs; the residual heads start there and learn a correction. `mix=0` is the
contrastive-only twin. What the term is worth: docs/methods/m2mix.md.

Expected, that command over 5 seeds (500 test rows; docs/results/systems.md): R@10 36.7, standard deviation 1.7, and the twin's
too, for both keep the start in every seed. About 11 s on a core shared with other work.
"""

from gera_jax import config


def get_config(arg=None):
    arg = config.parse_arg(
        arg,
        source="clipart",
        x="",
        y="",
        pairs=-1,
        mix=0.05,
        alpha=0.5,
        head="residual_mlp",
        start="ridge_cca",
        schedule="inverse_epoch",
        seed=0,
        smoke=False,
    )
    c = config.base()
    c.seed = arg.seed
    c.data = config.own_or_catalog(arg, preprocess=config.smoothed_inputs(pca=256))
    x, y = config.modalities(c)
    z = dict(x=f"z.{x}", y=f"z.{y}")

    c.model.update(head=arg.head, dim=128, init=arg.start, temperature=0.05, learn_temperature=False)
    c.draws = {"m2": dict(kind="beta", alpha=arg.alpha, beta=arg.alpha)}  # the weight on x, drawn anew for each step
    c.losses = {
        "contrastive": dict(fn="symmetric_info_nce", inputs=z, weight=1.0, kwargs={}),
        "m2": dict(
            fn="geodesic_mixup_contrastive",
            inputs={**z, "lam": "draws.m2"},
            weight=dict(kind=arg.schedule, start=arg.mix, end=arg.mix),
            kwargs=dict(kind="m2", logit_scale=1 / 0.07),
        ),
    }
    c.batch.pairs = 128
    c.optimizer = config.adamw(lr=1e-4 if arg.start != "random" else 3e-3)
    c.total_steps = 120 if arg.start != "random" else 240
    c.evals.every_steps = 20
    return config.smoke(c) if arg.smoke else c
